"""OpenAI's own SDK asks `/v1/responses`, in front of servers of each protocol: whole, streamed, tools, structured, images."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseReasoningItem,
)
from pydantic import BaseModel

from tests.fakes.anthropic_upstream import message, text, thinking, tool_use
from tests.fakes.gemini_upstream import OVERLOADED
from tests.fakes.gemini_upstream import answer as gemini_answer
from tests.fakes.gemini_upstream import call as gemini_call
from tests.fakes.gemini_upstream import text as gemini_text
from tests.fakes.gemini_upstream import whole as gemini_whole
from tests.fakes.openai_upstream import TEXT, USAGE, Step, chunk, completion, events, status, whole
from tests.gateway.conftest import KEY, Rig
from tests.gateway.responses_api.conftest import Providers

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "How the weather is.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    "strict": True,
}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def calls(*cities: str) -> Step:
    """OpenAI calls the function, whole or streamed as asked: arguments in pieces, several calls at once."""
    made: list[Any] = [
        {"id": f"call_{city}", "type": "function", "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'}} for city in cities
    ]

    async def step(exchange: Any) -> None:
        if not exchange.seen.body.get("stream"):
            body = completion()
            body["choices"][0] |= {"message": {"role": "assistant", "content": None, "tool_calls": made}, "finish_reason": "tool_calls"}
            await whole(body)(exchange)
            return
        chunks = [chunk({"role": "assistant", "content": None})]
        for index, call in enumerate(made):
            chunks.append(chunk({"tool_calls": [{"index": index, **call, "function": {"name": "weather", "arguments": ""}}]}))
            arguments = call["function"]["arguments"]
            for piece in (arguments[:5], arguments[5:]):
                chunks.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
        await events(*chunks, chunk({}, "tool_calls"), chunk(None, usage=USAGE), end="done")(exchange)

    return step


async def streamed(client: AsyncOpenAI, **request: Any) -> tuple[list[Any], Response]:
    """All events of a stream, and the response in the last one."""
    found = [event async for event in await client.responses.create(stream=True, **request)]
    numbers = [event.sequence_number for event in found]
    assert numbers == list(range(len(found)))
    assert isinstance(found[-1], ResponseCompletedEvent | ResponseIncompleteEvent)
    return found, found[-1].response


async def test_a_whole_answer(client: AsyncOpenAI, providers: Providers) -> None:
    response = await client.responses.create(model="fast", input="hi", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5)
    assert response.output_text == TEXT
    assert (response.status, response.error, response.incomplete_details) == ("completed", None, None)
    assert response.id.startswith("resp_")
    assert response.model == "gpt-fake-2026-01-01"
    assert (response.instructions, response.metadata, response.temperature) == ("Be brief.", {"a": "b"}, 0.5)
    usage = response.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (20, 12, 32)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (4, 2)
    asked = providers.openai.requests[0].body
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert not {"metadata", "store", "input", "instructions"} & asked.keys()


async def test_a_streamed_answer_says_the_same_in_events(client: AsyncOpenAI, providers: Providers) -> None:
    found, response = await streamed(client, model="fast", input="hi")
    kinds = [event.type for event in found]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[4:-4] == ["response.output_text.delta"] * 10
    assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    assert "".join(event.delta for event in found if event.type == "response.output_text.delta") == TEXT
    whole_one = await client.responses.create(model="fast", input="hi")
    same = {"id", "created_at", "completed_at", "bourse", "output"}
    assert response.model_dump(exclude=same) == whole_one.model_dump(exclude=same)
    assert [item.model_dump(exclude={"id"}) for item in response.output] == [item.model_dump(exclude={"id"}) for item in whole_one.output]
    assert providers.openai.requests[0].body["stream_options"] == {"include_usage": True}


async def test_the_events_have_their_names_and_there_is_no_done(gateway: Rig, providers: Providers) -> None:
    body = {"model": "fast", "input": "hi", "stream": True}
    answer = await gateway.http.post("/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.headers["content-type"] == "text/event-stream"
    assert "[DONE]" not in answer.text
    for event in answer.text.strip().split("\n\n"):
        name, data = event.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"
    last = json.loads(answer.text.strip().rpartition("data: ")[2])
    assert last["response"]["bourse"]["provider"] == "acme"


async def test_the_stream_helper_gathers_it(client: AsyncOpenAI, providers: Providers) -> None:
    async with client.responses.stream(model="fast", input="hi") as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert snapshots[-1] == final.output_text == TEXT


class City(BaseModel):
    name: str
    people: int


@pytest.mark.parametrize("model", ["fast", "claude", "gemini"])
async def test_structured_outputs(client: AsyncOpenAI, providers: Providers, model: str) -> None:
    said = '{"name":"Oslo","people":700000}'
    providers.openai.script(whole(completion(said)))
    providers.anthropic.script(message(text(said)))
    providers.gemini.script(gemini_answer(gemini_text(said)))
    response = await client.responses.parse(model=model, input="Which?", text_format=City)
    assert response.output_parsed == City(name="Oslo", people=700000)
    if model == "fast":
        form = providers.openai.requests[0].body["response_format"]
        assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == ("json_schema", "City", True)


@pytest.mark.parametrize("how", ["whole", "streamed"])
@pytest.mark.parametrize("model", ["fast", "claude", "gemini"])
async def test_a_function_is_called_and_answered(client: AsyncOpenAI, providers: Providers, model: str, how: str) -> None:
    arguments = {"city": "Oslo"}
    providers.openai.script(calls("Oslo"))
    providers.anthropic.script(message(text("Let me see."), tool_use("weather", arguments), stop="tool_use"))
    providers.gemini.script(gemini_answer(gemini_call("weather", arguments, signature="c2lnbmVk")))
    request: dict[str, Any] = {"model": model, "input": "How is Oslo?", "tools": [WEATHER]}
    first = await client.responses.create(**request) if how == "whole" else (await streamed(client, **request))[1]
    [call] = [item for item in first.output if isinstance(item, ResponseFunctionToolCall)]
    assert (call.name, json.loads(call.arguments), call.status) == ("weather", arguments, "completed")

    providers.openai.script(whole(completion("Rain.")))
    providers.anthropic.script(message(text("Rain.")))
    providers.gemini.script(gemini_answer(gemini_text("Rain.")))
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = await client.responses.create(model=model, input=[result], previous_response_id=first.id, tools=[WEATHER])
    assert second.output_text == "Rain."
    server = {"fast": providers.openai, "claude": providers.anthropic, "gemini": providers.gemini}[model]
    sent = json.dumps(server.requests[-1].body)
    assert "How is Oslo?" in sent
    assert "rain" in sent
    if model == "fast":
        messages = server.requests[-1].body["messages"]
        assert [entry["role"] for entry in messages] == ["user", "assistant", "tool"]
        assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"] == "call_Oslo"
    elif model == "gemini":
        assert "c2lnbmVk" in sent, "the signature of the call has come back"


async def test_parallel_calls_keep_their_arguments_apart(client: AsyncOpenAI, providers: Providers) -> None:
    providers.openai.script(calls("Oslo", "Rome"))
    found, response = await streamed(client, model="fast", input="Both?", tools=[WEATHER])
    made = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    assert [(item.call_id, item.arguments) for item in made] == [("call_Oslo", '{"city":"Oslo"}'), ("call_Rome", '{"city":"Rome"}')]
    done = [event for event in found if event.type == "response.function_call_arguments.done"]
    assert [(event.output_index, event.arguments) for event in done] == [(0, '{"city":"Oslo"}'), (1, '{"city":"Rome"}')]
    for index, item in enumerate(made):
        pieces = [event.delta for event in found if event.type == "response.function_call_arguments.delta" and event.output_index == index]
        assert "".join(pieces) == item.arguments


@pytest.mark.parametrize("model", ["fast", "claude", "gemini"])
async def test_an_image_reaches_the_provider(client: AsyncOpenAI, providers: Providers, model: str) -> None:
    providers.anthropic.script(message(text("A dot.")))
    providers.gemini.script(gemini_answer(gemini_text("A dot.")))
    content: Any = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL, "detail": "low"}]
    await client.responses.create(model=model, input=[{"role": "user", "content": content}])
    server = {"fast": providers.openai, "claude": providers.anthropic, "gemini": providers.gemini}[model]
    assert PIXEL.partition(",")[2] in json.dumps(server.requests[-1].body)


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_signed_thoughts_go_back_to_the_model_that_thought_them(client: AsyncOpenAI, providers: Providers, how: str) -> None:
    providers.anthropic.script(message(thinking("Hm, Oslo."), tool_use("weather", {"city": "Oslo"}), stop="tool_use"))
    request: dict[str, Any] = {
        "model": "claude", "input": "How is Oslo?", "tools": [WEATHER], "reasoning": {"effort": "low", "summary": "auto"},
        "store": False, "include": ["reasoning.encrypted_content"], "max_output_tokens": 5000,
    }  # fmt: skip
    first = await client.responses.create(**request) if how == "whole" else (await streamed(client, **request))[1]
    thought = first.output[0]
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.summary[0].text == "Hm, Oslo."
    assert thought.encrypted_content
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    # Stateless, as agents do it: everything that came is sent back.
    items: list[Any] = [{"role": "user", "content": "How is Oslo?"}, *[item.to_dict() for item in first.output]]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    await client.responses.create(**{**request, "input": items})
    turns = providers.anthropic.requests[-1].body["messages"]
    assert turns[1]["content"][0] == {"type": "thinking", "thinking": "Hm, Oslo.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}
    assert turns[1]["content"][1]["type"] == "tool_use"
    # Another model would not understand them.
    await client.responses.create(**{**request, "input": items, "model": "fast", "reasoning": {}})
    assert "thinking_blocks" not in json.dumps(providers.openai.requests[-1].body)


async def test_thoughts_are_streamed_as_a_summary(client: AsyncOpenAI, providers: Providers) -> None:
    providers.openai.script(
        events(
            chunk({"role": "assistant", "content": "", "reasoning_content": "Let me "}),
            chunk({"reasoning_content": "think."}),
            chunk({"content": "Yes."}),
            chunk({}, "stop"),
            chunk(None, usage=USAGE),
            end="done",
        )
    )
    found, response = await streamed(client, model="fast", input="hi")
    assert [event.type for event in found][2:9] == [
        "response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "response.reasoning_summary_part.done",
        "response.output_item.done",
    ]  # fmt: skip
    thought = response.output[0]
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.summary[0].text == "Let me think."
    assert response.output_text == "Yes."


@pytest.mark.parametrize("how", ["whole", "streamed"])
@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_was_cut_is_incomplete(client: AsyncOpenAI, providers: Providers, how: str, finish: str, reason: str) -> None:
    if how == "whole":
        providers.openai.script(whole(completion("Half", finish=finish)))
        response = await client.responses.create(model="fast", input="hi", max_output_tokens=20)
    else:
        providers.openai.script(events(chunk({"content": "Half"}), chunk({}, finish), chunk(None, usage=USAGE), end="done"))
        found, response = await streamed(client, model="fast", input="hi", max_output_tokens=20)
        assert found[-1].type == "response.incomplete"
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == reason
    assert response.output[0].status == "incomplete"
    assert providers.openai.requests[0].body["max_tokens"] == 20


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_a_refusal_is_a_part_of_the_message(client: AsyncOpenAI, providers: Providers, how: str) -> None:
    body = completion()
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I will not."}
    told = (chunk({"refusal": "I will"}), chunk({"refusal": " not."}), chunk({}, "stop"))
    providers.openai.script(whole(body) if how == "whole" else events(*told, end="done"))
    request: dict[str, Any] = {"model": "fast", "input": "hi"}
    response = await client.responses.create(**request) if how == "whole" else (await streamed(client, **request))[1]
    [item] = response.output
    assert item.content[0].model_dump() == {"type": "refusal", "refusal": "I will not."}


async def test_the_sandbox_answers(client: AsyncOpenAI, providers: Providers) -> None:
    response = await client.responses.create(model="sandbox/chat", input="hi")
    assert response.output_text
    _, response = await streamed(client, model="sandbox/chat", input="hi")
    assert response.output_text


async def test_logprobs(client: AsyncOpenAI, providers: Providers) -> None:
    token = {"token": "Yes", "logprob": -0.1, "bytes": [89, 101, 115], "top_logprobs": []}
    body = completion("Yes")
    body["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    providers.openai.script(whole(body))
    response = await client.responses.create(model="fast", input="hi", include=["message.output_text.logprobs"], top_logprobs=2)
    assert response.output[0].content[0].logprobs[0].token == "Yes"
    asked = providers.openai.requests[0].body
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)
    entry = {"index": 0, "delta": {"content": "Yes"}, "logprobs": {"content": [token], "refusal": None}, "finish_reason": None}
    providers.openai.script(events({**chunk({}), "choices": [entry]}, chunk({}, "stop"), end="done"))
    found, response = await streamed(client, model="fast", input="hi", include=["message.output_text.logprobs"])
    assert [event.logprobs[0].token for event in found if event.type == "response.output_text.delta"] == ["Yes"]
    assert response.output[0].content[0].logprobs[0].logprob == -0.1


async def test_who_answers_instead_is_not_sent_what_only_another_understands(client: AsyncOpenAI, providers: Providers) -> None:
    providers.anthropic.script(message(thinking("Hm."), tool_use("weather", {"city": "Oslo"}), stop="tool_use"))
    request: dict[str, Any] = {"model": "mixed", "tools": [WEATHER], "reasoning": {"effort": "low"}, "max_output_tokens": 5000}
    first = await client.responses.create(input="How is Oslo?", **request)
    providers.anthropic.script(status(529))
    providers.gemini.script(gemini_answer(gemini_text("Rain, ", thoughtSignature="c2lnbmVk"), gemini_text("I see.")))
    call = first.output[-1]
    picture = {"type": "input_image", "image_url": PIXEL}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": [{"type": "input_text", "text": "rain"}, picture]}
    second = await client.responses.create(input=[result], previous_response_id=first.id, **request)
    assert second.output_text == "Rain, I see."
    providers.gemini.script(gemini_whole(OVERLOADED, 503))
    third = await client.responses.create(input="And now?", previous_response_id=second.id, **request)
    assert third.output_text == TEXT
    messages = providers.openai.requests[-1].body["messages"]
    known = {"role", "content", "tool_calls", "tool_call_id"}
    assert [sorted(entry.keys() - known) for entry in messages if entry.keys() - known] == []
    assert [entry["role"] for entry in messages] == ["user", "assistant", "tool", "user", "assistant", "user"]
    assert messages[2]["content"] == "rain"
    assert messages[3]["content"][-1]["image_url"]["url"] == PIXEL, "chat has no pictures in what a tool says"


async def test_a_structured_answer_is_streamed(client: AsyncOpenAI, providers: Providers) -> None:
    pieces = ['{"name":', '"Oslo",', '"people":700000}']
    providers.openai.script(events(*[chunk({"content": piece}) for piece in pieces], chunk({}, "stop"), end="done"))
    async with client.responses.stream(model="fast", input="Which?", text_format=City) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == City(name="Oslo", people=700000)


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_a_custom_tool_is_called_and_answered(client: AsyncOpenAI, providers: Providers, how: str) -> None:
    made = {"id": "call_1", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}
    body = completion()
    body["choices"][0] |= {"message": {"role": "assistant", "content": None, "tool_calls": [made]}, "finish_reason": "tool_calls"}
    pieces = [{"index": 0, **made, "custom": {"name": "run", "input": ""}}]
    pieces += [{"index": 0, "custom": {"input": piece}} for piece in ("print", "(1)")]
    told = [chunk({"tool_calls": [piece]}) for piece in pieces]
    providers.openai.script(whole(body) if how == "whole" else events(*told, chunk({}, "tool_calls"), end="done"))
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
    request: dict[str, Any] = {"model": "fast", "input": "Run it.", "tools": [{"type": "custom", "name": "run", "format": grammar}]}
    first = await client.responses.create(**request) if how == "whole" else (await streamed(client, **request))[1]
    [call] = first.output
    assert (call.type, call.call_id, call.name, call.input) == ("custom_tool_call", "call_1", "run", "print(1)")
    [tool] = providers.openai.requests[0].body["tools"]
    assert tool["custom"]["format"] == {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}}
    providers.openai.script(whole(completion("1")))
    result: Any = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"}
    await client.responses.create(model="fast", input=[result], previous_response_id=first.id)
    _, said, answered = providers.openai.requests[-1].body["messages"]
    assert said["tool_calls"] == [made]
    assert answered == {"role": "tool", "tool_call_id": "call_1", "content": "1"}


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_citations_and_drawings(client: AsyncOpenAI, providers: Providers, how: str) -> None:
    citation = {"start_index": 0, "end_index": 2, "url": "https://example.org", "title": "Example"}
    message = {
        "role": "assistant", "content": "So", "annotations": [{"type": "url_citation", "url_citation": citation}],
        "images": [{"type": "image_url", "image_url": {"url": PIXEL}}],
    }  # fmt: skip
    body = completion()
    body["choices"][0]["message"] = message
    providers.openai.script(whole(body) if how == "whole" else events(chunk(message), chunk({}, "stop"), end="done"))
    request: dict[str, Any] = {"model": "fast", "input": "Draw."}
    response = await client.responses.create(**request) if how == "whole" else (await streamed(client, **request))[1]
    said, drawn = response.output
    assert said.content[0].annotations[0].model_dump() == {"type": "url_citation", **citation}
    assert (drawn.type, drawn.result) == ("image_generation_call", PIXEL.partition(",")[2])
    with pytest.raises(BadRequestError) as refused:
        await client.responses.create(model="fast", input="Another.", previous_response_id=response.id)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "previous_response_id")


async def test_only_the_allowed_tools_are_shown(client: AsyncOpenAI, providers: Providers) -> None:
    other = {**WEATHER, "name": "other"}
    allowed: Any = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}
    response = await client.responses.create(model="fast", input="hi", tools=[WEATHER, other], tool_choice=allowed)
    asked = providers.openai.requests[0].body
    assert ([tool["function"]["name"] for tool in asked["tools"]], asked["tool_choice"]) == (["weather"], "required")
    assert [tool.name for tool in response.tools] == ["weather", "other"]
    await client.responses.create(model="fast", input="hi", tools=[WEATHER], tool_choice={"type": "function", "name": "weather"})
    assert providers.openai.requests[1].body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    await client.responses.create(model="fast", input="hi", parallel_tool_calls=False, tool_choice="auto")
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & providers.openai.requests[2].body.keys()


@pytest.mark.parametrize("field", ["file_data", "file_url"])
async def test_a_document_reaches_who_can_read_it(client: AsyncOpenAI, providers: Providers, field: str) -> None:
    providers.anthropic.script(message(text("A page.")))
    value = "data:application/pdf;base64,JVBERi0xLjQK" if field == "file_data" else "https://example.org/page.pdf"
    part: Any = {"type": "input_file", field: value, "filename": "page.pdf"}
    await client.responses.create(model="claude", input=[{"role": "user", "content": [part]}])
    [block] = providers.anthropic.requests[0].body["messages"][0]["content"]
    source = (
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}
        if field == "file_data"
        else {"type": "url", "url": value}
    )
    assert block == {"type": "document", "source": source, "title": "page.pdf"}


async def test_fields_that_nobody_here_knows_go_to_the_provider(client: AsyncOpenAI, providers: Providers) -> None:
    await client.responses.create(model="fast", input="hi", extra_body={"top_k": 5, "seed": 7}, service_tier="flex", prompt_cache_key="k")
    asked = providers.openai.requests[0].body
    assert (asked["top_k"], asked["seed"], asked["service_tier"], asked["prompt_cache_key"]) == (5, 7, "flex", "k")
