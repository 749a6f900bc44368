"""The bridge, with litellm itself in it and a server behind that speaks Ollama's own API."""

import asyncio
import socket
import sys
from typing import Any

import openai
import pytest
import structlog
from pydantic import BaseModel

from backend.identity.principal import system
from backend.kernel.secrets import SecretRef
from backend.providers.failures import UpstreamFailure
from backend.providers.litellm import build, obstacle
from backend.providers.provider import ChatRequest
from backend.providers.registry import built
from backend.settings import ProviderSettings
from tests.fakes import ollama_upstream as wire
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, garbage, hang, reset, status, whole
from tests.gateway.conftest import Rig
from tests.providers.litellm.conftest import KEY, base_url

HI: list[Any] = [{"role": "user", "content": "hi"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}}}
PNG = b"\x89PNG\r\n\x1a\n"
pytestmark = pytest.mark.asyncio(loop_scope="module")


def settings(server: OpenAIUpstream, **more: Any) -> ProviderSettings:
    return ProviderSettings(protocol="litellm", base_url=base_url(server), api_key=SecretRef(KEY), metadata={"allow_litellm": True, **more})


def asked(**body: Any) -> ChatRequest:
    return ChatRequest({"messages": HI, **body}, f"ollama_chat/{wire.MODEL}", 30, "00-0-0-01", 64)


@pytest.mark.provides("litellm", "chat", "usage")
async def test_it_is_imported_at_the_first_call_and_says_so(gateway: Rig, ollama: OpenAIUpstream) -> None:
    """The first test of this file: nothing before it may have needed litellm."""
    was_there = "litellm" in sys.modules
    with structlog.testing.capture_logs() as logs:
        said = await gateway.client.chat.completions.create(model="llama", messages=HI)
    assert (said.choices[0].message.content, said.model) == (TEXT, wire.MODEL)
    if not was_there:
        assert [line["event"] for line in logs if line["event"].startswith("litellm.")] == ["litellm.importing", "litellm.imported"]
    seen = ollama.requests[0]
    assert (seen.path, seen.headers["authorization"]) == ("/api/chat", f"Bearer {KEY}")
    assert seen.body["model"] == wire.MODEL
    assert seen.body["options"]["num_predict"] > 0
    row = await gateway.last_row()
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (26, 12, "provider")
    assert row["charged_nano"] == 26 * 1000 + 12 * 2000
    # Nothing afterwards: it would ask the server about the model.
    assert [one.path for one in ollama.requests] == ["/api/chat"]


async def test_nobody_but_the_provider_is_asked(gateway: Rig, ollama: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """litellm would look up what a model can at Ollama's usual port of this machine, several times a call."""
    connect, ports = socket.socket.connect, set()

    def watched(self: socket.socket, address: Any) -> None:
        ports.add(address[1])
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    await gateway.client.chat.completions.create(model="llama", messages=HI, tools=[TOOL])
    async for _ in await gateway.client.chat.completions.create(model="llama", messages=HI, stream=True):
        pass
    assert ports <= {int(ollama.base_url.split(":")[2].removesuffix("/v1")), int(gateway.url.rpartition(":")[2])}


@pytest.mark.parametrize("wants_usage", [True, False])
@pytest.mark.provides("litellm", "stream", "usage")
async def test_a_stream(gateway: Rig, ollama: OpenAIUpstream, wants_usage: bool) -> None:
    more: Any = {"stream_options": {"include_usage": True}} if wants_usage else {}
    stream: Any = await gateway.client.chat.completions.create(model="llama", messages=HI, stream=True, **more)
    chunks = [piece async for piece in stream]
    assert "".join([choice.delta.content or "" for piece in chunks for choice in piece.choices]) == TEXT
    assert len({piece.id for piece in chunks}) == 1
    assert {piece.model for piece in chunks} == {wire.MODEL}
    assert [choice.finish_reason for piece in chunks for choice in piece.choices if choice.finish_reason] == ["stop"]
    if wants_usage:
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (26, 12)
    row = await gateway.last_row()
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (26, 12, "provider")


@pytest.mark.provides("litellm", "reasoning")
async def test_thoughts_whole_and_streamed(gateway: Rig, ollama: OpenAIUpstream) -> None:
    thinking = [wire.said("", thinking=part) for part in ("Two ", "and two.")]
    streamed = wire.streams(*thinking, wire.said("Four."), wire.said("", done=True))
    ollama.script(wire.of(whole(wire.said("Four.", done=True, thinking="Two and two.")), streamed))
    said: Any = await gateway.client.chat.completions.create(model="llama", messages=HI, reasoning_effort="high")
    assert (said.choices[0].message.content, said.choices[0].message.reasoning_content) == ("Four.", "Two and two.")
    assert next(one for one in ollama.requests if one.path == "/api/chat").body["think"] is True
    stream: Any = await gateway.client.chat.completions.create(model="llama", messages=HI, reasoning_effort="high", stream=True)
    deltas = [choice.delta async for piece in stream for choice in piece.choices]
    assert "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas) == "Two and two."
    assert "".join(delta.content or "" for delta in deltas) == "Four."


@pytest.mark.provides("litellm", "tools", "vision", "schema")
async def test_tools_pictures_and_schemas(gateway: Rig, ollama: OpenAIUpstream) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Bern"}}}
    ollama.script(wire.of(whole(wire.said("", done=True, tool_calls=[call]))))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    said = await gateway.client.chat.completions.create(
        model="llama", messages=[{"role": "user", "content": [{"type": "text", "text": "where?"}, picture]}], tools=[TOOL]
    )
    assert said.choices[0].message.tool_calls is not None
    made = said.choices[0].message.tool_calls[0]
    assert (made.type, made.function.name, made.function.arguments) == ("function", "weather", '{"city": "Bern"}')
    sent = next(one for one in ollama.requests if one.path == "/api/chat")
    assert sent.body["messages"][0]["images"] == ["iVBORw0KGgo="]
    assert sent.body["tools"] == [TOOL]

    class City(BaseModel):
        city: str

    ollama.script(wire.of(whole(wire.said('{"city":"Bern"}', done=True))))
    parsed = await gateway.client.chat.completions.parse(model="llama", messages=HI, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Bern")
    assert ollama.requests[-1].body["format"]["properties"] == {"city": {"title": "City", "type": "string"}}


@pytest.mark.provides("litellm", "vision")
async def test_what_a_caller_names_by_url_is_fetched_by_us(gateway: Rig, ollama: OpenAIUpstream) -> None:
    ollama.models = whole(PNG, content_type="image/png")
    picture = {"type": "image_url", "image_url": {"url": f"{base_url(ollama)}/a.png"}}
    await gateway.client.chat.completions.create(model="llama", messages=[{"role": "user", "content": [picture]}])
    assert [(one.path, one.headers["user-agent"]) for one in ollama.looks] == [("/a.png", "bourse")]
    assert ollama.requests[-1].body["messages"][0]["images"] == ["iVBORw0KGgo="]
    ollama.requests.clear()
    for url in ("http://10.0.0.1/a.png", "file:///etc/passwd", "gs://bucket/a.png", "/etc/passwd"):
        refused: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
        with pytest.raises(openai.BadRequestError):
            await gateway.client.chat.completions.create(model="llama", messages=refused)
    assert ollama.requests == []


@pytest.mark.parametrize(
    "field",
    ["api_base", "base_url", "api_key", "extra_headers", "mock_response", "custom_llm_provider", "timeout"],
)
async def test_a_caller_cannot_say_anything_to_litellm_itself(gateway: Rig, ollama: OpenAIUpstream, field: str) -> None:
    response = await gateway.post({"model": "llama", "messages": HI, field: "x"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_parameter")
    assert response.json()["error"]["param"] == field
    assert ollama.requests == []


async def test_what_the_provider_has_not_is_refused_by_name(gateway: Rig, ollama: OpenAIUpstream) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.chat.completions.create(model="llama", messages=HI, logprobs=True)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "logprobs")
    assert ollama.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_what_neither_we_nor_litellm_can_say_is_left_out_where_the_route_says_so(
    gateway: Rig, ollama: OpenAIUpstream, stream: bool
) -> None:
    """`prediction` is nothing that litellm is asked for; that Ollama has no `logprobs` is known to litellm alone."""
    body = {"model": "dropping", "messages": HI, "stream": stream, "temperature": 0.5, "metadata": {"a": "b"}}
    response = await gateway.post({**body, "prediction": {"type": "content", "content": "x"}, "logprobs": True, "top_logprobs": 2})
    assert (response.status_code, response.headers["x-bourse-attempts"]) == (200, "1")
    assert set(response.headers["x-bourse-dropped"].split(", ")) == {"logprobs", "metadata", "prediction", "top_logprobs"}
    assert [one.body["options"]["temperature"] for one in ollama.requests] == [0.5]


@pytest.mark.parametrize(
    ("step", "kind", "code"),
    [
        pytest.param(status(400, {"error": "bad thing"}), "refused", None, id="refused"),
        pytest.param(
            status(400, {"error": "prompt is too long: context length exceeded"}), "refused", "context_length_exceeded", id="long"
        ),
        pytest.param(status(404, {"error": "model 'x' not found, try pulling it first"}), "not_found", "model_not_found", id="no model"),
        pytest.param(status(401, {"error": "unauthorized"}), "credentials", "upstream_credentials", id="bad key"),
        pytest.param(status(429, {"error": "slow"}), "rate_limited", "upstream_rate_limited", id="limited"),
        pytest.param(status(500, {"error": "boom"}), "server", "upstream_error", id="ill"),
        pytest.param(status(503, {"error": "x"}), "server", "upstream_error", id="not there"),
        pytest.param(reset(), "reset", "upstream_error", id="reset"),
        pytest.param(garbage(b"what?\r\n\r\n"), None, "upstream_error", id="no HTTP"),
        pytest.param(whole(b"{"), "protocol", "upstream_error", id="no JSON"),
    ],
)
async def test_errors(ollama: OpenAIUpstream, step: Any, kind: str | None, code: str | None) -> None:
    ollama.script(wire.of(step))
    async with client() as http:
        with pytest.raises(UpstreamFailure) as caught:
            await build("bridge", settings(ollama), http).complete(asked())
    assert caught.value.error.code == code
    assert kind is None or caught.value.kind == kind
    assert KEY not in caught.value.error.message
    if kind == "refused" and code is None:
        assert caught.value.error.message == "bad thing"


async def test_nobody_is_there(ollama: OpenAIUpstream) -> None:
    async with client() as http:
        nowhere = settings(ollama).model_copy(update={"base_url": "http://127.0.0.1:9"})
        with pytest.raises(UpstreamFailure) as caught:
            await build("bridge", nowhere, http).complete(asked())
        unknown = ChatRequest({"messages": HI}, "nothing/x", 30, "00-0-0-01", 64)
        with pytest.raises(UpstreamFailure) as told:
            await build("bridge", settings(ollama), http).complete(unknown)
    assert (caught.value.kind, told.value.kind) == ("connect", "not_found")


@pytest.mark.parametrize("end", ["eof", "reset"])
async def test_a_stream_that_ends_before_its_end_is_no_answer(gateway: Rig, ollama: OpenAIUpstream, end: str) -> None:
    ollama.script(wire.of(wire.streams(*wire.lines()[:3], end=end)))
    said = ""
    with pytest.raises(openai.APIError):
        async for piece in await gateway.client.chat.completions.create(model="llama", messages=HI, stream=True):
            said += piece.choices[0].delta.content or ""
    tokens = (await gateway.last_row("failed"))["output_tokens"]
    if end == "eof":
        assert (said, tokens) == ("The quick brown", 3)
    else:
        # A reset takes with it what nobody has read yet.
        assert "The quick brown".startswith(said)
        assert tokens <= 3


@pytest.mark.parametrize("is_reading", [True, False])
async def test_who_hangs_up_in_a_stream_ends_it_there(ollama: OpenAIUpstream, is_reading: bool) -> None:
    ollama.script(wire.of(wire.streams(*wire.lines()[:3], end="hang")))
    async with client() as http, asyncio.timeout(20):
        stream = await build("bridge", settings(ollama), http).open_stream(asked(stream=True))
        for _ in range(3):
            assert await stream.read()
        if is_reading:
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
            reading.cancel()
        stream.close()
        await ollama.requests[0].hung_up.wait()


async def test_who_hangs_up_before_an_answer_ends_the_call_there(ollama: OpenAIUpstream) -> None:
    ollama.script(wire.of(hang()))
    async with client() as http, asyncio.timeout(20):
        call = asyncio.create_task(build("bridge", settings(ollama), http).complete(asked()))
        while not ollama.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        await ollama.requests[0].hung_up.wait()


async def test_who_was_not_allowed_is_not_asked_and_says_why(gateway: Rig, ollama: OpenAIUpstream) -> None:
    response = await gateway.post({"model": "barred", "messages": HI})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_available_provider")
    assert "metadata.allow_litellm" in response.json()["error"]["message"]
    assert ollama.requests == []


async def test_nobody_looks_at_it_in_the_background(gateway: Rig) -> None:
    assert "bridge" in gateway.runtime.connections.shared
    assert "bridge" not in gateway.runtime.probes.providers
    http = gateway.runtime.connections.upstream_http()
    (trial,) = await gateway.runtime.credentials.test(system("test"), http, "bridge")
    assert (trial.reached, trial.accepted) == (False, None)
    assert trial.why == "There is nothing that it can be asked for nothing; a call of one of its models tells."


async def test_without_litellm_the_provider_is_said_and_not_built(ollama: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.providers.litellm.find_spec", lambda name: None)
    async with client() as http:
        with structlog.testing.capture_logs() as logs:
            assert built("bridge", settings(ollama), http) is None
    assert (logs[0]["event"], logs[0]["reason"]) == ("provider.cannot_be_used", obstacle(settings(ollama)))
    assert obstacle(settings(ollama)) == "litellm is not installed here."


async def test_arguments_of_the_operators_own_and_a_missing_key(ollama: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    async with client() as http:
        provider = build("bridge", settings(ollama, params={"keep_alive": "5m"}), http)
        await provider.complete(asked())
        assert ollama.requests[0].body["keep_alive"] == "5m"
        keyless = settings(ollama).model_copy(update={"api_key": SecretRef("env:NO_KEY")})
        with pytest.raises(UpstreamFailure) as caught:
            await build("bridge", keyless, http).complete(asked())
    assert caught.value.kind == "credentials"
    assert len(ollama.requests) == 1
