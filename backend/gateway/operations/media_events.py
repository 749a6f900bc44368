"""Sound that is spoken or written down, and pictures, in events, between the provider and the caller; no I/O.

`speech.audio.delta` … `speech.audio.done`, `transcript.text.delta`, `transcript.text.segment` … `transcript.text.done`, and
`image_generation.partial_image` … `image_generation.completed` (of `image_edit`, too). Events go through as they came; the last, which has
the usage, waits for what is known at the end. What is no JSON object is left out, as in chats. OpenAI ends these streams without [DONE];
who sends one has it passed on.
"""

from typing import Any

import orjson

from backend.gateway.splicing import frame, spliced
from backend.kernel.sse import EventSplitter
from backend.pricing.usage import Usage
from backend.providers.answer_events import DELTAS, DONE, usage_of

_ENDED = b"data: [DONE]\n\n"
_MOST_HELD_BYTES = 1024 * 1024


class MediaEvents:
    """One stream on its way; as `AnswerEvents`."""

    __slots__ = ("_ending", "_held", "_says_done", "_splitter", "done", "error", "started", "usage")

    paid_in_parts = False
    model: str | None = None
    overrun = False

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._held: list[bytes] = []
        self._ending: bytes | None = None
        self._says_done = False
        self.started = self.done = False
        self.error: dict[str, Any] | None = None
        self.usage: Usage | None = None

    @property
    def complete(self) -> bool:
        return self.error is None and self._ending is not None

    @property
    def holds_too_much(self) -> bool:
        return not self.started and sum(map(len, self._held)) > _MOST_HELD_BYTES

    def feed(self, data: bytes) -> bytes:
        return self._take(self._splitter.feed(data))

    def end(self) -> bytes:
        return self._take(self._splitter.finish())

    def closing(self, usage: Usage, facts: dict[str, Any] | None) -> bytes:  # noqa: ARG002 it is in the last event
        extra = b',"bourse":' + orjson.dumps(facts) if facts is not None else b""
        ending = frame(spliced(self._ending, extra)) if self._ending is not None else b""
        return ending + _ENDED if self._says_done else ending

    def _take(self, events: list[bytes]) -> bytes:
        for payload in events:
            if self.done:
                break
            self._read(payload)
        if not self.started:
            return b""
        out, self._held = self._held, []
        return b"".join(map(frame, out))

    def _read(self, payload: bytes) -> None:
        if payload.strip() == b"[DONE]":
            self._says_done = self.done = True
            return
        try:
            event = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        if not isinstance(event, dict) or self._ending is not None:
            return
        kind = event.get("type")
        if event.get("error") or kind == "error":
            self.error, self.done = event if event.get("error") else {"error": event}, True
        elif kind in DONE:
            self.started, self._ending, self.usage = True, payload, usage_of(event)
        else:
            self.started = self.started or kind in DELTAS
            self._held.append(payload)
