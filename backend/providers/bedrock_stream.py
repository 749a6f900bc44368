"""A stream of Bedrock's as OpenAI's, whether the events in it are Claude's own or those of Converse.

An exception in the stream ends it as the failure that it is; what came before is passed on first.
"""

from typing import Protocol

from backend.providers.anthropic_stream import ThoughtTooLong
from backend.providers.aws_event_stream import EventStreamReader, Message
from backend.providers.bedrock_answer import MalformedAnswer
from backend.providers.bedrock_errors import bedrock_failure
from backend.providers.failures import Unsaid, UpstreamFailure, protocol_failure
from backend.providers.posting import EventBytes, json_or_none


class Events(Protocol):
    """What makes chunks of one kind of events."""

    def event(self, kind: str, payload: bytes) -> bytes:
        """The chunks that an event becomes; b"" for none. Raises MalformedAnswer, ThoughtTooLong."""
        ...

    def end(self) -> bytes:
        """What is left when the body has ended."""
        ...


class BedrockChunks:
    """Bytes in, chunks out; no I/O. `failure` is set once nothing more can come; what came before it was returned."""

    __slots__ = ("_events", "_name", "_reader", "_unsaid", "failure")

    def __init__(self, name: str, events: Events, unsaid: Unsaid = ()) -> None:
        self._name = name
        self._unsaid = unsaid
        self._events = events
        self._reader = EventStreamReader()
        self.failure: UpstreamFailure | None = None

    def feed(self, data: bytes) -> bytes:
        """The chunks that these bytes complete."""
        out: list[bytes] = []
        for message in self._reader.feed(data) if self.failure is None else ():
            try:
                out.append(self._chunks(message))
            except UpstreamFailure as failure:
                self.failure = failure
                return b"".join(out)
        if self._reader.broken and self.failure is None:
            self.failure = protocol_failure(self._name, self._reader.broken)
        return b"".join(out)

    def end(self) -> bytes:
        return self._events.end() if self.failure is None else b""

    def _chunks(self, message: Message) -> bytes:
        headers = message.headers
        kind = headers.get(":message-type")
        if kind == "event":
            try:
                return self._events.event(headers.get(":event-type", ""), message.payload)
            except ThoughtTooLong:
                raise protocol_failure(self._name, "a thought without end") from None
            except MalformedAnswer as reason:
                raise protocol_failure(self._name, f"an answer that ends in {reason}") from None
        if kind == "exception":
            told = json_or_none(message.payload)
            raise bedrock_failure(
                self._name, None, headers.get(":exception-type"), told if isinstance(told, dict) else {}, unsaid=self._unsaid
            )
        if kind == "error":
            words = {"message": headers.get(":error-message", "")}
            raise bedrock_failure(self._name, None, headers.get(":error-code"), words, unsaid=self._unsaid)
        return b""


class BedrockStream:
    """A `StreamAnswer`."""

    __slots__ = ("_bytes", "_chunks", "_ended")

    def __init__(self, events: EventBytes, chunks: BedrockChunks) -> None:
        self._bytes = events
        self._chunks = chunks
        self._ended = False

    async def read(self) -> bytes:
        """As `StreamAnswer.read`."""
        while True:
            if self._chunks.failure is not None:
                raise self._chunks.failure
            if self._ended:
                return b""
            data = await self._bytes.read()
            self._ended = not data
            out = self._chunks.feed(data) if data else self._chunks.end()
            if out:
                return out

    def release(self) -> None:
        """As `StreamAnswer.release`."""
        self._bytes.release()

    def close(self) -> None:
        """As `StreamAnswer.close`."""
        self._bytes.close()
