"""Answers in Redis, for all replicas. Whatever goes wrong there is a miss: the cache is a saving, not a promise."""

import asyncio
import math

from backend.gateway.cache.entry import Entry
from backend.gateway.cache.sealing import name_of, seal, unsealed
from backend.limits.redis_link import LinkDown
from backend.limits.shared import ANSWER_SECONDS
from backend.limits.standing_link import StandingLink
from backend.observability.metrics import Metrics

MOST_UNDER_WAY = 16 * 1024 * 1024
"""Bytes on their way to a Redis that is slow to take them; what comes on top stays in memory alone."""
_NOTHING = b"-1"


class RedisStore:
    """A connection of its own: large values would hold up the limits, which are asked before every call."""

    def __init__(self, url: str, metrics: Metrics, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._metrics = metrics
        self._under_way = 0
        self._standing = StandingLink(
            url, "cache", "answers are kept in memory alone", answer_seconds=answer_seconds, on_change=self._changed
        )
        metrics.cache_redis_up.set_function(lambda: self._standing.link is not None)

    async def start(self) -> None:
        await self._standing.start()

    async def stop(self) -> None:
        await self._standing.stop()

    async def get(self, key: bytes) -> Entry | None:
        link = self._standing.link
        if link is None:
            return None
        try:
            found = await link.call("GET", name_of(key))
        except LinkDown:
            return None
        return unsealed(key, found) if found != _NOTHING else None

    def put(self, key: bytes, entry: Entry, seconds: float) -> None:
        """Keep it for so long. Returns at once, and says nothing of what becomes of it."""
        link = self._standing.link
        if link is None or self._under_way + entry.size > MOST_UNDER_WAY:
            return
        sealed = seal(key, entry)
        self._under_way += len(sealed)

        def done(answered: "asyncio.Future[bytes]") -> None:
            self._under_way -= len(sealed)
            answered.exception()  # heard: a Redis that is full is nothing that anybody waits to be told

        link.call("SET", name_of(key), sealed, "EX", max(1, math.ceil(seconds))).add_done_callback(done)

    def _changed(self, is_up: bool) -> None:
        if not is_up:
            self._metrics.cache_redis_failures.inc()
