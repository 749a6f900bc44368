"""Gemini behind the gateway, judged by the openai SDK and by what the fake server was asked."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.fakes.byte_server import sending, serving
from tests.fakes.gemini_upstream import (
    OVERLOADED,
    RESPONSE_ID,
    TEXT,
    TOO_LONG,
    USAGE,
    GeminiUpstream,
    answer,
    call,
    pieces,
    response,
    streamed,
    text,
    whole,
)
from tests.gateway.conftest import Rig
from tests.providers.gemini.conftest import API_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")
HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.mark.provides("gemini", "chat", "reasoning")
async def test_a_whole_answer(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(answer())
    said = await gateway.client.chat.completions.create(model="gemini-3-flash", messages=HI, max_tokens=50, temperature=0.5)
    assert said.choices[0].message.content == TEXT
    assert said.choices[0].message.reasoning_content == "**Thinking**"  # type: ignore[attr-defined]
    assert said.choices[0].finish_reason == "stop"
    assert said.id == f"chatcmpl-{RESPONSE_ID}"
    seen = google.requests[0]
    assert seen.path == "/v1beta/models/gemini-3-flash:generateContent"
    assert seen.headers["x-goog-api-key"] == API_KEY
    assert "authorization" not in seen.headers
    assert seen.body == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"temperature": 0.5, "maxOutputTokens": 50},
    }


@pytest.mark.provides("gemini", "usage")
async def test_what_is_billed_is_what_google_counted(gateway: Rig) -> None:
    said = await gateway.client.chat.completions.create(model="gemini-3-flash", messages=HI)
    assert said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (20, 22, 42)
    row = await gateway.last_row()
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (16, 4, 10, 12)
    assert row["usage_source"] == "provider"


@pytest.mark.provides("gemini", "stream", "usage")
async def test_a_streamed_answer_counts_its_last_total(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(answer())
    stream = await gateway.client.chat.completions.create(
        model="gemini-3-flash", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert google.requests[0].path == "/v1beta/models/gemini-3-flash:streamGenerateContent?alt=sse"
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == TEXT
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [42]
    row = await gateway.last_row()
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (16, 4, 10, 12)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.provides("gemini", "tools")
async def test_parallel_calls_and_their_results_over_two_turns(gateway: Rig, google: GeminiUpstream, streams: bool) -> None:
    calls = [call("weather", {"city": "Oslo"}, signature="c2lnQQ=="), call("weather", {"city": "Rome"})]
    google.script(answer(*calls), answer(text("Cold and warm.")))
    messages = [*HI]
    asked: Any = {"model": "gemini-3-flash", "tools": [WEATHER], "tool_choice": "required"}
    if streams:
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
        finish = None
        async for chunk in await gateway.client.chat.completions.create(messages=messages, stream=True, **asked):
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                message["tool_calls"] += [one.model_dump(exclude={"index"}) for one in choice.delta.tool_calls or ()]
    else:
        said = await gateway.client.chat.completions.create(messages=messages, **asked)
        finish, message = said.choices[0].finish_reason, said.choices[0].message.model_dump()
    assert finish == "tool_calls"
    assert [json.loads(one["function"]["arguments"]) for one in message["tool_calls"]] == [{"city": "Oslo"}, {"city": "Rome"}]
    ids = [one["id"] for one in message["tool_calls"]]
    assert ids == [f"call_{RESPONSE_ID}_0_0", f"call_{RESPONSE_ID}_0_1"]
    results = [
        {"role": "tool", "tool_call_id": identity, "content": content} for identity, content in zip(ids, ('{"c": 3}', "31 °C"), strict=True)
    ]
    await gateway.client.chat.completions.create(messages=[*messages, message, *results], **asked)
    first, second = (seen.body for seen in google.requests)
    assert first["tools"] == [
        {
            "functionDeclarations": [
                {"name": "weather", "description": "Of a city", "parametersJsonSchema": WEATHER["function"]["parameters"]}
            ]
        }
    ]
    assert first["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert second["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "weather", "args": {"city": "Oslo"}, "id": ids[0]}, "thoughtSignature": "c2lnQQ=="},
                {"functionCall": {"name": "weather", "args": {"city": "Rome"}, "id": ids[1]}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "weather", "response": {"c": 3}, "id": ids[0]}},
                {"functionResponse": {"name": "weather", "response": {"output": "31 °C"}, "id": ids[1]}},
            ],
        },
    ]


@pytest.mark.provides("gemini", "schema")
async def test_structured_outputs(gateway: Rig, google: GeminiUpstream) -> None:
    class Answer(BaseModel):
        city: str
        degrees: float

    google.script(answer(text('{"city": "Oslo", "degrees": 3.5}')))
    said = await gateway.client.chat.completions.parse(model="gemini-3-flash", messages=HI, response_format=Answer)
    assert said.choices[0].message.parsed == Answer(city="Oslo", degrees=3.5)
    config = google.requests[0].body["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["properties"]["degrees"]["type"] == "number"


@pytest.mark.provides("gemini", "vision")
async def test_a_picture_in_the_call(gateway: Rig, google: GeminiUpstream) -> None:
    parts: list[Any] = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    await gateway.client.chat.completions.create(model="gemini-3-flash", messages=[{"role": "user", "content": parts}])
    assert google.requests[0].body["contents"][0]["parts"] == [
        {"text": "What is it?"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
    ]


async def test_a_prompt_that_is_too_long(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(whole(TOO_LONG, 400))
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.chat.completions.create(model="gemini-3-flash", messages=HI)
    assert caught.value.code == "context_length_exceeded"
    assert "1091639" in caught.value.message


@pytest.mark.parametrize("said", [TOO_LONG, [TOO_LONG]])
async def test_an_error_as_the_first_event(gateway: Rig, google: GeminiUpstream, said: Any) -> None:
    google.script(streamed(said))
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.chat.completions.create(model="gemini-3-flash", messages=HI, stream=True)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("streams", [False, True])
async def test_a_blocked_prompt(gateway: Rig, google: GeminiUpstream, streams: bool) -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}}
    google.script(streamed(blocked) if streams else whole(blocked))
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.chat.completions.create(model="gemini-3-flash", messages=HI, stream=streams)
    assert caught.value.code == "content_policy_violation"


@pytest.mark.parametrize("end", ["eof", "reset"])
async def test_a_stream_that_breaks_is_told_and_billed_by_googles_count(gateway: Rig, google: GeminiUpstream, end: str) -> None:
    google.script(streamed(*pieces()[:3], end=end), whole(OVERLOADED, 503))
    _, events = await gateway.events(model="gemini-3-flash")
    assert "error" in json.loads(events[-1])
    row = await gateway.last_row()
    assert (row["input_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (20, 4, 12)


async def test_what_cannot_be_said_is_refused(gateway: Rig, google: GeminiUpstream) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.chat.completions.create(model="gemini-3-flash", messages=HI, logit_bias={"5": 1})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "logit_bias")
    assert google.requests == []


async def test_an_answer_cut_for_safety_is_a_filtered_one(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(whole(response(finish="SAFETY", usage=USAGE)))
    said = await gateway.client.chat.completions.create(model="gemini-3-flash", messages=HI)
    assert said.choices[0].finish_reason == "content_filter"


@pytest.mark.provides("gemini", "vision")
async def test_a_picture_on_the_web_is_fetched(gateway: Rig, google: GeminiUpstream) -> None:
    async with serving(sending(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\n\x89PNG")) as (_, url):
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}}]
        await gateway.client.chat.completions.create(model="gemini-3-flash", messages=[{"role": "user", "content": parts}])
    assert google.requests[0].body["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}]


async def test_a_picture_that_cannot_be_had_is_the_callers_affair(gateway: Rig, google: GeminiUpstream) -> None:
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest/meta-data"}}]
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.chat.completions.create(model="gemini-3-flash", messages=[{"role": "user", "content": parts}])
    assert (caught.value.code, caught.value.param) == ("address_not_allowed", "messages[0].content[0]")
    assert google.requests == []
