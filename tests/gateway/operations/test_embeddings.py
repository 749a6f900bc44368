"""Embeddings, judged by the openai SDK, by bytes, and by the ledger."""

import asyncio
from typing import Any

import pytest

from tests.fakes.openai_operations import EMBEDDING_MODEL, as_base64, embeddings, vector_of
from tests.fakes.openai_upstream import OpenAIUpstream, hang, reset, status, whole
from tests.gateway.conftest import KEY, LIMITED_KEY
from tests.gateway.operations.conftest import OperationRig as Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = {"model": "embed", "input": "hello"}


async def post(gateway: Rig, body: Any, key: str = KEY, **headers: str) -> Any:
    return await gateway.ask("embeddings", body, key=key, **headers)


@pytest.mark.provides("openai", "embeddings")
async def test_the_sdk_gets_vectors_for_texts_and_for_tokens(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings())
    for given in ("hello", ["one", "two"], [1, 2, 3], [[1, 2], [3]]):
        answer = await gateway.client.embeddings.create(model="embed", input=given)
        inputs = given if isinstance(given, list) and isinstance(given[0], (str, list)) else [given]
        assert [one.embedding for one in answer.data] == [vector_of(one) for one in inputs]
        assert [one.index for one in answer.data] == list(range(len(inputs)))
        assert answer.model == EMBEDDING_MODEL
        assert answer.usage.total_tokens == 3 * len(inputs)


async def test_the_body_goes_through_and_the_model_is_the_upstreams(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings())
    await post(gateway, {**BODY, "dimensions": 3, "x_new": {"deep": 1}})
    assert upstream.requests[0].path == "/v1/embeddings"
    assert upstream.requests[0].body == {"model": "embed-fake", "input": "hello", "dimensions": 3, "x_new": {"deep": 1}}


async def test_a_call_is_one_row_with_its_tokens_and_its_cost(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings(tokens_each=7))
    response = await post(gateway, {**BODY, "input": ["a", "b"], "user": "end-user-7"})
    assert response.status_code == 200
    row = await gateway.last_row()
    assert (row["endpoint"], row["outcome"], row["status"]) == ("embeddings", "completed", 200)
    assert (row["requested_model"], row["provider"], row["model"], row["end_user"]) == ("embed", "acme", EMBEDDING_MODEL, "end-user-7")
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"], row["unit"]) == (14, 0, "provider", None)
    assert (row["charged_nano"], row["provider_cost_nano"]) == (1400, 1400)
    assert row["price_state"] == "priced"
    assert response.headers["x-bourse-cost-usd"] == "0.000001400"
    assert response.headers["x-bourse-model"] == EMBEDDING_MODEL
    facts = response.json()["bourse"]
    assert (facts["provider"], facts["costUsd"]) == ("acme", 1.4e-6)
    (attempt,) = await gateway.rows("call_attempt")
    assert (attempt["outcome"], attempt["status"], attempt["provider_cost_nano"]) == ("completed", 200, 1400)


async def test_what_the_provider_does_not_count_is_estimated(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings(usage=False))
    await post(gateway, {**BODY, "input": "x" * 400})
    row = await gateway.last_row()
    assert (row["input_tokens"], row["usage_source"], row["charged_nano"]) == (100, "estimated", 10_000)


async def test_a_count_of_nothing_is_no_count(gateway: Rig, upstream: OpenAIUpstream) -> None:
    """Servers that do not count say zero, and a text is never nothing."""
    upstream.script(embeddings(tokens_each=0))
    await post(gateway, {**BODY, "input": "x" * 400})
    row = await gateway.last_row()
    assert (row["input_tokens"], row["usage_source"], row["charged_nano"]) == (100, "estimated", 10_000)


@pytest.mark.parametrize("wanted", ["float", "base64"])
@pytest.mark.parametrize("ignores", [False, True])
async def test_the_format_is_the_callers_also_where_a_server_does_not_know_it(
    gateway: Rig, upstream: OpenAIUpstream, wanted: str, ignores: bool
) -> None:
    upstream.script(embeddings(ignores_format=ignores))
    (one,) = (await post(gateway, {**BODY, "encoding_format": wanted})).json()["data"]
    assert one["embedding"] == (vector_of("hello") if wanted == "float" else as_base64(vector_of("hello")))


async def test_base64_that_nobody_asked_for_becomes_numbers(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings(data=[{"object": "embedding", "index": 0, "embedding": as_base64([0.5, 1.0])}]))
    assert (await post(gateway, BODY)).json()["data"][0]["embedding"] == [0.5, 1.0]


async def test_more_than_the_provider_takes_is_asked_for_in_pieces_and_is_one_call(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings())
    texts = [f"text {number}" for number in range(2050)]
    answer = (await post(gateway, {**BODY, "input": texts})).json()
    assert [one["embedding"] for one in answer["data"]] == [vector_of(one) for one in texts]
    assert [one["index"] for one in answer["data"]] == list(range(2050))
    assert answer["usage"]["total_tokens"] == 6_150
    assert sorted(len(seen.body["input"]) for seen in upstream.requests) == [2, 2048]
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["charged_nano"], row["attempts"]) == (6_150, 615_000, 1)
    assert len(await gateway.rows("call_attempt")) == 1


async def test_a_piece_that_fails_sends_the_whole_elsewhere_and_what_was_answered_is_billed(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(embeddings(), status(503))
    other.script(embeddings())
    texts = [f"text {number}" for number in range(2050)]
    answer = (await post(gateway, {**BODY, "model": "embed-pair", "input": texts})).json()
    assert [one["embedding"] for one in answer["data"]] == [vector_of(one) for one in texts]
    (row,) = await gateway.rows()
    answered = 3 * len(upstream.requests[0].body["input"])
    assert (row["provider"], row["charged_nano"]) == ("backup", 6_150_000)
    assert row["provider_cost_nano"] == 6_150_000 + answered * 100
    assert [one["provider_cost_nano"] for one in await gateway.rows("call_attempt")] == [answered * 100, 6_150_000]


async def test_a_piece_that_fails_is_asked_for_again_and_the_others_are_not(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings(), status(503), embeddings())
    answer = (await post(gateway, {"model": "embed-again", "input": ["a"] * 2050})).json()
    assert len(answer["data"]) == 2050
    sent = [len(seen.body["input"]) for seen in upstream.requests]
    assert sent[1] == sent[2] == 2050 - sent[0]
    (row,) = await gateway.rows()
    assert (row["attempts"], row["charged_nano"], row["provider_cost_nano"]) == (2, 615_000, 615_000)


async def test_pieces_of_a_call_that_fails_are_the_operators_loss(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings(), status(503))
    response = await post(gateway, {**BODY, "input": ["a"] * 2050})
    assert response.status_code == 502
    row = await gateway.last_row()
    assert (row["outcome"], row["charged_nano"]) == ("failed", 0)
    assert row["provider_cost_nano"] == 300 * len(upstream.requests[0].body["input"])


@pytest.mark.parametrize("step", [status(503), reset(), whole({"error": {"message": "no", "type": "server_error"}})])
async def test_another_candidate_answers_where_the_first_cannot(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, step: Any
) -> None:
    upstream.script(step)
    other.script(embeddings())
    response = await post(gateway, {**BODY, "model": "embed-pair"})
    assert response.status_code == 200
    assert response.headers["x-bourse-fallback"] == "true"
    row = await gateway.last_row()
    assert (row["provider"], row["attempts"], row["charged_nano"]) == ("backup", 2, 3000)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        [],
        {"data": []},
        {"data": {}},
        {"data": ["x"]},
        {"data": [{"index": 0}]},
        {"data": [{"embedding": None}]},
        {"data": [{"embedding": {"no": 1}}]},
        {"data": [{"embedding": "%%% no base64"}]},
        {"data": [{"embedding": [0.5]}, {"embedding": [0.5]}]},
        b"not json",
        b"",
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_is_none_is_not_passed_on(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, broken: Any) -> None:
    upstream.script(whole(broken))
    other.script(embeddings())
    assert (await post(gateway, {**BODY, "model": "embed-pair"})).json()["bourse"]["provider"] == "backup"
    response = await post(gateway, BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
    row = await gateway.last_row()
    # A success was said, so it is going to be billed; the caller pays for an answer that he has.
    assert (row["outcome"], row["charged_nano"], row["provider_cost_nano"]) == ("failed", 0, 200)


async def test_hanging_up_ends_the_upstreams_call_and_is_charged_as_what_was_sent(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(hang())
    asking = asyncio.create_task(post(gateway, {**BODY, "input": "x" * 400}))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    asking.cancel()
    row = await gateway.last_row("client_closed")
    assert (row["charged_nano"], row["usage_source"], row["input_tokens"]) == (10_000, "estimated", 100)
    await upstream.requests[0].hung_up.wait()


@pytest.mark.provides("sandbox", "embeddings")
async def test_the_sandbox_embeds_near_each_other_what_shares_words(gateway: Rig) -> None:
    texts = ["the cat sat on the mat", "the cat lay on the mat", "quarterly revenue rose sharply"]
    first, second, third = [
        one.embedding for one in (await gateway.client.embeddings.create(model="my-embedding", input=texts, dimensions=64)).data
    ]
    assert len(first) == 64
    assert sum(a * b for a, b in zip(first, second, strict=True)) > sum(a * b for a, b in zip(first, third, strict=True))
    assert [one for one in await gateway.rows() if one["outcome"] == "completed" and not one["input_tokens"]] == []


async def test_a_key_asks_only_for_its_models(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings())
    response = await post(gateway, {**BODY, "model": "embed-pair"}, key=LIMITED_KEY)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    response = await post(gateway, {**BODY, "model": "rank"}, key=LIMITED_KEY)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "model_not_allowed")
    assert not upstream.requests


async def test_an_answer_is_given_again_to_the_same_idempotency_key(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(embeddings())
    first, second = [await post(gateway, BODY, idempotency_key="one") for _ in range(2)]
    assert second.headers["idempotency-replayed"] == "true"
    assert first.content == second.content
    assert len(upstream.requests) == len(await gateway.rows()) == 1
