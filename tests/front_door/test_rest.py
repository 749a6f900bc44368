"""What every address of the REST surface has in common."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from backend.configuration import load_settings
from backend.gateway.document import PATHS
from backend.kernel.request import open_context
from backend.rest import build_rest
from backend.runtime import Runtime, open_runtime
from tests.rig.schema import sqlite_url

pytestmark = pytest.mark.asyncio(loop_scope="module")


STORE = (
    "/catalog/models?limit=2", "/catalog/models/sandbox-chat", "/api/models?limit=2", "/api/models/provider/sandbox", "/api/providers",
    "/pricing/models/sandbox-chat", "/pricing/models/sandbox-chat/history", "/pricing/changes?limit=2", "/pricing/changes.atom",
    "/benchmarks?limit=2", "/benchmarks/models/sandbox-chat", "/suggestions/sandbox-chat", "/taxonomy", "/carbon/models/sandbox-chat",
    "/carbon/zones", "/openapi.json",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(served_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """One for all of these tests, which only read."""
    folder = tmp_path_factory.mktemp("rest")
    url = sqlite_url(Path(shutil.copy(served_catalog, folder / "bourse.db")))
    async with open_runtime(load_settings({"BOURSE_DATA_DIR": str(folder), "BOURSE_DATABASE_URL": url})) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rest(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    surface = build_rest(runtime)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["bourse"] = open_context(scope, started=0.0, trusted_proxy_hops=0)
        await surface(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:  # type: ignore[arg-type]
        yield client


@pytest.mark.parametrize(
    "path", ["/catalog/models?limit=2", "/catalog/models/sandbox-chat", "/api/providers", "/taxonomy", "/openapi.json"]
)
async def test_head_is_get_without_its_body(rest: httpx.AsyncClient, path: str) -> None:
    head, get = await rest.head(path), await rest.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers} == {**get.headers}
    assert len(get.content) == int(head.headers["content-length"])


async def test_head_tells_what_has_not_changed(rest: httpx.AsyncClient) -> None:
    etag = (await rest.head("/catalog/models?limit=2")).headers["etag"]
    assert (await rest.head("/catalog/models?limit=2", headers={"if-none-match": etag})).status_code == 304


@pytest.mark.parametrize("path", STORE)
async def test_every_read_of_the_store_tells_whether_anything_changed(rest: httpx.AsyncClient, path: str) -> None:
    first = await rest.get(path)
    assert first.status_code == 200, first.text
    known = {"if-none-match": f'W/"other", {first.headers["etag"]}'}
    again = await rest.get(path, headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert "no-cache" in again.headers["cache-control"]
    assert (await rest.head(path, headers=known)).status_code == 304
    other = await rest.get(path, headers={"if-none-match": 'W/"other"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_a_refusal_has_no_validator(rest: httpx.AsyncClient) -> None:
    for path in ("/pricing/models/nothing-here", "/benchmarks?colour=red", "/pricing/quarantine", "/auth/session"):
        assert "etag" not in (await rest.get(path, headers={"if-none-match": "*"})).headers


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/catalog/models", "GET, HEAD, POST"),
        ("/catalog/models/sandbox-chat", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/catalog/models/sandbox-chat/offers", "POST"),
        ("/admin/providers/acme/test", "POST"),
        ("/match", "POST"),
    ],
)
async def test_a_method_that_an_address_does_not_know_is_told_those_it_knows(rest: httpx.AsyncClient, path: str, methods: str) -> None:
    refused = await rest.request("TRACE", path)
    assert (refused.status_code, refused.headers["allow"]) == (405, methods)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/get_best_price_for_prompt", b"{"),
        ("/api/get_best_price_for_prompt", b'{"prompt": "Hello", "free": 0}'),
        ("/api/send_prompt", b"{}"),
        ("/api/nothing", b"{}"),
    ],
)
async def test_below_api_every_error_says_that_it_was_no_success(rest: httpx.AsyncClient, path: str, body: bytes) -> None:
    refused = await rest.post(path, content=body, headers={"content-type": "application/json"})
    assert 400 <= refused.status_code < 500
    assert refused.json()["success"] is False
    assert refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/match", {"taskDescription": "Summarise", "workload": {"characters": False}}, "workload.characters"),
        ("/match", {"taskDescription": "Summarise", "limit": "5"}, "limit"),
        ("/api/get_best_price_for_prompt", {"prompt": "Hello", "free": 0}, "free"),
    ],
)
async def test_a_value_of_another_type_is_refused_by_name(rest: httpx.AsyncClient, path: str, body: dict[str, Any], field: str) -> None:
    refused = await rest.post(path, json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b'{"taskDescription": "Summarise"}', "application/x-www-form-urlencoded", "The body must be JSON, sent with"),
        (b'{"taskDescription": "Summarise"}', "text/plain", "The body must be JSON, sent with"),
        (b"[]", "application/json", "The body must be a JSON object."),
        (b'"Summarise"', "application/json; charset=utf-8", "The body must be a JSON object."),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_so(rest: httpx.AsyncClient, body: bytes, kind: str, message: str) -> None:
    refused = await rest.post("/match", content=body, headers={"content-type": kind})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize("limit", ["0", "-1", "ten", "9" * 30])
async def test_a_page_without_a_size_is_told_the_most(rest: httpx.AsyncClient, limit: str) -> None:
    refused = await rest.get("/catalog/models", params={"limit": limit})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "limit")
    assert refused.json()["error"]["message"] == "limit must be a whole number from 1; at most 200 rows come at once."
    assert (await rest.get("/catalog/models", params={"limit": "100000"})).json()["limit"] == 200


def _made_up(count: int, name: str = "k") -> dict[str, int]:
    return {f"{name}{n}": n for n in range(count)}


@pytest.mark.case("C8")
@pytest.mark.parametrize(
    "body",
    [
        _made_up(90),
        _made_up(29_000),
        _made_up(90_000),
        {"constraints": _made_up(29_000)},
        {"x" * 1_000_000: 1},
        {"tasks": [{}] * 29_000},
        {"constraints": {"licences": ["x" * 200] * 5_000}},
    ],
    ids=["unknown fields", "many", "more than it may hold", "in a part", "a long name", "a list", "long words"],
)
@pytest.mark.parametrize("path", ["/match", "/api/get_best_price_for_prompt"])
async def test_what_is_wrong_with_a_large_body_is_told_in_few_words(rest: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    refused = await rest.post(path, json=body)
    assert refused.status_code == 400
    assert len(refused.content) < 8_000
    assert len(refused.json()["error"].get("details", {}).get("problems", [])) <= 20


@pytest.mark.parametrize("path", ["/api/providers", "/api/models", "/taxonomy", "/carbon/zones", "/benchmarks", "/catalog/models"])
async def test_a_parameter_that_does_not_exist_is_refused_as_described(rest: httpx.AsyncClient, path: str) -> None:
    described = (await rest.get("/openapi.json")).json()["paths"][path]["get"]["responses"]
    assert (await rest.get(f"{path}?nonsense=1")).status_code == 400
    assert "400" in described


async def test_a_day_is_a_day_and_no_number(rest: httpx.AsyncClient) -> None:
    assert (await rest.get("/pricing/changes?since=0")).status_code == 400
    assert (await rest.get("/pricing/changes?since=2026-01-31")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/admin/ingestion/runs/%00", "/catalog/models/a%00b", "/catalog/models?search=a%00", "/api/models/provider/%00"]
)
async def test_an_address_with_a_nul_is_refused_before_any_database_sees_it(rest: httpx.AsyncClient, path: str) -> None:
    refused = await rest.get(path)
    assert (refused.status_code, "NUL" in refused.json()["error"]["message"]) == (400, True)


async def test_every_address_of_the_gateway_is_described(runtime: Runtime) -> None:
    served = {(method.lower(), path) for path, endpoint in runtime.gateway._endpoints.items() for method in endpoint.methods}
    described = {(method, path) for path, operations in PATHS.items() for method in operations}
    assert {one for one in served if one[0] != "head"} == {one for one in described if "{" not in one[1]}
