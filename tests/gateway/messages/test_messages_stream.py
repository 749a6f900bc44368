"""Streams of chunks as Anthropic's events: any cut is the same message, and whatever comes, the events keep their order."""

import json
from typing import Any

import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from backend.gateway.chunks import ChunkStream
from backend.gateway.messages.answer import message_of
from backend.gateway.messages.stream import PING, MessageEvents
from backend.gateway.responses import KEEP_ALIVE
from backend.kernel.sse import EventSplitter
from backend.pricing.usage import Usage
from backend.providers.anthropic_answer import completion
from backend.providers.anthropic_stream import MessageStream
from backend.providers.anthropic_usage import usage_from_anthropic
from tests.fakes.anthropic_upstream import body, framed, stream, text, thinking
from tests.fakes.cut_stream import cut_at
from tests.fakes.openai_upstream import chunk, sse
from tests.providers.anthropic.drawn import BLOCKS, INPUTS, NAMES, USAGES, WORDS

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
PROMPT = Usage(input=7)
CUTS = st.lists(st.integers(0, 6000), max_size=12)


def shown(chunks: bytes, cuts: list[int], *, thoughts: bool = True) -> list[dict[str, Any]]:
    """The events that a caller is sent for chunks that come in these pieces, each held to its `event:` line."""
    events = MessageEvents("req_1", lambda: PROMPT, thoughts=thoughts)
    out = b"".join([events.feed(piece) for piece in cut_at(chunks, cuts) if piece])
    found = []
    for block in out.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n", 1)
        event = orjson.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


def gone_through(chunks: bytes) -> bytes:
    """As the gateway sends them on."""
    passing = ChunkStream(wants_usage=True, with_facts=True)
    out = passing.feed(chunks) + passing.end()
    if passing.complete:
        out += passing.closing(passing.usage or Usage(input=1, output=1), {"provider": "x"})
    return out


def claude_chunks(wire: bytes) -> bytes:
    splitter, message = EventSplitter(), MessageStream(1_790_000_000)
    return b"".join([message.event(event) for event in [*splitter.feed(wire), *splitter.finish()]])


def put_together(events: list[dict[str, Any]]) -> Any:
    """The message that Anthropic's own SDK makes of the events."""
    message = None
    written: dict[int, bytes] = {}
    for event in events:
        if event["type"] not in ("ping", "message_stop"):
            message = accumulate_event(event=EVENT.validate_python(event), current_snapshot=message, json_bufs=written)
    return message


def check_order(events: list[dict[str, Any]]) -> None:
    """One message, its blocks one after the other, nothing after the end."""
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    if not kinds:
        return
    opened, index = False, -1
    assert kinds.count("message_start") == (kinds[0] == "message_start")
    for number, event in enumerate(event for event in events if event["type"] != "ping"):
        kind = event["type"]
        if kind == "content_block_start":
            assert not opened
            opened, index = True, index + 1
        elif kind in ("content_block_delta", "content_block_stop"):
            assert opened
            opened = kind == "content_block_delta"
        elif kind == "message_delta":
            assert not opened
            assert kinds[number + 1 :] == ["message_stop"]
        elif kind == "error":
            assert number == len(kinds) - 1
        if "index" in event:
            assert event["index"] == index


def as_streamed(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Texts that follow each other are one: chunks do not tell where one ends."""
    told: list[dict[str, Any]] = []
    for block in blocks:
        if told and block["type"] == told[-1]["type"] == "text":
            told[-1] = text(told[-1]["text"] + block["text"])
        else:
            told.append(block)
    return told


def of(message: Any) -> list[dict[str, Any]]:
    names = ("type", "text", "thinking", "signature", "data", "id", "name", "input")
    return [{name: value for name, value in block.to_dict().items() if name in names} for block in message.content]


def check_any_cut(blocks: list[dict[str, Any]], usage: dict[str, Any], stop: str, cuts: list[int]) -> None:
    wire = b"".join(map(framed, stream(*blocks, stop=stop, usage=usage)))
    events = shown(gone_through(claude_chunks(wire)), cuts)
    check_order(events)
    message = put_together(events)
    assert events[-1] == {"type": "message_stop"}
    assert of(message) == as_streamed(blocks)
    assert message.stop_reason == stop
    told = message.usage.to_dict()
    assert {name: told[name] for name in usage} == usage
    assert events[-2]["bourse"] == {"provider": "x"}
    counted = usage_from_anthropic(usage)
    assert counted is not None
    whole = message_of(completion(body(*blocks, stop=stop, usage=usage), counted, 1), counted, thoughts=True)
    assert {name: whole["usage"][name] for name in usage} == usage
    assert whole["stop_reason"] == stop
    order = [("thinking", "redacted_thinking"), ("text",), ("tool_use",)]
    by_kind = [block for kinds in order for block in blocks if block["type"] in kinds]
    assert whole["content"] == as_streamed(by_kind)


any_stream = given(blocks=BLOCKS, usage=USAGES, stop=st.sampled_from(["end_turn", "tool_use", "max_tokens", "pause_turn"]), cuts=CUTS)


@pytest.mark.case("U4")
@settings(max_examples=40)
@any_stream
def test_any_cut_is_the_same_message(blocks: Any, usage: Any, stop: str, cuts: list[int]) -> None:
    check_any_cut(blocks, usage, stop, cuts)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.case("U4")
@settings(max_examples=10_000, deadline=None)
@any_stream
def test_any_cut_is_the_same_message_ten_thousand_times(blocks: Any, usage: Any, stop: str, cuts: list[int]) -> None:
    check_any_cut(blocks, usage, stop, cuts)


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[tuple[str, str, Any]], list[dict[str, Any]]]:
    """Tool calls whose arguments are written in pieces, in any mixture, as some servers do."""
    calls = [(f"call_{number}", draw(NAMES), draw(INPUTS)) for number in range(draw(st.integers(1, 4)))]
    queues = []
    for number, (identity, name, given_input) in enumerate(calls):
        written = json.dumps(given_input, ensure_ascii=False) if given_input or draw(st.booleans()) else ""
        first = {"index": number, "id": identity, "type": "function", "function": {"name": name, "arguments": ""}}
        pieces = [{"index": number, "function": {"arguments": written[at : at + 5]}} for at in range(0, len(written), 5)]
        queues.append([first, *pieces])
    said = []
    while any(queues):
        queue = queues[draw(st.sampled_from([number for number, queue in enumerate(queues) if queue]))]
        said.append(chunk({"tool_calls": [queue.pop(0)]}))
    return calls, said


def check_mixed_calls(drawn: tuple[list[tuple[str, str, Any]], list[dict[str, Any]]], cuts: list[int]) -> None:
    calls, said = drawn
    wire = b"".join(map(sse, [chunk({"role": "assistant", "content": None}), *said, chunk({}, "tool_calls"), "[DONE]"]))
    events = shown(gone_through(wire), cuts)
    check_order(events)
    found = {block["id"]: (block["name"], block["input"]) for block in of(put_together(events))}
    assert found == {identity: (name, given_input) for identity, name, given_input in calls}


@settings(max_examples=40)
@given(drawn=interleaved(), cuts=CUTS)
def test_calls_that_are_written_at_once_follow_each_other(drawn: Any, cuts: list[int]) -> None:
    check_mixed_calls(drawn, cuts)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(max_examples=10_000, deadline=None)
@given(drawn=interleaved(), cuts=CUTS)
def test_calls_that_are_written_at_once_ten_thousand_times(drawn: Any, cuts: list[int]) -> None:
    check_mixed_calls(drawn, cuts)


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["index", "id", "function", "name", "arguments", "type", "thinking", "text", "data"]), inner, max_size=4
        ),
    ),
    max_leaves=6,
)
ANY_CHUNK = st.builds(
    lambda delta, finish, more: {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more},
    st.one_of(
        ANY,
        st.dictionaries(
            st.sampled_from(["content", "reasoning_content", "reasoning", "thinking_blocks", "tool_calls", "refusal", "role"]),
            st.one_of(ANY, st.lists(ANY, max_size=2), WORDS),
            max_size=3,
        ),
    ),
    st.sampled_from([None, None, None, "stop", "tool_calls", "content_filter", 3]),
    st.dictionaries(st.sampled_from(["usage", "service_tier", "bourse", "id", "model", "choices"]), ANY, max_size=2),
)


def check_anything(chunks: list[Any], cuts: list[int]) -> None:
    wire = gone_through(b"".join([sse(one) for one in chunks]) + sse("[DONE]"))
    check_order(shown(wire, cuts))


@settings(max_examples=40)
@given(chunks=st.lists(ANY_CHUNK, max_size=6), cuts=CUTS)
def test_whatever_a_server_writes_the_events_keep_their_order(chunks: list[Any], cuts: list[int]) -> None:
    check_anything(chunks, cuts)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(max_examples=10_000, deadline=None)
@given(chunks=st.lists(ANY_CHUNK, max_size=6), cuts=CUTS)
def test_whatever_a_server_writes_ten_thousand_times(chunks: list[Any], cuts: list[int]) -> None:
    check_anything(chunks, cuts)


@settings(max_examples=40)
@given(
    value=st.one_of(
        ANY, st.dictionaries(st.sampled_from(["choices", "id", "model", "usage", "service_tier"]), st.lists(ANY_CHUNK, max_size=1))
    )
)
def test_whatever_a_whole_answer_is_it_becomes_a_message(value: Any) -> None:
    given_answer = value if isinstance(value, dict) else {"choices": [{"message": value, "finish_reason": value}]}
    told = orjson.loads(orjson.dumps(message_of(given_answer, PROMPT, thoughts=True)))
    assert told["type"] == "message"
    assert isinstance(told["content"], list)


def test_a_comment_becomes_a_ping() -> None:
    events = MessageEvents("req_1", lambda: PROMPT, thoughts=True)
    assert events.feed(KEEP_ALIVE) == PING
    assert events.feed(sse(chunk({"content": "hi"}))).startswith(b"event: message_start\n")
    assert events.feed(KEEP_ALIVE) == PING
    assert events.feed(sse("[DONE]")).endswith(b'{"type":"message_stop"}\n\n')
    assert events.feed(KEEP_ALIVE) == b""


def test_refusals_of_both_kinds() -> None:
    """OpenAI's model says why in its own words; Anthropic's classifier explains the stop."""
    said = [chunk({"refusal": "I cannot "}), chunk({"refusal": "do that."})]
    for finish, words in (("stop", ["I cannot do that."]), ("content_filter", [])):
        events = shown(gone_through(b"".join(map(sse, [*said, chunk({}, finish), "[DONE]"]))), [])
        message = put_together(events)
        assert [block["text"] for block in of(message)] == words
        assert message.stop_reason == "refusal"
        assert message.stop_details.explanation == "I cannot do that."


def test_thoughts_in_parts_of_the_content() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Four."}]
    told = [thinking("Hm.", ""), text("Four.")]
    said = [chunk({"content": parts[:1]}), chunk({"content": parts[1:]}), chunk({}, "stop")]
    assert of(put_together(shown(gone_through(b"".join(map(sse, [*said, "[DONE]"]))), []))) == told
    whole = message_of({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}, PROMPT, thoughts=True)
    assert [block.get("text") or block["thinking"] for block in whole["content"]] == ["Hm.", "Four."]


def test_arguments_that_are_no_json_are_shown_as_they_are() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": '{"zone": "U'}}
    whole = message_of({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "length"}]}, PROMPT, thoughts=True)
    assert whole["content"][0]["input"] == {"INVALID_JSON": '{"zone": "U'}
    assert whole["stop_reason"] == "max_tokens"
