"""Two streams and where they meet: the caller reads one answer, whatever the second one says and however both are cut."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chunks import ChunkStream
from backend.gateway.seam import HELD_SIGNS, PREAMBLE_SIGNS, Continuation, Delivered, Repeat, starts_anew
from backend.pricing.usage import Usage
from tests.fakes.openai_upstream import chunk, sse

FIRST = {"id": "chatcmpl-first", "created": 1}
Delta = dict[str, Any]


def delivered(*deltas: Delta) -> Delivered:
    """What a stream that has sent these deltas has kept."""
    stream = ChunkStream(wants_usage=False, with_facts=False, keeps=True)
    for delta in deltas:
        stream.feed(sse({**chunk(delta), **FIRST}))
    return Delivered(stream.kept or (), stream.identity)


class Second:
    """The stream that is to go on. `shown` is what its deltas amount to for the caller, by place."""

    def __init__(self, seam: Repeat | Continuation) -> None:
        self.seam = seam
        self.stream = ChunkStream(wants_usage=False, with_facts=False, seam=seam)
        self.out: list[dict[str, Any]] = []

    def says(self, *deltas: Delta, finish: str | None = "stop") -> "Second":
        for delta in deltas:
            self._feed({**chunk(copy.deepcopy(delta)), "id": "chatcmpl-second", "created": 2})
        if finish is not None:
            self._feed({**chunk({}, finish), "id": "chatcmpl-second", "created": 2})
        return self

    def _feed(self, value: dict[str, Any]) -> None:
        if not self.stream.done:
            data = self.stream.feed(sse(value))
            self.out += [json.loads(event[6:]) for event in data.split(b"\n\n") if event]

    @property
    def text(self) -> str:
        return "".join(choice["delta"].get("content") or "" for value in self.out for choice in value["choices"])


def repeat_of(*deltas: Delta) -> Second:
    return Second(Repeat(delivered(*deltas), lambda: None))


def continuation_of(*deltas: Delta, sent: str | None = None) -> Second:
    known = delivered(*deltas)
    return Second(Continuation(known, known.text if sent is None else sent, lambda: None))


def words(text: str, sizes: list[int]) -> list[Delta]:
    """The text as deltas of these sizes, and one with the rest."""
    found, at = [], 0
    for size in sizes:
        found.append({"content": text[at : at + size]})
        at += size
    return [delta for delta in [*found, {"content": text[at:]}] if delta["content"]]


SIZES = st.lists(st.integers(1, 9), max_size=12)


# ── repeats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("U3")
@settings(max_examples=150, deadline=None)
@given(text=st.text("ab \n", min_size=1, max_size=40), cut=st.integers(0, 40), first=SIZES, second=SIZES)
def test_a_repeat_goes_on_exactly_where_the_other_broke(text: str, cut: int, first: list[int], second: list[int]) -> None:
    cut = min(cut, len(text))
    after = repeat_of({"role": "assistant"}, *words(text[:cut], first)).says({"role": "assistant", "content": ""}, *words(text, second))
    assert text[:cut] + after.text == text
    assert after.stream.complete
    assert all((value["id"], value["created"]) == ("chatcmpl-first", 1) for value in after.out)
    assert not any("role" in choice["delta"] for value in after.out for choice in value["choices"])


@pytest.mark.case("U3")
@settings(max_examples=150, deadline=None)
@given(text=st.text("ab", min_size=1, max_size=30), other=st.text("ab", max_size=30), cut=st.integers(1, 30), first=SIZES, second=SIZES)
def test_of_another_text_nothing_is_shown(text: str, other: str, cut: int, first: list[int], second: list[int]) -> None:
    had = text[: min(cut, len(text))]
    after = repeat_of(*words(had, first)).says(*words(other, second))
    if other.startswith(had):
        assert had + after.text == other
        assert after.stream.complete
    else:
        assert after.out == []
        assert after.stream.differs
        assert not after.stream.complete


def test_a_repeat_that_ends_before_it_has_repeated_all_is_another_answer() -> None:
    after = repeat_of({"content": "one two three"}).says({"content": "one two"})
    assert after.stream.differs
    assert after.out == []
    unfinished = repeat_of({"content": "one two three"}).says({"content": "one two"}, finish=None)
    assert (unfinished.stream.behind, unfinished.stream.differs, unfinished.stream.complete) == (True, False, False)


def call(index: int, name: str | None = None, arguments: str = "", key: str | None = None) -> Delta:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function} | ({"id": key, "type": "function"} if key else {})]}


def test_calls_of_tools_are_gone_on_with_under_the_ids_that_the_caller_knows() -> None:
    had = [call(0, "find", key="call_a"), call(0, arguments='{"wha'), call(0, arguments='t": 1}'), call(1, "read", key="call_b")]
    after = repeat_of(*had).says(
        call(0, "find", '{"what": 1}', key="call_x"), call(1, "read", '{"fi', key="call_y"), call(1, arguments="le: 2}"),
        call(2, "stop", "{}", key="call_z"), finish="tool_calls",
    )  # fmt: skip
    entries = [entry for value in after.out for entry in value["choices"][0]["delta"].get("tool_calls", ())]
    assert [(entry["index"], entry.get("id"), entry["function"]) for entry in entries] == [
        (1, None, {"arguments": '{"fi'}),
        (1, None, {"arguments": "le: 2}"}),
        (2, "call_z", {"arguments": "{}", "name": "stop"}),
    ]
    assert after.stream.complete


@pytest.mark.parametrize(
    "other",
    [
        [call(0, "find", '{"what": 2}', key="x")],
        [call(0, "look", '{"what": 1}', key="x")],
        [{"content": "I think"}],
        [{"content": "First"}, call(0, "find", '{"what": 1}', key="x")],
        [call(1, "find", '{"what": 1}', key="x")],
    ],
    ids=["other arguments", "another function", "words", "words before it", "another place"],
)  # fmt: skip
def test_another_call_is_another_answer(other: list[Delta]) -> None:
    after = repeat_of(call(0, "find", '{"what": 1', key="a")).says(*other)
    assert after.stream.differs
    assert after.out == []


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "refusal"])
def test_everything_that_was_delivered_is_repeated_before_anything_is_shown(field: str) -> None:
    had = [{field: "let me "}, {field: "see"}, {"content": "It is"}]
    after = repeat_of(*had).says({field: "let me see"}, {"content": "It is "}, {"content": "so"})
    assert after.text == " so"
    assert not any(field in choice["delta"] for value in after.out for choice in value["choices"])
    assert repeat_of(*had).says({field: "let me look"}, {"content": "It is so"}).stream.differs
    assert repeat_of(*had).says({"content": "It is so"}).stream.differs


def test_two_fields_that_grow_side_by_side_are_compared_each() -> None:
    had = [{"reasoning": "ab", "reasoning_details": [{"type": "reasoning.text", "text": "ab", "index": 0}]}]
    both = {"reasoning": "abc", "reasoning_details": [{"type": "reasoning.text", "text": "abc", "index": 0}]}
    after = repeat_of(*had).says(both)
    assert after.out[0]["choices"][0]["delta"] == {
        "reasoning": "c", "reasoning_details": [{"text": "c", "index": 0, "type": "reasoning.text"}],
    }  # fmt: skip


def test_what_comes_with_a_difference_is_counted_though_it_is_not_shown() -> None:
    stream = ChunkStream(wants_usage=False, with_facts=False, seam=Repeat(delivered({"content": "one"}), lambda: None))
    stream.feed(b"".join(sse(chunk({"content": word})) for word in ("two", "three", "four")))
    assert stream.done
    assert stream.estimated_output_tokens() == 3


# ── continuations ────────────────────────────────────────────────────────────────────────────────────────────────────

STORY = "The quick brown fox jumps over the lazy dog, and then it goes home to sleep well in its own warm bed under the old oak tree."


@settings(max_examples=80, deadline=None)
@given(cut=st.integers(1, len(STORY)), first=SIZES, second=SIZES)
def test_a_continuation_is_appended(cut: int, first: list[int], second: list[int]) -> None:
    after = continuation_of(*words(STORY[:cut], first)).says({"role": "assistant"}, *words(STORY[cut:], second))
    assert STORY[:cut] + after.text == STORY
    assert after.stream.complete


@pytest.mark.case("U3")
@pytest.mark.parametrize(
    "other",
    [
        STORY,
        STORY.upper(),
        "Certainly! " + STORY,
        STORY.replace("quick", "swift"),
        STORY.replace("brown", "red").replace("lazy", "sleepy"),
        STORY[:30] + " sat down",
    ],
    ids=["in the same words", "in capitals", "after a preamble", "one other word", "two other words", "another end"],
)  # fmt: skip
def test_of_one_that_starts_anew_nothing_is_shown(other: str) -> None:
    after = continuation_of({"content": STORY[:60]}).says(*words(other, [4] * 40))
    assert after.stream.differs
    assert after.out == []


@pytest.mark.parametrize("signs", [60, 120, PREAMBLE_SIGNS - 6])
@pytest.mark.parametrize("had", [STORY[:60], STORY[:7]], ids=["much", "little"])
def test_a_beginning_that_is_said_again_after_a_long_preamble_is_not_shown(signs: int, had: str) -> None:
    preamble = ("I would be glad to help you with this and write it out for you in full once more " * 4)[: signs - 3] + ":\n\n"
    after = continuation_of({"content": had}).says(*words(preamble + STORY, [3] * 150))
    assert after.stream.differs
    assert after.out == []


def test_a_continuation_is_held_no_longer_than_it_has_to_be() -> None:
    long = STORY + " and so it is " * 30
    after = continuation_of({"content": STORY[:40]})
    after.says(*words(long[40 : 39 + HELD_SIGNS], [1] * HELD_SIGNS), finish=None)
    assert after.out == []
    after.says({"content": long[39 + HELD_SIGNS]}, finish=None)
    assert after.text == long[40 : 40 + HELD_SIGNS]
    after.says({"content": "x"}, finish=None)
    assert after.text == long[40 : 40 + HELD_SIGNS] + "x"


def test_a_call_of_a_tool_after_the_words_ends_the_hold() -> None:
    after = continuation_of({"content": "Let me look that up"}).says({"content": " now."}, call(0, "find", "{}", key="a"), finish=None)
    assert after.text == " now."
    assert after.out[0]["choices"][0]["delta"]["tool_calls"][0]["id"] == "a"


def test_the_blank_at_the_end_that_the_model_was_not_sent_is_not_said_twice() -> None:
    after = continuation_of({"content": "one\n\n"}, sent="one").says({"content": "\n\ntwo"})
    assert after.text == "two"
    assert continuation_of({"content": "one\n\n"}, sent="one").says({"content": "\n- two"}).text == "- two"
    assert continuation_of({"content": "one "}, sent="one").says({"content": "two"}).text == "two"


@pytest.mark.parametrize(
    ("had", "begun", "anew"),
    [
        ("I", "I am", True),
        ("I", " am", False),
        (STORY, "", False),
        ("Here are three:\n- one\n", "- two\n- three", False),
        (" The quick brown fox", "the  quick brown fox jumps", True),
        ("The fox", "Certainly! Here you are:\n\nThe fox jumps", True),
        ("The fox", " saw the fox of the neighbour", False),
        ("A quick brown fox jumps", "The quick brown fox jumped over", True),
        ("The quick brown fox jumps", " over the lazy dog, and then", False),
    ],
)
def test_what_counts_as_starting_anew(had: str, begun: str, anew: bool) -> None:
    assert starts_anew(had, begun) is anew


def test_text_that_was_gone_on_with_twice_is_all_of_it() -> None:
    both = delivered({"content": "one "}, call(0, "f", "{")).and_then(delivered({"content": " two"}, call(0, arguments="}")), without=1)
    assert both.text == "one two"
    assert both.texts[("tool_calls", 0, "function", "arguments")] == "{}"
    assert not both.is_plain


def test_a_usage_chunk_of_a_stream_that_goes_on_is_that_of_the_whole_answer() -> None:
    known = delivered({"content": "one"})
    stream = ChunkStream(wants_usage=True, with_facts=False, seam=Repeat(known, lambda: None))
    stream.feed(sse(chunk({"content": "one two"}, "stop")) + sse(chunk(None, usage={"prompt_tokens": 9, "completion_tokens": 1})))
    last = json.loads(stream.closing(Usage(input=3, output=2), None).split(b"\n\n")[-3][6:])
    assert (last["id"], last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == ("chatcmpl-first", 3, 2)


def test_a_long_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.gateway.chunks.MOST_KEPT_DELTAS", 5)
    stream = ChunkStream(wants_usage=False, with_facts=False, keeps=True)
    for count, is_kept in ((5, True), (6, False)):
        stream.feed(sse(chunk({"content": "x"})) * (count - stream.estimated_output_tokens()))
        stream.keep_no_more_than_is_good()
        assert (stream.kept is not None) is is_kept


def test_what_says_nothing_is_not_kept() -> None:
    stream = ChunkStream(wants_usage=False, with_facts=False, keeps=True)
    nothing = [{"role": "assistant", "content": ""}, {"content": ""}, {"content": None, "tool_calls": []}]
    for delta in (*nothing, {"content": "one"}, *nothing, {"odd": "x"}):
        stream.feed(sse(chunk(delta)))
    assert stream.kept == ["one", {"odd": "x"}]


def test_a_mistake_of_ours_at_the_seam_is_no_malformed_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any) -> bool:
        raise TypeError

    monkeypatch.setattr(Repeat, "shows", mistaken)
    with pytest.raises(RuntimeError):
        repeat_of({"content": "one"}).says({"content": "one two"})


def test_an_error_after_everything_was_said_is_no_error_of_the_answer() -> None:
    stream = ChunkStream(wants_usage=False, with_facts=False)
    error = sse({"error": {"message": "too late"}})
    stream.feed(sse(chunk({"content": "one"})) + sse(chunk({}, "stop")) + error)
    assert (stream.complete, stream.done, stream.error) == (True, True, None)
    unfinished = ChunkStream(wants_usage=False, with_facts=False)
    unfinished.feed(sse(chunk({"content": "one"})) + error)
    assert unfinished.error is not None
    behind = repeat_of({"content": "one two"})
    behind.stream.feed(error)
    assert behind.stream.error is not None
