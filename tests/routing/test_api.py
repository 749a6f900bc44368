"""Routes over HTTP: for super admins with a session, from our own pages."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from backend.asgi import FrontDoor
from backend.configuration import load_settings
from backend.identity.principal import Role, system
from backend.kernel.clock import SystemClock
from backend.rest import build_rest
from backend.runtime import Runtime
from tests.routing.test_edits import FILE

EMAIL, PASSWORD = "ann@example.org", "correct horse battery"


@pytest.fixture
async def http(tmp_path: Path, sqlite_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the front door, in which nobody has signed in yet."""
    people = {"admin_users": [{"email": EMAIL, "password": PASSWORD}]}
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump({**FILE, "bootstrap": people}))
    settings = load_settings(
        {"BOURSE_CONFIG": str(tmp_path / "bourse.yaml"), "BOURSE_DATA_DIR": str(tmp_path), "BOURSE_DATABASE_URL": sqlite_database_url}
    )
    runtime = Runtime(settings, SystemClock())
    await runtime.identity.bootstrap()
    await runtime.routes.load()
    runtime.readiness.missing = None
    door = FrontDoor(settings)
    door.runtime, door._rest, door._pages = runtime, build_rest(runtime), object()  # type: ignore[assignment]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost:3000") as client:
        yield client
    await runtime.close()


async def sign_in(http: httpx.AsyncClient, email: str = EMAIL) -> None:
    answer = await http.post("/auth/sign-in", json={"email": email, "password": PASSWORD})
    http.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]


async def test_a_route_is_made_looked_at_changed_and_ended(http: httpx.AsyncClient) -> None:
    await sign_in(http)
    listed = (await http.get("/admin/routes")).json()["routes"]
    assert [(one["name"], one["origin"]) for one in listed] == [("fast", "configuration"), ("big", "configuration")]
    assert listed[0]["candidates"][0]["input_usd_per_million"] == "1"
    made = await http.put("/admin/routes/mine/new", json={"candidates": [{"provider": "cheap", "model": "n"}]})
    assert (made.status_code, made.json()["origin"]) == (200, "database")
    changed = await http.patch("/admin/routes/mine/new", json={"strategy": "fastest", "max_output_tokens": None})
    assert changed.json()["edited"] == ["candidates", "max_output_tokens", "strategy"]
    assert changed.json()["settings"]["unsupported"] == "refuse"
    changed = await http.patch("/admin/routes/mine/new", json={"unsupported": "drop"})
    assert changed.json()["settings"]["unsupported"] == "drop"
    refused = await http.patch("/admin/routes/mine/new", json={"unsupported": "forget"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "unsupported")
    assert (await http.get("/admin/routes/mine/new")).json() == changed.json()
    assert (await http.delete("/admin/routes/mine/new")).status_code == 204
    assert (await http.get("/admin/routes/mine/new")).status_code == 404


async def test_what_cannot_be_is_told_with_its_field(http: httpx.AsyncClient) -> None:
    await sign_in(http)
    wrong = await http.patch("/admin/routes/fast", json={"strategy": "best"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "strategy")
    assert (await http.patch("/admin/routes/fast", json=["strategy"])).status_code == 400
    assert (await http.delete("/admin/routes/fast")).status_code == 409
    assert (await http.patch("/admin/routes/gone", json={"enabled": False})).status_code == 404


async def test_only_a_super_admin_with_a_session_and_from_our_own_page(http: httpx.AsyncClient) -> None:
    async def statuses(**headers: str) -> set[int]:
        asked = [("GET", ""), ("GET", "/fast"), ("PUT", "/fast"), ("PATCH", "/fast"), ("DELETE", "/fast")]
        bodies = {"PUT": {"enabled": False}, "PATCH": {"enabled": False}}
        answers = [await http.request(method, f"/admin/routes{path}", json=bodies.get(method), headers=headers) for method, path in asked]
        return {answer.status_code for answer in answers}

    assert await statuses() == {401}
    assert await statuses(authorization="Bearer sk-demo.my-secret") == {401}
    identity, operator = http._transport.app.runtime.identity, system("test")  # type: ignore[attr-defined]
    await identity.create_user(operator, email="owner@example.org", password=PASSWORD)
    demo = await identity.tenants.get(operator, "demo")
    await identity.tenants.set_member(operator, demo.id, email="owner@example.org", role=Role.OWNER)
    await sign_in(http, "owner@example.org")
    assert await statuses() == {403}
    await sign_in(http)
    assert await statuses(origin="https://evil.example") == {403}
    assert (await http.get("/admin/routes/fast")).json()["edited"] == []
