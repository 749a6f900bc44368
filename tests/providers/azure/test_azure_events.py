"""What the content filter adds, byte by byte: any cut of a stream gives the same events, and nothing in one stops it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.providers.azure_events import edited, explained, findings
from backend.providers.edited_stream import EditedStream
from tests.fakes import azure_upstream as wire
from tests.fakes.cut_stream import CutStream, cut_at, read_to_end
from tests.fakes.openai_upstream import sse

WIRE = b"".join(map(sse, wire.annotated())) + sse("[DONE]")
NAMES = st.sampled_from(["choices", "delta", "object", "error", "innererror", "content_filter_result", "filtered", "severity", "message"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))


async def through(pieces: list[bytes], *, breaks: bool = False) -> bytes:
    return await read_to_end(EditedStream("a", CutStream("a", pieces, breaks=breaks), edited))  # type: ignore[arg-type]


def events(data: bytes) -> list[Any]:
    return [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event]


async def test_whole_events_that_need_no_change_are_passed_on_as_they_came() -> None:
    plain = b"".join(map(sse, wire.chunks()[1:])) + sse("[DONE]")
    stream = EditedStream("a", CutStream("a", [plain]), edited)  # type: ignore[arg-type]
    assert await stream.read() is plain


async def any_cut(cuts: list[int], crlf: bool) -> None:
    pieces = cut_at(WIRE, cuts)
    if crlf:
        pieces = [piece.replace(b"\n", b"\r\n") for piece in pieces]
    assert await through(pieces) == await through([WIRE])
    chunks = [json.loads(event) for event in events(await through(pieces))[:-1]]
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert all("delta" in choice for chunk in chunks for choice in chunk["choices"])


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, len(WIRE)), max_size=12), crlf=st.booleans())
async def test_any_cut_gives_the_same_events(cuts: list[int], crlf: bool) -> None:
    await any_cut(cuts, crlf)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(cuts=st.lists(st.integers(0, len(WIRE)), max_size=12), crlf=st.booleans())
async def test_any_cut_gives_the_same_events_ten_thousand_times(cuts: list[int], crlf: bool) -> None:
    await any_cut(cuts, crlf)


@given(length=st.integers(0, len(WIRE)))
async def test_a_stream_that_breaks_has_no_half_event(length: int) -> None:
    whole = events(await through([WIRE]))
    broken = events(await through([WIRE[:length]], breaks=True))
    assert broken == whole[: len(broken)]


@settings(max_examples=40)
@given(value=JSON, raw=st.binary(max_size=40))
def test_nothing_in_an_event_stops_a_stream(value: Any, raw: bytes) -> None:
    assert isinstance(edited(json.dumps(value).encode()), bytes)
    assert edited(raw) is raw or json.loads(raw) is not None
    explained(value)


@pytest.mark.parametrize(
    ("results", "found"),
    [
        (wire.SAFE, ""),
        ({"hate": {"filtered": True, "severity": "high"}, "profanity": {"filtered": True, "detected": True}}, "hate (high), profanity"),
        ({"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}, ""),
        (None, ""),
    ],
)
def test_what_the_filter_found(results: Any, found: str) -> None:
    assert findings(results) == found
