import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import TypeAdapter

from backend.matching.answers import MatchShape, SuggestionsShape, TaxonomyShape
from backend.matching.schemas import ConstraintsIn, PreferencesIn
from backend.matching.service import MatchingService
from backend.matching.taxonomy import TASK_BY_ID
from tests.architecture.source import ROOT

if TYPE_CHECKING:
    from backend.runtime import Runtime

MATCH, TAXONOMY, SUGGESTIONS = TypeAdapter(MatchShape), TypeAdapter(TaxonomyShape), TypeAdapter(SuggestionsShape)
SEED = {
    "taskDescription": "High-quality long-form summarization in English",
    "constraints": {"maxPricePerMillionTokens": 20},
    "preferences": {"latency": "low", "costWeight": 0.6},
}


@pytest.fixture
async def http(runtime: "Runtime", matching: MatchingService) -> AsyncIterator[httpx.AsyncClient]:
    from backend.rest import build_rest

    runtime.__dict__["matching"] = matching
    transport = httpx.ASGITransport(app=build_rest(runtime))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bourse") as client:
        yield client


async def test_the_seeds_request_gets_the_seeds_answer_and_more(http: httpx.AsyncClient) -> None:
    answer = await http.post("/match", json=SEED)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    first = body["results"][0]
    assert isinstance(first["modelId"], str)
    assert 0 < first["score"] <= 1
    assert 0 < first["costPer1M"] <= 20
    assert first["explanation"].endswith(".")
    assert sum(part["points"] for part in first["parts"]) == pytest.approx(first["score"], abs=0.001)
    assert first["cost"]["perDay"] == pytest.approx(first["cost"]["perCall"] * 1000)
    assert first["cost"]["perMonth"] == pytest.approx(first["cost"]["perDay"] * 365 / 12, rel=1e-6)
    assert first["quality"]["low"] <= first["quality"]["score"] <= first["quality"]["high"]
    assert "latency was not measured here" in first["missingEvidence"]
    assert body["understood"]["tasks"][0]["id"] == "summarisation"
    assert body["understood"]["languages"] == [{"tag": "en", "label": "English"}]
    assert body["constraints"]["maxPricePerMillionTokens"] == 20
    assert {"kind", "price", "unpriced"} <= {out["reason"] for out in body["ruledOut"]}
    assert all(out["count"] and out["examples"] and out["label"] for out in body["ruledOut"])
    assert first["name"] in body["headline"]
    assert (await http.post("/match", json=SEED)).content == answer.content


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"task": "x"}, "task"),
    ({"constraints": {"maxPrice": 1}}, "constraints.maxPrice"),
    ({"constraints": {"maxPricePerMillionTokens": -1}}, "constraints.maxPricePerMillionTokens"),
    ({"constraints": {"capabilities": ["flying"]}}, "constraints.capabilities.0"),
    ({"preferences": {"costWeight": 1.5}}, "preferences.costWeight"),
    ({"preferences": {"latency": "never"}}, "preferences.latency"),
    ({"tasks": ["nonsense"]}, "tasks.0"),
    ({"workload": {"cacheShare": 2}}, "workload.cacheShare"),
    ({"limit": 0}, "limit"),
    ({"taskDescription": "x" * 4001}, "taskDescription"),
)


@pytest.mark.parametrize("weights", [{"quality": 1e-320}, {"cost": 5e-324, "carbon": 1000}, {"latency": -0.0}, {"quality": 1000}])
async def test_weights_are_proportions_however_small(http: httpx.AsyncClient, weights: dict[str, float]) -> None:
    answer = await http.post("/match", json={"taskDescription": "a chatbot", "preferences": {"weights": weights}, "limit": 2})
    body = MATCH.validate_python(answer.json())
    assert sum(body["weights"].values()) == pytest.approx(1)


async def test_what_does_not_fit_is_refused_by_name(http: httpx.AsyncClient) -> None:
    for body, param in WRONG:
        answer = await http.post("/match", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_answers_have_the_shapes_that_the_document_shows(http: httpx.AsyncClient) -> None:
    for text in ("a chatbot", "transcribe podcasts in Danish, not translate", "generate images", "x" * 50):
        MATCH.validate_json((await http.post("/match", json={"taskDescription": text})).content, strict=True)
    TAXONOMY.validate_json((await http.get("/taxonomy")).content, strict=True)
    for name in ("gpt-4o", "openai/gpt-4o-mini", "whisper-large-v3", "flux-dev", "sandbox-chat", "omni-moderation-latest"):
        SUGGESTIONS.validate_json((await http.get(f"/suggestions/{name}")).content, strict=True)


async def test_a_question_without_a_text_may_name_tasks(http: httpx.AsyncClient) -> None:
    body = (await http.post("/match", json={"tasks": ["embeddings"], "limit": 3})).json()
    assert len(body["results"]) == 3
    assert body["understood"]["tasks"][0] == {
        "id": "embeddings", "label": "Embeddings and search", "confidence": 1.0, "words": [], "like": None, "ownStep": False,
    }  # fmt: skip
    empty = (await http.post("/match", json={})).json()
    assert empty["understood"]["recognised"] is False


async def test_nobody_left_is_an_answer_and_says_who_was_ruled_out_by_what(http: httpx.AsyncClient) -> None:
    body = (await http.post("/match", json={"taskDescription": "chat", "constraints": {"contextMin": 90_000_000}})).json()
    assert (body["results"], body["total"]) == ([], 0)
    assert body["headline"] == "No model for conversation satisfies all of this"
    assert next(out for out in body["ruledOut"] if out["reason"] == "context")["count"] > 1000


async def test_the_taxonomy_names_every_task_with_its_ways_and_skills(http: httpx.AsyncClient) -> None:
    body = (await http.get("/taxonomy")).json()
    assert [task["id"] for task in body["tasks"]] == list(TASK_BY_ID)
    assert all(task["label"] and task["ways"] and task["words"] for task in body["tasks"])
    assert (await http.get("/taxonomy?x=1")).status_code == 400


async def test_suggestions_over_http(http: httpx.AsyncClient) -> None:
    answer = await http.get(
        "/suggestions/claude-sonnet-4-5", params={"inputTokens": 4000, "outputTokens": 400, "callsPerDay": 50, "limit": 3}
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["modelId"] == "claude-sonnet-4-5"
    assert body["workload"]["inputTokens"] == 4000
    near = body["cheaperButSimilar"]["items"]
    assert 0 < len(near) <= 3
    assert near[0]["costDelta"]["percent"] < -19
    assert near[0]["costDelta"]["perMonth"] < 0
    assert near[0]["performanceDelta"]["skills"]
    assert near[0]["explanation"].endswith(".")
    assert near[0]["latencyDeltaMs"] is None
    assert set(near[0]["lost"]) == {"capabilities", "modalitiesIn", "modalitiesOut", "languages", "contextTokens", "openWeights"}
    assert body["headline"]
    assert (await http.get("/suggestions/openai/gpt-4o-mini")).json()["offer"]["id"] == "openai/gpt-4o-mini"
    for wrong, status in (("no-such-model", 404), ("gpt-4o?x=1", 400), ("gpt-4o?cacheShare=7", 400), ("gpt-4o?limit=1000", 400)):
        assert (await http.get(f"/suggestions/{wrong}")).status_code == status


async def test_the_examples_of_the_page_work_as_printed(http: httpx.AsyncClient) -> None:
    page = (ROOT / "docs" / "matching.md").read_text()
    (body,) = re.findall(r"-d '(\{.*?\})'", page, re.DOTALL)
    assert (await http.post("/match", content=body, headers={"Content-Type": "application/json"})).json()["results"]
    (address,) = re.findall(r"curl 'http://localhost:3000(/suggestions/[^']+)'", page)
    assert (await http.get(address)).json()["cheaperButSimilar"]["items"]
    for field in (*ConstraintsIn.model_fields.values(), *PreferencesIn.model_fields.values()):
        assert f"{field.alias}`" in page, field.alias
