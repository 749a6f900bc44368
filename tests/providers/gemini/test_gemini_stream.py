"""Gemini's streams, cut anywhere, broken anywhere, and with anything in them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chunks import ChunkStream
from backend.providers.gemini_answer import Identity, chat_completion
from backend.providers.gemini_stream import GeminiStream
from tests.fakes.cut_stream import cut_at
from tests.fakes.gemini_upstream import RESPONSE_ID, TEXT, USAGE, call, pieces, response, sse, text

IDENTITY = Identity("google", "gemini-3-flash", "made", 1_790_000_000)
CALLS = [call("weather", {"city": "Oslo"}, signature="c2ln"), call("time", {}, identity="own-7")]
STREAMS: dict[str, list[dict[str, Any]]] = {
    "words": pieces(),
    "calls": [
        response(text("Let me see. Grüße 🌍"), finish=None),
        response(CALLS[0], finish=None),
        response(CALLS[1], finish=None),
        response(text("")),
    ],
    "two choices": [
        response(text("a"), finish=None, index=0),
        response(text("b"), finish=None, index=1),
        response(text("c"), finish="MAX_TOKENS", index=1),
        response(text("d"), index=0),
    ],
}


def wire(events: list[Any]) -> bytes:
    return b"".join(map(sse, events))


def translated(*data: bytes, ends: bool = True) -> tuple[bytes, GeminiStream]:
    stream = GeminiStream(IDENTITY)
    out = b"".join(map(stream.feed, data))
    return out + (stream.end() if ends else stream.broken()), stream


def chunks_of(out: bytes) -> list[Any]:
    assert out == b"" or out.endswith(b"\n\n")
    return [line[6:] if line == b"data: [DONE]" else json.loads(line[6:]) for line in out.split(b"\n\n") if line and line != b"data: {"]


def merged(chunks: list[Any]) -> dict[int, dict[str, Any]]:
    """The choices as a client puts them together."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"] if isinstance(chunk, dict) else ():
            one = choices.setdefault(choice["index"], {"finish": None, "tool_calls": []})
            one["finish"] = choice["finish_reason"] or one["finish"]
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    one[name] += [{key: inner for key, inner in part.items() if key != "index"} for part in value]
                elif name in ("content", "reasoning_content"):
                    one[name] = one.get(name, "") + value
    return choices


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_says_what_the_whole_answer_says(name: str) -> None:
    events = STREAMS[name]
    parts: dict[int, list[Any]] = {}
    finish: dict[int, str] = {}
    for event in events:
        for candidate in event["candidates"]:
            parts.setdefault(candidate["index"], []).extend(candidate["content"]["parts"])
            finish[candidate["index"]] = candidate.get("finishReason", "")
    whole = {
        "candidates": [{"content": {"parts": parts[index]}, "finishReason": finish[index], "index": index} for index in sorted(parts)],
        "usageMetadata": USAGE,
        "responseId": RESPONSE_ID,
    }
    answer = chat_completion(whole, IDENTITY)
    chunks = chunks_of(translated(wire(events))[0])
    choices = merged(chunks)
    for choice in answer["choices"]:
        said, streamed = choice["message"], choices[choice["index"]]
        assert streamed["finish"] == choice["finish_reason"]
        assert streamed.get("content", "") == (said["content"] or "")
        assert streamed["tool_calls"] == said.get("tool_calls", [])
        assert streamed.get("reasoning_content") == said.get("reasoning_content")
    assert [chunk["usage"] for chunk in chunks if isinstance(chunk, dict) and "usage" in chunk] == [answer["usage"]]
    assert chunks[-1] == b"[DONE]"


@pytest.mark.case("U4")
@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(STREAMS)), cuts=st.lists(st.integers(0, 3000), max_size=12))
def test_any_chunking_gives_the_same_answer(name: str, cuts: list[int]) -> None:
    data = wire(STREAMS[name])
    assert translated(*cut_at(data, cuts))[0] == translated(data)[0]


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(STREAMS)), at=st.integers(0, 3000), ends=st.booleans())
def test_a_stream_that_breaks_anywhere_is_told_from_a_whole_one(name: str, at: int, ends: bool) -> None:
    data = wire(STREAMS[name])
    out, _ = translated(data[: min(at, len(data))], ends=ends)
    gateway = ChunkStream(wants_usage=True, with_facts=False)
    gateway.feed(out)
    gateway.end()
    if at >= len(data) and ends:
        assert gateway.done
        assert gateway.usage is not None
        assert (gateway.usage.total_input, gateway.usage.total_output) == (20, 22)
    elif gateway.usage is not None:
        # Only what counts everything that came is shown: a lower bound of what is billed, and never the prompt alone.
        assert gateway.usage.total_input == 20
        assert gateway.usage.total_output > 0
        assert gateway.uncounted_output_tokens() == 0
    if at < len(data) - 40:
        assert not gateway.done


def test_usage_that_counts_less_than_was_said_is_not_shown() -> None:
    only_prompt = {"promptTokenCount": 20, "totalTokenCount": 20}
    out, _ = translated(wire([response(text("Hello"), finish=None, usage=only_prompt)]))
    assert b'"usage"' not in out
    out, _ = translated(wire([response(text("Hello"), finish=None), response(text(" you"), finish=None, usage=None)]))
    assert b'"usage"' not in out


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_what_is_no_answer_is_a_failure_after_what_came_before_it(reason: str) -> None:
    out, stream = translated(wire([response(text(TEXT), finish=None), response(finish=reason)]))
    assert TEXT.encode() in out
    assert stream.failure is not None
    assert stream.failure.kind == "protocol"
    assert b"[DONE]" not in out


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_reasons(reason: str, ours: str) -> None:
    out, _ = translated(wire([response(text("x"), finish=reason)]))
    assert merged(chunks_of(out))[0]["finish"] == ours


def test_an_event_that_cannot_be_read_is_counted_and_the_rest_goes_on() -> None:
    out, _ = translated(wire([response(text("a"), finish=None), b'{"candidates": [', response(text("b"))]))
    gateway = ChunkStream(wants_usage=False, with_facts=False)
    gateway.feed(out)
    assert gateway.malformed == 1
    assert merged(chunks_of(out))[0]["content"] == "ab"


def test_log_probabilities_and_pictures() -> None:
    probabilities = {
        "chosenCandidates": [{"token": "é", "tokenId": 1, "logProbability": -0.25}],
        "topCandidates": [{"candidates": [{"token": "é", "tokenId": 1, "logProbability": -0.25}]}],
    }
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
    answer = chat_completion(response(text("é"), picture, candidate={"logprobsResult": probabilities}), IDENTITY)
    token = {"token": "é", "logprob": -0.25, "bytes": [195, 169]}
    assert answer["choices"][0]["logprobs"] == {"content": [{**token, "top_logprobs": [token]}], "refusal": None}
    assert answer["choices"][0]["message"]["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]


NAMES = st.sampled_from([
    "candidates", "content", "parts", "text", "thought", "functionCall", "name", "args", "finishReason", "usageMetadata", "index",
    "promptTokenCount", "candidatesTokenCount", "promptFeedback", "blockReason", "error", "logprobsResult", "chosenCandidates",
    "topCandidates", "inlineData", "responseId", "modelVersion", "promptTokensDetails", "thoughtSignature",
])  # fmt: skip
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["STOP", "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=16,
)


ANY_EVENTS = given(events=st.lists(JUNK, max_size=4), candidate=JUNK, part=JUNK)


@pytest.mark.case("U4")
@settings(max_examples=60, deadline=None)
@ANY_EVENTS
def test_nothing_in_a_stream_is_beyond_us(events: list[Any], candidate: Any, part: Any) -> None:
    nested = [{"candidates": [candidate]}, {"candidates": [{"content": {"parts": [part, part]}, "finishReason": "STOP"}]}]
    out, _ = translated(wire([*events, *nested]))
    gateway = ChunkStream(wants_usage=True, with_facts=False)
    gateway.feed(out)
    for chunk in chunks_of(out):
        if isinstance(chunk, dict):
            assert {"id", "object", "created", "model", "choices"} <= chunk.keys()


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@ANY_EVENTS
def test_nothing_in_ten_thousand_streams_is_beyond_us(events: list[Any], candidate: Any, part: Any) -> None:
    test_nothing_in_a_stream_is_beyond_us.hypothesis.inner_test(events, candidate, part)  # type: ignore[attr-defined]
