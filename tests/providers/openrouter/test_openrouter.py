"""OpenRouter as the openai SDK meets it through the gateway: its cost beside ours, its comments, its errors and those behind it."""

import time
from typing import Any

import openai
import pytest
import structlog
from pydantic import BaseModel

from backend.kernel.secrets import SecretRef
from backend.providers.failures import UpstreamFailure
from backend.providers.openrouter import build
from backend.providers.provider import ChatRequest
from backend.settings import ProviderSettings
from tests.fakes import openrouter_upstream as wire
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, events, status, whole
from tests.gateway.conftest import Rig
from tests.providers.openrouter.conftest import KEY

HI: list[Any] = [{"role": "user", "content": "hi"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}}}
OURS = round(wire.COST * 1e9)
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def streamed(gateway: Rig, **more: Any) -> list[Any]:
    stream: Any = await gateway.client.chat.completions.create(**{"model": "claude", "messages": HI, "stream": True, **more})
    return [piece async for piece in stream]


def words(chunks: list[Any]) -> str:
    return "".join([choice.delta.content or "" for piece in chunks for choice in piece.choices])


@pytest.mark.provides("openrouter", "chat", "usage")
async def test_what_it_cost_is_kept_beside_our_cost_and_nothing_is_counted_twice(gateway: Rig, router: OpenAIUpstream) -> None:
    said = await gateway.client.chat.completions.create(model="claude", messages=HI)
    assert said.choices[0].message.content == TEXT
    seen = router.requests[0]
    assert seen.path == "/v1/chat/completions"
    assert (seen.headers["http-referer"], seen.headers["x-title"]) == ("https://bourse.example.org", "Bourse")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.body["usage"] == {"include": True}
    row, attempt = await gateway.last_row(), (await gateway.rows("call_attempt"))[-1]
    tokens = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    assert [row[name] for name in tokens] == [300, 600, 100, 30, 20]
    assert attempt["provider_cost_nano"] == attempt["reported_cost_nano"] == row["charged_nano"] == OURS


@pytest.mark.parametrize("wants_usage", [True, False])
@pytest.mark.provides("openrouter", "stream", "reasoning", "usage")
async def test_a_stream_with_comments_thoughts_and_its_cost_at_the_end(gateway: Rig, router: OpenAIUpstream, wants_usage: bool) -> None:
    chunks = await streamed(gateway, **({"stream_options": {"include_usage": True}} if wants_usage else {}))
    assert words(chunks) == TEXT
    first = chunks[0].choices[0].delta.model_extra
    assert (first["reasoning"], first["reasoning_details"]) == ("Foxes jump.", wire.THOUGHT)
    native = [choice.model_extra["native_finish_reason"] for piece in chunks for choice in piece.choices if choice.finish_reason]
    assert native == ["end_turn"]
    assert chunks[-1].model_extra["bourse"]["provider"] == "or"
    if wants_usage:
        assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 600
    attempt = (await gateway.rows("call_attempt"))[-1]
    assert attempt["provider_cost_nano"] == attempt["reported_cost_nano"] == OURS


@pytest.mark.provides("openrouter", "reasoning")
async def test_thoughts_of_a_whole_answer_are_passed_on_and_go_back(gateway: Rig, router: OpenAIUpstream) -> None:
    said = await gateway.client.chat.completions.create(model="claude", messages=HI, extra_body={"reasoning": {"effort": "high"}})
    message = said.choices[0].message
    assert message.model_extra is not None
    assert (message.model_extra["reasoning"], message.model_extra["reasoning_details"]) == ("Foxes jump.", wire.THOUGHT)
    assert said.choices[0].model_extra == {"native_finish_reason": "end_turn"}
    assert router.requests[0].body["reasoning"] == {"effort": "high"}
    back: Any = [*HI, message.model_dump(exclude_none=True), {"role": "user", "content": "and?"}]
    await gateway.client.chat.completions.create(model="claude", messages=back)
    assert router.requests[1].body["messages"][1]["reasoning_details"] == wire.THOUGHT


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cost_that_differs_from_ours_is_said_and_counted(gateway: Rig, router: OpenAIUpstream, stream: bool) -> None:
    counter = gateway.runtime.metrics.cost_differences.labels("or")
    before = counter._value.get()
    with structlog.testing.capture_logs() as logs:
        response = await gateway.post({"model": "old-price", "messages": HI, "stream": stream})
    assert response.status_code == 200
    attempt = (await gateway.rows("call_attempt"))[-1]
    assert (attempt["provider_cost_nano"], attempt["reported_cost_nano"]) == (OURS + 50 * 60_000, OURS)
    assert (await gateway.last_row())["charged_nano"] == OURS + 50 * 60_000
    assert counter._value.get() == before + 1
    said = next(line for line in logs if line["event"] == "provider.cost_differs")
    assert (said["provider"], said["ours_nano"], said["reported_nano"]) == ("or", OURS + 50 * 60_000, OURS)
    router.script(wire.answer(usage={**wire.USAGE, "cost": wire.COST * 1.009}))
    await gateway.post({"model": "claude", "messages": HI, "stream": stream})
    assert counter._value.get() == before + 1


@pytest.mark.parametrize("code", ["server_error", 502])
async def test_an_error_in_the_middle_of_a_stream_is_told(gateway: Rig, router: OpenAIUpstream, code: Any) -> None:
    router.script(events(wire.COMMENT, *wire.chunks()[:4], wire.broken(code)))
    said: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        async for piece in await gateway.client.chat.completions.create(model="claude", messages=HI, stream=True):
            said.append(piece)
    assert words(said) == "The quick brown"
    assert caught.value.code == "upstream_error"
    assert (await gateway.last_row("failed"))["error_code"] == "upstream_error"


async def test_an_answer_whose_choices_ended_in_an_error_is_none(gateway: Rig, router: OpenAIUpstream) -> None:
    failed = wire.completion(finish_reason="error", error={"code": 429, "message": "Rate limited upstream"})
    router.script(whole(failed))
    assert (await gateway.post({"model": "claude", "messages": HI})).json()["error"]["code"] == "upstream_rate_limited"
    router.script(events(*wire.chunks()[:1], wire.chunk({}, "error")))
    async with client() as http:
        provider = build("or", settings(router), http)
        stream = await provider.open_stream(asked())
        told = b""
        while data := await stream.read():
            told += data
    assert b'"error":{"code":502' in told


def settings(router: OpenAIUpstream) -> ProviderSettings:
    return ProviderSettings(protocol="openrouter", base_url=router.base_url, api_key=SecretRef(KEY))


def asked() -> ChatRequest:
    return ChatRequest({"messages": HI}, wire.MODEL, 30, "00-0-0-01", 64)


TOO_LONG = '{"error":{"message":"This model\'s maximum context length is 8192 tokens.","type":"invalid_request_error"}}'


@pytest.mark.parametrize(
    ("code", "body", "kind", "error", "words"),
    [
        pytest.param(400, wire.provider_error(400, TOO_LONG), "refused", "context_length_exceeded", "maximum context", id="too long"),
        pytest.param(400, wire.provider_error(400, "bad image"), "refused", None, "bad image", id="plain words"),
        pytest.param(400, wire.provider_error(400, {"detail": [1]}), "refused", None, "Provider returned error", id="odd words"),
        pytest.param(403, wire.FLAGGED, "refused", "content_policy_violation", "Reasons: violence, hate", id="flagged"),
        pytest.param(402, wire.NO_CREDIT, "credentials", "upstream_credentials", "", id="no credit"),
        pytest.param(401, {"error": {"message": "User not found.", "code": 401}}, "credentials", "upstream_credentials", "", id="bad key"),
        pytest.param(404, wire.NO_ENDPOINTS, "not_found", "model_not_found", "", id="no endpoints"),
        pytest.param(502, wire.provider_error(502, ""), "server", "upstream_error", "", id="down"),
        pytest.param(503, {"error": {"message": "No available model provider", "code": 503}}, "server", "upstream_error", "", id="nobody"),
        pytest.param(408, {"error": {"message": "Timed out", "code": 408}}, "timeout", "upstream_timeout", "", id="late"),
    ],
)
async def test_errors(router: OpenAIUpstream, code: int, body: Any, kind: str, error: str | None, words: str) -> None:
    async with client() as http:
        provider = build("or", settings(router), http)
        # Some come under a good status.
        for answered in (status(code, body), whole(body)):
            router.script(answered)
            for asking in (provider.complete, provider.open_stream):
                with pytest.raises(UpstreamFailure) as caught:
                    await asking(asked())
                assert (caught.value.kind, caught.value.error.code) == (kind, error)
                assert words in caught.value.error.message


async def test_a_limit_says_when_it_ends(router: OpenAIUpstream) -> None:
    router.script(status(429, wire.limited(int((time.time() + 40) * 1000))))
    async with client() as http:
        with pytest.raises(UpstreamFailure) as caught:
            await build("or", settings(router), http).complete(asked())
    assert caught.value.kind == "rate_limited"
    assert caught.value.retry_after is not None
    assert 30 < caught.value.retry_after <= 40


async def test_it_is_looked_at_where_the_key_counts(router: OpenAIUpstream) -> None:
    async with client() as http:
        assert await build("or", settings(router), http).look(2) == 200
    assert (router.looks[0].path, router.looks[0].headers["authorization"]) == ("/v1/key", f"Bearer {KEY}")


@pytest.mark.provides("openrouter", "tools", "vision", "schema")
async def test_tools_pictures_and_schemas_go_through(gateway: Rig, router: OpenAIUpstream) -> None:
    call = {"id": "toolu_1", "index": 0, "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
    answered = wire.completion(finish_reason="tool_calls", message={"role": "assistant", "content": "", "tool_calls": [call]})
    router.script(whole(answered))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    said = await gateway.client.chat.completions.create(model="claude", messages=[{"role": "user", "content": [picture]}], tools=[TOOL])
    assert said.choices[0].message.tool_calls is not None
    assert said.choices[0].message.tool_calls[0].model_dump() == call
    assert router.requests[0].body["messages"][0]["content"] == [picture]
    assert router.requests[0].body["tools"] == [TOOL]

    class City(BaseModel):
        city: str

    router.script(whole(wire.completion(message={"role": "assistant", "content": '{"city":"Bern"}'})))
    parsed = await gateway.client.chat.completions.parse(model="claude", messages=HI, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Bern")
    assert router.requests[1].body["response_format"]["type"] == "json_schema"


@pytest.mark.provides("openrouter", "embeddings")
async def test_embeddings(gateway: Rig, router: OpenAIUpstream) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}]
    usage = {"prompt_tokens": 5, "total_tokens": 5, "cost": 0.000015}
    router.script(whole({"id": "gen-emb", "object": "list", "data": data, "model": wire.MODEL, "usage": usage}))
    said = await gateway.client.embeddings.create(model="claude", input="hi", encoding_format="float")
    assert said.data[0].embedding == [0.25, -1.0]
    assert (router.requests[0].path, router.requests[0].body["model"]) == ("/v1/embeddings", wire.MODEL)
    attempt = (await gateway.rows("call_attempt"))[-1]
    assert attempt["provider_cost_nano"] == attempt["reported_cost_nano"] == 15_000
