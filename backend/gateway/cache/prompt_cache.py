"""The exact prompt cache: a call whose equal was answered lately gets that answer again, as a stream or whole, and costs nothing.

Only on routes that say for how long. A caller waits for an equal call of this process that runs already; where that fails, one of those
who wait is next, and where its answer cannot be given to others, everybody asks for himself at once.
"""

import asyncio
from collections.abc import Mapping

import orjson

from backend.gateway.cache.entry import Entry
from backend.gateway.cache.flight import Flight
from backend.gateway.cache.generations import Generations
from backend.gateway.cache.keeping import Keeping
from backend.gateway.cache.key import key_of, wants_more_than_an_answer
from backend.gateway.cache.memory import MemoryStore
from backend.gateway.cache.redis_store import RedisStore
from backend.gateway.cache.unfolding import stream_of
from backend.gateway.cache.wish import Wish, wish_of
from backend.gateway.call import Call
from backend.gateway.facts import bourse_object, fact_lines
from backend.gateway.responses import EventWriter, send_json
from backend.gateway.settle import Settler
from backend.gateway.splicing import splice_facts
from backend.gateway.standing_headers import StandingHeaders
from backend.gateway.watch import STALL_SECONDS, Looks, Watch
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.header_lines import Lines
from backend.kernel.request import Receive, Scope, Send, header
from backend.observability.metrics import Metrics
from backend.settings import Settings

STREAM_PATIENCE = 15.0
"""How long a caller who wants a stream waits for another's whole answer: until then nobody expects a sign of life."""

PIECE_BYTES = 64 * 1024
"""Of an answer are sent at once, so that no more of it waits for a caller who does not read."""

_Found = tuple[Entry, str]
"""An answer, and where it was: memory, redis, or joined (another call brought it just now)."""


class PromptCache:
    """Args:
    servers: as `key_of`.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        settler: Settler,
        standing: StandingHeaders,
        db: Database,
        servers: Mapping[str, str],
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._settler = settler
        self._standing = standing
        self._servers = servers
        self._memory = MemoryStore(settings.cache.memory)
        self._redis = RedisStore(settings.redis_url, metrics) if settings.redis_url is not None else None
        self._generations = Generations(db)
        self.most_bytes = settings.cache.max_entry
        self._flights: dict[bytes, Flight] = {}
        self._looks = Looks()
        metrics.cache_bytes.set_function(lambda: self._memory.bytes)
        metrics.cache_entries.set_function(lambda: len(self._memory))

    async def start(self) -> None:
        if self._redis is not None:
            await self._redis.start()

    async def load(self) -> None:
        """Learn what was cleared; subscribe this to the change feed."""
        if await self._generations.load():
            # Nothing leads to it any more, and this happens once in a while: whoever was not meant buys anew.
            self._memory.clear()

    async def stop(self) -> None:
        if self._redis is not None:
            await self._redis.stop()

    async def answered(self, call: Call, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the call was answered, and settled, from what is kept. If not, `call.keeping` is to be told of its answer if that is to
        be kept, and to be closed whatever happens.

        Raises:
            CallerGone: the caller hung up while it waited for another's answer.
        """
        wish = wish_of(header(scope, b"cache-control"))
        if not (wish.read or wish.store) or wants_more_than_an_answer(call.body):
            self._bypassed(call)
            return False
        key = key_of(call, self._servers, self._generations.of(call.record.tenant_id))
        if not wish.read:
            self._bypassed(call)
            call.keeping = Keeping(self, call, key, None)
            return False
        found = await self._find(call, key, wish, receive)
        if found is None:
            self._metrics.cache_lookups.labels("miss", "").inc()
            return False
        await self._answer(call, *found, receive, send)
        return True

    async def _find(self, call: Call, key: bytes, wish: Wish, receive: Receive) -> _Found | None:
        """What is fresh enough for this call; None if it is to ask for itself, and then it may be the one for whom others wait."""
        route = call.route
        assert route is not None
        most = min(route.cache_seconds, wish.max_age)
        timeouts = route.timeouts
        patience = min(timeouts.first_token, STREAM_PATIENCE) if call.record.stream else timeouts.attempt
        until = self._clock.monotonic() + min(patience, timeouts.total / 2)
        entry = self._memory.get(key)
        if entry is not None:
            age = self.now() - entry.bought_at
            if age <= most:
                return entry, "memory"
            if age > route.cache_seconds:
                self._memory.drop(key)
        while (flight := self._flights.get(key)) is not None:
            began = self._clock.monotonic()
            await flight.wait(receive, until - began, self._looks)
            # It is a provider that was waited for, if one that another call has asked.
            call.upstream_seconds += self._clock.monotonic() - began
            entry = flight.entry
            if entry is not None and self.now() - entry.bought_at <= most:
                return entry, "joined"
            if not flight.lost:
                call.keeping = Keeping(self, call, key, None)
                return None
        flight = self._flights[key] = Flight()
        call.keeping = Keeping(self, call, key, flight)
        if self._redis is not None and (entry := await self._redis.get(key)) is not None and self.now() - entry.bought_at <= most:
            self._put(key, entry)
            call.keeping.found(entry)
            return entry, "redis"
        return None

    async def _answer(self, call: Call, entry: Entry, source: str, receive: Receive, send: Send) -> None:
        record = call.record
        record.provider, record.model, record.offer_id = entry.provider, entry.model, entry.offer_id
        call.cache, call.simulated = "hit", entry.simulated
        call.dropped = tuple([name for name in entry.dropped if name in call.body])
        self._settler.cached(call, entry.cost_nano)
        self._metrics.cache_lookups.labels("hit", source).inc()
        facts = {**bourse_object(call), "usageSource": entry.usage_source} if call.with_facts else None
        age: Lines = (b"age: %d\r\n" % max(0, self.now() - entry.bought_at), 1)
        lines = [fact_lines(call, overhead=call.overhead), age, *self._standing.lines(call)]
        if record.stream:
            events = stream_of(orjson.loads(entry.body), wants_usage=call.wants_usage, facts=facts)
            watch = Watch(receive, total=STREAM_PATIENCE, looks=self._looks)
            await _hand_out(EventWriter(send, watch, lambda: lines), events)
        else:
            body = splice_facts(entry.body, facts) if facts is not None else entry.body
            await send_json(send, 200, body, lines=lines)

    def _bypassed(self, call: Call) -> None:
        call.cache = "bypass"
        self._metrics.cache_lookups.labels("bypass", "").inc()

    def _put(self, key: bytes, entry: Entry) -> None:
        self._metrics.cache_evictions.inc(self._memory.put(key, entry))

    # For `Keeping` -----------------------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self._clock.now().timestamp()

    def keep(self, key: bytes, entry: Entry, seconds: float) -> None:
        """From now on, and for so many seconds, this is the answer."""
        self._put(key, entry)
        if self._redis is not None:
            self._redis.put(key, entry, seconds)

    def landed(self, key: bytes, flight: Flight, entry: Entry | None, *, lost: bool = False) -> None:
        """The call that others wait for is answered, or is not going to be."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.land(entry, lost=lost)

    def not_kept(self, why: str) -> None:
        self._metrics.cache_not_kept.labels(why).inc()


async def _hand_out(writer: EventWriter, events: bytes) -> None:
    at = 0
    while len(events) - at > PIECE_BYTES:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await writer.write(events[at : at + PIECE_BYTES])
        except TimeoutError:
            return  # it is settled; the server hangs up
        at += PIECE_BYTES
    await writer.finish(events[at:] if at else events)
