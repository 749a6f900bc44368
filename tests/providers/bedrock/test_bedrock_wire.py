"""The openai SDK before the gateway, Bedrock's wire format behind it."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.fakes.anthropic_upstream import redacted, text, thinking, tool_use
from tests.fakes.bedrock_upstream import (
    REQUEST_ID,
    USAGE,
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
