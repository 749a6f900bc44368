"""Providers over HTTP: who may, what is answered, and that no key is in it."""

import httpx
import pytest

from backend.identity.principal import Role
from backend.runtime import Runtime
from tests.credentials.test_api import KEY, OPERATOR, PASSWORD, http, runtime_at_the_door, sign_in, upstream  # noqa: F401
from tests.fakes.openai_upstream import OpenAIUpstream, status

Http = httpx.AsyncClient


async def test_one_is_added_shown_changed_and_taken_away_or_refused(http: Http, upstream: OpenAIUpstream) -> None:  # noqa: F811
    await sign_in(http)
    new = {"name": "late", "settings": {"base_url": upstream.base_url, "models": ["gpt-late"], "headers": {"x-team": "of-the-team"}}}
    added = await http.post("/admin/providers", json={**new, "key": KEY})
    assert added.status_code == 201
    shown = added.json()
    assert (shown["origin"], shown["key"], shown["usable"], shown["models"]) == ("database", "present", True, ["late/gpt-late"])
    assert [(key["name"], key["source"], key["hint"]) for key in shown["keys"]] == [("default", "stored", "abcd")]
    assert shown["settings"]["headers"] == ["x-team"]
    changed = await http.patch("/admin/providers/late", json={"max_parallel": 4, "models": None})
    assert changed.json()["edited"] == ["base_url", "headers", "max_parallel", "models"]
    assert (changed.json()["settings"]["max_parallel"], changed.json()["settings"]["models"]) == (4, None)
    assert (await http.get("/admin/providers/late")).json() == changed.json()
    listed = (await http.get("/admin/providers")).json()["providers"]
    assert [(one["name"], one["origin"]) for one in listed] == [
        ("acme", "configuration"), ("claude", "configuration"), ("late", "database"), ("sandbox", None),
    ]  # fmt: skip
    upstream.models = status(401)
    (trial,) = (await http.post("/admin/providers/late/test", json={})).json()["trials"]
    assert trial["why"] == "late does not accept this key (401): `provider add-key late --name default --replace`."
    assert (await http.delete("/admin/providers/late")).status_code == 204
    assert (await http.get("/admin/providers/late")).status_code == 404
    assert not any(secret in answer.text for answer in (added, changed) for secret in (KEY, "of-the-team"))
    # What cannot be is told with its field.
    inside = await http.post("/admin/providers", json={"name": "late", "settings": {"base_url": "http://10.0.0.1/v1"}})
    assert (inside.status_code, inside.json()["error"]["code"]) == (400, "address_not_allowed")
    wrong = await http.patch("/admin/providers/acme", json={"max_parallel": "many"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "max_parallel")
    assert (await http.post("/admin/providers", json={"name": "acme", "settings": {}})).status_code == 409
    assert (await http.post("/admin/providers", json={"name": "late", "settings": {}, "base_url": "https://8.8.8.8"})).status_code == 400
    assert (await http.delete("/admin/providers/acme")).status_code == 409
    assert (await http.patch("/admin/providers/nobody", json={"enabled": False})).status_code == 404


@pytest.mark.case("Z2")
async def test_only_a_super_admin_may(http: Http, runtime_at_the_door: Runtime) -> None:  # noqa: F811
    identity = runtime_at_the_door.identity
    small = (await identity.tenants.get(OPERATOR, "small")).id
    await identity.create_user(OPERATOR, email="bob@example.org", password=PASSWORD)
    await identity.tenants.set_member(OPERATOR, small, email="bob@example.org", role=Role.OWNER)
    asked = [
        ("POST", "/admin/providers", {"name": "late", "settings": {"base_url": "https://8.8.8.8/v1"}, "key": KEY}),
        ("PATCH", "/admin/providers/acme", {"enabled": False}),
        ("DELETE", "/admin/providers/acme", None),
    ]
    assert {(await http.request(method, path, json=body)).status_code for method, path, body in asked} == {401}
    await sign_in(http, "bob@example.org")
    assert {(await http.request(method, path, json=body)).status_code for method, path, body in asked} == {403}
    assert list(runtime_at_the_door.provider_book.all) == ["acme", "claude", "sandbox"]
