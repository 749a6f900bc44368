"""The anthropic SDK as judge: messages, streams, tools and thoughts from every kind of provider; and the examples of docs/messages.md."""

import asyncio
import json
import re
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from pydantic import BaseModel

from tests.architecture.source import ROOT
from tests.fakes import anthropic_upstream as claude
from tests.fakes import gemini_upstream as google
from tests.fakes.openai_upstream import TEXT, WORDS, chunk, completion, events, whole
from tests.gateway.conftest import Rig
from tests.gateway.messages.conftest import ASKED, HI, Upstreams

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE = "http://localhost:3000"
PAGE = (ROOT / "docs" / "messages.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))

WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def both_ways(client: AsyncAnthropic, **asked: Any) -> list[Any]:
    """The message whole, and as the SDK puts it together from the stream."""
    options = {**ASKED, **asked}
    first = await client.messages.create(**options)
    async with client.messages.stream(**options) as stream:
        return [first, await stream.get_final_message()]


def calls(*named: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}} for i, name, given in named]


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini", "sandbox/chat"])
async def test_words_and_usage_from_every_kind_of_provider(client: AsyncAnthropic, upstreams: Upstreams, model: str) -> None:
    upstreams.claude.script(claude.message(claude.text(TEXT)))
    upstreams.google.script(google.answer(google.text(TEXT)))
    for said in await both_ways(client, model=model):
        assert (said.role, said.type, said.stop_reason, said.stop_sequence) == ("assistant", "message", "end_turn", None)
        assert said.id.startswith("msg_")
        text = "".join([block.text for block in said.content if block.type == "text"])
        assert text == TEXT or (model == "sandbox/chat" and text)
        assert said.usage.input_tokens > 0
        assert said.usage.output_tokens > 0
        assert said.model == {"gpt": "gpt-fake-2026-01-01", "claude": claude.MODEL, "gemini": google.MODEL}.get(model, "sandbox/chat")


async def test_usage_is_told_in_buckets_that_do_not_overlap(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    for model, buckets in (("gpt", (16, 0, 4, 12)), ("claude", (20, 30, 40, 12)), ("gemini", (16, 0, 4, 22))):
        for said in await both_ways(client, model=model):
            used = said.usage
            told = (used.input_tokens, used.cache_creation_input_tokens, used.cache_read_input_tokens, used.output_tokens)
            assert told == buckets, model
    whole_one = (await both_ways(client, model="claude"))[0].usage
    assert whole_one.cache_creation.model_dump() == {"ephemeral_1h_input_tokens": 20, "ephemeral_5m_input_tokens": 10}
    assert whole_one.output_tokens_details.thinking_tokens == 5
    assert whole_one.service_tier == "standard"
    assert upstreams.claude.requests[0].path == "/v1/messages"


async def test_events_come_in_anthropics_order(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    async with await client.messages.create(**ASKED, stream=True) as stream:
        seen = [event async for event in stream]
    kinds = [event.type for event in seen]
    ends = ["content_block_stop", "message_delta", "message_stop"]
    assert kinds == ["message_start", "content_block_start", *["content_block_delta"] * len(WORDS), *ends]
    assert seen[0].message.usage.input_tokens > 0
    assert seen[0].message.content == []
    assert seen[-2].usage.input_tokens == 16
    assert seen[-2].to_dict()["bourse"]["provider"] == "acme"


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
async def test_tools_are_called_in_parallel(client: AsyncAnthropic, upstreams: Upstreams, model: str) -> None:
    asked = [("toolu_1", "weather", {"city": "Bern"}), ("toolu_2", "weather", {"city": "Zürich"})]
    message = {"role": "assistant", "content": None, "tool_calls": calls(*asked)}
    pieces = [chunk({"role": "assistant", "content": None})]
    for number, (identity, name, given) in enumerate(asked):
        written = json.dumps(given)
        pieces.append(
            chunk({"tool_calls": [{"index": number, "id": identity, "type": "function", "function": {"name": name, "arguments": ""}}]})
        )
        pieces += [chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}) for piece in (written[:5], written[5:])]
    pieces += [chunk({}, "tool_calls"), chunk(None, usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})]
    body = completion()
    body["choices"][0] |= {"message": message, "finish_reason": "tool_calls"}
    upstreams.openai.script(whole(body), events(*pieces, end="done"))
    said = [claude.tool_use(name, given, identity) for identity, name, given in asked]
    upstreams.claude.script(claude.message(claude.text("Let me see."), *said, stop="tool_use"))
    upstreams.google.script(google.answer(*[google.call(name, given) for _, name, given in asked]))
    for said in await both_ways(client, model=model, tools=[WEATHER]):
        found = [block for block in said.content if block.type == "tool_use"]
        assert [(block.name, block.input) for block in found] == [(name, given) for _, name, given in asked]
        assert len({block.id for block in found}) == 2
        assert said.stop_reason == "tool_use"


async def test_results_of_tools_go_back(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    turn = [{"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Bern"}}]
    results = [
        {"type": "text", "text": "Go on."},
        {"type": "tool_result", "tool_use_id": "t1", "content": "no such city", "is_error": True},
    ]
    messages: Any = [*HI, {"role": "assistant", "content": turn}, {"role": "user", "content": results}]
    for model in ("gpt", "claude", "gemini"):
        await client.messages.create(**{**ASKED, "model": model, "messages": messages, "tools": [WEATHER]})
    asked = upstreams.openai.requests[0].body["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "tool", "user"]
    assert asked[2] == {"role": "tool", "tool_call_id": "t1", "content": "Error: no such city"}
    assert json.loads(asked[1]["tool_calls"][0]["function"]["arguments"]) == {"city": "Bern"}
    native = upstreams.claude.requests[0].body["messages"]
    assert native[1]["content"] == turn
    assert native[2]["content"] == [results[1], results[0]]
    assert upstreams.google.requests[0].body["contents"][2]["parts"][0]["functionResponse"]["name"] == "weather"


async def test_thoughts_are_told_with_their_signatures_and_go_back_as_they_came(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    thought, hidden = claude.thinking("Hm, let me think about it."), claude.redacted()
    upstreams.claude.script(claude.message(thought, hidden, claude.text("Four.")))
    asked: dict[str, Any] = {"model": "claude", "thinking": {"type": "enabled", "budget_tokens": 1024}}
    for said in await both_ways(client, **asked):
        assert [block.type for block in said.content] == ["thinking", "redacted_thinking", "text"]
        assert (said.content[0].thinking, said.content[0].signature) == (thought["thinking"], thought["signature"])
        assert said.content[1].data == hidden["data"]
        upstreams.claude.requests.clear()
        again: Any = [*HI, {"role": "assistant", "content": said.content}, {"role": "user", "content": "Sure?"}]
        await client.messages.create(**{**ASKED, **asked, "messages": again})
        sent = upstreams.claude.requests[0].body
        assert sent["messages"][1]["content"] == [thought, hidden, {"type": "text", "text": "Four."}]
        assert sent["thinking"] == asked["thinking"]


async def test_thoughts_of_other_providers(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    body = completion("Four.")
    body["choices"][0]["message"]["reasoning_content"] = "Two and two."
    pieces = [
        chunk({"role": "assistant", "reasoning_content": "Two "}),
        chunk({"reasoning_content": "and two."}),
        chunk({"content": "Four."}),
        chunk({}, "stop"),
    ]
    for thinking, kinds in (({"type": "adaptive"}, ["thinking", "text"]), ({"type": "disabled"}, ["text"])):
        upstreams.openai.script(whole(body), events(*pieces, end="done"))
        for said in await both_ways(client, thinking=thinking):
            assert [block.type for block in said.content] == kinds
            assert said.content[-1].text == "Four."
            if len(kinds) == 2:
                assert said.content[0].thinking == "Two and two."
    assert "thinking" not in upstreams.openai.requests[0].body


async def test_pictures_and_documents(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    pages = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}}
    shown: Any = [picture, pages, {"type": "text", "text": "What is this?"}]
    for model in ("gpt", "claude", "gemini"):
        await client.messages.create(**{**ASKED, "model": model, "messages": [{"role": "user", "content": shown}]})
    assert upstreams.claude.requests[0].body["messages"][0]["content"] == shown
    assert upstreams.openai.requests[0].body["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQ="}},
        {"type": "text", "text": "What is this?"},
    ]
    parts = upstreams.google.requests[0].body["contents"][0]["parts"]
    assert [part["inlineData"]["mimeType"] for part in parts[:2]] == ["image/png", "application/pdf"]


class City(BaseModel):
    name: str
    people: int


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini", "sandbox/chat"])
async def test_structured_answers(client: AsyncAnthropic, upstreams: Upstreams, model: str) -> None:
    written = '{"name": "Bern", "people": 134000}'
    upstreams.openai.script(whole(completion(written)))
    upstreams.claude.script(claude.message(claude.text(written)))
    upstreams.google.script(google.answer(google.text(written)))
    said = await client.messages.parse(**{**ASKED, "model": model}, output_format=City)
    assert isinstance(said.parsed_output, City)
    assert model == "sandbox/chat" or said.parsed_output == City(name="Bern", people=134_000)
    if model == "claude":
        form = upstreams.claude.requests[0].body["output_config"]["format"]
        assert form["schema"]["properties"].keys() == {"name", "people"}


async def test_gemini_gets_its_signatures_back(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    upstreams.google.script(google.answer(google.call("weather", {"city": "Bern"}, signature="c2lnbmF0dXJl")))
    for said in await both_ways(client, model="gemini", tools=[WEATHER]):
        (called,) = [block for block in said.content if block.type == "tool_use"]
        result = {"type": "tool_result", "tool_use_id": called.id, "content": "rain"}
        turns: Any = [*HI, {"role": "assistant", "content": said.content}, {"role": "user", "content": [result]}]
        upstreams.google.requests.clear()
        await client.messages.create(**{**ASKED, "model": "gemini", "messages": turns, "tools": [WEATHER]})
        assert upstreams.google.requests[0].body["contents"][1]["parts"][0]["thoughtSignature"] == "c2lnbmF0dXJl"


async def test_the_request_id_is_the_sdks(client: AsyncAnthropic, gateway: Rig, upstreams: Upstreams) -> None:
    said = await client.messages.create(**ASKED)
    row = await gateway.last_row()
    assert said._request_id == row["request_id"]
    assert (row["endpoint"], row["outcome"], row["requested_model"]) == ("messages", "completed", "gpt")


async def test_the_python_of_the_page_works_as_printed(gateway: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    program = BLOCKS["python"].replace(HERE, gateway.url)
    await asyncio.to_thread(exec, program, {})
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert len("".join(said)) > 50
    assert int(re.findall(r"\d+$", said[-1])[0]) > 0


async def test_the_curl_of_the_page_works_as_printed(gateway: Rig) -> None:
    command = BLOCKS["sh"].replace(HERE, gateway.url).replace("curl ", "curl -sS --fail-with-body -m 20 ", 1)
    run = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=asyncio.subprocess.PIPE)
    out, _ = await run.communicate()
    assert run.returncode == 0, out
    assert out.startswith(b"event: message_start\n")
    assert out.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
