"""Changing the catalog over HTTP: for super admins with a session, from our own pages."""

from typing import Any

import httpx
import pytest

from backend.catalog.answers_schema import ModelBody, ModelPageBody
from backend.identity.principal import Role
from backend.runtime import Runtime
from tests.credentials.test_api import OPERATOR, PASSWORD, http, runtime_at_the_door, sign_in, upstream  # noqa: F401

Http = httpx.AsyncClient
NEW = {
    "name": "House Model",
    "provider": "acme",
    "releaseDate": "2024-11-01",
    "deprecated": False,
    "capabilities": ["reasoning"],
    "modalities": ["text", "image"],
    "supportedFormats": ["text/plain", "image/png"],
    "languages": ["en", "es"],
}
"""The seed's model, in what can be said of one."""


async def test_a_model_is_added_read_changed_deleted_and_brought_back(http: Http) -> None:  # noqa: F811
    await sign_in(http)
    added = await http.post("/catalog/models", json=NEW)
    assert (added.status_code, added.headers["location"]) == (201, "/catalog/models/house-model")
    model: dict[str, Any] = added.json()
    ModelBody.model_validate(model)
    assert {name: model[name] for name in NEW} == NEW
    assert (model["id"], model["pricingReference"], model["metrics"]) == ("house-model", "/pricing/models/house-model", [])
    read = await http.get("/catalog/models/house-model")
    assert (read.json(), read.headers["etag"]) == (model, added.headers["etag"])
    changed = await http.patch("/catalog/models/house-model", json={"contextTokens": 4096}, headers={"if-match": read.headers["etag"]})
    assert (changed.status_code, changed.json()["contextTokens"]) == (200, 4096)
    again = await http.get("/catalog/models/house-model", headers={"if-none-match": read.headers["etag"]})
    assert (again.status_code, again.json()["contextTokens"]) == (200, 4096)
    stale = await http.patch("/catalog/models/house-model", json={"contextTokens": 1}, headers={"if-match": read.headers["etag"]})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "precondition_failed")
    assert (await http.put("/catalog/models/house-model", json={**NEW, "version": model["version"]})).status_code == 409
    put = await http.put("/catalog/models/house-model", json={**NEW, "deprecated": True})
    assert (put.json()["status"], put.json()["contextTokens"]) == ("deprecated", None)
    offered = await http.post("/catalog/models/house-model/offers", json={"provider": "acme", "upstreamId": "house/1"})
    assert (offered.status_code, [one["id"] for one in offered.json()["offerList"]]) == (201, ["acme/house/1"])
    listed = (await http.get("/catalog/models?language=es")).json()
    ModelPageBody.model_validate(listed)
    assert [row["id"] for row in listed["data"]] == ["house-model"]
    assert (await http.get("/api/models")).json()["data"][0]["price_per_token"] is None
    assert (await http.delete("/catalog/models/house-model/offers/acme/house/1")).status_code == 204
    assert (await http.get("/api/models")).json()["total"] == 0
    assert (await http.delete("/catalog/models/house-model")).status_code == 204
    assert (await http.get("/catalog/models/house-model")).status_code == 404
    assert [(one["id"], one["hidden"]) for one in (await http.get("/admin/catalog/models")).json()["models"]] == [("house-model", True)]
    assert (await http.patch("/catalog/models/house-model", json={"name": "Unseen"})).status_code == 204
    back = await http.patch("/catalog/models/house-model", json={"hidden": False})
    assert (back.status_code, back.json()["name"]) == (200, "Unseen")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "x", "colour": "red"}, "colour"),
    ({"name": ""}, "name"),
    ({"name": "x\u0000y"}, ""),
    ({"name": "a\u0007b"}, "name"),
    ({"name": "x", "capabilities": ["nlp"]}, "capabilities"),
    ({"name": "x", "modalities": ["smell"]}, "modalities"),
    ({"name": "x", "languages": ["german!"]}, "languages"),
    ({"name": "x", "supportedFormats": ["png"]}, "supportedFormats.0"),
    ({"name": "x", "contextTokens": 0}, "contextTokens"),
    ({"name": "x", "releaseDate": "soon"}, "releaseDate"),
    ({"name": "x", "provider": "Open AI"}, "provider"),
    ({"name": "x", "metrics": []}, "metrics"),
    ({"provider": "acme"}, "name"),
]


async def test_what_is_wrong_is_named(http: Http) -> None:  # noqa: F811
    await sign_in(http)
    for body, param in WRONG:
        answer = await http.post("/catalog/models", json=body)
        assert (answer.status_code, answer.json()["error"]["param"] or "") == (400, param), answer.text
    assert (await http.patch("/catalog/models/nothing", json={"name": "x"})).status_code == 404
    assert (await http.patch("/catalog/models/nothing", json={"name": "x"}, headers={"if-match": "x"})).json()["error"][
        "param"
    ] == "If-Match"


@pytest.mark.case("Z2")
async def test_only_a_super_admin_with_a_session_and_from_our_own_page(http: Http, runtime_at_the_door: Runtime) -> None:  # noqa: F811
    identity = runtime_at_the_door.identity
    small = (await identity.tenants.get(OPERATOR, "small")).id
    await identity.create_user(OPERATOR, email="bob@example.org", password=PASSWORD)
    await identity.tenants.set_member(OPERATOR, small, email="bob@example.org", role=Role.OWNER)
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/catalog/models", NEW),
        ("PUT", "/catalog/models/x", NEW),
        ("PATCH", "/catalog/models/x", {"hidden": True}),
        ("DELETE", "/catalog/models/x", None),
        ("POST", "/catalog/models/x/offers", {"provider": "acme", "upstreamId": "x"}),
        ("DELETE", "/catalog/models/x/offers/acme/x", None),
        ("GET", "/admin/catalog/models", None),
    ]
    assert {(await http.request(method, path, json=body)).status_code for method, path, body in asked} == {401}
    await sign_in(http, "bob@example.org")
    assert {(await http.request(method, path, json=body)).status_code for method, path, body in asked} == {403}
    await sign_in(http)
    elsewhere = {"origin": "https://evil.example"}
    writes = [(method, path, body) for method, path, body in asked if method != "GET"]
    assert {(await http.request(method, path, json=body, headers=elsewhere)).status_code for method, path, body in writes} == {403}
    assert (await http.get("/catalog/models")).json()["total"] == 0
