"""Embeddings of Google's models behind both doors, by the openai SDK and on the wire."""

from typing import Any

import openai
import pytest

from backend.pricing.usage import Usage
from backend.providers.google_embeddings import from_batch, from_prediction
from tests.fakes.gemini_upstream import GeminiUpstream, error, whole
from tests.fakes.openai_upstream import Exchange, Step
from tests.gateway.conftest import Rig

GEMINI, VERTEX, OLD = "google/gemini-embedding-001", "vertex/gemini-embedding-001", "vertex/text-embedding-005"


def vector(text: str) -> list[float]:
    return [len(text) / 8, -0.5]


def batch(*, tokens: int | None = None) -> Step:
    """A BatchEmbedContentsResponse."""

    async def step(exchange: Exchange) -> None:
        texts = [one["content"]["parts"][0]["text"] for one in exchange.seen.body["requests"]]
        value: dict[str, Any] = {"embeddings": [{"values": vector(text)} for text in texts]}
        await whole(value | ({"usageMetadata": {"promptTokenCount": tokens}} if tokens is not None else {}))(exchange)

    return step


def prediction() -> Step:
    """A PredictResponse of a text embedding model; its numbers are protobuf's, so counts have a fraction."""

    async def step(exchange: Exchange) -> None:
        texts = [one["content"] for one in exchange.seen.body["instances"]]
        found = [{"embeddings": {"values": vector(text), "statistics": {"token_count": 4.0, "truncated": False}}} for text in texts]
        await whole({"predictions": found, "metadata": {"billableCharacterCount": 12}})(exchange)

    return step


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.provides("gemini", "embeddings")
async def test_a_batch_with_a_key(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(batch(tokens=9))
    answer = await gateway.client.embeddings.create(model=GEMINI, input=["a", "bcd"], dimensions=2, user="u")
    assert [one.embedding for one in answer.data] == [vector("a"), vector("bcd")]
    assert answer.usage.prompt_tokens == 9
    seen = google.requests[0]
    assert seen.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert seen.headers["x-goog-api-key"].startswith("AIza")
    assert seen.body["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "bcd"}]},
        "outputDimensionality": 2,
    }
    row = await gateway.last_row()
    assert (row["endpoint"], row["input_tokens"], row["usage_source"], row["charged_nano"]) == ("embeddings", 9, "provider", 4500)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_hundred_at_once_and_an_estimate_where_nothing_is_counted(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(batch())
    answer = await gateway.client.embeddings.create(model=GEMINI, input=["abcd"] * 250)
    assert len(answer.data) == 250
    assert sorted(len(seen.body["requests"]) for seen in google.requests) == [50, 100, 100]
    row = await gateway.last_row()
    assert (row["input_tokens"], row["usage_source"], row["attempts"]) == (250, "estimated", 1)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("model", "requests"), [(VERTEX, [1, 1, 1]), (OLD, [3])])
@pytest.mark.provides("vertex", "embeddings")
async def test_predictions_with_a_service_account(gateway: Rig, google: GeminiUpstream, model: str, requests: list[int]) -> None:
    google.script(prediction())
    answer = await gateway.client.embeddings.create(model=model, input=["a", "bc", "d"], dimensions=2, extra_body={"task_type": "X"})
    assert [one.embedding for one in answer.data] == [vector("a"), vector("bc"), vector("d")]
    assert answer.usage.total_tokens == 12
    assert [len(seen.body["instances"]) for seen in google.requests] == requests
    seen = google.requests[0]
    name = model.removeprefix("vertex/")
    assert seen.path == f"/v1beta/projects/acme-project/locations/europe-west4/publishers/google/models/{name}:predict"
    assert seen.headers["authorization"].startswith("Bearer ")
    assert seen.body["instances"][0] == {"content": "a", "task_type": "X"}
    assert seen.body["parameters"] == {"autoTruncate": False, "outputDimensionality": 2}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("model", [GEMINI, VERTEX])
@pytest.mark.parametrize(("field", "value"), [("input", [1, 2, 3]), ("truncate", "END")])
async def test_what_cannot_be_said_there_is_refused_by_name(
    gateway: Rig, google: GeminiUpstream, model: str, field: str, value: Any
) -> None:
    body = {"model": model, "input": "a", field: value}
    response = await gateway.http.post("/v1/embeddings", json=body, headers={"authorization": f"Bearer {gateway.client.api_key}"})
    error_ = response.json()["error"]
    assert (response.status_code, error_["code"], error_["param"]) == (400, "unsupported_parameter", field)
    assert not google.requests


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("model", [GEMINI, VERTEX])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(400, "INVALID_ARGUMENT", "Dimension 9 is not supported."), openai.BadRequestError),
        (error(404, "NOT_FOUND", "models/x is not found"), openai.NotFoundError),
        (error(500, "INTERNAL", "An internal error."), openai.InternalServerError),
        ({}, openai.InternalServerError),
        ({"embeddings": [], "predictions": []}, openai.InternalServerError),
        ({"embeddings": [{"values": None}], "predictions": [{"embeddings": None}]}, openai.InternalServerError),
    ],
)
async def test_errors_and_answers_that_are_none(
    gateway: Rig, google: GeminiUpstream, model: str, answer: dict[str, Any], expected: type[openai.APIStatusError]
) -> None:
    google.script(whole(answer, status=answer["error"]["code"] if "error" in answer else 200))
    with pytest.raises(expected):
        await gateway.client.embeddings.create(model=model, input="a")
    assert (await gateway.last_row())["charged_nano"] == 0


@pytest.mark.parametrize("count", [None, "4", -1, True, 2**40])
def test_a_count_that_is_none_is_not_told(count: Any) -> None:
    assert from_batch({"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": count}}, "m")[1] is None
    assert from_prediction({"predictions": [{"embeddings": {"values": [1.0], "statistics": {"token_count": count}}}]}, "m")[1] is None


def test_a_prediction_that_counts_half_of_them_counts_none() -> None:
    counted = {"embeddings": {"values": [1.0], "statistics": {"token_count": 3}}}
    assert from_prediction({"predictions": [counted, counted]}, "m")[1] == Usage(input=6)
    assert from_prediction({"predictions": [counted, {"embeddings": {"values": [1.0]}}]}, "m")[1] is None
