"""Hugging Face's router and feature extraction, on the wire."""

import base64
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from backend.kernel.secrets import SecretRef
from backend.pricing.usage import Usage
from backend.providers.failures import UpstreamFailure
from backend.providers.huggingface import build
from backend.providers.provider import ChatRequest, OperationRequest
from backend.settings import ProviderSettings
from tests.fakes import huggingface_upstream as wire
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, answer, chunk, completion, events, status, whole
from tests.gateway.conftest import ONE_TRY, UNLIMITED, Rig, gateway_in
from tests.providers.test_sound import mp3, wav

JPEG = b"\xff\xd8\xff\xe0" + bytes(32)
KEY = "hf_0123456789abcdefghijklmnopqrstuvwx"
HI: list[Any] = [{"role": "user", "content": "hi"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}}}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _server() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
def hub(_server: OpenAIUpstream) -> OpenAIUpstream:
    """With an empty log and the good answer."""
    _server.requests.clear()
    _server.looks.clear()
    _server.script(answer())
    return _server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _server: OpenAIUpstream) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")
    candidate = {"provider": "hf", "model": f"{wire.MODEL}:together", "price": {"input": 1, "output": 2, "cache_read": 0.5}}
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": {
            "hf": {"protocol": "huggingface", "base_url": _server.base_url, "api_key": KEY, "headers": {"X-HF-Bill-To": "acme"}},
        },
        "models": [
            {**ONE_TRY, "alias": alias, "candidates": [one]}
            for alias, one in (
                ("deepseek", candidate),
                ("e5", {**candidate, "model": wire.EMBEDDER}),
                ("draw", {"provider": "hf", "model": wire.PAINTER, "price": {"image": 0.01}}),
                ("hear", {"provider": "hf", "model": wire.HEARER, "price": {"second": 0.0001}}),
            )
        ],
        "rate_limits": UNLIMITED,
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig


def settings(hub: OpenAIUpstream, **metadata: Any) -> ProviderSettings:
    return ProviderSettings(protocol="huggingface", base_url=hub.base_url, api_key=SecretRef(KEY), metadata=metadata)


def asked() -> ChatRequest:
    return ChatRequest({"messages": HI}, wire.MODEL, 30, "00-0-0-01", 64)


def embedding(**body: Any) -> OperationRequest:
    return OperationRequest({"model": "mine", **body}, wire.EMBEDDER, 30, "00-0-0-01", operation="embeddings")


@pytest.mark.provides("huggingface", "chat", "stream", "usage")
async def test_chat_whole_and_streamed(gateway: Rig, hub: OpenAIUpstream) -> None:
    said = await gateway.client.chat.completions.create(model="deepseek", messages=HI)
    assert said.choices[0].message.content == TEXT
    seen = hub.requests[0]
    assert (seen.path, seen.headers["authorization"], seen.headers["x-hf-bill-to"]) == ("/v1/chat/completions", f"Bearer {KEY}", "acme")
    assert seen.body["model"] == f"{wire.MODEL}:together"
    stream = await gateway.client.chat.completions.create(model="deepseek", messages=HI, stream=True)
    assert "".join([choice.delta.content or "" async for piece in stream for choice in piece.choices]) == TEXT
    row = await gateway.last_row()
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (16, 4, 10, 2)


@pytest.mark.provides("huggingface", "tools", "vision", "reasoning", "schema")
async def test_tools_pictures_thoughts_and_schemas_go_through(gateway: Rig, hub: OpenAIUpstream) -> None:
    call = {"id": "0", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
    answered = completion(finish="tool_calls")
    answered["choices"][0]["message"] = {"role": "assistant", "content": None, "reasoning_content": "Bern?", "tool_calls": [call]}
    hub.script(whole(answered))
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    said = await gateway.client.chat.completions.create(model="deepseek", messages=[{"role": "user", "content": [picture]}], tools=[TOOL])
    message = said.choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].model_dump() == call
    assert message.model_extra == {"reasoning_content": "Bern?"}
    assert hub.requests[0].body["messages"][0]["content"] == [picture]

    class City(BaseModel):
        city: str

    hub.script(whole(completion('{"city":"Bern"}')))
    parsed = await gateway.client.chat.completions.parse(model="deepseek", messages=HI, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Bern")


@pytest.mark.parametrize(
    ("code", "body", "kind", "error"),
    [
        pytest.param(503, wire.LOADING, "server", "upstream_error", id="loading"),
        pytest.param(400, wire.NOT_SERVED, "not_found", "model_not_found", id="nobody serves it"),
        pytest.param(404, {"error": "Model acme/nothing does not exist"}, "not_found", "model_not_found", id="no such model"),
        pytest.param(401, wire.BAD_TOKEN, "credentials", "upstream_credentials", id="bad token"),
        pytest.param(402, wire.NO_CREDIT, "credentials", "upstream_credentials", id="no credit"),
        pytest.param(429, wire.OVERLOADED, "rate_limited", "upstream_rate_limited", id="overloaded"),
        pytest.param(422, wire.TOO_LONG, "refused", "context_length_exceeded", id="too long"),
        pytest.param(422, wire.INVALID, "refused", None, id="invalid"),
        pytest.param(424, wire.FAILED, "server", "upstream_error", id="generation failed"),
        pytest.param(400, {"error": ["Error in `parameters.x`: ", "bad"]}, "refused", None, id="a list of words"),
        pytest.param(500, {"error": None}, "server", "upstream_error", id="no words"),
    ],
)
async def test_errors(hub: OpenAIUpstream, code: int, body: Any, kind: str, error: str | None) -> None:
    hub.script(status(code, body))
    async with client() as http:
        provider = build("hf", settings(hub), http)
        for asking in (provider.complete, provider.open_stream):
            with pytest.raises(UpstreamFailure) as caught:
                await asking(asked())
            assert (caught.value.kind, caught.value.error.code) == (kind, error)
            assert caught.value.retry_after == (20.0 if body is wire.LOADING else None)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        pytest.param(wire.IN_STREAM, "context_length_exceeded", id="with a status"),
        pytest.param(wire.FAILED, "upstream_error", id="with a type"),
    ],
)
async def test_an_error_in_a_stream(hub: OpenAIUpstream, event: Any, kind: str) -> None:
    from backend.gateway.chunks import ChunkStream
    from backend.gateway.first_token import stream_failure

    hub.script(events(chunk({"role": "assistant"}), event))
    chunks = ChunkStream(wants_usage=False, with_facts=False)
    async with client() as http:
        stream = await build("hf", settings(hub), http).open_stream(asked())
        while data := await stream.read():
            chunks.feed(data)
    failure = stream_failure("hf", chunks, True)
    assert failure is not None
    assert failure.error.code == kind


async def test_embeddings(hub: OpenAIUpstream) -> None:
    hub.script(wire.vectors([0.25, -1.0], [0.5, 3]))
    async with client() as http:
        provider: Any = build("hf", settings(hub, normalize=True), http)
        answered = await provider.perform(embedding(input=["a", "b"]))
        assert answered.value["data"] == [
            {"object": "embedding", "index": 0, "embedding": [0.25, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.5, 3]},
        ]
        assert (answered.value["model"], answered.usage) == (wire.EMBEDDER, Usage(input=7))
        seen = hub.requests[0]
        assert seen.path == f"/hf-inference/models/{wire.EMBEDDER}/pipeline/feature-extraction"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body == {"inputs": ["a", "b"], "normalize": True}
        hub.script(wire.vectors(0.25, -1.0, tokens=None))
        answered = await provider.perform(embedding(input="a", encoding_format="base64", normalize=False))
        assert struct.unpack("<2f", base64.b64decode(answered.value["data"][0]["embedding"])) == (0.25, -1.0)
        assert answered.usage is None
        assert hub.requests[1].body == {"inputs": ["a"], "normalize": False}


@pytest.mark.provides("huggingface", "embeddings")
async def test_embeddings_as_the_sdk_asks_for_them(gateway: Rig, hub: OpenAIUpstream) -> None:
    """It asks for base64 unless it is told otherwise, and more texts than fit into one request are asked for in several."""
    many = [str(number) for number in range(40)]
    hub.script(
        wire.vectors(*[[float(number), 1.0] for number in range(32)]), wire.vectors(*[[float(number), 1.0] for number in range(32, 40)])
    )
    said = await gateway.client.embeddings.create(model="e5", input=many)
    assert [one.embedding for one in said.data] == [[float(number), 1.0] for number in range(40)]
    assert [len(seen.body["inputs"]) for seen in hub.requests] == [32, 8]
    row = await gateway.last_row()
    assert (row["endpoint"], row["input_tokens"], row["charged_nano"]) == ("embeddings", 14, 14_000)
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.embeddings.create(model="e5", input="a", dimensions=2)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "dimensions")


@pytest.mark.parametrize("field", [{"input": [1, 2]}, {"input": [[1, 2]]}, {"input": []}, {"input": "a", "dimensions": 2}])
async def test_what_feature_extraction_cannot_say_is_refused(hub: OpenAIUpstream, field: dict[str, Any]) -> None:
    async with client() as http:
        provider: Any = build("hf", settings(hub), http)
        with pytest.raises(UpstreamFailure) as caught:
            await provider.perform(embedding(**field))
    assert (caught.value.kind, caught.value.error.code) == ("refused", "unsupported_parameter")
    assert caught.value.error.param == ("dimensions" if "dimensions" in field else "input")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        pytest.param(wire.vectors([0.5]), "protocol", "another number of vectors", id="too few"),
        pytest.param(wire.vectors([[0.5]], [[0.5]]), "protocol", "a vector for each token", id="one for each token"),
        pytest.param(wire.vectors(["a"], ["b"]), "protocol", "no vector", id="words"),
        pytest.param(wire.vectors([], []), "protocol", "no vector", id="empty"),
        pytest.param(whole(b"<html>", content_type="text/html"), "protocol", "another number", id="a web page"),
        pytest.param(status(503, wire.LOADING), "server", "", id="loading"),
    ],
)
async def test_what_is_no_embedding(hub: OpenAIUpstream, step: Any, kind: str, words: str) -> None:
    hub.script(step)
    async with client() as http:
        provider: Any = build("hf", settings(hub), http)
        with pytest.raises(UpstreamFailure) as caught:
            await provider.perform(embedding(input=["a", "b"]))
    assert caught.value.kind == kind
    assert words in caught.value.error.message


async def test_feature_extraction_elsewhere(hub: OpenAIUpstream) -> None:
    hub.script(wire.vectors([0.5]))
    async with client() as http:
        elsewhere = hub.base_url.replace("/v1", "/pipelines/{model}")
        provider: Any = build("hf", settings(hub, embeddings_url=elsewhere), http)
        await provider.perform(embedding(input="a"))
    assert hub.requests[0].path == f"/pipelines/{wire.EMBEDDER}"


@pytest.mark.case("W11")
@pytest.mark.parametrize("elsewhere", ["https://{model}.example/embed", "https://{model}/", "https://a@{model}:443/embed"])
async def test_no_model_that_a_caller_names_says_where_feature_extraction_is(hub: OpenAIUpstream, elsewhere: str) -> None:
    async with client() as http:
        with pytest.raises(ValueError, match="in its path alone"):
            build("hf", settings(hub, embeddings_url=elsewhere), http)


@pytest.mark.provides("huggingface", "images")
async def test_a_picture_is_drawn_and_charged(gateway: Rig, hub: OpenAIUpstream) -> None:
    hub.script(wire.picture(JPEG))
    said = await gateway.client.images.generate(
        model="draw", prompt="a fox", size="512x768", response_format="b64_json", extra_body={"seed": 7, "negative_prompt": "dogs"}
    )
    assert said.data is not None
    assert base64.b64decode(said.data[0].b64_json or "") == JPEG
    seen = hub.requests[0]
    assert (seen.path, seen.headers["accept"]) == (f"/hf-inference/models/{wire.PAINTER}", "image/png")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    drawn = {"seed": 7, "negative_prompt": "dogs", "width": 512, "height": 768}
    assert seen.body == {"inputs": "a fox", "parameters": drawn}
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["charged_nano"]) == ("images.generations", "image", 1, 10_000_000)


@pytest.mark.provides("huggingface", "audio")
async def test_a_recording_is_written_down_and_charged_by_the_second(gateway: Rig, hub: OpenAIUpstream) -> None:
    hub.script(whole({"text": " The quick brown fox."}))
    recording = wav(2.0)
    said = await gateway.client.audio.transcriptions.create(model="hear", file=("a.bin", recording))
    assert said.text == "The quick brown fox."
    seen = hub.requests[0]
    assert (seen.path, seen.headers["content-type"], seen.raw) == (f"/hf-inference/models/{wire.HEARER}", "audio/wav", recording)
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["usage_source"], row["charged_nano"]) == ("second", 2, "counted", 200_000)
    plain: Any = await gateway.client.audio.transcriptions.create(model="hear", file=("a.mp3", mp3(1)), response_format="text")
    assert (plain, hub.requests[1].headers["content-type"]) == ("The quick brown fox.\n", "audio/mpeg")


async def test_pictures_and_transcripts_that_cannot_be_had(gateway: Rig, hub: OpenAIUpstream) -> None:
    for field, value in (("n", 2), ("response_format", "url"), ("style", "vivid")):
        more: Any = {field: value}
        with pytest.raises(openai.BadRequestError) as caught:
            await gateway.client.images.generate(model="draw", prompt="a fox", **more)
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", field)
    for field, value in (("response_format", "srt"), ("language", "en")):
        more = {field: value}
        with pytest.raises(openai.BadRequestError) as caught:
            await gateway.client.audio.transcriptions.create(model="hear", file=("a.wav", wav(1)), **more)
        assert caught.value.param == field
    with pytest.raises(openai.BadRequestError, match="no sound"):
        await gateway.client.audio.transcriptions.create(model="hear", file=("a.wav", b"hello"))
    assert hub.requests == []
    # Who is loading asks for time, and is waited for: it comes last.
    for step in (wire.picture(b"<html>", "text/html"), whole([{"error": "x"}]), whole({"text": None}), status(503, wire.LOADING)):
        hub.script(step)
        with pytest.raises(openai.InternalServerError):
            await gateway.client.images.generate(model="draw", prompt="a fox")
        with pytest.raises(openai.InternalServerError):
            await gateway.client.audio.transcriptions.create(model="hear", file=("a.wav", wav(1)))


@pytest.mark.parametrize("model", ["../../v1/chat", "a/./b", "a//b"])
async def test_no_model_that_a_caller_names_leads_elsewhere(hub: OpenAIUpstream, model: str) -> None:
    async with client() as http:
        provider: Any = build("hf", settings(hub), http)
        request = OperationRequest({"prompt": "x"}, model, 30, "00-0-0-01", operation="images.generations")
        with pytest.raises(UpstreamFailure) as caught:
            await provider.perform(request)
    assert caught.value.kind == "not_found"
    assert hub.requests == []


async def test_no_key_no_call(hub: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_HF_KEY", raising=False)
    async with client() as http:
        missing = settings(hub).model_copy(update={"api_key": SecretRef("env:NO_HF_KEY")})
        provider: Any = build("hf", missing, http)
        with pytest.raises(UpstreamFailure):
            await provider.perform(embedding(input="a"))
        with pytest.raises(UpstreamFailure):
            await provider.complete(asked())
    assert hub.requests == []


async def test_refusals_reach_the_caller(gateway: Rig, hub: OpenAIUpstream) -> None:
    hub.script(status(422, wire.INVALID))
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.chat.completions.create(model="deepseek", messages=HI)
    assert "strictly positive" in caught.value.message


async def test_a_model_that_is_being_loaded_says_for_how_long(gateway: Rig, hub: OpenAIUpstream) -> None:
    """The last test of this file: the model is left alone for so long."""
    hub.script(status(503, wire.LOADING), answer())
    response = await gateway.post({"model": "deepseek", "messages": HI})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
    assert response.headers["retry-after"] == "20"
