"""An OpenAI-shaped event stream some of whose events are changed, or only looked at, on their way."""

from collections.abc import Callable

from backend.kernel.sse import EventSplitter, EventTooLarge
from backend.providers.failures import protocol_failure
from backend.providers.posting import EventBytes

Edit = Callable[[bytes], bytes]
"""The data of an event into the data to pass on: the same object where nothing is to change, b"" to leave the event out."""


class EditedStream:
    """A `StreamAnswer`. Bytes that hold whole events, none of which is changed, are passed on as they came; of a stream that breaks, the
    event that it broke in is not."""

    __slots__ = ("_edit", "_ended", "_events", "_name", "_splitter")

    def __init__(self, name: str, events: EventBytes, edit: Edit) -> None:
        self._name = name
        self._events = events
        self._edit = edit
        self._splitter = EventSplitter()
        self._ended = False

    async def read(self) -> bytes:
        """As `StreamAnswer.read`; raises UpstreamFailure also for an event without end."""
        while not self._ended:
            data = await self._events.read()
            self._ended = not data
            try:
                events = self._splitter.feed(data) if data else self._splitter.finish()
            except EventTooLarge:
                raise protocol_failure(self._name, "an event without end") from None
            edited = [self._edit(event) for event in events]
            if self._splitter.clean and all([new is old for new, old in zip(edited, events, strict=True)]):
                return data
            out = b"".join([b"data: " + event.replace(b"\n", b"\ndata: ") + b"\n\n" for event in edited if event])
            if out:
                return out
        return b""

    def release(self) -> None:
        self._events.release()

    def close(self) -> None:
        self._events.close()
