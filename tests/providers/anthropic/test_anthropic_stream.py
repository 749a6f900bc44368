"""Any cut of a stream is the same answer; what is broken never crashes, hangs, or says a wrong usage."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chunks import ChunkStream
from backend.kernel.sse import EventSplitter
from backend.pricing.usage import Usage
from backend.providers.anthropic_answer import completion
from backend.providers.anthropic_stream import MAX_KEPT_BYTES, MessageStream, ThoughtTooLong
from backend.providers.anthropic_usage import usage_from_anthropic
from tests.fakes.anthropic_upstream import USAGE, body, framed, stream, text, tool_use
from tests.fakes.cut_stream import cut_at
from tests.providers.anthropic.drawn import ANY_JSON, BLOCKS, USAGES


def chunks_of(wire: bytes, cuts: list[int]) -> bytes:
    """What the adapter makes of the bytes when they come in these pieces."""
    splitter, message = EventSplitter(), MessageStream(1_790_000_000)
    found = [message.event(event) for piece in cut_at(wire, cuts) for event in splitter.feed(piece)]
    return b"".join(found + [message.event(event) for event in splitter.finish()])


def answer_of(chunks: bytes) -> tuple[dict[str, Any], str | None, Any]:
    """Message, finish reason and usage, put together as client libraries do."""
    said: dict[str, Any] = {"content": "", "reasoning_content": "", "thinking_blocks": [], "tool_calls": []}
    finish = usage = None
    for data in chunks.split(b"\n\n")[:-1]:
        if data == b"data: [DONE]":
            break
        chunk = orjson.loads(data.removeprefix(b"data: "))
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            for name, value in choice["delta"].items():
                if name in ("content", "reasoning_content"):
                    said[name] += value
                elif name == "thinking_blocks":
                    assert value[0].pop("index") == len(said[name])
                    said[name] += value
                elif name == "tool_calls":
                    call = value[0]
                    if "id" in call:
                        assert call["index"] == len(said[name])
                        said[name].append(call)
                    else:
                        said[name][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    return said, finish, usage


def check_any_cut(blocks: list[dict[str, Any]], usage: dict[str, Any], stop: str, cuts: list[int]) -> None:
    wire = b"".join(map(framed, stream(*blocks, stop=stop, usage=usage)))
    message, finish, told = answer_of(chunks_of(wire, cuts))
    buckets = usage_from_anthropic(usage)
    whole = completion(body(*blocks, stop=stop, usage=usage), buckets, 1_790_000_000)
    same = whole["choices"][0]["message"]
    assert finish == whole["choices"][0]["finish_reason"]
    assert told == whole["usage"]
    assert message["content"] == (same["content"] or "")
    assert message["reasoning_content"] == same.get("reasoning_content", "")
    assert message["thinking_blocks"] == same.get("thinking_blocks", [])
    calls = [(call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"])) for call in message["tool_calls"]]
    assert calls == [
        (call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"])) for call in same.get("tool_calls", [])
    ]


any_stream = given(
    blocks=BLOCKS, usage=USAGES, stop=st.sampled_from(["end_turn", "tool_use", "refusal"]), cuts=st.lists(st.integers(0, 4000), max_size=12)
)


@pytest.mark.case("U4")
@settings(max_examples=120)
@any_stream
def test_any_cut_is_the_same_answer(blocks: Any, usage: Any, stop: str, cuts: list[int]) -> None:
    check_any_cut(blocks, usage, stop, cuts)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.case("U4")
@settings(max_examples=10_000, deadline=None)
@any_stream
def test_any_cut_is_the_same_answer_ten_thousand_times(blocks: Any, usage: Any, stop: str, cuts: list[int]) -> None:
    check_any_cut(blocks, usage, stop, cuts)


@st.composite
def broken_streams(draw: st.DrawFn) -> bytes:
    """A good stream of which events are left out, repeated, swapped, changed or cut, and between which there is anything."""
    events = stream(*draw(BLOCKS))
    wire = []
    for event in events:
        change = draw(st.sampled_from(["", "", "", "", "out", "twice", "field", "junk", "bytes"]))
        if change == "out":
            continue
        data = framed(event)
        if change == "field":
            path = draw(st.sampled_from(sorted(event)))
            data = framed({**event, "type": event["type"], path: draw(ANY_JSON)} if path != "type" else event)
        elif change == "junk":
            wire.append(
                framed({"type": draw(st.sampled_from(["content_block_delta", "content_block_start", "message_delta", "x"])), "a": 1})
            )
        elif change == "bytes":
            at = draw(st.integers(0, len(data)))
            data = data[:at] + draw(st.binary(max_size=6)) + data[at + draw(st.integers(0, 6)) :]
        wire += [data] * (2 if change == "twice" else 1)
    whole = b"".join(wire)
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole


def check_broken(wire: bytes, cuts: list[int]) -> None:
    chunks = chunks_of(wire, cuts)
    assert chunks == chunks_of(wire, [])
    read = ChunkStream(wants_usage=True, with_facts=False)
    read.feed(chunks)
    read.end()
    if read.usage is not None:
        # Whatever was said of it is what the provider said: nothing is made up, nothing is counted twice.
        assert min(read.usage) >= 0
        if _is_untouched(wire):
            known = usage_from_anthropic(USAGE)
            assert known is not None
            assert read.usage.total_input == known.total_input
            assert read.usage.total_output in (1, known.total_output)


def _is_untouched(wire: bytes) -> bool:
    """Every usage in it is one that the good stream has."""
    usages = []
    for event in EventSplitter().feed(wire):
        try:
            value = orjson.loads(event)
        except orjson.JSONDecodeError:
            return False
        if isinstance(value, dict):
            message = value.get("message")
            usages += [value.get("usage"), message.get("usage") if isinstance(message, dict) else None]
    start = {name: value for name, value in USAGE.items() if name != "output_tokens_details"} | {"output_tokens": 1}
    end = {name: USAGE[name] for name in ("output_tokens", "output_tokens_details")}
    return all(usage in (None, start, end) for usage in usages)


any_break = given(wire=broken_streams(), cuts=st.lists(st.integers(0, 4000), max_size=6))


@pytest.mark.case("U4")
@settings(max_examples=120)
@any_break
def test_broken_streams_are_read_to_their_end(wire: bytes, cuts: list[int]) -> None:
    check_broken(wire, cuts)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.case("U4")
@settings(max_examples=10_000, deadline=None)
@any_break
def test_broken_streams_are_read_to_their_end_ten_thousand_times(wire: bytes, cuts: list[int]) -> None:
    check_broken(wire, cuts)


def test_a_thought_without_end_is_not_held() -> None:
    message = MessageStream(0)
    message.event(orjson.dumps({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}))
    event = orjson.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x" * 1024 * 1024}})
    with pytest.raises(ThoughtTooLong):
        for _ in range(MAX_KEPT_BYTES // (1024 * 1024) + 1):
            message.event(event)


def test_a_long_id_is_not_written_into_every_chunk() -> None:
    message = MessageStream(0)
    event = {"type": "message_start", "message": {**body(), "id": "x" * 10_000}}
    assert message.event(orjson.dumps(event)) == b"data: malformed\n\n"


@pytest.mark.parametrize(
    ("given_usage", "expected"),
    [
        pytest.param(USAGE, Usage(input=20, cache_read=40, cache_write=10, cache_write_1h=20, output=7, reasoning=5), id="everything"),
        pytest.param({"input_tokens": 9, "output_tokens": 3}, Usage(input=9, output=3), id="plain"),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 3, "cache_creation_input_tokens": 50, "cache_creation": None},
            Usage(input=9, cache_write=50, output=3),
            id="written, for who knows how long",
        ),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 7, "ephemeral_5m_input_tokens": 1}},
            Usage(input=9, cache_write=1, cache_write_1h=7, output=3),
            id="parts without the whole",
        ),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 30}},
            Usage(input=9, reasoning=3),
            id="more thoughts than output",
        ),
        pytest.param({"input_tokens": 9}, None, id="no output"),
        pytest.param({"input_tokens": -1, "output_tokens": 3}, None, id="nonsense"),
        pytest.param(None, None, id="null"),
    ],
)
def test_usage(given_usage: Any, expected: Usage | None) -> None:
    assert usage_from_anthropic(given_usage) == expected


def test_a_server_that_counts_its_input_at_the_end_or_puts_null_there_is_understood() -> None:
    events = stream(text(), usage={"input_tokens": 0, "output_tokens": 0})
    events[-2]["usage"] = {"input_tokens": 17, "output_tokens": 4, "cache_read_input_tokens": None}
    _, _, usage = answer_of(chunks_of(b"".join(map(framed, events)), []))
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (17, 4)


def test_a_server_that_counts_nothing_at_the_end_leaves_the_answer_uncounted() -> None:
    events = stream(text("Hello there, this is long."))
    del events[-2]["usage"]
    read = ChunkStream(wants_usage=True, with_facts=False)
    read.feed(chunks_of(b"".join(map(framed, events)), []))
    assert read.complete
    assert read.usage is not None
    assert read.usage.total_output == 1
    assert read.uncounted_output_tokens() == 4


def test_lines_may_end_in_crlf_and_arguments_may_come_at_once() -> None:
    events = stream(tool_use("now", {"zone": "UTC"}), stop="tool_use")
    begun = [{**event, "content_block": tool_use("now", {"zone": "UTC"})} if "content_block" in event else event for event in events]
    wire = b"".join(framed(event) for event in begun if event["type"] != "content_block_delta").replace(b"\n", b"\r\n")
    message, finish, _ = answer_of(chunks_of(wire, [5, 99, 100]))
    assert orjson.loads(message["tool_calls"][0]["function"]["arguments"]) == {"zone": "UTC"}
    assert finish == "tool_calls"
