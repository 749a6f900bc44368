"""A call on its way to an answer that is going to be kept: what went out to the caller is gathered, and put together at the end."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from backend.gateway.cache.assembly import Assembly, CannotAssemble
from backend.gateway.cache.entry import Entry, why_not_kept
from backend.gateway.cache.flight import Flight
from backend.gateway.call import Call
from backend.gateway.responses import EventWriter
from backend.kernel.header_lines import Lines
from backend.kernel.json import dump_json
from backend.kernel.request import Send
from backend.pricing.usage import Usage
from backend.providers.openai_usage import usage_from_openai, usage_to_openai

if TYPE_CHECKING:
    from backend.gateway.cache.prompt_cache import PromptCache
    from backend.gateway.watch import Watch

_GATHERED_BYTES = 16 * 1024
"""Of a stream that are kept as they went out, before they are put together: a chunk takes twenty times the room of its text."""


class Keeping:
    """`close` it whatever becomes of the call: others may wait."""

    __slots__ = ("_assembly", "_cache", "_call", "_flight", "_gathered", "_key", "_size", "_why_not")

    def __init__(self, cache: "PromptCache", call: Call, key: bytes, flight: Flight | None) -> None:
        self._cache = cache
        self._call = call
        self._key = key
        self._flight = flight
        self._gathered: list[bytes] = []
        self._size = 0
        self._assembly = Assembly()
        self._why_not: str | None = None

    def writer(self, send: Send, watch: "Watch", head: Callable[[], list[Lines]]) -> EventWriter:
        """As `EventWriter`, for a stream whose answer is to be kept."""
        return _KeepingWriter(send, watch, head, self._gather)

    def whole(self, answer: dict[str, Any], body: bytes, usage: Usage) -> None:
        """Keep a whole answer that was settled. `usage`: what it was charged for."""
        self._keep(answer, usage, body)

    def stream(self, closing: bytes, usage: Usage) -> None:
        """Keep what was streamed and settled; `closing` are the last bytes that go out."""
        self._gather(closing)
        self._put_together()
        if self._why_not is None:
            try:
                answer = self._assembly.whole()
            except CannotAssemble:
                self._why_not = "unclear"
            else:
                self._keep(answer, usage)

    def found(self, entry: Entry) -> None:
        """Nobody has to be asked: it was kept elsewhere."""
        if self._flight is not None:
            self._cache.landed(self._key, self._flight, entry)

    def close(self) -> None:
        """The call is over, however."""
        if self._flight is not None:
            self._cache.landed(self._key, self._flight, None, lost=self._call.record.outcome != "completed")
        if self._why_not is not None:
            self._cache.not_kept(self._why_not)

    def _keep(self, answer: dict[str, Any], usage: Usage, body: bytes | None = None) -> None:
        self._why_not = self._why_not_kept(answer)
        if self._why_not is not None:
            return
        counted = usage_from_openai(answer.get("usage")) is not None
        if body is None or "bourse" in answer or not counted:
            # Of an upstream that is a Bourse itself; and an answer that is streamed later may have to tell its usage.
            told = {name: value for name, value in answer.items() if name != "bourse"}
            body = dump_json(told if counted else {**told, "usage": usage_to_openai(usage)})
        if len(body) > self._cache.most_bytes:
            self._why_not = "too_large"
            return
        call, record = self._call, self._call.record
        assert call.route is not None
        entry = Entry(
            body=body,
            bought_at=self._cache.now(),
            cost_nano=record.charged_nano,
            provider=record.provider or "",
            model=record.model or "",
            offer_id=record.offer_id,
            usage_source=record.usage_source,
            simulated=call.simulated,
            dropped=call.request.dropped if call.request is not None else (),
        )
        self._cache.keep(self._key, entry, call.route.cache_seconds)
        self.found(entry)

    def _why_not_kept(self, answer: dict[str, Any]) -> str | None:
        if self._call.record.overrun or self._call.lowered_cap:
            return "cut"
        if self._call.record.recovered is not None:
            return "recovered"
        return why_not_kept(answer)

    def _gather(self, data: bytes) -> None:
        if self._why_not is None:
            self._gathered.append(data)
            self._size += len(data)
            if self._size >= _GATHERED_BYTES:
                self._put_together()

    def _put_together(self) -> None:
        try:
            self._assembly.feed(b"".join(self._gathered))
        except CannotAssemble:
            self._why_not = "unclear"
        else:
            if self._assembly.size > self._cache.most_bytes:
                self._why_not = "too_large"
        if self._why_not is not None and self._flight is not None:
            # It may be long until it ends, and there is nothing to wait for.
            self._cache.landed(self._key, self._flight, None)
        self._gathered = []
        self._size = 0


class _KeepingWriter(EventWriter):
    __slots__ = ("_gather",)

    def __init__(self, send: Send, watch: "Watch", head: Callable[[], list[Lines]], gather: Callable[[bytes], None]) -> None:
        super().__init__(send, watch, head)
        self._gather = gather

    def write(self, data: bytes) -> Coroutine[Any, Any, None]:  # no coroutine of its own: one more for each chunk
        self._gather(data)
        return super().write(data)
