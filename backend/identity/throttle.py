"""Slowing down who guesses: attempts counted in memory, per name, over a sliding time."""

from collections import OrderedDict, deque

from backend.kernel.clock import Clock
from backend.kernel.errors import RateLimited

MAX_NAMES = 20_000


class Throttle:
    """At most `limit` attempts per name in any `seconds`. Holds at most 20,000 names; the longest silent is forgotten first.

    Attempts count when they begin, so a hundred at once do not slip through while the first is being checked.
    """

    def __init__(self, clock: Clock, *, limit: int, seconds: float) -> None:
        self._clock = clock
        self._limit = limit
        self._seconds = seconds
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def attempt(self, name: str) -> None:
        """Count one attempt.

        Raises:
            RateLimited: the limit is reached; `retry_after` says when the oldest attempt is forgotten. A refused attempt is not counted,
                so nobody can be kept out for ever.
        """
        now = self._clock.monotonic()
        attempts = self._attempts.setdefault(name, deque(maxlen=self._limit))
        self._attempts.move_to_end(name)
        while attempts and attempts[0] <= now - self._seconds:
            attempts.popleft()
        if len(attempts) >= self._limit:
            wait = attempts[0] + self._seconds - now
            raise RateLimited(f"Too many attempts. Try again in {max(1, -int(-wait // 60))} min.", retry_after=wait)
        attempts.append(now)
        while len(self._attempts) > MAX_NAMES:
            self._attempts.popitem(last=False)

    def take_back(self, name: str) -> None:
        """The latest attempt was no guess: it no longer counts."""
        attempts = self._attempts.get(name)
        if attempts:
            attempts.pop()

    def forget(self, name: str) -> None:
        """Somebody proved to be who he says: his attempts no longer count."""
        self._attempts.pop(name, None)
