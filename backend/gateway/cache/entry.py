"""An answer that is kept: the whole `chat.completion`, and what it was when it was bought."""

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Entry:
    body: bytes
    """A whole answer without facts of ours."""
    bought_at: float
    """Seconds since 1970."""
    cost_nano: int
    """What it was charged then, in nano-dollars; 0 also where nobody knew its price."""
    provider: str
    model: str
    offer_id: str | None
    usage_source: str
    simulated: bool
    dropped: tuple[str, ...] = ()
    """What of the call's fields it was given without."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, its key and its place included; measured."""
        return len(self.body) + _BESIDE_THE_BODY

    def packed(self) -> bytes:
        facts = (self.bought_at, self.cost_nano, self.provider, self.model, self.offer_id, self.usage_source, self.simulated, self.dropped)
        return orjson.dumps(facts) + b"\n" + self.body


_BESIDE_THE_BODY = 700


def unpacked(data: bytes) -> Entry | None:
    """None for what is no packed entry."""
    facts, _, body = data.partition(b"\n")
    try:
        known: list[Any] = orjson.loads(facts)
        known[-1] = tuple(known[-1])
        return Entry(body, *known)
    except (orjson.JSONDecodeError, TypeError):
        return None


def why_not_kept(answer: dict[str, Any]) -> str | None:
    """What makes a whole answer one that nobody should get again; None if nothing does."""
    choices = answer.get("choices")
    if not choices or not isinstance(choices, list):
        return "empty"
    for choice in choices:
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            return "malformed"
        if choice.get("finish_reason") in (None, "", "content_filter", "error"):
            return "unfinished"
        if not any(map(message.get, ("content", "tool_calls", "function_call", "refusal"))):
            return "empty"
        if message.get("audio"):
            return "sound"
        calls = message.get("tool_calls")
        if calls and not (isinstance(calls, list) and all(isinstance(one, dict) for one in calls)):
            return "malformed"
    return None
