"""Values that are kept in Redis for all replicas and may be gone whenever they are asked for. Whatever goes wrong there is a miss."""

import asyncio
import math
from collections.abc import Callable

from backend.limits.redis_link import LinkDown
from backend.limits.shared import ANSWER_SECONDS
from backend.limits.standing_link import StandingLink

MOST_UNDER_WAY = 16 * 1024 * 1024
"""Bytes on their way to a Redis that is slow to take them; what comes on top is not kept there."""
_NOTHING = b"-1"


class KeptValues:
    """A connection of its own: large values would hold up the limits, which are asked before every call.

    Args:
        name, consequence, on_change: as of `StandingLink`.
    """

    def __init__(
        self, url: str, name: str, consequence: str, on_change: Callable[[bool], None], *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._prefix = f"bourse:{name}:".encode()
        self._under_way = 0
        self._standing = StandingLink(url, name, consequence, answer_seconds=answer_seconds, on_change=on_change)

    async def start(self) -> None:
        await self._standing.start()

    async def stop(self) -> None:
        await self._standing.stop()

    @property
    def is_up(self) -> bool:
        return self._standing.link is not None

    async def get(self, name: bytes) -> bytes | None:
        link = self._standing.link
        if link is None:
            return None
        try:
            found = await link.call("GET", self._prefix + name)
        except LinkDown:
            return None
        return found if found != _NOTHING else None

    def put(self, name: bytes, value: bytes, seconds: float) -> None:
        """Keep it for so long. Returns at once, and says nothing of what becomes of it."""
        link = self._standing.link
        if link is None or self._under_way + len(value) > MOST_UNDER_WAY:
            return
        self._under_way += len(value)

        def done(answered: "asyncio.Future[bytes]") -> None:
            self._under_way -= len(value)
            answered.exception()  # heard: a Redis that is full is nothing that anybody waits to be told

        link.call("SET", self._prefix + name, value, "EX", max(1, math.ceil(seconds))).add_done_callback(done)
