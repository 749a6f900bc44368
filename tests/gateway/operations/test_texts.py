"""Completions, moderations and rerank: the SDK, the wire, the ledger."""

from typing import Any

import pytest

from tests.fakes.openai_operations import moderation, text_completion
from tests.fakes.openai_upstream import OpenAIUpstream, whole
from tests.gateway.operations.conftest import OperationRig as Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")


# ── completions ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_sdk_gets_a_completion_and_it_is_charged_by_the_providers_count(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(text_completion()))
    answer = await gateway.client.completions.create(model="instruct", prompt="Once upon a time", max_tokens=40, temperature=0.5)
    assert answer.choices[0].text == " and so on"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12
    seen = upstream.requests[0]
    assert seen.path == "/v1/completions"
    assert seen.body == {"model": "instruct-fake", "prompt": "Once upon a time", "max_tokens": 40, "temperature": 0.5}
    row = await gateway.last_row()
    assert (row["endpoint"], row["model"], row["input_tokens"], row["output_tokens"]) == ("completions", "gpt-fake-instruct", 5, 7)
    assert (row["charged_nano"], row["usage_source"]) == (5 * 1000 + 7 * 2000, "provider")


async def test_the_cap_that_was_reserved_for_is_sent(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(text_completion()))
    await gateway.ask("completions", {"model": "instruct", "prompt": [[1, 2], [3]]})
    assert upstream.requests[0].body == {"model": "instruct-fake", "prompt": [[1, 2], [3]], "max_tokens": 16}


async def test_a_completion_that_nobody_counted_is_estimated_within_what_was_reserved(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(text_completion("x" * 40, usage=None)))
    await gateway.ask("completions", {"model": "instruct", "prompt": "y" * 80, "max_tokens": 10})
    row = await gateway.last_row()
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (20, 10, "estimated")
    assert row["charged_nano"] == 20 * 1000 + 10 * 2000


@pytest.mark.parametrize(
    "broken", [{"choices": []}, {"choices": None}, {"choices": [{}]}, {"choices": [{"text": None}]}, {"error": "down"}]
)
async def test_a_completion_without_a_text_is_the_providers_failure(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, broken: Any
) -> None:
    upstream.script(whole(broken))
    other.script(whole(text_completion()))
    response = await gateway.ask("completions", {"model": "instruct-pair", "prompt": "hi"})
    assert response.json()["bourse"]["provider"] == "backup"


# ── moderations ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_sdk_gets_a_moderation_of_texts_and_pictures(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(moderation(True, False)))
    answer = await gateway.client.moderations.create(model="harm", input=["kill", "hug"])
    assert [one.flagged for one in answer.results] == [True, False]
    upstream.script(whole(moderation(True)))
    parts: list[Any] = [{"type": "text", "text": "kill"}, {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}]
    assert (await gateway.client.moderations.create(model="harm", input=parts)).results[0].flagged
    assert upstream.requests[-1].body == {"model": "harm-fake", "input": parts}
    row = await gateway.last_row()
    assert (row["endpoint"], row["usage_source"], row["charged_nano"], row["price_state"]) == ("moderations", "estimated", 0, "priced")


async def test_who_names_no_model_asks_openais_usual_one(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(moderation(False)))
    assert not (await gateway.client.moderations.create(input="hug")).results[0].flagged
    row = await gateway.last_row()
    assert (row["requested_model"], upstream.requests[0].body["model"]) == ("omni-moderation-latest", "moderator-fake")


@pytest.mark.parametrize("broken", [{}, {"results": []}, {"results": [{}]}, {"results": "none"}])
async def test_a_moderation_without_results_is_the_providers_failure(gateway: Rig, upstream: OpenAIUpstream, broken: Any) -> None:
    upstream.script(whole(broken))
    response = await gateway.ask("moderations", {"model": "harm", "input": "hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")


# ── rerank ───────────────────────────────────────────────────────────────────────────────────────────────────────────

RANKED = {"id": "r", "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}
ASKED = {"model": "rank", "query": "What is a ledger?", "documents": ["A kind of bird.", {"text": "A book of accounts."}], "top_n": 2}


async def test_a_search_is_charged_as_the_provider_counts_searches(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({**RANKED, "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 3}}}))
    response = await gateway.ask("rerank", ASKED)
    assert [one["index"] for one in response.json()["results"]] == [1, 0]
    assert upstream.requests[0].path == "/v1/rerank"
    assert upstream.requests[0].body == {**ASKED, "model": "rank-fake"}
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["usage_source"]) == ("rerank", "query", 3, "provider")
    assert row["charged_nano"] == 3 * 2_000_000
    assert response.json()["bourse"]["quantity"] == 3


async def test_a_search_is_a_hundred_documents_where_nobody_counted(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(RANKED))
    await gateway.ask("rerank", {**ASKED, "documents": ["short"] * 101})
    row = await gateway.last_row()
    assert (row["quantity"], row["usage_source"], row["charged_nano"]) == (2, "counted", 4_000_000)


async def test_jinas_tokens_are_charged_where_the_offer_is_priced_by_them(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({**RANKED, "model": "jina-reranker", "usage": {"total_tokens": 40}}))
    await gateway.ask("rerank", {**ASKED, "model": "rank-tokens"})
    row = await gateway.last_row()
    assert (row["unit"], row["input_tokens"], row["usage_source"], row["charged_nano"]) == (None, 40, "provider", 2000)
    # What the provider counts in another unit than its offer is priced in says nothing.
    upstream.script(whole({**RANKED, "usage": {"total_tokens": 40}}))
    await gateway.ask("rerank", ASKED)
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["usage_source"], row["charged_nano"]) == ("query", 1, "counted", 2_000_000)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"results": None},
        {"results": [{"index": 7, "relevance_score": 1}]},
        {"results": [{"index": -1, "relevance_score": 1}]},
        {"results": [{"index": "0", "relevance_score": 1}]},
        {"results": [{"index": 0}]},
    ],
)
async def test_results_that_are_about_no_document_are_the_providers_failure(gateway: Rig, upstream: OpenAIUpstream, broken: Any) -> None:
    upstream.script(whole(broken))
    assert (await gateway.ask("rerank", ASKED)).status_code == 502


async def test_the_cheapest_is_asked_first_in_any_unit(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    """The dear one is first in the configuration; by the search one is cheaper, by the token the other."""
    for server in (upstream, other):
        server.script(whole(RANKED))
    for documents, provider in ((["x"] * 2, "acme"), (["x" * 400] * 60, "backup")):
        response = await gateway.ask("rerank", {**ASKED, "model": "rank-cheapest", "documents": documents})
        assert response.json()["bourse"]["provider"] == provider


async def test_the_sandbox_completes_moderates_and_ranks(gateway: Rig) -> None:
    answer = await gateway.client.completions.create(model="my-completion", prompt="Once upon", max_tokens=4)
    assert answer.choices[0].text == "This is "
    assert answer.choices[0].finish_reason == "length"
    flags = await gateway.client.moderations.create(model="my-moderation", input=["peace", "violence"])
    assert [one.flagged for one in flags.results] == [False, True]
    ranked = (await gateway.ask("rerank", {**ASKED, "model": "my-reranker", "query": "book of accounts", "return_documents": True})).json()
    assert [one["index"] for one in ranked["results"]] == [1, 0]
    assert ranked["results"][0]["document"]["text"] == "A book of accounts."
    rows = await gateway.rows()
    assert [(row["endpoint"], row["charged_nano"]) for row in rows] == [
        ("completions", 3 * 500 + 4 * 1500),
        ("moderations", 4 * 10),
        ("rerank", 2_000_000),
    ]
