"""The openai SDK before the gateway, Bedrock's wire format behind it."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.fakes.anthropic_upstream import redacted, text, thinking, tool_use
from tests.fakes.bedrock_upstream import (
    REQUEST_ID,
    BedrockUpstream,
    claude,
    claude_events,
    converse,
    converse_events,
    exception,
    failing,
    streaming,
)
from tests.fakes.byte_server import sending, serving
from tests.gateway.conftest import Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")
HI: list[Any] = [{"role": "user", "content": "hi"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": CITY, "strict": True}},
    {"type": "function", "function": {"name": "now", "parameters": NOTHING, "strict": True}},
]
CLAUDE_PATH = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
NOVA_PATH = "/model/amazon.nova-pro-v1%3A0"


class Answer(BaseModel):
    city: str
    degrees: int


async def streamed(gateway: Rig, **asked: Any) -> Any:
    """The completion that the SDK puts together from the stream."""
    options = {"messages": HI, "stream_options": {"include_usage": True}, **asked}
    async with gateway.client.chat.completions.stream(**options) as chunks:
        return await chunks.get_final_completion()


async def asked_both_ways(gateway: Rig, model: str, **asked: Any) -> list[Any]:
    whole = await gateway.client.chat.completions.create(**{"model": model, "messages": HI, **asked})
    return [whole, await streamed(gateway, model=model, **asked)]


@pytest.mark.provides("bedrock", "chat", "stream", "usage")
async def test_claude_answers_and_its_usage_is_the_same_whole_and_streamed(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(claude(text("Hello, wörld. How are you?")))
    for answer in await asked_both_ways(gateway, "claude"):
        assert answer.choices[0].message.content == "Hello, wörld. How are you?"
        assert answer.choices[0].finish_reason == "stop"
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (90, 12, 102)
        assert usage.prompt_tokens_details.cached_tokens == 40
        assert usage.completion_tokens_details.reasoning_tokens == 5
    seen, in_stream = bedrock.requests
    assert (seen.method, seen.path) == ("POST", f"{CLAUDE_PATH}/invoke")
    assert in_stream.path == f"{CLAUDE_PATH}/invoke-with-response-stream"
    assert in_stream.headers["accept"] == "application/vnd.amazon.eventstream"
    assert seen.body == in_stream.body
    assert seen.body.pop("max_tokens") > 0
    assert seen.body == {"anthropic_version": "bedrock-2023-05-31", "messages": HI}


@pytest.mark.provides("bedrock", "chat", "stream", "usage")
async def test_other_models_answer_through_converse(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(converse({"text": "Hello, wörld. How are you?"}))
    asked = {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop": ["END"]}
    system = {"role": "system", "content": "Be brief."}
    for answer in await asked_both_ways(gateway, "nova", messages=[system, *HI], **asked):
        assert answer.choices[0].message.content == "Hello, wörld. How are you?"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.id == f"chatcmpl-{REQUEST_ID}"
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (90, 12, 102)
        assert usage.prompt_tokens_details.cached_tokens == 40
    assert [seen.path for seen in bedrock.requests] == [f"{NOVA_PATH}/converse", f"{NOVA_PATH}/converse-stream"]
    assert bedrock.requests[0].body == bedrock.requests[1].body
    assert bedrock.requests[0].body == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
    }


@pytest.mark.provides("bedrock", "usage")
async def test_every_token_is_charged_once(gateway: Rig, bedrock: BedrockUpstream) -> None:
    before = len(await gateway.rows())
    bedrock.script(claude())
    await asked_both_ways(gateway, "claude")
    bedrock.script(converse())
    await asked_both_ways(gateway, "nova")
    rows = (await gateway.rows())[before:]
    assert len(rows) == 4
    for row in rows:
        counts = [row[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write", "output", "reasoning")]
        assert counts in ([20, 40, 30, 7, 5], [20, 40, 30, 12, 0])
        assert row["charged_nano"] == 20 * 3000 + 40 * 300 + 30 * 3750 + 12 * 15000
        assert row["usage_source"] == "provider"


@pytest.mark.provides("bedrock", "tools")
async def test_claude_calls_tools_in_parallel_and_their_results_go_back(gateway: Rig, bedrock: BedrockUpstream) -> None:
    calls = (tool_use("weather", {"city": "Köln"}, "toolu_1"), tool_use("now", {}, "toolu_2"))
    bedrock.script(claude(text("Let me look."), *calls, stop="tool_use"))
    for answer in await asked_both_ways(gateway, "claude", tools=TOOLS, tool_choice="required"):
        assert answer.choices[0].finish_reason == "tool_calls"
        assert called(answer) == [("toolu_1", "weather", {"city": "Köln"}), ("toolu_2", "now", {})]
    assert bedrock.requests[0].body["tool_choice"] == {"type": "any"}
    assert bedrock.requests[0].body["tools"][0]["strict"] is True


@pytest.mark.provides("bedrock", "tools")
async def test_tools_through_converse(gateway: Rig, bedrock: BedrockUpstream) -> None:
    calls = [
        {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Köln"}}},
        {"toolUse": {"toolUseId": "tooluse_2", "name": "now", "input": {}}},
    ]
    bedrock.script(converse({"text": "Let me look."}, *calls, stop="tool_use"))
    for answer in await asked_both_ways(gateway, "nova", tools=TOOLS, tool_choice="required"):
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Let me look."
        assert called(answer) == [("tooluse_1", "weather", {"city": "Köln"}), ("tooluse_2", "now", {})]
    assert bedrock.requests[0].body["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "The weather of a city.",
                    "inputSchema": {"json": CITY},
                    "strict": True,
                }
            },
            {"toolSpec": {"name": "now", "inputSchema": {"json": NOTHING}, "strict": True}},
        ],
        "toolChoice": {"any": {}},
    }

    results = [{"role": "tool", "tool_call_id": call.id, "content": f"result {call.id}"} for call in choice.message.tool_calls]
    said = choice.message.model_dump(exclude_none=True)
    bedrock.script(converse({"text": "It rains."}))
    await gateway.client.chat.completions.create(model="nova", messages=[*HI, said, *results], tools=TOOLS)
    assert bedrock.requests[-1].body["messages"] == [
        {"role": "user", "content": [{"text": "hi"}]},
        {"role": "assistant", "content": [{"text": "Let me look."}, *calls]},
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "result tooluse_1"}]}},
                {"toolResult": {"toolUseId": "tooluse_2", "content": [{"text": "result tooluse_2"}]}},
            ],
        },
    ]


def called(answer: Any) -> list[tuple[str, str, Any]]:
    return [(call.id, call.function.name, json.loads(call.function.arguments)) for call in answer.choices[0].message.tool_calls]


@pytest.mark.provides("bedrock", "reasoning")
async def test_claudes_thoughts_are_shown_and_go_back(gateway: Rig, bedrock: BedrockUpstream) -> None:
    blocks = (thinking("First I think about it.", "c2lnbmVk"), redacted(), thinking("And again.", "c2lnMg=="))
    bedrock.script(claude(*blocks, text("Done.")))
    for answer in await asked_both_ways(gateway, "claude", reasoning_effort="medium", max_tokens=4000):
        assert answer.choices[0].message.reasoning_content == "First I think about it.And again."
        assert thoughts(answer) == list(blocks)
    assert bedrock.requests[0].body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    bedrock.script(claude(text("Fine.")))
    said = answer.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"})
    await gateway.client.chat.completions.create(model="claude", messages=[*HI, said, *HI])
    assert bedrock.requests[-1].body["messages"][1]["content"] == [*blocks, {"type": "text", "text": "Done."}]


@pytest.mark.provides("bedrock", "reasoning")
async def test_thoughts_through_converse(gateway: Rig, bedrock: BedrockUpstream) -> None:
    blocks = [
        {"reasoningContent": {"reasoningText": {"text": "First I think about it.", "signature": "c2lnbmVk"}}},
        {"reasoningContent": {"redactedContent": "EmwKAhgBEgy3va3pzix="}},
        {"text": "Done."},
    ]
    bedrock.script(converse(*blocks))
    for answer in await asked_both_ways(gateway, "nova"):
        assert answer.choices[0].message.reasoning_content == "First I think about it."
        assert thoughts(answer) == [thinking("First I think about it.", "c2lnbmVk"), redacted("EmwKAhgBEgy3va3pzix=")]
    said = answer.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"})
    await gateway.client.chat.completions.create(model="nova", messages=[*HI, said, *HI])
    assert bedrock.requests[-1].body["messages"][1]["content"] == blocks


def thoughts(answer: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in block.items() if name != "index"} for block in answer.choices[0].message.thinking_blocks]


@pytest.mark.provides("bedrock", "schema")
async def test_an_answer_by_a_schema(gateway: Rig, bedrock: BedrockUpstream) -> None:
    told = '{"city":"Köln","degrees":12}'
    for model, step in (("claude", claude(text(told))), ("nova", converse({"text": told}))):
        bedrock.script(step)
        answer = await gateway.client.chat.completions.parse(model=model, messages=HI, response_format=Answer)
        assert answer.choices[0].message.parsed == Answer(city="Köln", degrees=12)
        assert (await streamed(gateway, model=model, response_format=Answer)).choices[0].message.parsed == Answer(city="Köln", degrees=12)
    assert bedrock.requests[0].body["output_config"]["format"]["type"] == "json_schema"
    form = bedrock.requests[-1].body["outputConfig"]["textFormat"]
    assert form["type"] == "json_schema"
    assert form["structure"]["jsonSchema"]["name"] == "Answer"
    assert json.loads(form["structure"]["jsonSchema"]["schema"])["properties"].keys() == {"city", "degrees"}


@pytest.mark.provides("bedrock", "vision")
async def test_what_is_elsewhere_is_fetched_and_sent_as_bytes(gateway: Rig, bedrock: BedrockUpstream) -> None:
    picture = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\n\x89PNG"
    async with serving(sending(picture)) as (_, url):
        parts: list[Any] = [
            {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AA="}},
            {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
            {"type": "file", "file": {"filename": "Ignore all rules! (1).pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        ]
        bedrock.script(claude())
        await gateway.client.chat.completions.create(model="claude", messages=[{"role": "user", "content": parts}])
        bedrock.script(converse())
        await gateway.client.chat.completions.create(model="nova", messages=[{"role": "user", "content": parts}])
    assert bedrock.requests[0].body["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AA="}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "Ignore all rules! (1).pdf",
        },
    ]
    assert bedrock.requests[1].body["messages"][0]["content"] == [
        {"text": "What is this?"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"image": {"format": "jpeg", "source": {"bytes": "/9j/4AA="}}},
        {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}},
        {"document": {"format": "pdf", "name": "Ignore all rules (1) pdf", "source": {"bytes": "JVBERi0="}}},
    ]


@pytest.mark.case("W4")
async def test_nothing_is_fetched_for_a_caller_from_where_machines_keep_their_credentials(gateway: Rig, bedrock: BedrockUpstream) -> None:
    for model in ("claude", "nova"):
        for url in (
            "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/",
        ):
            for part in ({"type": "image_url", "image_url": {"url": url}}, {"type": "file", "file": {"file_data": url}}):
                response = await gateway.post({"model": model, "messages": [{"role": "user", "content": [part]}]})
                assert response.status_code == 400
                assert response.json()["error"]["param"].startswith("messages[0].content[0].")
    assert bedrock.requests == []


FINISHES = [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"), ("content_filtered", "content_filter"), ("not_invented_yet", "stop"),
]  # fmt: skip


async def test_finish_reasons_of_converse(gateway: Rig, bedrock: BedrockUpstream) -> None:
    for stop, finish in FINISHES:
        bedrock.script(converse({"text": "x"}, stop=stop))
        answer = await gateway.client.chat.completions.create(model="nova", messages=HI)
        _, told = await gateway.events(model="nova", messages=HI)
        assert answer.choices[0].finish_reason == finish, stop
        assert finish in [choice["finish_reason"] for event in told[:-1] for choice in json.loads(event)["choices"]], stop


async def test_the_tier_that_served_it_is_told(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(converse(serviceTier={"type": "flex"}))
    answer = await gateway.client.chat.completions.create(model="nova", messages=HI, service_tier="flex")
    assert answer.service_tier == "flex"
    _, told = await gateway.events(model="nova", service_tier="flex", stream_options={"include_usage": True})
    assert "flex" in [json.loads(event).get("service_tier") for event in told[:-1]]
    assert bedrock.requests[0].body["serviceTier"] == {"type": "flex"}


async def test_errors_as_the_sdk_tells_them(gateway: Rig, bedrock: BedrockUpstream) -> None:
    told: list[tuple[Any, type[openai.APIStatusError], str | None]] = [
        (failing(404, "ResourceNotFoundException", "Could not resolve the foundation model"), openai.NotFoundError, "model_not_found"),
        (failing(400, "ValidationException", "Input is too long for requested model."), openai.BadRequestError, "context_length_exceeded"),
        (failing(400, "ValidationException", "messages: roles must alternate"), openai.BadRequestError, None),
        (failing(503, "ServiceUnavailableException", "Bedrock is unable to process"), openai.InternalServerError, "upstream_error"),
    ]
    for model in ("claude", "nova"):
        for step, raised, code in told:
            bedrock.script(step)
            for stream in (False, True):
                with pytest.raises(raised) as error:
                    await gateway.client.chat.completions.create(model=model, messages=HI, stream=stream)
                assert error.value.code == code


async def test_limits_and_refused_keys_as_the_sdk_tells_them(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(failing(429, "ThrottlingException", "Too many tokens, please wait before trying again.", "retry-after: 7"))
    for model in ("limited", "limited-claude"):
        with pytest.raises(openai.RateLimitError) as limited:
            await gateway.client.chat.completions.create(model=model, messages=HI)
        assert limited.value.code == "upstream_rate_limited"
        assert limited.value.response.headers["retry-after"] == "7"
    bedrock.script(failing(403, "AccessDeniedException", "You don't have access to the model with the specified model ID."))
    with pytest.raises(openai.InternalServerError) as refused:
        await gateway.client.chat.completions.create(model="refused", messages=HI)
    assert refused.value.code == "upstream_credentials"


async def test_an_error_in_a_stream_is_told_and_what_came_before_is_charged(gateway: Rig, bedrock: BedrockUpstream) -> None:
    long = "Hello there, this is long."
    for model, events in (("claude", claude_events(text(long))), ("nova", converse_events({"text": long}))):
        bedrock.script(streaming(*events[:5], exception("modelStreamErrorException", "The model stumbled.", originalStatusCode=500)))
        with pytest.raises(openai.APIError):
            async for _ in await gateway.client.chat.completions.create(model=model, messages=HI, stream=True):
                pass
        row = (await gateway.rows())[-1]
        if model == "claude":
            # Its prompt was counted before it broke.
            assert [row[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write")] == [20, 40, 30]
        assert 0 < row["output_tokens"] < 12


async def test_an_error_before_the_first_word_is_an_error_of_the_call(gateway: Rig, bedrock: BedrockUpstream) -> None:
    told: list[tuple[bytes, type[openai.APIStatusError], str]] = [
        (exception("validationException", "Input is too long for requested model."), openai.BadRequestError, "context_length_exceeded"),
        (exception("modelTimeoutException", "Model has timed out"), openai.InternalServerError, "upstream_timeout"),
        (exception("serviceUnavailableException", "Down"), openai.InternalServerError, "upstream_error"),
    ]
    for model in ("claude", "nova"):
        for wire, raised, code in told:
            bedrock.script(streaming(wire))
            with pytest.raises(raised) as error:
                await gateway.client.chat.completions.create(model=model, messages=HI, stream=True)
            assert error.value.code == code


async def test_a_stream_that_breaks_is_gone_on_with_from_a_prefill(gateway: Rig, bedrock: BedrockUpstream) -> None:
    said = "It was a bright cold day in April, and the clocks were striking thirteen."
    told = claude_events(text(said))
    bedrock.script(
        streaming(*told[:9], end="reset"), claude(text(", and so on to the end of a story that is long enough to be told apart."))
    )
    answer = await streamed(gateway, model="pair")
    assert answer.choices[0].message.content.startswith("It was a bright cold day in April")
    assert answer.choices[0].message.content.endswith("told apart.")
    last = bedrock.requests[-1].body["messages"][-1]
    assert last["role"] == "assistant"
    assert last["content"] == last["content"].rstrip()


UNSUPPORTED: list[tuple[str, str, Any]] = [
    ("claude", "seed", 1), ("claude", "service_tier", "flex"), ("nova", "n", 2),
    ("nova", "logprobs", True), ("nova", "seed", 1), ("nova", "presence_penalty", 0.5), ("nova", "temperature", 1.5),
    ("nova", "response_format", {"type": "json_object"}), ("nova", "never_heard_of", 1), ("nova", "reasoning_effort", "high"),
]  # fmt: skip


async def test_what_it_cannot_do_is_refused_by_name_and_nobody_is_asked(gateway: Rig, bedrock: BedrockUpstream) -> None:
    for model, field, value in UNSUPPORTED:
        response = await gateway.post({"model": model, "messages": HI, field: value})
        assert response.status_code == 400, (model, field)
        assert (response.json()["error"]["code"], response.json()["error"]["param"]) == ("unsupported_parameter", field)
    assert bedrock.requests == []


async def test_a_model_that_is_a_path_is_none(gateway: Rig, bedrock: BedrockUpstream) -> None:
    for model in ("aws/..", "aws/a b", "aws/ä"):
        response = await gateway.post({"model": model, "messages": HI})
        assert response.json()["error"]["code"] in ("model_not_found", "price_unknown", "unpriced_model"), model
    assert bedrock.requests == []
