"""Answers in Redis, for all replicas: compressed, and readable only for who asks the very same thing again.

Name and secret are derived from the call, which is not stored: whoever has Redis alone finds neither prompts nor answers in it, and an
answer that was changed there is none. Whatever goes wrong there is a miss: the cache is a saving, not a promise.
"""

import hmac

from backend.gateway.cache.entry import Entry, unpacked
from backend.kernel.sealing import seal, unsealed
from backend.limits.kept_values import KeptValues
from backend.limits.shared import ANSWER_SECONDS
from backend.observability.metrics import Metrics


class RedisStore:
    def __init__(self, url: str, metrics: Metrics, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._metrics = metrics
        self._values = KeptValues(url, "cache", "answers are kept in memory alone", self._changed, answer_seconds=answer_seconds)
        metrics.cache_redis_up.set_function(lambda: self._values.is_up)

    async def start(self) -> None:
        await self._values.start()

    async def stop(self) -> None:
        await self._values.stop()

    async def get(self, key: bytes) -> Entry | None:
        found = await self._values.get(_name(key))
        packed = unsealed(_secret(key), found) if found is not None else None
        return unpacked(packed) if packed is not None else None

    def put(self, key: bytes, entry: Entry, seconds: float) -> None:
        """Keep it for so long. Returns at once, and says nothing of what becomes of it."""
        if self._values.is_up:
            self._values.put(_name(key), seal(_secret(key), entry.packed()), seconds)

    def _changed(self, is_up: bool) -> None:
        if not is_up:
            self._metrics.cache_redis_failures.inc()


def _name(key: bytes) -> bytes:
    return hmac.digest(key, b"name", "sha256").hex().encode()


def _secret(key: bytes) -> bytes:
    return hmac.digest(key, b"seal", "sha256")
