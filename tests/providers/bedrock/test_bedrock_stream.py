"""Any cut of a stream is the same answer; what is broken never crashes, hangs, or says a wrong usage."""

import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chunks import ChunkStream
from backend.pricing.usage import Usage
from backend.providers.anthropic_answer import completion
from backend.providers.anthropic_usage import usage_from_anthropic
from backend.providers.aws_event_stream import EventStreamReader
from backend.providers.bedrock_answer import ConverseEvents, message, usage
from backend.providers.bedrock_claude import ClaudeEvents
from backend.providers.bedrock_messages import translated
from backend.providers.bedrock_stream import BedrockChunks
from tests.fakes.anthropic_upstream import USAGE as CLAUDE_USAGE
from tests.fakes.anthropic_upstream import text
from tests.fakes.bedrock_upstream import USAGE, chunk, claude_events, converse_body, converse_events, encoded, event, exception
from tests.fakes.cut_stream import cut_at
from tests.providers.anthropic.drawn import ANY_JSON, BLOCKS, COUNTS, INPUTS, NAMES, WORDS
from tests.providers.anthropic.test_anthropic_stream import answer_of

CREATED = 1_790_000_000
CUTS = st.lists(st.integers(0, 6000), max_size=12)
CONVERSED = st.lists(
    st.one_of(
        st.builds(lambda words: {"text": words}, WORDS),
        st.builds(lambda words, sign: {"reasoningContent": {"reasoningText": {"text": words, "signature": sign}}}, WORDS, WORDS),
        st.builds(lambda data: {"reasoningContent": {"redactedContent": data}}, NAMES),
        st.builds(
            lambda call, name, given: {"toolUse": {"toolUseId": call, "name": name, "input": given}},
            NAMES,
            NAMES,
            INPUTS,
        ),
    ),
    max_size=5,
)
USAGES = st.fixed_dictionaries(
    {"inputTokens": COUNTS, "outputTokens": st.integers(1, 100_000)},
    optional={"cacheReadInputTokens": COUNTS, "cacheWriteInputTokens": COUNTS},
)
STOPS = st.sampled_from(["end_turn", "tool_use", "content_filtered", "max_tokens"])


def converse_chunks() -> BedrockChunks:
    return BedrockChunks("aws", ConverseEvents("chatcmpl-1", "amazon.nova-pro-v1:0", CREATED))


def claude_chunks() -> BedrockChunks:
    return BedrockChunks("aws", ClaudeEvents(CREATED))


def chunks_of(chunks: BedrockChunks, wire: bytes, cuts: list[int]) -> bytes:
    """What the adapter makes of the bytes when they come in these pieces."""
    return b"".join(map(chunks.feed, cut_at(wire, cuts))) + chunks.end()


def check_any_cut(blocks: list[dict[str, Any]], told_usage: dict[str, Any], stop: str, cuts: list[int]) -> None:
    wire = b"".join(converse_events(*blocks, stop=stop, usage=told_usage))
    said, finish, told = answer_of(chunks_of(converse_chunks(), wire, cuts))
    as_message = message(converse_body(*blocks, stop=stop, usage=told_usage), "chatcmpl-1", "amazon.nova-pro-v1:0")
    whole = completion(as_message, usage_from_anthropic(as_message["usage"]), CREATED)
    same = whole["choices"][0]["message"]
    assert finish == whole["choices"][0]["finish_reason"]
    assert told == whole["usage"]
    assert told["total_tokens"] == sum(count for name, count in told_usage.items() if name != "totalTokens")
    assert said["content"] == (same["content"] or "")
    assert said["reasoning_content"] == same.get("reasoning_content", "")
    assert said["thinking_blocks"] == same.get("thinking_blocks", [])
    calls = [(call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"])) for call in said["tool_calls"]]
    assert calls == [
        (call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"])) for call in same.get("tool_calls", [])
    ]


any_stream = given(blocks=CONVERSED, told_usage=USAGES, stop=STOPS, cuts=CUTS)


@pytest.mark.case("U4")
@settings(max_examples=40)
@any_stream
def test_any_cut_of_converse_is_the_same_answer(blocks: Any, told_usage: Any, stop: str, cuts: list[int]) -> None:
    check_any_cut(blocks, told_usage, stop, cuts)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.case("U4")
@settings(max_examples=10_000, deadline=None)
@any_stream
def test_any_cut_of_converse_is_the_same_answer_ten_thousand_times(blocks: Any, told_usage: Any, stop: str, cuts: list[int]) -> None:
    check_any_cut(blocks, told_usage, stop, cuts)


@pytest.mark.case("U4")
@settings(max_examples=40)
@given(blocks=BLOCKS, cuts=CUTS)
def test_any_cut_of_claude_is_the_same_answer(blocks: Any, cuts: list[int]) -> None:
    """That the events in the envelope are read right is held by the tests of Anthropic's own."""
    wire = b"".join(claude_events(*blocks))
    told = chunks_of(claude_chunks(), wire, cuts)
    assert told == chunks_of(claude_chunks(), wire, [])
    assert answer_of(told)[2]["total_tokens"] == 102


@settings(max_examples=40)
@given(blocks=CONVERSED)
def test_an_answer_goes_back_as_it_came(blocks: list[dict[str, Any]]) -> None:
    """Thoughts first, then the text in one, then the calls, as OpenAI's message has them."""
    as_message = message(converse_body(*blocks), "chatcmpl-1", "amazon.nova-pro-v1:0")
    said = completion(as_message, None, CREATED)["choices"][0]["message"]
    words = "".join(block["text"] for block in blocks if "text" in block)
    expected = [block for block in blocks if "reasoningContent" in block]
    expected += [{"text": words}] if words.strip() else []
    expected += [block for block in blocks if "toolUse" in block]
    _, turns = translated([said])
    assert turns == ([{"role": "assistant", "content": expected}] if expected else [])


@st.composite
def broken_streams(draw: st.DrawFn) -> tuple[bool, bytes]:
    """A good stream of which events are left out, repeated, changed or damaged, with anything between them, and which may be cut."""
    is_claude = draw(st.booleans())
    pieces = claude_events(*draw(BLOCKS)) if is_claude else converse_events(*draw(CONVERSED))
    kinds = ["chunk"] if is_claude else ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "x"]
    wire = []
    for piece in pieces:
        change = draw(st.sampled_from(["", "", "", "", "out", "twice", "junk", "field", "exception", "bytes"]))
        if change == "out":
            continue
        if change == "junk":
            wire.append(event(draw(st.sampled_from(kinds)), draw(ANY_JSON)))
        elif change == "field":
            wire.append(_with_a_field_changed(piece, draw, is_claude=is_claude))
            continue
        elif change == "exception" and draw(st.integers(0, 4)) == 0:
            wire.append(exception("throttlingException", "busy"))
        elif change == "bytes":
            at = draw(st.integers(0, len(piece)))
            piece = piece[:at] + draw(st.binary(max_size=6)) + piece[at + draw(st.integers(0, 6)) :]
        wire += [piece] * (2 if change == "twice" else 1)
    whole = b"".join(wire)
    return is_claude, whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole


def _with_a_field_changed(piece: bytes, draw: st.DrawFn, *, is_claude: bool) -> bytes:
    """Everywhere but in the usage."""
    (told,) = _read(piece)
    value = orjson.loads(base64.b64decode(orjson.loads(told[1])["bytes"])) if is_claude else orjson.loads(told[1])
    name = draw(st.sampled_from(sorted(value)))
    if name not in ("type", "usage", "message", "amazon-bedrock-invocationMetrics"):
        value[name] = draw(ANY_JSON)
    return chunk(value) if is_claude else event(told[0], value)


def _read(wire: bytes) -> list[tuple[str, bytes]]:
    return [(one.headers[":event-type"], one.payload) for one in EventStreamReader().feed(wire)]


def check_broken(is_claude: bool, wire: bytes, cuts: list[int]) -> None:
    def fresh() -> BedrockChunks:
        return claude_chunks() if is_claude else converse_chunks()

    first, second = fresh(), fresh()
    chunks = chunks_of(first, wire, cuts)
    assert chunks == chunks_of(second, wire, [])
    assert str(first.failure) == str(second.failure)
    read = ChunkStream(wants_usage=True, with_facts=False)
    read.feed(chunks)
    read.end()
    if read.usage is not None:
        # Whatever was said of it is what the provider said: nothing is made up, nothing is counted twice.
        known = usage_from_anthropic(CLAUDE_USAGE if is_claude else usage({"usage": USAGE}))
        assert known is not None
        assert read.usage.total_input == known.total_input
        assert read.usage.total_output in (1, known.total_output) if is_claude else read.usage.total_output == known.total_output


any_break = given(broken=broken_streams(), cuts=st.lists(st.integers(0, 6000), max_size=6))


@pytest.mark.case("U4")
@settings(max_examples=60)
@any_break
def test_broken_streams_are_read_to_their_end(broken: tuple[bool, bytes], cuts: list[int]) -> None:
    check_broken(*broken, cuts)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.case("U4")
@settings(max_examples=10_000, deadline=None)
@any_break
def test_broken_streams_are_read_to_their_end_ten_thousand_times(broken: tuple[bool, bytes], cuts: list[int]) -> None:
    check_broken(*broken, cuts)


# ── usage ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(USAGE, Usage(input=20, cache_read=40, cache_write=30, output=12), id="everything"),
        pytest.param({"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}, Usage(input=9, output=3), id="plain"),
        pytest.param(
            {**USAGE, "cacheDetails": [{"ttl": "1h", "inputTokens": 25}, {"ttl": "5m", "inputTokens": 5}]},
            Usage(input=20, cache_read=40, cache_write=5, cache_write_1h=25, output=12),
            id="kept for an hour",
        ),
        pytest.param({**USAGE, "cacheDetails": [1, {"ttl": "1h"}, None]}, Usage(20, 40, 30, output=12), id="odd details"),
        pytest.param({"inputTokens": 9}, None, id="no output"),
        pytest.param({"inputTokens": -1, "outputTokens": 3}, None, id="nonsense"),
        pytest.param(None, None, id="null"),
    ],
)
def test_usage_of_converse(told: Any, expected: Usage | None) -> None:
    assert usage_from_anthropic(usage({"usage": told})) == expected


def test_bedrocks_own_count_is_taken_where_claudes_events_have_none() -> None:
    """Of the same answer it says the same, and nothing is added up."""
    events = [orjson.loads(base64.b64decode(orjson.loads(payload)["bytes"])) for _, payload in _read(b"".join(claude_events(text())))]
    ends = next(number for number, one in enumerate(events) if one["type"] == "message_delta")
    del events[ends]["usage"]
    _, _, told = answer_of(chunks_of(claude_chunks(), b"".join(map(chunk, events)), []))
    assert (told["prompt_tokens"], told["completion_tokens"]) == (90, 12)
    assert told["prompt_tokens_details"]["cached_tokens"] == 40
    metrics = {"inputTokenCount": 999, "outputTokenCount": 999, "cacheReadInputTokenCount": 999}
    _, _, told = answer_of(chunks_of(claude_chunks(), b"".join(claude_events(text(), metrics=metrics)), []))
    assert (told["prompt_tokens"], told["completion_tokens"]) == (90, 12)


@pytest.mark.parametrize("metrics", [None, 1, {}, {"inputTokenCount": "x"}, {"outputTokenCount": -1}])
def test_odd_counts_of_bedrocks_own_break_nothing(metrics: Any) -> None:
    events = [{"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}]
    assert chunks_of(claude_chunks(), b"".join(map(chunk, events)), []).endswith(b"data: [DONE]\n\n")


def test_an_answer_is_whole_without_its_metadata_and_not_without_its_stop() -> None:
    told = chunks_of(converse_chunks(), b"".join(converse_events({"text": "hi"}, usage=None)), [])
    assert told.endswith(b"data: [DONE]\n\n")
    assert answer_of(told)[2] is None
    cut = converse_events({"text": "hi"})[:-2]
    assert b"[DONE]" not in chunks_of(converse_chunks(), b"".join(cut), [])


def test_nothing_is_said_after_the_end() -> None:
    good = b"".join(converse_events({"text": "hi"}))
    assert chunks_of(converse_chunks(), good + good, []) == chunks_of(converse_chunks(), good, [])


def test_an_exception_ends_the_stream_and_what_came_before_is_kept() -> None:
    chunks = converse_chunks()
    wire = event("messageStart", {"role": "assistant"}) + exception("throttlingException", "busy") + event("messageStop", {})
    assert b"assistant" in chunks.feed(wire)
    assert chunks.failure is not None
    assert chunks.feed(wire) == b""
    assert chunks.end() == b""


def test_other_messages_and_other_events_are_left_out() -> None:
    wire = encoded({":message-type": "x"}, b"{}") + encoded({}, b"") + event("initial-response", {}) + event("later", {"a": 1})
    for chunks in (converse_chunks(), claude_chunks()):
        assert chunks_of(chunks, wire, []) == b""
        assert chunks.failure is None


def test_payloads_that_are_no_json_are_counted_as_such() -> None:
    assert claude_chunks().feed(event("chunk", {"bytes": 1})) == b"data: malformed\n\n"
    assert claude_chunks().feed(event("chunk", {"bytes": base64.b64encode(b"{").decode()})) == b"data: malformed\n\n"
    assert converse_chunks().feed(event("contentBlockDelta", json.loads("[]"))) == b"data: malformed\n\n"
