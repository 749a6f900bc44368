"""A streamed `text_completion` between the provider and the caller; no I/O, so that it can be tested byte by byte.

Events go through as they came, but for three things: those before the first text are held (until then another candidate may answer),
usage is shown only to who asked for it, and the event that ends the answer waits for what is known at its end. What is no JSON object is
left out, as in chats.
"""

from typing import Any

import orjson

from backend.gateway.splicing import frame, spliced
from backend.kernel.sse import EventSplitter
from backend.pricing.usage import Usage
from backend.providers.openai_usage import usage_from_openai, usage_to_openai

DONE = b"data: [DONE]\n\n"
_BYTES_A_TOKEN = 4
_LONGEST_USUAL_TOKEN = 8
_MOST_HELD_BYTES = 1024 * 1024


class TextEvents:
    """One stream on its way.

    Args:
        choices: texts that were asked for.
        most_tokens: of all of them together; who writes on beyond is cut off.
        wants_usage: the caller set `stream_options.include_usage`.
    """

    __slots__ = (
        "_choices", "_ending", "_ending_bytes", "_finished", "_head", "_held", "_most_tokens", "_size", "_splitter", "_texts",
        "_wants_usage", "done", "error", "model", "overrun", "started", "usage",
    )  # fmt: skip
    paid_in_parts = True

    def __init__(self, *, choices: int, most_tokens: int, wants_usage: bool) -> None:
        self._splitter = EventSplitter()
        self._choices = choices
        self._most_tokens = most_tokens
        self._wants_usage = wants_usage
        self._finished: set[int] = set()
        self._held: list[bytes] = []
        self._ending: list[bytes] = []
        self._ending_bytes = 0
        self._head: dict[str, Any] = {}
        self._texts = 0
        self._size = 0
        self.started = False
        """The first text has come: what `feed` returns from now on goes to the caller."""
        self.done = False
        """Nothing after this is read."""
        self.error: dict[str, Any] | None = None
        """The event that reported an error."""
        self.usage: Usage | None = None
        self.model: str | None = None
        self.overrun = False

    @property
    def complete(self) -> bool:
        """Every text has ended, or the provider said [DONE], or it was cut at its cap."""
        return self.error is None and self.started and (self.done or len(self._finished) >= self._choices)

    @property
    def tokens(self) -> int:
        """Of what was written so far, estimated: one for each event with a text, or for four bytes."""
        return max(self._texts, -(-self._size // _BYTES_A_TOKEN))

    @property
    def holds_too_much(self) -> bool:
        return not self.started and sum(map(len, self._held)) > _MOST_HELD_BYTES

    def feed(self, data: bytes) -> bytes:
        """What of these bytes goes to the caller now. Raises EventTooLarge."""
        return self._take(self._splitter.feed(data))

    def end(self) -> bytes:
        """As `feed`, for what the end of the body completes."""
        return self._take(self._splitter.finish())

    def closing(self, usage: Usage, facts: dict[str, Any] | None) -> bytes:
        """The end of a complete answer: what was held, the usage where it was asked for, and [DONE]."""
        extra = b',"bourse":' + orjson.dumps(facts) if facts is not None else b""
        parts = [*self._ending]
        if self.overrun and not parts:
            choices = [{"text": "", "index": at, "logprobs": None, "finish_reason": "length"} for at in range(self._choices)]
            parts = [orjson.dumps({**self._head, "choices": choices})]
        if self._wants_usage:
            parts.append(orjson.dumps({**self._head, "choices": [], "usage": usage_to_openai(usage)}))
        if parts:
            parts[-1] = spliced(parts[-1], extra)
        return b"".join([*map(frame, parts), DONE])

    def _take(self, events: list[bytes]) -> bytes:
        out: list[bytes] = []
        for payload in events:
            if self.done:
                break
            shaped = self._shaped(payload)
            if shaped is None:
                continue
            if len(self._finished) < self._choices:
                out.append(shaped)
                continue
            self._ending.append(shaped)
            self._ending_bytes += len(shaped)
            if self._ending_bytes > _MOST_HELD_BYTES:
                self.done = True  # all of the answer is here
        if not self.started:
            self._held += out
            return b""
        out, self._held = [*self._held, *out], []
        return b"".join(map(frame, out))

    def _shaped(self, payload: bytes) -> bytes | None:
        """The event as the caller gets it; None where he gets nothing of it."""
        if payload.strip() == b"[DONE]":
            self.done = True
            return None
        try:
            event = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(event, dict):
            return None
        if event.get("error"):
            self.error, self.done = event, True
            return None
        return self._read(event, payload)

    def _read(self, event: dict[str, Any], payload: bytes) -> bytes | None:
        self.usage = usage_from_openai(event.get("usage")) or self.usage
        told = event.get("choices")
        choices = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
        if not self._head:
            self._head = {name: event[name] for name in ("id", "object", "created", "model") if name in event}
            model = event.get("model")
            self.model = model if isinstance(model, str) else None
        if not choices:
            return None
        for choice in choices:
            text = choice.get("text")
            if isinstance(text, str) and text:
                self.started = True
                self._texts += 1
                self._size += len(text.encode("utf-8", "surrogatepass"))
            if choice.get("finish_reason"):
                self.started = True
                index = choice.get("index")
                self._finished.add(index if isinstance(index, int) else 0)
        if self._texts > self._most_tokens and self._size > self._most_tokens * _LONGEST_USUAL_TOKEN:
            self.overrun = self.done = True
            return None
        if "usage" not in event and not self._wants_usage:
            return payload
        event.pop("usage", None)
        return orjson.dumps({**event, "usage": None} if self._wants_usage else event)
