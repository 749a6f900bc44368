"""Whole answers and streams are two ways to tell the same thing: nothing is lost on the way from one to the other, or back."""

import itertools
import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from backend.gateway.cache.assembly import Assembly, CannotAssemble
from backend.gateway.cache.entry import why_not_kept
from backend.gateway.cache.unfolding import PIECE, stream_of
from backend.gateway.chunks import ChunkStream
from backend.kernel.sse import EventSplitter

TEXT = st.text(max_size=30)
FIELD = st.sampled_from(
    ["index", "role", "content", "reasoning", "refusal", "tool_calls", "function_call", "id", "type", "function", "name", "arguments"]
)
USAGE = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
TOKEN = st.fixed_dictionaries({"token": TEXT, "logprob": st.floats(-20, 0), "bytes": st.none(), "top_logprobs": st.just([])})
TOOL_CALL = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.just("look_up"), "arguments": TEXT}),
    }
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | TEXT},
    optional={
        "refusal": st.none() | TEXT,
        "reasoning_content": TEXT,
        "reasoning": st.none() | TEXT,
        "tool_calls": st.lists(TOOL_CALL, max_size=3),
        "annotations": st.just([{"type": "url_citation", "url_citation": {"url": "https://example.com", "start_index": 0}}]),
        "reasoning_details": st.lists(st.fixed_dictionaries({"type": st.just("reasoning.text"), "text": TEXT}), max_size=2),
    },
)
CHOICE = st.fixed_dictionaries(
    {"message": MESSAGE, "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
    optional={
        "logprobs": st.none() | st.fixed_dictionaries({"content": st.lists(TOKEN, max_size=3), "refusal": st.none()}),
        "native_finish_reason": st.just("STOP"),
    },
)
WHOLE = st.builds(
    lambda choices, more: {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "m",
        "choices": [{"index": index, **choice} for index, choice in enumerate(choices)],
        "usage": USAGE,
        **more,
    },
    st.lists(CHOICE, min_size=1, max_size=3),
    st.fixed_dictionaries({}, optional={"system_fingerprint": st.none() | TEXT, "citations": st.just(["https://example.com"])}),
)


def assembled(data: bytes, *cuts: int) -> dict[str, Any]:
    assembly = Assembly()
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        assembly.feed(data[start:end])
    return assembly.whole()


@given(whole=WHOLE, wants_usage=st.booleans(), cuts=st.lists(st.integers(0, 10**6), max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_whole_answer_told_as_a_stream_and_put_together_again_is_the_same(
    whole: dict[str, Any], wants_usage: bool, cuts: list[int]
) -> None:
    data = stream_of(whole, wants_usage=wants_usage, facts={"cache": "hit"})
    expected = whole if wants_usage else {name: value for name, value in whole.items() if name != "usage"}
    assert assembled(data, *cuts) == expected


@given(data=st.data(), whole=WHOLE, wants_usage=st.booleans())
@settings(max_examples=50, deadline=None)
def test_however_a_provider_cuts_its_answer_into_chunks_the_same_is_kept(
    data: st.DataObject, whole: dict[str, Any], wants_usage: bool
) -> None:
    """Texts in pieces of any length, choices in any order among each other, usage shown to the caller or not."""
    upstream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in shuffled_chunks(data, whole)) + b"data: [DONE]\n\n"
    relayed = ChunkStream(wants_usage=wants_usage, with_facts=True)
    size = data.draw(st.integers(1, 400), label="bytes of a packet")
    out = b"".join(relayed.feed(upstream[start : start + size]) for start in range(0, len(upstream), size))
    assert relayed.complete
    assert relayed.usage is not None
    told = assembled(out + relayed.closing(relayed.usage, {"cache": "miss"}))
    assert {**told, "usage": USAGE} == whole


def shuffled_chunks(data: st.DataObject, whole: dict[str, Any]) -> list[dict[str, Any]]:
    """A provider's stream that spells the answer."""
    queues = []
    for choice in whole["choices"]:
        index, message = choice["index"], dict(choice["message"])
        rest = {name: value for name, value in choice.items() if name not in ("index", "message", "finish_reason")}
        deltas: list[dict[str, Any]] = [{"role": message.pop("role")}]
        for name, value in message.items():
            if isinstance(value, str):
                deltas += [{name: piece} for piece in pieces(data, value)]
            elif name == "tool_calls" and value:
                for number, call in enumerate(value):
                    function = call["function"]
                    deltas.append({name: [{**call, "index": number, "function": {"name": function["name"], "arguments": ""}}]})
                    deltas += [{name: [{"index": number, "function": {"arguments": p}}]} for p in pieces(data, function["arguments"])]
            else:
                deltas.append({name: value})
        chunks = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas]
        queues.append([*chunks, {"index": index, "delta": {}, **rest, "finish_reason": choice["finish_reason"]}])
    same = {name: value for name, value in whole.items() if name not in ("choices", "usage", "object")}
    same["object"] = "chat.completion.chunk"
    told = []
    while waiting := [queue for queue in queues if queue]:
        told.append({**same, "choices": [data.draw(st.sampled_from(waiting)).pop(0)]})
    return [*told, {**same, "choices": [], "usage": whole["usage"]}]


def pieces(data: st.DataObject, text: str) -> list[str]:
    cut = data.draw(st.integers(0, len(text)))
    return [text[:cut], text[cut:]]


@given(whole=WHOLE)
@settings(max_examples=50, deadline=None)
def test_the_openai_sdk_reads_the_same_answer_from_the_stream(whole: dict[str, Any]) -> None:
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for payload in EventSplitter().feed(stream_of(whole, wants_usage=True, facts=None)):
        if payload != b"[DONE]":
            state.handle_chunk(ChatCompletionChunk.model_validate(orjson.loads(payload)))
    read = state.current_completion_snapshot
    assert read.usage is not None
    assert read.usage.total_tokens == 32
    for choice, told in zip(whole["choices"], read.choices, strict=True):
        message = choice["message"]
        assert (told.message.content or None) == (message["content"] or None)
        assert told.finish_reason == choice["finish_reason"]
        calls = [(call.id, call.function.name, call.function.arguments) for call in told.message.tool_calls or []]  # type: ignore[union-attr]
        asked = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
        assert calls == asked
        tokens = [token.logprob for token in (told.logprobs.content if told.logprobs else None) or []]
        assert tokens == [token["logprob"] for token in (choice.get("logprobs") or {}).get("content") or []]


@pytest.mark.parametrize("numbered", [False, True])
def test_signed_thoughts_are_told_with_their_signatures_before_the_answer(numbered: bool) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "a"},
        {"type": "redacted_thinking", "data": "b"},
        {"type": "thinking", "thinking": "Yes.", "signature": "c"},
    ]
    if numbered:  # as a stream had them
        blocks = [{"index": number, **block} for number, block in enumerate(blocks)]
    message = {"role": "assistant", "content": "Four.", "reasoning_content": "Hm.Yes.", "thinking_blocks": blocks}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    data = stream_of(whole, wants_usage=False, facts=None)
    assert assembled(data) == whole
    told = [list(orjson.loads(payload)["choices"][0]["delta"]) for payload in EventSplitter().feed(data) if payload != b"[DONE]"]
    signed = ["thinking_blocks"]
    assert told[1:-1] == [["reasoning_content"], signed, signed, ["reasoning_content"], signed, ["content"]]


def test_long_texts_go_out_in_pieces_that_every_client_can_read() -> None:
    message = {"role": "assistant", "content": "x" * (3 * PIECE + 1)}
    whole = {"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": message}]}
    whole["choices"][0]["finish_reason"] = "stop"  # type: ignore[index]
    data = stream_of(whole, wants_usage=False, facts=None)
    assert max(map(len, data.split(b"\n"))) < PIECE + 200
    assert assembled(data) == whole


@pytest.mark.parametrize(
    ("deltas", "why"),
    [
        ([{"tool_calls": [{"index": 0, "id": "a"}]}, {"tool_calls": [{"index": 0, "id": "b"}]}], "two calls under one number"),
        ([{"tool_calls": [{"function": {"arguments": "{"}}]}], "a piece of nobody knows which call"),
        ([{"content": "a"}, {"content": [{"type": "text", "text": "b"}]}], "text, then parts"),
        ([{"content": [{"type": "text", "text": "a"}]}, {"content": [{"type": "text", "text": "b"}]}], "parts, twice"),
        ([{"verdict": "yes"}, {"verdict": "no"}], "a field of which nobody knows how it goes on"),
        ([], "no choice at all"),
    ],
)
def test_what_could_be_put_together_in_two_ways_is_not_put_together(deltas: list[dict[str, Any]], why: str) -> None:
    chunks = [{"id": "a", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    with pytest.raises(CannotAssemble):
        assembled(b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELD, inner, max_size=3),
    max_leaves=6,
)
DELTA = st.dictionaries(FIELD, JSON, max_size=4)
WILD_CHOICE = st.fixed_dictionaries(
    {"index": st.sampled_from([0, 0, 0, 1, None]), "delta": DELTA | JSON, "message": DELTA},
    optional={"finish_reason": st.sampled_from(["stop", None]), "logprobs": st.fixed_dictionaries({"content": JSON}) | JSON},
)
CHUNKS = st.lists(st.fixed_dictionaries({"choices": st.lists(WILD_CHOICE, max_size=2)}, optional={"usage": JSON, "id": JSON}), max_size=4)


@given(chunks=CHUNKS, wants_usage=st.booleans())
@settings(max_examples=80, deadline=None)
def test_nothing_that_a_server_sends_breaks_more_than_its_own_keeping(chunks: list[Any], wants_usage: bool) -> None:
    """Keeping runs beside a caller's stream: whatever comes is put together, or is said to be none."""
    with suppress(CannotAssemble):
        whole = assembled(b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks))
        if why_not_kept(whole) is None:
            assert assembled(stream_of(whole, wants_usage=wants_usage, facts={"cache": "hit"}))["choices"]
    answer = {"id": "a", "choices": [choice for chunk in chunks for choice in chunk["choices"]]}
    if why_not_kept(answer) is None:
        stream_of(answer, wants_usage=wants_usage, facts=None)


def test_what_servers_repeat_in_each_chunk_is_there_once() -> None:
    deltas = [{"role": "assistant", "content": "a", "channel": "final"}, {"role": "assistant", "content": "b", "channel": "final"}]
    deltas += [{"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}]}]
    deltas += [{"tool_calls": [{"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": "}"}}]}]
    chunks = [{"id": "a", "choices": [{"index": 0, "delta": delta}], "obfuscation": "xyz"} for delta in deltas]
    whole = assembled(b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "ab", "channel": "final", "tool_calls": [call]}
    assert "obfuscation" not in whole
