"""What the bridge does beside chat, with litellm itself in it and servers behind that speak their own wire formats."""

import base64
import struct
from typing import Any

import openai
import pytest

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.litellm_operations import operation_answer, operation_arguments
from backend.providers.provider import Operation, OperationRequest, Upload
from tests.fakes import behind_litellm as others
from tests.fakes import ollama_upstream as wire
from tests.fakes.openai_upstream import OpenAIUpstream, status, whole
from tests.gateway.conftest import KEY as OURS
from tests.gateway.conftest import Rig
from tests.providers.litellm.conftest import KEY
from tests.providers.test_sound import wav

pytestmark = pytest.mark.asyncio(loop_scope="module")


def request(operation: Operation, *uploads: Upload, **body: Any) -> OperationRequest:
    return OperationRequest({"model": "mine", **body}, "acme/m", 30, "00-0-0-01", operation=operation, uploads=uploads)


@pytest.mark.provides("litellm", "embeddings", "usage")
async def test_texts_are_embedded(gateway: Rig, ollama: OpenAIUpstream) -> None:
    ollama.script(wire.embedded([0.5, 1.0], [0.25, 2.0]))
    said = await gateway.client.embeddings.create(model="embed", input=["a cat", "a dog"])
    assert [one.embedding for one in said.data] == [[0.5, 1.0], [0.25, 2.0]]
    assert said.usage.prompt_tokens == 7
    seen = ollama.requests[0]
    assert (seen.path, seen.body) == ("/api/embed", {"model": "nomic-embed-text", "input": ["a cat", "a dog"]})
    row = await gateway.last_row()
    assert (row["endpoint"], row["input_tokens"], row["usage_source"], row["charged_nano"]) == ("embeddings", 7, "provider", 7_000)
    ollama.script(wire.embedded([0.5, 1.0]))
    body = {"model": "embed", "input": "x", "encoding_format": "base64"}
    packed = await gateway.http.post("/v1/embeddings", json=body, headers={"authorization": f"Bearer {OURS}"})
    assert struct.unpack("<2f", base64.b64decode(packed.json()["data"][0]["embedding"])) == (0.5, 1.0)


async def test_documents_are_ranked_and_its_searches_are_charged(gateway: Rig, ollama: OpenAIUpstream) -> None:
    ollama.script(others.ranked((1, 0.98), searches=2))
    body = {"model": "rank", "query": "q", "documents": ["a", "b " * 30_000], "top_n": 1}
    answer = await gateway.http.post("/v1/rerank", json=body, headers={"authorization": f"Bearer {OURS}"})
    assert answer.json()["results"] == [{"index": 1, "relevance_score": 0.98}]
    seen = ollama.requests[0]
    assert (seen.path, seen.headers["authorization"]) == ("/v2/rerank", f"Bearer {KEY}")
    assert (seen.body["model"], seen.body["query"], seen.body["top_n"]) == ("rerank-v3.5", "q", 1)
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["charged_nano"]) == ("query", 2, 4_000_000)


@pytest.mark.provides("litellm", "images")
async def test_pictures_are_drawn_and_each_is_charged(gateway: Rig, ollama: OpenAIUpstream) -> None:
    ollama.script(others.drawn("https://img.example/1", "https://img.example/2"))
    said = await gateway.client.images.generate(model="draw", prompt="a fox", n=2, size="1024x1024")
    assert said.data is not None
    assert [one.url for one in said.data] == ["https://img.example/1", "https://img.example/2"]
    seen = ollama.requests[0]
    expected = {"model": "recraftv3", "prompt": "a fox", "n": 2, "size": "1024x1024"}
    assert (seen.path, seen.body, seen.headers["authorization"]) == ("/v1/images/generations", expected, f"Bearer {KEY}")
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["usage_source"], row["charged_nano"]) == ("image", 2, "counted", 80_000_000)
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.images.generate(model="draw", prompt="a fox", background="transparent")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "background")


@pytest.mark.provides("litellm", "audio")
async def test_a_recording_is_charged_by_the_seconds_that_its_provider_heard(gateway: Rig, ollama: OpenAIUpstream) -> None:
    recording = wav(2.0)
    ollama.script(others.heard("Hello.", 1.5))
    said = await gateway.client.audio.transcriptions.create(model="hear", file=("/etc/passwd", recording))
    assert said.text == "Hello."
    seen = ollama.requests[0]
    assert (seen.path, seen.raw, seen.headers["authorization"]) == ("/listen?model=nova-3", recording, f"Token {KEY}")
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["usage_source"], row["charged_nano"]) == ("second", 1.5, "provider", 150_000)
    plain: Any = await gateway.client.audio.transcriptions.create(model="hear", file=("a", recording), response_format="text")
    assert plain == "Hello.\n"


async def test_errors_and_answers_that_are_none(gateway: Rig, ollama: OpenAIUpstream) -> None:
    for step in (status(500, {"error": "llama runner process has terminated"}), whole({"embeddings": []})):
        ollama.script(step)
        with pytest.raises(openai.InternalServerError):
            await gateway.client.embeddings.create(model="embed", input="x")
    ollama.script(status(401, {"message": "invalid api token"}))
    with pytest.raises(openai.InternalServerError) as caught:
        await gateway.client.images.generate(model="draw", prompt="x")
    assert caught.value.code == "upstream_credentials"
    ollama.script(whole({"metadata": {}, "results": {}}))
    with pytest.raises(openai.InternalServerError):
        await gateway.client.audio.transcriptions.create(model="hear", file=("a", wav(1)))


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (request("embeddings", input=[1, 2]), "input"),
        (request("embeddings", input="x", api_base="https://evil.example"), "api_base"),
        (request("images.generations", prompt="x", extra_headers={}), "extra_headers"),
        (request("rerank", query="q", documents=["d"], custom_llm_provider="x"), "custom_llm_provider"),
        (request("audio.transcriptions", Upload("a", "b", wav(1)), language="de"), "language"),
        (request("audio.transcriptions", Upload("a", "b", wav(1)), response_format="srt"), "response_format"),
        (request("audio.transcriptions", Upload("a.wav", "audio/wav", b"/etc/passwd")), "file"),
    ],
)
async def test_only_fields_that_are_known_become_arguments(asked: OperationRequest, param: str) -> None:
    with pytest.raises((BadRequest, UnsupportedParameter)) as refused:
        operation_arguments(asked)
    assert refused.value.param == param


async def test_tokens_of_pictures_count_where_some_were_written() -> None:
    data = [{"b64_json": "aGk="}]
    told = {"input_tokens": 5, "output_tokens": 1056, "total_tokens": 1061}
    counted = operation_answer(request("images.generations", prompt="x"), {"created": 1, "data": data, "usage": told})
    assert counted.usage is not None
    assert (counted.usage.input, counted.usage.image_output) == (5, 1056)
    made_up = {name: 0 for name in told}
    assert operation_answer(request("images.generations", prompt="x"), {"created": 1, "data": data, "usage": made_up}).usage is None
