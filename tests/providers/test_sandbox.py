"""The sandbox: simulated, labelled, and exact in its counts."""

import json
from typing import Any

import pytest

from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest
from backend.providers.sandbox import MODELS, SandboxProvider


def request(model: str = "chat", **body: Any) -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": "What is a ledger?"}], **body}, model, 5.0, "00-0-0-00")


async def streamed(model: str, **body: Any) -> list[Any]:
    stream = await SandboxProvider(pace=0).open_stream(request(model, **body))
    data = b""
    while piece := await stream.read():
        data += piece
    return [json.loads(event[6:]) for event in data.split(b"\n\n")[:-1] if event != b"data: [DONE]"]


@pytest.mark.provides("sandbox", "chat", "stream", "reasoning", "usage")
async def test_whole_and_streamed_answers_say_the_same_and_count_the_same() -> None:
    for model in ("chat", "reasoning", "long"):
        whole = (await SandboxProvider(pace=0).complete(request(model))).value
        chunks = await streamed(model)
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        message = whole["choices"][0]["message"]
        assert "".join(delta.get("content") or "" for delta in deltas) == message["content"]
        assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == message.get("reasoning_content", "")
        assert chunks[-1]["usage"] == whole["usage"]
        tokens = sum(1 for delta in deltas if delta.get("content") or delta.get("reasoning_content"))
        assert tokens == whole["usage"]["completion_tokens"]


async def test_every_answer_says_that_it_is_simulated() -> None:
    for model in set(MODELS) - {"broken"}:
        value = (await SandboxProvider(pace=0).complete(request(model))).value
        assert "simulated" in value["choices"][0]["message"]["content"]
        assert value["system_fingerprint"] == "simulated"


@pytest.mark.parametrize("limit", [1, 7, 30])
async def test_a_limit_is_kept_to_the_token_and_said(limit: int) -> None:
    for model in ("chat", "reasoning"):
        value = (await SandboxProvider(pace=0).complete(request(model, max_tokens=limit))).value
        assert value["usage"]["completion_tokens"] == limit
        assert value["choices"][0]["finish_reason"] == "length"


async def test_flaky_fails_every_third_call_and_broken_in_the_middle() -> None:
    provider = SandboxProvider(pace=0)
    for number in range(1, 7):
        if number % 3:
            await provider.complete(request("flaky"))
        else:
            with pytest.raises(UpstreamFailure) as failed:
                await provider.complete(request("flaky"))
            assert failed.value.status == 503
    stream = await provider.open_stream(request("broken"))
    pieces = 0
    with pytest.raises(UpstreamFailure):
        while await stream.read():
            pieces += 1
    assert pieces > 3


@pytest.mark.provides("sandbox", "vision")
async def test_pictures_are_counted_and_told_of() -> None:
    picture: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
    parts = [{"type": "text", "text": "hello"}, picture, linked]
    asked = {"messages": [{"role": "user", "content": parts}, {"role": "user", "content": None}]}
    value = (await SandboxProvider(pace=0).complete(request(**asked))).value
    assert "You showed 2 pictures: image/png of 8 bytes, one by URL." in value["choices"][0]["message"]["content"]
    assert value["usage"]["prompt_tokens"] == 3
    said = "".join(choice["delta"].get("content") or "" for chunk in await streamed("chat", **asked) for choice in chunk["choices"])
    assert said == value["choices"][0]["message"]["content"]


async def test_a_model_that_it_does_not_have() -> None:
    with pytest.raises(UpstreamFailure) as missing:
        await SandboxProvider().complete(request("gpt"))
    assert missing.value.kind == "not_found"


TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
]


@pytest.mark.provides("sandbox", "tools")
async def test_a_forced_tool_is_called_whole_and_streamed() -> None:
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        value = (await SandboxProvider(pace=0).complete(request(tools=TOOLS, tool_choice=choice))).value["choices"][0]
        assert value["finish_reason"] == "tool_calls"
        assert value["message"]["content"] is None
        call = value["message"]["tool_calls"][0]["function"]
        assert (call["name"], json.loads(call["arguments"])) == ("weather", {"city": "simulated"})
        deltas = [choice["delta"] for chunk in await streamed("chat", tools=TOOLS, tool_choice=choice) for choice in chunk["choices"]]
        pieces = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
        assert pieces[0]["function"]["name"] == "weather"
        assert json.loads("".join(piece["function"]["arguments"] for piece in pieces)) == {"city": "simulated"}
    assert "tool_calls" not in (await SandboxProvider(pace=0).complete(request(tools=TOOLS))).value["choices"][0]["message"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}, "ok": {"type": "boolean"}}}, {"n": 3, "ok": True}),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, ["a"]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": ["string", "null"]}, "simulated"),
        ({"const": 7}, 7),
        ({}, "simulated"),
        (None, "simulated"),
        ({"type": "object", "properties": 7}, {}),
    ],
)
@pytest.mark.provides("sandbox", "schema")
async def test_a_schema_is_answered_with_json_that_fits(schema: Any, expected: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    value = (await SandboxProvider(pace=0).complete(request(response_format=wanted))).value
    assert json.loads(value["choices"][0]["message"]["content"]) == expected


async def test_a_schema_without_bottom_ends() -> None:
    endless: dict[str, Any] = {"type": "object", "properties": {}}
    endless["properties"]["child"] = endless
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": endless}}
    value = (await SandboxProvider(pace=0).complete(request(response_format=wanted))).value
    assert value["choices"][0]["message"]["content"].count("child") < 20
