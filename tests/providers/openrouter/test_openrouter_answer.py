"""What OpenRouter says that an answer costs, and why there is none; any cut of a stream is the same stream."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.providers.edited_stream import EditedStream
from backend.providers.openrouter_answer import edited, explained, reported_nano, seconds_to_reset
from tests.fakes import openrouter_upstream as wire
from tests.fakes.cut_stream import CutStream, cut_at, read_to_end
from tests.fakes.openai_upstream import sse

WIRE = b"".join((wire.COMMENT, *map(sse, wire.chunks()), wire.COMMENT, sse(wire.broken())))


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        ({"cost": 0.00014}, 140_000),
        ({"cost": 0}, 0),
        ({"cost": 1e-10}, 1),
        ({"cost": 0.95, "is_byok": True, "cost_details": {"upstream_inference_cost": 19}}, 19_950_000_000),
        ({"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.95}}, 950_000_000),
        ({"cost": 0.95, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, 950_000_000),
        ({"cost": None}, None),
        ({"cost": True}, None),
        ({"cost": "0.1"}, None),
        ({"cost": -1}, None),
        ({"cost": 1e300}, None),
        ({"cost": 9e9, "is_byok": True, "cost_details": {"upstream_inference_cost": 9e9}}, None),
        (None, None),
    ],
)
def test_what_an_answer_is_said_to_cost(usage: Any, nano: int | None) -> None:
    assert reported_nano(usage) == nano


NAMES = st.sampled_from(["error", "metadata", "raw", "reasons", "headers", "X-RateLimit-Reset", "message", "choices", "finish_reason"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("Provider returned error")
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))


@settings(max_examples=40)
@given(value=JSON, cost=SCALARS)
def test_nothing_that_it_says_stops_us(value: Any, cost: Any) -> None:
    explained(value)
    seconds = seconds_to_reset(value, 0.0)
    assert seconds is None or 0 <= seconds <= 3600
    assert isinstance(edited(sse({"error": value, "choices": value, "cost": cost})[6:-2])[0], bytes)
    nano = reported_nano({"cost": cost})
    assert nano is None or nano >= 0


def through(pieces: list[bytes], *, breaks: bool = False) -> tuple[EditedStream, list[int | None]]:
    costs: list[int | None] = []

    def edit(data: bytes) -> bytes:
        shown, usage = edited(data)
        if usage is not None:
            costs.append(reported_nano(usage))
        return shown

    return EditedStream("or", CutStream("or", pieces, breaks=breaks), edit), costs  # type: ignore[arg-type]


async def any_cut(cuts: list[int], length: int, crlf: bool) -> None:
    """The same events and the same cost, however the stream is cut; of one that breaks, the first of them, and the cost if it came."""
    whole, costs = through([WIRE])
    expected = (await read_to_end(whole)).split(b"\n\n")
    assert costs == [round(wire.COST * 1e9)]
    pieces = cut_at(WIRE[:length], cuts)
    if crlf:
        pieces = [piece.replace(b"\n", b"\r\n") for piece in pieces]
    stream, found = through(pieces, breaks=length < len(WIRE))
    came = (await read_to_end(stream)).split(b"\n\n")[:-1]
    assert came == expected[: len(came)]
    assert found == costs[: len(found)]
    if length == len(WIRE):
        assert (len(came), found) == (len(expected) - 1, costs)


CUTS = st.lists(st.integers(0, len(WIRE)), max_size=12)
LENGTH = st.integers(0, len(WIRE)) | st.just(len(WIRE))


@settings(max_examples=40)
@given(cuts=CUTS, length=LENGTH, crlf=st.booleans())
async def test_any_cut_and_any_break(cuts: list[int], length: int, crlf: bool) -> None:
    await any_cut(cuts, length, crlf)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(cuts=CUTS, length=LENGTH, crlf=st.booleans())
async def test_any_cut_and_any_break_ten_thousand_times(cuts: list[int], length: int, crlf: bool) -> None:
    await any_cut(cuts, length, crlf)
