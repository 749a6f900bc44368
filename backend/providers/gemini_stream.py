"""Gemini's event stream as OpenAI's, event by event; no I/O, so that it can be tested byte by byte.

Each event is a GenerateContentResponse with what came since the last one; its `usageMetadata` is a running total, so the last one
counts. There is no [DONE]: the stream is whole when every candidate has its finish reason and the body ends.
"""

from typing import Any

import orjson

from backend.kernel.sse import EventSplitter, EventTooLarge
from backend.providers.failures import Unsaid, UpstreamFailure, protocol_failure
from backend.providers.gemini_answer import ChoiceReader, Identity, logprobs, raise_if_blocked
from backend.providers.gemini_errors import error_of, google_failure
from backend.providers.gemini_usage import counts_the_answer, counts_the_prompt, openai_usage

_UNREADABLE = b"data: {\n\n"
"""Stands for an event that cannot be read: whoever reads us counts it as one."""


class GeminiStream:
    """Feed bytes in order, get OpenAI's. `failure` is set once nothing more can come; what came before it was returned."""

    __slots__ = ("_before", "_choices", "_finished", "_id", "_identity", "_is_counted", "_splitter", "_unsaid", "_usage", "failure")

    def __init__(self, identity: Identity, unsaid: Unsaid = ()) -> None:
        self._identity = identity
        self._unsaid = unsaid
        self._splitter = EventSplitter()
        self._choices: dict[int, ChoiceReader] = {}
        self._finished: set[int] = set()
        self._before = b""
        """What is the same in all chunks, once an event has said it."""
        self._id = ""
        self._usage: Any = None
        self._is_counted = False
        """All that was passed on is in the usage."""
        self.failure: UpstreamFailure | None = None

    def feed(self, data: bytes) -> bytes:
        """The chunks that these bytes complete."""
        if self.failure is not None:
            return b""
        try:
            events = self._splitter.feed(data)
        except EventTooLarge:
            self.failure = protocol_failure(self._identity.provider, "an event without end")
            return b""
        return self._events(events)

    def end(self) -> bytes:
        """What is left when the body has ended: usage and [DONE] of a whole answer, and of a broken one the usage where it is known."""
        out = self._events(self._splitter.finish()) if self.failure is None else b""
        if self._choices and self.failure is None and self._finished >= self._choices.keys():
            return out + self._usage_chunk() + b"data: [DONE]\n\n"
        return out + self.broken()

    def broken(self) -> bytes:
        """The usage of a stream that is over before its end, where the provider has counted all that it sent."""
        return self._usage_chunk() if self._is_counted else b""

    def _events(self, events: list[bytes]) -> bytes:
        out: list[bytes] = []
        for payload in events:
            if not payload.strip():
                continue
            try:
                answer = orjson.loads(payload)
            except orjson.JSONDecodeError:
                out.append(_UNREADABLE)
                continue
            try:
                out.append(self._event(answer))
            except UpstreamFailure as failure:
                self.failure = failure
                break
        return b"".join(out)

    def _event(self, answer: Any) -> bytes:
        candidates = answer.get("candidates") if isinstance(answer, dict) else None
        if not candidates:
            if error_of(answer) is not None:
                raise google_failure(self._identity.provider, None, answer, unsaid=self._unsaid)
            if not isinstance(answer, dict):
                return _UNREADABLE
            raise_if_blocked(answer)
        if not self._before:
            # The identity of a stream is that of its first event, whatever later ones say.
            head = orjson.dumps(self._identity.head(answer, "chat.completion.chunk"))
            self._before, self._id = b"data: " + head[:-1] + b',"choices":', self._identity.id_of(answer)
        usage = answer.get("usageMetadata")
        choices = []
        for number, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            choice = self._choice(candidate, number)
            if choice is not None:
                choices.append(choice)
        if counts_the_prompt(usage):
            self._usage, self._is_counted = usage, counts_the_answer(usage)
        elif choices:
            self._is_counted = False
        if not choices:
            return b""
        return self._before + orjson.dumps(choices) + b"}\n\n"

    def _choice(self, candidate: Any, number: int) -> dict[str, Any] | None:
        index = candidate.get("index", number) if isinstance(candidate, dict) else number
        if type(index) is not int:
            index = number
        reader, delta = self._choices.get(index), {}
        if reader is None:
            reader = self._choices[index] = ChoiceReader(self._identity, index, self._id)
            delta = {"role": "assistant"}
        added, reason = reader.read(candidate)
        if reason is not None:
            self._finished.add(index)
        if not added and not delta and reason is None:
            return None
        return {"index": index, "delta": {**delta, **added}, "logprobs": logprobs(candidate), "finish_reason": reason}

    def _usage_chunk(self) -> bytes:
        usage = openai_usage(self._usage)
        if usage is None or not self._before:
            return b""
        return self._before + b'[],"usage":' + orjson.dumps(usage) + b"}\n\n"
