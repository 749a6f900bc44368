"""Shaping chunks: the content never changes, whatever way the bytes are cut and whatever the caller asked for."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chunks import ChunkStream
from backend.gateway.splicing import splice_facts
from backend.pricing.usage import Usage
from tests.fakes.cut_stream import cut_at
from tests.fakes.openai_upstream import USAGE, canonical_chunks, chunk, sse

FACTS = {"provider": "acme"}


def run(data: bytes, cuts: list[int], *, wants_usage: bool, with_facts: bool) -> tuple[bytes, ChunkStream]:
    stream = ChunkStream(wants_usage=wants_usage, with_facts=with_facts)
    out = b""
    for piece in cut_at(data, cuts):
        if not stream.done:
            out += stream.feed(piece)
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

any_answer_cut_anywhere = given(
    words=WORDS,
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    wants_usage=st.booleans(),
    with_facts=st.booleans(),
    wire=st.fixed_dictionaries({name: st.booleans() for name in ("null_usage", "spaced", "crlf", "malformed", "done")}),
)


@pytest.mark.case("U4")
@settings(max_examples=400, deadline=None)
@any_answer_cut_anywhere
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
anything_sent = given(pieces=st.lists(st.sampled_from(PIECES), max_size=12), wants_usage=st.booleans(), with_facts=st.booleans())


@settings(max_examples=400, deadline=None)
@anything_sent
def test_nothing_that_a_provider_sends_breaks_the_stream(pieces: list[bytes], wants_usage: bool, with_facts: bool) -> None:
    out, stream = run(b"".join(pieces), [], wants_usage=wants_usage, with_facts=with_facts)
    got = values(out)
    assert got.count("[DONE]") <= 1
    assert stream.estimated_output_tokens() >= 0
    if "[DONE]" in got:
        assert got[-1] == "[DONE]"


def many(test: Any) -> Any:
    return pytest.mark.soak(pytest.mark.case("U4")(settings(max_examples=10_000, deadline=None)(test)))


test_the_text_is_whole_ten_thousand_times = many(any_answer_cut_anywhere(test_the_text_is_whole_however_it_is_cut.hypothesis.inner_test))
test_nothing_breaks_the_stream_ten_thousand_times = many(
    anything_sent(test_nothing_that_a_provider_sends_breaks_the_stream.hypothesis.inner_test)
)


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


@pytest.mark.parametrize("wants_usage", [True, False])
@pytest.mark.parametrize("with_facts", [True, False])
def test_a_chunk_in_several_data_lines_reaches_the_caller_in_one(wants_usage: bool, with_facts: bool) -> None:
    data = b"".join(sse(value).replace(b',"', b',\ndata: "') for value in canonical_chunks()) + sse("[DONE]")
    out, stream = run(data, [], wants_usage=wants_usage, with_facts=with_facts)
    assert stream.malformed == 0
    assert values(out)[-1] == "[DONE]"
    assert [value["usage"] for value in values(out)[:-1] if value.get("usage")] == ([USAGE] if wants_usage else [])


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SENTENCE = "The quick brown fox jumps over the lazy dog and then it goes home to sleep well."
PRIOR = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}


def fed(*values: Any, most_tokens: int | None = None) -> ChunkStream:
    stream = ChunkStream(wants_usage=False, with_facts=False, most_tokens=most_tokens)
    for value in values:
        if not stream.done:
            stream.feed(sse(value))
    return stream


def test_what_surrounds_the_words_does_not_count_as_words() -> None:
    alternatives = [{"token": f"t{number}", "logprob": -1.234567, "bytes": [97, 98, 99]} for number in range(20)]
    logprobs = {"content": [{"token": " a", "logprob": -0.1, "bytes": [32, 97], "top_logprobs": alternatives}]}
    with_logprobs = chunk({"content": " a"})
    with_logprobs["choices"][0]["logprobs"] = logprobs
    assert fed(chunk({"content": "Hi"}), *[with_logprobs] * 99).estimated_output_tokens() == 100


@pytest.mark.parametrize(
    ("delta", "tokens"),
    [
        ({"content": "abcd" * 100}, 100),
        ({"content": "\u6f22" * 100}, 75),
        ({"reasoning_content": "abcd" * 100}, 100),
        ({"reasoning": "abcd" * 100, "reasoning_details": [{"type": "reasoning.text", "text": "abcd" * 100}]}, 100),
        ({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": "abcd" * 99}}]}, 100),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "abcd" * 100}]}]}, 100),
        ({"audio": {"id": "audio_1", "data": "QUJD" * 1000, "transcript": "abcd" * 100}}, 100),
    ],
)
def test_everything_that_a_delta_says_is_estimated(delta: dict[str, Any], tokens: int) -> None:
    assert fed(chunk(delta)).estimated_output_tokens() == tokens
    assert fed(chunk(delta, "stop")).estimated_output_tokens() == tokens


def test_a_count_that_came_before_the_words_does_not_stand_for_them() -> None:
    words = [chunk({"content": " word"})] * 300
    assert fed(chunk({"role": "assistant", "content": ""}, usage=PRIOR), *words).uncounted_output_tokens() == 300
    assert fed(*words, chunk(None, usage=USAGE)).uncounted_output_tokens() == 0
    running = [chunk({"content": letter}, usage={**PRIOR, "completion_tokens": 1 + at // 4}) for at, letter in enumerate(SENTENCE)]
    stream = fed(*running)
    assert stream.uncounted_output_tokens() == 0
    assert stream.usage == Usage(input=1000, output=20)
    assert fed(*words).uncounted_output_tokens() == 300


@pytest.mark.parametrize("told", [0, 1])
def test_a_running_count_that_does_not_run_is_not_believed_of_an_answer_without_end(told: int) -> None:
    running = [chunk({"content": " word"}, usage={**PRIOR, "completion_tokens": told})] * 300
    assert fed(*running).uncounted_output_tokens() == 300
    zeros = [chunk({"content": " word"}, usage={**PRIOR, "completion_tokens": 0})] * 300 + [chunk({}, "stop", usage=PRIOR)]
    assert fed(*zeros).uncounted_output_tokens() == 300
    assert fed(*zeros, chunk(None, usage=USAGE)).uncounted_output_tokens() == 0


def test_a_caller_who_asked_for_usage_is_not_told_of_a_count_that_is_out_of_date() -> None:
    lines = [chunk({"role": "assistant"}, usage=PRIOR), *[chunk({"content": " word"})] * 3, chunk({}, "stop")]
    stream = ChunkStream(wants_usage=True, with_facts=False)
    stream.feed(b"".join(map(sse, lines)))
    assert values(stream.closing(Usage(input=1000, output=3), None))[-2]["usage"]["completion_tokens"] == 3


def test_an_answer_that_comes_letter_by_letter_is_not_cut_for_it() -> None:
    stream = fed(*[chunk({"content": letter}) for letter in SENTENCE], chunk({}, "stop"), most_tokens=20)
    assert not stream.overrun
    assert stream.finished


@pytest.mark.case("B4")
def test_what_goes_on_letter_by_letter_far_beyond_its_cap_is_cut_in_the_end() -> None:
    stream = fed(*[chunk({"content": letter}) for letter in SENTENCE * 10], most_tokens=20)
    assert stream.overrun
    assert stream.done


@pytest.mark.case("B4")
@pytest.mark.parametrize("word", [" a", " word", "\u6f22\u5b57", "12", "7", "\u5b57", ","])
def test_what_goes_on_word_by_word_is_cut_at_its_cap(word: str) -> None:
    stream = ChunkStream(wants_usage=False, with_facts=False, most_tokens=20)
    out = b"".join(stream.feed(sse(chunk({"content": word}))) for _ in range(60) if not stream.done)
    assert stream.overrun
    assert "".join(value["choices"][0]["delta"]["content"] for value in values(out)) == word * 20
