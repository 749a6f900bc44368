"""What the journal is told of a call while it runs: every half second, and of a stream every 64 tokens, whichever comes first.

A process that is killed says no last word; its calls are then charged what they had come to when the journal last heard of them. The half
seconds are the looks of the call's watch, so no timer is added, and a call that ends before the first look writes nothing.
"""

from backend.gateway.call import Call
from backend.gateway.chunks import ChunkStream
from backend.gateway.settle import Settler

TOKENS = 64


class Progress:
    """Of one call. `look` is the watch's; the relay says `begins`, and `tell` when the answer has `due` tokens."""

    __slots__ = ("_call", "_chunks", "_settler", "_told_attempt", "_told_tokens", "due")

    def __init__(self, call: Call, settler: Settler) -> None:
        self._call = call
        self._settler = settler
        self._chunks: ChunkStream | None = None
        self._told_attempt = 0
        self._told_tokens = -1
        self.due = 0

    def begins(self, chunks: ChunkStream) -> None:
        """The first token is here."""
        self._chunks = chunks
        self.tell()

    def breaks(self) -> None:
        """The stream is over before its end, and somebody else is asked to go on."""
        self._chunks = None
        self._told_attempt = len(self._call.attempts)
        self._settler.progress(self._call, None, 0, begun=True)

    def look(self) -> None:
        """Tell if something is new."""
        if self._chunks is not None:
            if self._chunks.estimated_output_tokens() != self._told_tokens:
                self.tell()
        elif len(self._call.attempts) != self._told_attempt:
            told, accepted = self._told_attempt, self._call.accepted
            self._told_attempt = len(self._call.attempts) if accepted else 0
            if accepted or told:
                # What was told of an attempt that has failed since is taken back.
                self._settler.progress(self._call, None, 0, begun=self._call.delivered is not None)

    def tell(self) -> None:
        chunks = self._chunks
        assert chunks is not None
        tokens = self._told_tokens = chunks.estimated_output_tokens()
        self.due = tokens + TOKENS
        chunks.keep_no_more_than_is_good()
        self._settler.progress(self._call, chunks.usage, chunks.uncounted_output_tokens(), begun=True)
