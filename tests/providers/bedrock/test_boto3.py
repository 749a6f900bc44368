"""AWS's own client before the fake server: what it signs is accepted, what the server says is understood, and what we send has the right
shape."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from backend.providers.bedrock_request import converse_body
from tests.fakes.anthropic_upstream import text
from tests.fakes.bedrock_upstream import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    USAGE,
    BedrockUpstream,
    claude,
    converse,
    exception,
    failing,
    streaming,
)
from tests.providers.bedrock.conftest import CLAUDE, NOVA

pytestmark = pytest.mark.asyncio(loop_scope="module")
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
HI = [{"role": "user", "content": [{"text": "hi"}]}]
PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def aws(_bedrock: BedrockUpstream) -> Any:
    config = boto3.session.Config(retries={"total_max_attempts": 1}, proxies={})
    return boto3.client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=_bedrock.base_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=config,
    )


async def told(call: Callable[[], Any]) -> Any:
    return await asyncio.wait_for(asyncio.to_thread(call), 20)


async def test_claudes_answers_are_understood(aws: Any, bedrock: BedrockUpstream) -> None:
    bedrock.script(claude(text("Hello, wörld.")))
    whole = await told(lambda: json.load(aws.invoke_model(modelId=CLAUDE, body=b'{"a":1}')["body"]))
    assert whole["content"] == [text("Hello, wörld.")]

    def events() -> list[Any]:
        return [json.loads(one["chunk"]["bytes"]) for one in aws.invoke_model_with_response_stream(modelId=CLAUDE, body=b'{"a":1}')["body"]]

    streamed = await told(events)
    assert "".join(one["delta"].get("text", "") for one in streamed if one["type"] == "content_block_delta") == "Hello, wörld."
    assert streamed[-1]["amazon-bedrock-invocationMetrics"]["inputTokenCount"] == 20


async def test_converses_answers_are_understood(aws: Any, bedrock: BedrockUpstream) -> None:
    call = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}
    bedrock.script(converse({"text": "hi there"}, call, thought, stop="tool_use"))
    whole = await told(lambda: aws.converse(modelId=ARN, messages=HI))
    assert whole["output"]["message"]["content"] == [{"text": "hi there"}, call, thought]
    assert (whole["stopReason"], whole["usage"]) == ("tool_use", USAGE)
    streamed = await told(lambda: list(aws.converse_stream(modelId=NOVA, messages=HI)["stream"]))
    assert [next(iter(one)) for one in streamed[-2:]] == ["messageStop", "metadata"]
    assert streamed[-1]["metadata"]["usage"] == USAGE
    deltas = [one["contentBlockDelta"]["delta"] for one in streamed if "contentBlockDelta" in one]
    assert "".join(delta.get("text", "") for delta in deltas) == "hi there"


async def test_its_errors_are_understood(aws: Any, bedrock: BedrockUpstream) -> None:
    bedrock.script(failing(400, "ValidationException", "Input is too long for requested model."))
    with pytest.raises(aws.exceptions.ValidationException, match="Input is too long"):
        await told(lambda: aws.converse(modelId=NOVA, messages=HI))
    bedrock.script(streaming(exception("throttlingException", "busy")))
    with pytest.raises(Exception, match=r"\(throttlingException\).*busy"):
        await told(lambda: list(aws.converse_stream(modelId=NOVA, messages=HI)["stream"]))
    bedrock.secrets[ACCESS_KEY] = ("another", "")
    try:
        with pytest.raises(Exception, match="InvalidSignatureException"):
            await told(lambda: aws.converse(modelId=NOVA, messages=HI))
    finally:
        bedrock.secrets[ACCESS_KEY] = (SECRET_KEY, "")


async def test_what_converse_is_sent_has_the_shape_that_aws_describes(aws: Any) -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    image = {"type": "image_url", "image_url": {"url": PNG}}
    file = {"type": "file", "file": {"filename": "ä/b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    call = {"id": "c" * 90, "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    thoughts = [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "ZGF0YQ=="}]
    schema = {"name": "n", "description": "d", "schema": {"type": "object"}}
    function = {"name": "f", "parameters": {"type": "object"}, "description": "d", "strict": True}
    body = {
        "messages": [
            {"role": "system", "content": "s", **mark},
            {"role": "user", "content": [{"type": "text", "text": "a", **mark}, image, file]},
            {"role": "assistant", "content": "x", "thinking_blocks": thoughts, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c" * 90, "content": [{"type": "text", "text": "r"}, image]},
            {"role": "tool", "tool_call_id": "d", "content": ""},
        ],
        "tools": [{"type": "function", "function": function, **mark}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_tokens": 5, "temperature": 0.5, "top_p": 1, "stop": "x", "top_k": 5, "service_tier": "flex",
    }  # fmt: skip
    shape = aws.meta.service_model.operation_model("Converse").input_shape
    report = ParamValidator().validate({"modelId": NOVA, **with_bytes(converse_body(body, NOVA, None))}, shape)
    assert report.generate_report() == ""


def with_bytes(value: Any) -> Any:
    """On the wire bytes are base64; boto3 wants them as they are."""
    if isinstance(value, dict):
        return {
            name: base64.b64decode(inner) if name in ("bytes", "redactedContent") else with_bytes(inner) for name, inner in value.items()
        }
    return [with_bytes(inner) for inner in value] if isinstance(value, list) else value
