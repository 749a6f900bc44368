"""Shaping chunks: the content never changes, whatever way the bytes are cut and whatever the caller asked for."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chunks import ChunkStream, splice_facts
from backend.pricing.usage import Usage
from tests.fakes.openai_upstream import USAGE, canonical_chunks, chunk, sse

FACTS = {"provider": "acme"}


def run(data: bytes, cuts: list[int], *, wants_usage: bool, with_facts: bool) -> tuple[bytes, ChunkStream]:
    stream = ChunkStream(wants_usage=wants_usage, with_facts=with_facts)
    places = sorted({min(cut, len(data)) for cut in cuts})
    out = b""
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        if not stream.done:
            out += stream.feed(data[start:end])
    if not stream.done:
        out += stream.end()
    return out + (stream.closing(stream.usage or Usage(), FACTS if with_facts else None) if stream.complete else b""), stream


def values(out: bytes) -> list[Any]:
    found = []
    for event in out.split(b"\n\n")[:-1]:
        assert event.startswith(b"data: ")
        assert b"\n" not in event
        found.append(event[6:].decode() if event == b"data: [DONE]" else json.loads(event[6:]))
    return found


WORDS = st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=12), min_size=1, max_size=12)


@pytest.mark.case("U4")
@settings(max_examples=2500, deadline=None)
@given(
    words=WORDS,
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    wants_usage=st.booleans(),
    with_facts=st.booleans(),
    wire=st.fixed_dictionaries({name: st.booleans() for name in ("null_usage", "spaced", "crlf", "malformed", "done")}),
)
def test_the_text_is_whole_however_it_is_cut(
    words: list[str], cuts: list[int], wants_usage: bool, with_facts: bool, wire: dict[str, bool]
) -> None:
    extra: dict[str, Any] = {"usage": None} if wire["null_usage"] else {}
    script = [chunk({"role": "assistant"}, **extra), *(chunk({"content": word}, **extra) for word in words), chunk({}, "stop", **extra)]
    separators = (", ", ": ") if wire["spaced"] else (",", ":")
    lines = [json.dumps(value, separators=separators, ensure_ascii=False) for value in [*script, chunk(None, usage=USAGE)]]
    if wire["malformed"]:
        lines.insert(1, '{"id": "x", "choices": [')
    data = b"".join(sse(line) for line in [*lines, *(["[DONE]"] if wire["done"] else [])])
    out, stream = run(data.replace(b"\n\n", b"\r\n\r\n") if wire["crlf"] else data, cuts, wants_usage=wants_usage, with_facts=with_facts)
    got = values(out)
    assert got.pop() == "[DONE]"
    assert "".join(choice["delta"].get("content", "") for value in got for choice in value["choices"]) == "".join(words)
    assert stream.malformed == int(wire["malformed"])
    assert stream.usage == Usage(input=16, cache_read=4, output=10, reasoning=2)
    if wants_usage:
        assert [value["usage"] for value in got] == [None] * (len(got) - 1) + [USAGE]
        assert got[-1]["choices"] == []
    else:
        assert all("usage" not in value for value in got)
    assert [("bourse" in value) for value in got] == [False] * (len(got) - 1) + [with_facts]


ODD = (
    "null", "[]", '"x"', "{}", '{"choices":7}', '{"choices":[7]}', '{"choices":[{"delta":7}]}', '{"choices":{}}', '{"usage":7}',
    '{"choices":[{"index":{},"delta":{"content":"x"}}]}', '{"choices":[{"delta":{"content":7}}]}', '{"error":null}', '{"error":"x"}',
    '{"choices":[{"finish_reason":"stop"}]}', '{"choices":[],"usage":{"prompt_tokens":-1}}', '{"choices":[{"delta":[]}]}', "[DONE]",
)  # fmt: skip
PIECES = [*map(sse, canonical_chunks()[:3]), *map(sse, ODD), b": c\n\n", b"data:\n\n", b"\xff\n"]


@settings(max_examples=2500, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12), wants_usage=st.booleans(), with_facts=st.booleans())
def test_nothing_that_a_provider_sends_breaks_the_stream(pieces: list[bytes], wants_usage: bool, with_facts: bool) -> None:
    out, stream = run(b"".join(pieces), [], wants_usage=wants_usage, with_facts=with_facts)
    got = values(out)
    assert got.count("[DONE]") <= 1
    assert stream.estimated_output_tokens() >= 0
    if "[DONE]" in got:
        assert got[-1] == "[DONE]"


def test_ordinary_chunks_are_passed_on_as_the_same_object() -> None:
    stream = ChunkStream(wants_usage=False, with_facts=True)
    stream.feed(sse(chunk({"content": "a"})))
    data = sse(chunk({"content": "b"})) + sse(chunk({"content": "c"}))
    assert stream.feed(data) is data


def test_content_that_looks_like_what_we_look_for_is_left_alone() -> None:
    trap = 'say ,"usage":null and "error": {} and "finish_reason":"stop" and [DONE]'
    out, _ = run(b"".join(map(sse, [chunk({"content": trap}, usage=None), chunk({}, "stop")])), [], wants_usage=False, with_facts=True)
    assert values(out)[0]["choices"][0]["delta"]["content"] == trap


def test_facts_are_spliced_into_any_object() -> None:
    assert json.loads(splice_facts(b"{}", FACTS)) == {"bourse": FACTS}
    assert json.loads(splice_facts(b' { "a" : 1 } \n', FACTS)) == {"a": 1, "bourse": FACTS}
    assert json.loads(splice_facts(b'{"bourse":{"x":1},"a":1}', FACTS)) == {"a": 1, "bourse": FACTS}
