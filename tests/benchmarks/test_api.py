"""Benchmarks over HTTP, over everything that ships with Bourse."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from backend.runtime import Runtime

EMAIL, PASSWORD = "ann@example.org", "correct horse battery"


@pytest.fixture(scope="session")
def served_catalog(catalog_file: Path) -> Path:
    """The whole catalog."""
    return catalog_file


@pytest.fixture
def configuration() -> str:
    return f"bootstrap:\n  admin_users:\n    - {{email: {EMAIL}, password: {PASSWORD}}}\n"


@pytest.fixture
async def http(runtime: "Runtime") -> AsyncIterator[httpx.AsyncClient]:
    from backend.asgi import FrontDoor
    from backend.rest import build_rest

    door = FrontDoor(runtime.settings)
    door.runtime, door._rest, door._pages = runtime, build_rest(runtime), object()  # type: ignore[assignment]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost:3000") as client:
        yield client


async def get(http: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    response = await http.get(path)
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_the_catalogue_is_filtered_and_paged(http: httpx.AsyncClient) -> None:
    first = await get(http, "/benchmarks?skill=coding&limit=3")
    assert (len(first["data"]), first["has_more"]) == (3, True)
    assert {one["skill"] for one in first["data"]} == {"coding"}
    rest = await get(http, f"/benchmarks?skill=coding&offset=3&limit={first['total']}")
    assert (len(rest["data"]), rest["has_more"]) == (first["total"] - 3, False)
    [danish] = (await get(http, "/benchmarks?language=da"))["data"]
    assert danish["direction"] == "lower"
    assert danish["scale"] == {"worst": 5.0, "best": 1.0}
    assert danish["results"] >= danish["matched"] >= danish["models"] > 0
    assert (danish["dataset"], danish["licence"], danish["version"]) == ("EuroEval", "MIT", "2026-04-17")
    costs = (await get(http, "/benchmarks?search=aider+polyglot+total"))["data"]
    assert [(one["skill"], one["scale"]) for one in costs] == [(None, None)]
    assert (await get(http, "/benchmarks?dataset=nobody"))["data"] == []
    for query in ("skil=coding", "skill=juggling", "limit=0", "offset=-1"):
        refused = await get(http, f"/benchmarks?{query}", 400)
        assert refused["error"]["param"] == query.partition("=")[0]


async def test_a_models_results_have_sources_and_its_skills_have_intervals(http: httpx.AsyncClient) -> None:
    body = await get(http, "/benchmarks/models/openai/gpt-5")
    assert (body["id"], await get(http, "/benchmarks/models/gpt-5")) == ("gpt-5", body)
    assert {"coding", "reasoning", "tools", "maths"} <= body["skills"].keys()
    for score in (body["overall"], *body["skills"].values()):
        assert 0 < score["low"] < score["score"] < score["high"] < 100
    assert body["skills"]["coding"]["results"] > body["skills"]["coding"]["selfReported"] > 0
    told = body["results"]
    assert all(one["sourceUrl"].startswith("https://") and one["date"] and one["licence"] for one in told)
    assert {"high", "low", "minimal"} <= {one["variant"] for one in told}
    counting = [one for one in told if one["counts"] and one["skill"] == "coding"]
    assert len(counting) >= body["skills"]["coding"]["results"]
    assert (await get(http, "/benchmarks/models/nobody", 404))["error"]["code"] == "model_not_found"
    assert (await get(http, "/benchmarks/models/gpt-5?fields=all", 400))["error"]["param"] == "fields"


async def test_a_super_admin_adds_a_result_and_the_score_follows(http: httpx.AsyncClient) -> None:
    before = await get(http, "/benchmarks/models/gpt-4o")
    told = {
        "model": "gpt-4o", "benchmark": "ours-maths", "score": 90, "date": "2026-11-20", "sourceUrl": "https://example.org/run",
        "dataset": "ours", "licence": "CC0-1.0", "reportedBy": "platform team", "selfReported": False,
    }  # fmt: skip
    made = {
        "id": "ours-maths", "name": "Our maths", "metric": "share", "skill": "maths", "direction": "higher", "unit": "percent",
        "scaleWorst": 0, "scaleBest": 100, "dataset": "ours", "licence": "CC0-1.0",
    }  # fmt: skip
    asked = {"results": [told, {**told, "model": "Stranger 7B"}], "benchmarks": [made]}
    assert (await http.post("/benchmarks", json=asked)).status_code == 401
    signed_in = await http.post("/auth/sign-in", json={"email": EMAIL, "password": PASSWORD})
    http.headers["cookie"] = signed_in.headers["set-cookie"].partition(";")[0]
    elsewhere = await http.post("/benchmarks", json=asked, headers={"origin": "https://elsewhere.example"})
    assert elsewhere.status_code == 403
    answer = await http.post("/benchmarks", json=asked)
    assert (answer.status_code, answer.json()["created"], answer.json()["unmatched"]) == (200, 2, ["Stranger 7B"])
    assert (await http.post("/benchmarks", json=asked)).json()["unchanged"] == 2
    after = await get(http, "/benchmarks/models/gpt-4o")
    assert after["skills"]["maths"]["results"] == before["skills"].get("maths", {"results": 0})["results"] + 1
    assert len(after["results"]) == len(before["results"]) + 1
    for wrong, param in (
        ({**told, "score": 9000}, "results"),
        ({**told, "benchmark": "nothing"}, "results"),
        ({**told, "sourceUrl": "javascript:alert(1)"}, "results.0.sourceUrl"),
        ({**told, "extra": 1}, "results.0.extra"),
    ):
        refused = await http.post("/benchmarks", json={"results": [wrong]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
