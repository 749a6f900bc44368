"""The openai SDK before the gateway, Anthropic's wire format behind it."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from backend.kernel.errors import (
    BadRequest,
    BourseError,
    ContextLengthExceeded,
    ModelNotFound,
    RequestTooLarge,
    UpstreamCredentials,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from backend.providers.anthropic import build
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest, Provider
from backend.settings import ProviderSettings
from tests.fakes.anthropic_upstream import body, error_body, failing, framed, message, redacted, stream, text, thinking, tool_use
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import OpenAIUpstream, Step, events, whole
from tests.gateway.conftest import Rig
from tests.providers.anthropic.conftest import KEY

HI: list[Any] = [{"role": "user", "content": "hi"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": CITY, "strict": True}},
    {"type": "function", "function": {"name": "now", "parameters": NOTHING, "strict": True}},
]


class Answer(BaseModel):
    city: str
    degrees: int


async def streamed(gateway: Rig, **asked: Any) -> Any:
    """The completion that the SDK puts together from the stream."""
    options = {"model": "claude", "messages": HI, "stream_options": {"include_usage": True}, **asked}
    async with gateway.client.chat.completions.stream(**options) as chunks:
        return await chunks.get_final_completion()


async def asked_both_ways(gateway: Rig, **asked: Any) -> list[Any]:
    first = await gateway.client.chat.completions.create(**{"model": "claude", "messages": HI, **asked})
    return [first, await streamed(gateway, **asked)]


@pytest.mark.provides("anthropic", "chat", "stream", "usage")
async def test_an_answer_and_its_usage_are_the_same_whole_and_streamed(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(message(text("Hello, wörld. How are you?")))
    for answer in await asked_both_ways(gateway):
        choice = answer.choices[0]
        assert choice.message.content == "Hello, wörld. How are you?"
        assert choice.finish_reason == "stop"
        assert answer.id == "msg_013Zva2CMHLNnXjNJJKqJ2EF"
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (90, 12, 102)
        assert usage.prompt_tokens_details.cached_tokens == 40
        assert usage.completion_tokens_details.reasoning_tokens == 5
    seen = upstream.requests[0]
    assert (seen.method, seen.path) == ("POST", "/v1/messages")
    assert seen.headers["x-api-key"] == KEY
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert seen.headers["anthropic-beta"] == "context-1m-2025-08-07,interleaved-thinking-2025-05-14"
    assert "authorization" not in seen.headers
    assert seen.body["max_tokens"] > 0
    assert "stream" not in seen.body
    assert upstream.requests[1].body["stream"] is True


@pytest.mark.provides("anthropic", "usage")
async def test_every_token_is_charged_once(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(message(text()))
    await asked_both_ways(gateway)
    for row in await gateway.rows():
        counts = [row[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write", "output", "reasoning")]
        assert counts == [20, 40, 30, 7, 5]
        # 20 at 3, 40 at 0.3, 30 at 3.75 (no price of an hour is known), 12 at 15 dollars a million.
        assert row["charged_nano"] == 20 * 3000 + 40 * 300 + 30 * 3750 + 12 * 15000
        assert row["usage_source"] == "provider"


@pytest.mark.provides("anthropic", "tools")
async def test_tools_are_called_in_parallel_and_their_results_go_back(gateway: Rig, upstream: OpenAIUpstream) -> None:
    calls = (tool_use("weather", {"city": "Köln"}, "toolu_1"), tool_use("now", {}, "toolu_2"))
    upstream.script(message(text("Let me look."), *calls, stop="tool_use"))
    for answer in await asked_both_ways(gateway, tools=TOOLS, tool_choice="required", parallel_tool_calls=False):
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Let me look."
        told = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]
        assert told == [("toolu_1", "weather", {"city": "Köln"}), ("toolu_2", "now", {})]
    sent = upstream.requests[0].body
    assert sent["tools"][0] == {
        "name": "weather",
        "description": "The weather of a city.",
        "input_schema": CITY,
        "strict": True,
    }
    assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}

    results = [{"role": "tool", "tool_call_id": call.id, "content": f"result {call.id}"} for call in choice.message.tool_calls]
    said = choice.message.model_dump(exclude_none=True)
    upstream.script(message(text("It rains.")))
    await gateway.client.chat.completions.create(model="claude", messages=[*HI, said, *results], tools=TOOLS)
    assert upstream.requests[-1].body["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
                {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "result toolu_1"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "result toolu_2"},
            ],
        },
    ]


@pytest.mark.provides("anthropic", "reasoning")
async def test_thoughts_are_shown_and_their_signed_blocks_go_back(gateway: Rig, upstream: OpenAIUpstream) -> None:
    blocks = (thinking("First I think about it.", "c2lnbmVk"), redacted(), thinking("And again.", "c2lnMg=="))
    upstream.script(message(*blocks, text("Done.")))
    for answer in await asked_both_ways(gateway, reasoning_effort="medium", max_tokens=4000):
        said = answer.choices[0].message
        assert said.reasoning_content == "First I think about it.And again."
        assert [{name: value for name, value in block.items() if name != "index"} for block in said.thinking_blocks] == list(blocks)
        upstream.script(message(text("Fine.")))
        again = [*HI, said.model_dump(exclude_none=True, exclude={"parsed"}), *HI]
        await gateway.client.chat.completions.create(model="claude", messages=again)
        assert upstream.requests[-1].body["messages"][1]["content"] == [*blocks, {"type": "text", "text": "Done."}]
        upstream.script(message(*blocks, text("Done.")))
    assert upstream.requests[0].body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert [row["reasoning_tokens"] for row in await gateway.rows()] == [5] * 4


@pytest.mark.provides("anthropic", "schema")
async def test_an_answer_by_a_schema(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(message(text('{"city":"Köln","degrees":12}')))
    answer = await gateway.client.chat.completions.parse(model="claude", messages=HI, response_format=Answer)
    assert answer.choices[0].message.parsed == Answer(city="Köln", degrees=12)
    assert (await streamed(gateway, response_format=Answer)).choices[0].message.parsed == Answer(city="Köln", degrees=12)
    sent = upstream.requests[0].body
    form = sent["output_config"]["format"]
    assert form["type"] == "json_schema"
    assert form["schema"]["properties"].keys() == {"city", "degrees"}
    assert form["schema"]["additionalProperties"] is False
    assert "tools" not in sent


@pytest.mark.provides("anthropic", "vision")
async def test_images_and_documents_go_as_they_came(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(message(text("A cat.")))
    parts: list[Any] = [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
    ]
    await gateway.client.chat.completions.create(model="claude", messages=[{"role": "user", "content": parts}])
    assert upstream.requests[0].body["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.jpg"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
    ]


FINISHES = [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"), ("refusal", "content_filter"), ("not_invented_yet", "stop"),
]  # fmt: skip


async def test_finish_reasons(gateway: Rig, upstream: OpenAIUpstream) -> None:
    for stop, finish in FINISHES:
        upstream.script(message(text("x"), stop=stop))
        answer = await gateway.client.chat.completions.create(model="claude", messages=HI)
        _, told = await gateway.events(model="claude", messages=HI)
        assert answer.choices[0].finish_reason == finish, stop
        assert finish in [choice["finish_reason"] for event in told[:-1] for choice in json.loads(event)["choices"]], stop


async def test_a_refusal_says_why(gateway: Rig, upstream: OpenAIUpstream) -> None:
    details = {"stop_details": {"type": "refusal", "category": "cyber", "explanation": "It could harm."}}
    upstream.script(message(text("I "), stop="refusal", delta=details))
    answer = await gateway.client.chat.completions.create(model="claude", messages=HI)
    assert answer.choices[0].message.refusal == "It could harm."
    _, told = await gateway.events(model="claude", messages=HI)
    assert "It could harm." in [choice["delta"].get("refusal") for event in told[:-1] for choice in json.loads(event)["choices"]]


def refused(words: str) -> Step:
    return failing(400, "invalid_request_error", words)


ERRORS: list[tuple[Step, str, type[BourseError]]] = [
    (failing(529, "overloaded_error", "Overloaded", "retry-after: 3"), "server", UpstreamError),
    (failing(500, "api_error", "Internal server error"), "server", UpstreamError),
    (failing(504, "timeout_error", "Too long"), "timeout", UpstreamTimeout),
    (failing(429, "rate_limit_error", "Too many", "retry-after: 7"), "rate_limited", UpstreamRateLimited),
    (failing(401, "authentication_error", "invalid x-api-key"), "credentials", UpstreamCredentials),
    (failing(402, "billing_error", "pay"), "credentials", UpstreamCredentials),
    (failing(403, "permission_error", "not allowed"), "credentials", UpstreamCredentials),
    (failing(404, "not_found_error", "model: claude-x"), "not_found", ModelNotFound),
    (failing(413, "request_too_large", "Request exceeds the maximum size"), "refused", RequestTooLarge),
    (refused("prompt is too long: 210000 tokens > 200000 maximum"), "refused", ContextLengthExceeded),
    (refused("input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000"), "refused", ContextLengthExceeded),
    (refused("Your credit balance is too low to access the Anthropic API."), "credentials", UpstreamCredentials),
    (refused("messages: roles must alternate"), "refused", BadRequest),
    (whole(error_body("overloaded_error", "Overloaded")), "server", UpstreamError),
    (whole(error_body("rate_limit_error", "Slow down")), "rate_limited", UpstreamRateLimited),
    (whole(b"<html>", content_type="text/html"), "protocol", UpstreamError),
    (whole({"type": "message", "content": 1}), "protocol", UpstreamError),
]


RETRY_AFTER = {id(ERRORS[0][0]): 3, id(ERRORS[3][0]): 7}


async def test_errors_mean_what_they_say(provider: Provider, upstream: OpenAIUpstream) -> None:
    for step, kind, meaning in ERRORS:
        upstream.script(step)
        for ask in (provider.complete, provider.open_stream):
            with pytest.raises(UpstreamFailure) as told:
                await ask(ChatRequest({"messages": HI}, "claude-haiku-4-5", 30, "00-0-0-00", 100))
            assert (told.value.kind, type(told.value.error)) == (kind, meaning)
            assert KEY not in told.value.error.message
            assert told.value.retry_after == RETRY_AFTER.get(id(step))


async def test_errors_as_the_sdk_tells_them(gateway: Rig, upstream: OpenAIUpstream) -> None:
    told: list[tuple[Step, type[openai.APIStatusError], str | None]] = [
        (failing(404, "not_found_error", "model: claude-x"), openai.NotFoundError, "model_not_found"),
        (refused("prompt is too long: 210000 tokens > 200000 maximum"), openai.BadRequestError, "context_length_exceeded"),
        (refused("messages: roles must alternate"), openai.BadRequestError, None),
        (failing(529, "overloaded_error", "Overloaded"), openai.InternalServerError, "upstream_error"),
        (failing(429, "rate_limit_error", "Too many", "retry-after: 7"), openai.RateLimitError, "upstream_rate_limited"),
    ]
    for step, raised, code in told:
        upstream.script(step)
        with pytest.raises(raised) as error:
            await gateway.client.chat.completions.create(model="claude", messages=HI)
        assert error.value.code == code
    assert error.value.response.headers["retry-after"] == "7"


async def test_an_error_in_a_stream_is_told_and_what_came_before_is_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    told = [framed(event) for event in stream(text("Hello there, this is long."))]
    upstream.script(events(*told[:6], framed({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})))
    with pytest.raises(openai.APIError):
        async for _ in await gateway.client.chat.completions.create(model="claude", messages=HI, stream=True):
            pass
    row = (await gateway.rows())[-1]
    # Its prompt was counted before it broke.
    assert [row[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write")] == [20, 40, 30]
    assert 0 < row["output_tokens"] < 12


async def test_an_error_before_the_first_word_is_an_error_of_the_call(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(framed({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}})))
    with pytest.raises(openai.RateLimitError):
        await gateway.client.chat.completions.create(model="claude", messages=HI, stream=True)


UNSUPPORTED: list[tuple[str, Any]] = [
    ("n", 2), ("logprobs", True), ("seed", 1), ("presence_penalty", 0.5), ("frequency_penalty", 1), ("logit_bias", {"1": 2}),
    ("temperature", 1.5), ("response_format", {"type": "json_object"}), ("service_tier", "flex"), ("never_heard_of", 1),
]  # fmt: skip


async def test_what_it_cannot_do_is_refused_by_name_and_nobody_is_asked(gateway: Rig, upstream: OpenAIUpstream) -> None:
    for field, value in UNSUPPORTED:
        response = await gateway.post({"model": "claude", "messages": HI, field: value})
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "unsupported_parameter"
        assert response.json()["error"]["param"] == field
    assert upstream.requests == []


async def test_a_stream_that_breaks_is_gone_on_with_from_a_prefill_by_models_that_take_one(gateway: Rig, upstream: OpenAIUpstream) -> None:
    said = "It was a bright cold day in April, and the clocks were striking thirteen."
    told = [framed(event) for event in stream(text(said))]
    upstream.script(
        events(*told[:9], end="reset"), message(text(", and so on to the end of a story that is long enough to be told apart."))
    )
    answer = await streamed(gateway, model="pair")
    assert answer.choices[0].message.content.startswith("It was a bright cold day in April")
    assert answer.choices[0].message.content.endswith("told apart.")
    last = upstream.requests[-1].body["messages"][-1]
    assert last["role"] == "assistant"
    assert last["content"] == last["content"].rstrip()
    upstream.script(events(*told[:9], end="reset"), message(text(said)))
    answer = await streamed(gateway, model="newest-pair")
    assert answer.choices[0].message.content == said
    assert upstream.requests[-1].body["messages"][-1]["role"] == "user"


async def test_usage_of_a_server_that_counts_nothing_is_estimated(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(body(text(), usage=None)))
    answer = await gateway.client.chat.completions.create(model="claude", messages=HI)
    assert answer.choices[0].message.content == "Hello there."
    assert (await gateway.rows())[-1]["usage_source"] == "estimated"


async def test_it_is_looked_at_by_its_list_of_models(provider: Provider, upstream: OpenAIUpstream) -> None:
    assert await provider.look(2) == 200
    assert upstream.looks[0].path == "/v1/models"
    assert upstream.looks[0].headers["x-api-key"] == KEY
    assert upstream.looks[0].headers["anthropic-version"] == "2023-06-01"


async def test_without_a_key_anthropic_is_not_asked_and_a_server_of_ones_own_is(upstream: OpenAIUpstream) -> None:
    upstream.script(message(text()))
    request = ChatRequest({"messages": HI}, "claude-haiku-4-5", 30, "00-0-0-00", 100)
    async with client() as http:
        own = build("own", ProviderSettings(protocol="anthropic", base_url=upstream.base_url.removesuffix("/v1")), http)
        assert (await own.complete(request)).value["choices"][0]["message"]["content"] == "Hello there."
        assert "x-api-key" not in upstream.requests[0].headers
        with pytest.raises(UpstreamFailure) as told:
            await build("claude", ProviderSettings(protocol="anthropic"), http).complete(request)
    assert told.value.kind == "credentials"


async def test_a_connection_is_used_again_after_a_stream_and_dropped_when_one_is_given_up(
    provider: Provider, upstream: OpenAIUpstream
) -> None:
    request = ChatRequest({"messages": HI}, "claude-haiku-4-5", 30, "00-0-0-00", 100)
    upstream.script(message(text()))
    for _ in range(3):
        answer = await provider.open_stream(request)
        while await answer.read():
            pass
        answer.release()
        answer.close()
    assert upstream.connections == 1
    upstream.script(events(framed(stream(text())[0]), end="hang"))
    answer = await provider.open_stream(request)
    assert b'"role":"assistant"' in await answer.read()
    answer.close()
    await upstream.requests[-1].hung_up.wait()
