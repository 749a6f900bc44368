"""Keys of providers over HTTP: who may, what is answered, and that nothing says where a key goes but the configuration."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from backend.asgi import FrontDoor
from backend.configuration import load_settings
from backend.identity.principal import Role, system
from backend.kernel.clock import SystemClock
from backend.providers.http import UpstreamHttp
from backend.rest import build_rest
from backend.runtime import Runtime
from tests.fakes.openai_upstream import OpenAIUpstream, hang, status

OPERATOR, PASSWORD = system("test"), "correct horse battery"
KEY = "sk-canary-0123456789-abcd"


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
async def runtime_at_the_door(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream) -> AsyncIterator[Runtime]:
    values = {
        "providers": {"acme": {"base_url": upstream.base_url}, "claude": {"protocol": "anthropic"}},
        "secrets_file": str(tmp_path / "none.yaml"),
        "bootstrap": {
            "admin_users": [{"email": "ann@example.org", "password": PASSWORD}],
            "tenants": [{"slug": "small"}],
        },
    }
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(values))
    runtime = Runtime(
        load_settings(
            {"BOURSE_CONFIG": str(tmp_path / "bourse.yaml"), "BOURSE_DATA_DIR": str(tmp_path), "BOURSE_DATABASE_URL": sqlite_database_url}
        ),
        SystemClock(),
    )
    await runtime.identity.bootstrap()
    http = UpstreamHttp(runtime.upstream_addresses)
    runtime.connections.start(http)
    runtime.readiness.missing = None
    yield runtime
    await http.close()
    await runtime.close()


@pytest.fixture
async def http(runtime_at_the_door: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which nobody has signed in yet."""
    door = FrontDoor(runtime_at_the_door.settings)
    rest = build_rest(runtime_at_the_door)
    door.runtime, door._rest, door._pages = runtime_at_the_door, rest, object()  # type: ignore[assignment]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost:3000") as client:
        yield client


async def sign_in(http: httpx.AsyncClient, email: str = "ann@example.org") -> None:
    answer = await http.post("/auth/sign-in", json={"email": email, "password": PASSWORD})
    http.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]


async def test_a_key_is_stored_tried_listed_and_taken_away(http: httpx.AsyncClient, upstream: OpenAIUpstream) -> None:
    await sign_in(http)
    before = {one["name"]: one for one in (await http.get("/admin/providers")).json()["providers"]}
    assert (before["acme"]["key"], before["acme"]["usable"]) == ("none", True)
    assert (before["claude"]["key"], before["claude"]["usable"]) == ("missing", False)
    assert "add-key claude" in before["claude"]["why"]
    added = await http.post("/admin/credentials", json={"provider": "acme", "key": KEY, "name": "team-a"})
    assert added.status_code == 201
    assert KEY not in added.text
    assert (added.json()["hint"], added.json()["state"]) == ("abcd", "ready")
    assert (await http.post("/admin/credentials", json={"provider": "acme", "key": KEY, "name": "team-a"})).status_code == 409
    shown = (await http.get("/admin/providers/acme")).json()
    assert [key["name"] for key in shown["keys"]] == ["team-a"]
    assert (await http.get("/admin/credentials")).json()["keys"] == shown["keys"]
    upstream.models = status(401)
    (trial,) = (await http.post("/admin/providers/acme/test", json={})).json()["trials"]
    assert (trial["key"], trial["reached"], trial["accepted"], trial["status"]) == ("team-a", True, False, 401)
    assert upstream.looks[-1].headers["authorization"] == f"Bearer {KEY}"
    assert (await http.delete("/admin/credentials/acme/team-a")).status_code == 204
    assert (await http.delete("/admin/credentials/acme/team-a")).status_code == 404
    assert (await http.get("/admin/credentials", params={"provider": "acme"})).json() == {"keys": []}


async def test_a_provider_that_takes_the_question_and_says_nothing_is_not_waited_for(
    http: httpx.AsyncClient, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.credentials.service.LOOK_SECONDS", 0.05)
    await sign_in(http)
    upstream.models = hang()
    async with asyncio.timeout(20):
        (trial,) = (await http.post("/admin/providers/acme/test", json={})).json()["trials"]
    assert (trial["reached"], trial["accepted"], trial["error"]) == (False, None, "timeout")


@pytest.mark.case("Z6")
async def test_no_field_of_a_request_says_where_a_key_is_sent(http: httpx.AsyncClient, upstream: OpenAIUpstream) -> None:
    await sign_in(http)
    await http.post("/admin/credentials", json={"provider": "acme", "key": KEY})
    for more in ({"base_url": "http://127.0.0.1:9/v1"}, {"destination": "http://evil.example"}, {"protocol": "openai"}):
        assert (await http.post("/admin/providers/acme/test", json=more)).status_code == 400
        assert (await http.post("/admin/credentials", json={"provider": "acme", "key": KEY, "name": "x", **more})).status_code == 400
    assert not upstream.looks


@pytest.mark.case("Z2")
async def test_who_may(http: httpx.AsyncClient, runtime_at_the_door: Runtime) -> None:
    identity = runtime_at_the_door.identity
    small = (await identity.tenants.get(OPERATOR, "small")).id
    await identity.create_user(OPERATOR, email="bob@example.org", password=PASSWORD)
    await identity.tenants.set_member(OPERATOR, small, email="bob@example.org", role=Role.ADMIN)
    asked = [
        ("GET", "/admin/providers", None),
        ("GET", "/admin/providers/acme", None),
        ("POST", "/admin/providers/acme/test", {}),
        ("GET", "/admin/credentials", None),
        ("POST", "/admin/credentials", {"provider": "acme", "key": KEY}),
        ("DELETE", "/admin/credentials/acme/default", None),
    ]
    assert {(await http.request(method, path, json=body)).status_code for method, path, body in asked} == {401}
    await sign_in(http, "bob@example.org")
    assert {(await http.request(method, path, json=body)).status_code for method, path, body in asked} == {403}
    own = {"provider": "acme", "key": KEY, "tenant_id": small}
    assert (await http.post("/admin/credentials", json=own)).status_code == 201
    assert len((await http.get("/admin/credentials", params={"tenant_id": small})).json()["keys"]) == 1
    assert (await http.post("/admin/credentials", json={**own, "tenant_id": "ten_other"})).status_code == 404
    assert (await http.delete("/admin/credentials/acme/default", params={"tenant_id": small})).status_code == 204
