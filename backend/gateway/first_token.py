"""The beginning of a stream: read until it has brought its first token, which is when it counts as an answer."""

from backend.gateway.call import Call
from backend.gateway.chunks import ChunkStream
from backend.kernel.sse import EventTooLarge
from backend.metering.record import AttemptRecord
from backend.providers.failures import (
    UpstreamFailure,
    failure_from_error_body,
    other_answer,
    protocol_failure,
    reset_failure,
    status_of_error,
)
from backend.providers.provider import StreamAnswer


class OpenedStream:
    """A stream that has brought its first token: `first` is what may go to the caller at once."""

    __slots__ = ("answer", "attempt", "chunks", "ended", "first")

    def __init__(self, answer: StreamAnswer, chunks: ChunkStream, attempt: AttemptRecord, first: bytes, ended: bool) -> None:
        self.answer = answer
        self.chunks = chunks
        self.attempt = attempt
        self.first = first
        self.ended = ended


async def first_token(call: Call, name: str, answer: StreamAnswer, attempt: AttemptRecord) -> OpenedStream:
    """Read on until there is one.

    Raises:
        UpstreamFailure: there is none.
    """
    chunks = call.chunk_stream()
    ended = False
    while True:
        data = await answer.read()
        try:
            first = chunks.feed(data) if data else chunks.end()
        except EventTooLarge:
            raise protocol_failure(name, "an event without end") from None
        ended = not data
        failure = stream_failure(name, chunks, ended)
        if failure is not None and not chunks.started:
            raise failure
        if chunks.holds_too_much:
            raise protocol_failure(name, "events without end and no token")
        if chunks.started:
            # An error after the first token, in the same bytes, is the relay's to tell.
            call.end_attempt(attempt, "completed", status=200)
            return OpenedStream(answer, chunks, attempt, first, ended)


def stream_failure(name: str, chunks: ChunkStream, ended: bool) -> UpstreamFailure | None:
    """What is wrong with a stream so far, if anything; `ended`: its body is over."""
    if chunks.differs:
        return other_answer(name)
    if chunks.error is not None:
        return failure_from_error_body(name, status_of_error(chunks.error), chunks.error)
    if (ended or chunks.done) and not chunks.complete and not chunks.overrun:
        return reset_failure(name) if chunks.started or chunks.done or not chunks.malformed else protocol_failure(name, "no event stream")
    return None
