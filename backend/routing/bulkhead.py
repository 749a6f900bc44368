"""How many calls one provider may have at once, and how many may wait for one of them to end."""

import asyncio
from collections import deque


class Bulkhead:
    """`running` is compared and counted by whoever enters while there is room; only who finds none calls `wait`."""

    __slots__ = ("_waiting", "limit", "queue", "running")

    def __init__(self, limit: int = 0, queue: int = 0) -> None:
        self.limit = limit or 1_000_000_000
        self.queue = queue
        """How many may wait."""
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_room_to_wait(self) -> bool:
        return len(self._waiting) < self.queue

    async def wait(self, seconds: float) -> bool:
        """Take a place as soon as one is free, first come, first served; False if none was within `seconds`."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await place
        except TimeoutError:
            self._give_up(place)
            return False
        except BaseException:
            self._give_up(place)
            raise
        return True

    def leave(self) -> None:
        """One call has ended: its place goes to who waits longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.running -= 1

    def _give_up(self, place: asyncio.Future[None]) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
        elif place.done() and not place.cancelled():
            self.leave()
