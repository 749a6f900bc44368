"""What a model behind OpenAI's wire can do beside words reaches it and comes back as the SDK knows it."""

from typing import Any

import pytest
from pydantic import BaseModel

from tests.fakes.openai_upstream import OpenAIUpstream, chunk, completion, events, whole
from tests.gateway.conftest import Rig

HI: Any = [{"role": "user", "content": "hi"}]
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS, "strict": True}}]


class City(BaseModel):
    city: str


async def streamed(gateway: Rig, **asked: Any) -> Any:
    async with gateway.client.chat.completions.stream(model="fast", messages=HI, **asked) as stream:
        return await stream.get_final_completion()


@pytest.mark.provides("openai", "tools")
async def test_tools_are_called_in_parallel_and_their_results_go_back(gateway: Rig, upstream: OpenAIUpstream) -> None:
    body = completion(finish="tool_calls")
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": CALLS}
    pieces = [chunk({"role": "assistant", "content": None})]
    for number, call in enumerate(CALLS):
        function: Any = call["function"]
        pieces.append(chunk({"tool_calls": [{"index": number, **call, "function": {"name": function["name"], "arguments": ""}}]}))
        for part in (function["arguments"][:4], function["arguments"][4:]):
            pieces.append(chunk({"tool_calls": [{"index": number, "function": {"arguments": part}}]}))
    upstream.script(whole(body), events(*pieces, chunk({}, "tool_calls"), end="done"), whole(completion()))
    first = await gateway.client.chat.completions.create(model="fast", messages=HI, tools=TOOLS, tool_choice="required")
    for answer in (first, await streamed(gateway, tools=TOOLS, tool_choice="required")):
        assert answer.choices[0].finish_reason == "tool_calls"
        said = [call.model_dump(exclude={"index": True, "function": {"parsed_arguments"}}) for call in answer.choices[0].message.tool_calls]
        assert said == CALLS
    results: Any = [{"role": "tool", "tool_call_id": call["id"], "content": "Rain."} for call in CALLS]
    back: Any = [*HI, first.choices[0].message, *results]
    await gateway.client.chat.completions.create(model="fast", messages=back, tools=TOOLS)
    assert upstream.requests[0].body["tools"] == TOOLS
    assert upstream.requests[0].body["tool_choice"] == "required"
    assert upstream.requests[2].body["messages"][1]["tool_calls"] == CALLS
    assert upstream.requests[2].body["messages"][2:] == results


@pytest.mark.provides("openai", "vision", "schema")
async def test_pictures_and_schemas(gateway: Rig, upstream: OpenAIUpstream) -> None:
    said = '{"city":"Zürich"}'
    halves = [chunk({"content": half}) for half in (said[:7], said[7:])]
    upstream.script(whole(completion(said)), events(*halves, chunk({}, "stop"), end="done"))
    parts = [
        {"type": "text", "text": "Where?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]
    asked: Any = [{"role": "user", "content": parts}]
    answer = await gateway.client.chat.completions.parse(model="fast", messages=asked, response_format=City)
    assert answer.choices[0].message.parsed == City(city="Zürich")
    assert (await streamed(gateway, response_format=City)).choices[0].message.parsed == City(city="Zürich")
    assert upstream.requests[0].body["messages"] == asked
    form = upstream.requests[0].body["response_format"]
    assert form["json_schema"]["schema"] == {**City.model_json_schema(), "additionalProperties": False}


@pytest.mark.provides("openai", "reasoning")
async def test_thoughts_are_passed_on_counted_and_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    body = completion("Four.")
    body["choices"][0]["message"]["reasoning_content"] = "Two and two."
    pieces = [chunk({"reasoning_content": part}) for part in ("Two ", "and two.")]
    pieces += [chunk({"content": "Four."}), chunk({}, "stop"), chunk(None, usage=body["usage"])]
    upstream.script(whole(body), events(*pieces, end="done"))
    first: Any = await gateway.client.chat.completions.create(model="fast", messages=HI, reasoning_effort="high")
    assert first.choices[0].message.reasoning_content == "Two and two."
    stream = await gateway.client.chat.completions.create(model="fast", messages=HI, reasoning_effort="high", stream=True)
    deltas = [(choice.delta.model_extra or {}).get("reasoning_content") async for piece in stream for choice in piece.choices]
    assert [delta for delta in deltas if delta] == ["Two ", "and two."]
    assert [seen.body["reasoning_effort"] for seen in upstream.requests] == ["high", "high"]
    rows = await gateway.rows()
    assert [(row["output_tokens"], row["reasoning_tokens"], row["usage_source"]) for row in rows] == [(10, 2, "provider")] * 2
