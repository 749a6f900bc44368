"""Cohere's embeddings and rankings on Bedrock, by the openai SDK and as they are translated."""

from typing import Any

import openai
import pytest

from backend.kernel.errors import UnsupportedParameter
from backend.providers.bedrock_cohere import embedding_answer, embedding_body, embeds, ranking_body, ranks
from backend.providers.bedrock_operations import inputs_at_once
from tests.fakes.bedrock_upstream import BedrockUpstream, cohere_embeddings, failing, rankings
from tests.fakes.openai_upstream import whole
from tests.gateway.conftest import KEY, Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")
V3, V4, RANKER = "cohere.embed-multilingual-v3", "us.cohere.embed-v4:0", "cohere.rerank-v3-5:0"
FLOATS = {"input_type": "search_document", "embedding_types": ["float"]}


async def ranked(gateway: Rig, **body: Any) -> Any:
    return await gateway.http.post("/v1/rerank", json={"model": "ranker", **body}, headers={"authorization": f"Bearer {KEY}"})


@pytest.mark.provides("bedrock", "embeddings")
async def test_texts_are_embedded_together_and_counted_by_bedrock(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(cohere_embeddings([0.25, -1.0], [0.5, 2.0], tokens=9))
    answer = await gateway.client.embeddings.create(
        model="cohere", input=["a cat", "a dog"], dimensions=256, extra_body={"input_type": "search_query"}
    )
    assert [one.embedding for one in answer.data] == [[0.25, -1.0], [0.5, 2.0]]
    assert answer.usage.prompt_tokens == 9
    seen = bedrock.requests[0]
    assert seen.path == "/model/cohere.embed-v4%3A0/invoke"
    expected = {**FLOATS, "texts": ["a cat", "a dog"], "input_type": "search_query", "output_dimension": 256}
    assert seen.body == expected
    row = await gateway.last_row()
    assert (row["input_tokens"], row["charged_nano"], row["usage_source"]) == (9, 9 * 2000, "provider")


async def test_ninety_six_at_once_and_an_estimate_where_nothing_is_counted(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(cohere_embeddings(*[[1.0]] * 96), cohere_embeddings([2.0]))
    answer = await gateway.client.embeddings.create(model="cohere", input=["abcd"] * 97)
    assert len(answer.data) == 97
    assert sorted(len(seen.body["texts"]) for seen in bedrock.requests) == [1, 96]
    row = await gateway.last_row()
    assert (row["input_tokens"], row["usage_source"], row["attempts"]) == (97, "estimated", 1)


async def test_documents_are_ranked_and_each_search_is_charged(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(rankings((1, 0.98), (0, 0.01)))
    answer = await ranked(gateway, query="What is a ledger?", documents=["A bird.", {"text": "A book."}], top_n=5, return_documents=False)
    assert answer.json()["results"] == [{"index": 1, "relevance_score": 0.98}, {"index": 0, "relevance_score": 0.01}]
    seen = bedrock.requests[0]
    assert seen.path == "/model/cohere.rerank-v3-5%3A0/invoke"
    assert seen.body == {"query": "What is a ledger?", "documents": ["A bird.", "A book."], "top_n": 2, "api_version": 2}
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["charged_nano"]) == ("rerank", "query", 1, 2_000_000)


async def test_what_is_no_answer_and_what_is_refused(gateway: Rig, bedrock: BedrockUpstream) -> None:
    for body in ({}, {"embeddings": None}, {"embeddings": {"int8": [[1]]}}, {"embeddings": {"float": 3}}, {"embeddings": []}):
        bedrock.script(whole(body))
        with pytest.raises(openai.InternalServerError):
            await gateway.client.embeddings.create(model="cohere", input="x")
    for body in ({}, {"results": None}, {"results": [{"index": 7, "relevance_score": 1}]}, {"results": [{}]}, {"results": ["x"]}):
        bedrock.script(whole(body))
        assert (await ranked(gateway, query="q", documents=["d"])).status_code == 502
    bedrock.script(failing(400, "ValidationException", "Malformed input request: #/texts/0: expected maxLength: 2048, please reformat"))
    with pytest.raises(openai.BadRequestError):
        await gateway.client.embeddings.create(model="cohere", input="x")
    assert (await ranked(gateway, query="q", documents=["d"], max_chunks_per_doc=3)).json()["error"]["param"] == "max_chunks_per_doc"
    assert (await ranked(gateway, query="q", documents=["d", {"body": "x"}])).json()["error"]["param"] == "documents[1]"
    assert (await ranked(gateway, model="titan", query="q", documents=["d"])).json()["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("model", "body", "metadata", "expected"),
    [
        (V3, {"input": "x"}, {"bedrock_embed_dims": 256}, {**FLOATS, "texts": ["x"]}),
        (V3, {"input": "x", "dimensions": 1024}, {}, {**FLOATS, "texts": ["x"]}),
        (V3, {"input": "x", "dimensions": 256}, {}, "dimensions"),
        (V4, {"input": ["x"]}, {"bedrock_embed_dims": 512}, {**FLOATS, "texts": ["x"], "output_dimension": 512}),
        (V4, {"input": "x"}, {"bedrock_embed_input_type": "clustering"}, {**FLOATS, "texts": ["x"], "input_type": "clustering"}),
        (V4, {"input": "x", "truncate": "RIGHT"}, {}, {**FLOATS, "texts": ["x"], "truncate": "RIGHT"}),
        (V4, {"input": [1, 2]}, {}, "input"),
        (V4, {"input": "x", "task_type": "y"}, {}, "task_type"),
    ],
)
async def test_bodies(model: str, body: dict[str, Any], metadata: dict[str, Any], expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(UnsupportedParameter) as refused:
            embedding_body({"model": "m", **body}, model, metadata)
        assert refused.value.param == expected
    else:
        assert embedding_body({"model": "m", **body}, model, metadata) == expected


async def test_who_does_it() -> None:
    assert [inputs_at_once(model) for model in (V3, V4, "amazon.titan-embed-text-v2:0", RANKER)] == [96, 96, 1, 1]
    assert embeds("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", {"bedrock_embedding_format": "cohere"})
    assert not embeds("cohere.command-r-v1:0", {})
    assert [ranks(model) for model in (RANKER, "amazon.rerank-v1:0", V4)] == [True, True, False]
    assert "api_version" not in ranking_body({"query": "q", "documents": ["d"]}, "amazon.rerank-v1:0")


async def test_an_answer_without_types_is_one_too() -> None:
    value, usage = embedding_answer({"embeddings": [[1.0]], "response_type": "embeddings_floats"}, V3, None)
    assert (value["data"][0]["embedding"], usage) == ([1.0], None)
