"""Events that are changed on their way, and those that are not."""

import pytest

from backend.kernel.sse import MAX_EVENT_BYTES
from backend.providers.edited_stream import EditedStream
from backend.providers.failures import UpstreamFailure
from tests.fakes.cut_stream import CutStream, read_to_end


def shout(data: bytes) -> bytes:
    """Changes what is lower-case, leaves out what is empty."""
    return data if data.isupper() else data.upper()


def stream(*pieces: bytes) -> EditedStream:
    return EditedStream("a", CutStream("a", list(pieces)), shout)  # type: ignore[arg-type]


async def test_what_is_not_changed_is_passed_on_as_it_came() -> None:
    data = b"data: A\n\ndata: B\n\n"
    assert await stream(data).read() is data


async def test_one_that_is_changed_does_not_change_its_neighbours() -> None:
    assert await read_to_end(stream(b"data: A\n\ndata: b\n\ndata: C\n\n")) == b"data: A\n\ndata: B\n\ndata: C\n\n"


async def test_an_event_of_several_lines_stays_one() -> None:
    assert await read_to_end(stream(b"data: a\ndata: b\n\n")) == b"data: A\ndata: B\n\n"


async def test_an_event_may_be_left_out_and_is_not_the_end() -> None:
    assert await read_to_end(stream(b"data:\n\n", b": comment\n\n", b"data: B\n\n")) == b"data: B\n\n"


async def test_what_the_end_completes_is_an_event_too() -> None:
    assert await read_to_end(stream(b"data: a")) == b"data: A\n\n"


async def test_an_event_without_end_is_a_failure() -> None:
    endless = stream(b"data: " + b"x" * MAX_EVENT_BYTES, b"x")
    with pytest.raises(UpstreamFailure) as caught:
        await endless.read()
    assert caught.value.kind == "protocol"
