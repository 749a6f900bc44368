"""How many calls one provider may have at once, and how many may wait for one of them to end."""

import asyncio
from collections import deque


class Bulkhead:
    """Whoever finds it not `full` may `enter`; who finds it full may `wait`, and enters when that returns True. `leave` at the end."""

    __slots__ = ("_waiting", "limit", "queue", "running")

    def __init__(self, limit: int = 0, queue: int = 0) -> None:
        self.limit = limit or 1_000_000_000
        self.queue = queue
        """How many may wait."""
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        return self.running >= self.limit

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_room_to_wait(self) -> bool:
        return len(self._waiting) < self.queue

    def resize(self, limit: int, queue: int) -> None:
        """Other limits from now on; places that are more than before go to who waits, and of fewer none is taken from who has it."""
        self.limit, self.queue = limit or 1_000_000_000, queue
        while self._waiting and not self.full:
            self.pass_on()

    async def wait(self, seconds: float) -> bool:
        """First come, first served: True as soon as there is a place, which is there until the next thing is awaited; False if there was
        none within `seconds`."""
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
        self.running -= 1
        return True

    def enter(self) -> None:
        self.running += 1

    def leave(self) -> None:
        """One call has ended: its place goes to who waits longest, if it is still one: there may be fewer since."""
        while self._waiting and self.running <= self.limit:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.running -= 1

    def pass_on(self) -> None:
        """Whoever was given a place does not take it: it goes to who waits longest."""
        self.enter()
        self.leave()

    def _give_up(self, place: asyncio.Future[None]) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
        elif place.done() and not place.cancelled():
            self.leave()
