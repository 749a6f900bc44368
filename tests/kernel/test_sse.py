"""Splitting event streams: whatever way the bytes are cut, the same events come out."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel import sse
from backend.kernel.sse import EventSplitter, EventTooLarge
from tests.fakes.cut_stream import cut_at

EVENTS = st.lists(st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=30), max_size=8)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def events_of(pieces: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    found = [event for piece in pieces for event in splitter.feed(piece)]
    return found + splitter.finish()


any_events = given(
    events=EVENTS, end=ENDS, bom=st.booleans(), space=st.booleans(), cuts=st.lists(st.integers(0, 400), max_size=12), comment=st.booleans()
)


@pytest.mark.case("U4")
@settings(max_examples=400)
@any_events
def test_any_cut_gives_the_same_events(events: list[str], end: str, bom: bool, space: bool, cuts: list[int], comment: bool) -> None:
    prefix = "data: " if space else "data:"
    # Without the space in the prefix one leading space of the data belongs to the framing.
    expected = [event if space or not event.startswith(" ") else event[1:] for event in events]
    text = "".join((f": note{end}" if comment else "") + f"{prefix}{event}{end}{end}" for event in events)
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    assert events_of(cut_at(data, cuts)) == [event.encode() for event in expected]


any_bytes = given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=10))


@settings(max_examples=400)
@any_bytes
def test_rubbish_is_cut_the_same_way_wherever_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert events_of(cut_at(data, cuts)) == events_of([data])


GRAMMAR = [
    b"data: {}", b"data:x", b"\n", b"\r", b"\r\n", b"\n\n", b": c", b"event: e", b"\xef\xbb\xbf", b"data", b" ",
    b"event: e\ndata: {}\n\n", b"event: e\ndata: ",
]  # fmt: skip
any_grammar = given(pieces=st.lists(st.sampled_from(GRAMMAR), max_size=30), cuts=st.lists(st.integers(0, 200), max_size=10))


@settings(max_examples=400)
@any_grammar
def test_pieces_of_the_grammar_are_cut_the_same_way_wherever_they_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    assert events_of(cut_at(data, cuts)) == events_of([data])


def many(test: Any) -> Any:
    return pytest.mark.soak(pytest.mark.case("U4")(settings(max_examples=10_000)(test)))


test_any_cut_ten_thousand_times = many(any_events(test_any_cut_gives_the_same_events.hypothesis.inner_test))
test_rubbish_ten_thousand_times = pytest.mark.soak(
    many(any_bytes(test_rubbish_is_cut_the_same_way_wherever_it_is_cut.hypothesis.inner_test))
)
test_the_grammar_ten_thousand_times = many(
    any_grammar(test_pieces_of_the_grammar_are_cut_the_same_way_wherever_they_are_cut.hypothesis.inner_test)
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
        (b"data\ndata: x\n\n", [b"\nx"]),
        (b"data: a\rdata: b\n\n", [b"a\nb"]),
        (b"data: a\r\rdata: b\n\n", [b"a", b"b"]),
        (b"event: e\ndata: a\n\nevent: f\ndata: b\n\n", [b"a", b"b"]),
        (b"event: e\ndata: a\n\ndata: q\nevent: f\ndata: b\n\n", [b"a", b"q\nb"]),
        (b"event: e\ndata: a\n\ndata: event: f\ndata: b\n\n", [b"a", b"event: f\nb"]),
        (b"event: e\ndata: a\ndata: b\n\n", [b"a\nb"]),
        (b"event: e\ndata: a\rdata: b\n\n", [b"a\nb"]),
        (b"event: e\n\ndata: a\n\n", [b"a"]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b": only a comment\n\n", []),
        (b"datax: a\n\n", []),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: \xef\xbb\xbf\n\n", [b"\xef\xbb\xbf"]),
        (b"", []),
    ],
)
def test_the_standards_rules(data: bytes, expected: list[bytes]) -> None:
    assert events_of([data]) == expected
    assert events_of([bytes([byte]) for byte in data]) == expected


def test_clean_bytes_may_be_passed_on_and_others_may_not() -> None:
    splitter = EventSplitter()
    splitter.feed(b'data: {"a":1}\n\ndata: {"b":2}\n\n')
    assert splitter.clean
    for odd in (b": c\n\ndata: {}\n\n", b'data: {"c":', b"3}\n\n", b"data: {}\r\n\r\n", b"data: {}\n\nevent: x\n\n"):
        splitter.feed(odd)
        assert not splitter.clean
    splitter.feed(b"data: {}\n\n")
    assert splitter.clean


def test_a_megabyte_line_in_small_pieces_is_one_event_and_an_endless_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"data: " + b"x" * (1024 * 1024) + b"\n\n"
    assert events_of([line[start : start + 1000] for start in range(0, len(line), 1000)]) == [line[6:-2]]
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10_000)
    with pytest.raises(EventTooLarge):
        events_of([b"data: " + b"x" * 1000] * 20)
    with pytest.raises(EventTooLarge):
        events_of([b"data: " + b"x" * 1000 + b"\n"] * 20)


class Counting(bytearray):
    """Counts the bytes that are looked at in search of line ends."""

    looked_at = 0

    def find(self, sign: bytes, start: int = 0) -> int:  # type: ignore[override]
        found = super().find(sign, start)
        self.looked_at += (found if found >= 0 else len(self)) - start + 1
        return found


@pytest.mark.parametrize("line", [b":\n", b":\r", b":\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("tail", [b"", b"\r", b"\n"])
def test_many_short_lines_are_searched_once(line: bytes, tail: bytes) -> None:
    splitter = EventSplitter()
    splitter._buffer = counting = Counting()
    data = line * 20_000 + tail
    splitter.feed(data)
    assert counting.looked_at <= 4 * len(data)


@pytest.mark.parametrize("data", [b"data: {}\r\n\r\ndata: []\r\n\r\n", b"data: {}\n\r\ndata: []\r\n\n", b"data: {}\r\rdata: []\r\r"])
def test_events_whose_lines_end_otherwise_are_found_at_once_and_not_passed_on_as_they_are(data: bytes) -> None:
    splitter = EventSplitter()
    assert splitter.feed(data) == [b"{}", b"[]"]
    assert not splitter.clean
    assert splitter.feed(b"data: 1\n\n") == [b"1"]
    assert splitter.finish() == []
