"""What one scope has used: in the last 60 seconds by second, right now, and today. Only the seconds in which something happened are kept.

Counting whole seconds, the present one and the 60 before it are counted. Anything that lies less than 60 seconds back is among them,
so the sum is never below what a sliding minute holds, and a limit on it can be doubled at no boundary.
"""

from collections import deque
from math import ceil

SECONDS = 60
COUNTED = SECONDS + 1

Bucket = list[int]
"""Second, requests, tokens. A reservation keeps hold of its bucket and corrects it later; `SECOND` is GONE once it counts no more."""
SECOND, REQUESTS, TOKENS = range(3)
GONE = -1


class Window:
    """Not thread-safe: one loop owns it. Seconds are whole numbers of any clock that does not step back."""

    __slots__ = (
        "buckets",
        "day",
        "day_requests",
        "day_tokens",
        "known_requests",
        "known_tokens",
        "oldest",
        "requests",
        "running",
        "tokens",
    )

    def __init__(self) -> None:
        self.buckets: deque[Bucket] = deque()
        self.oldest = 2**62
        """The second of the first bucket; far in the future while there is none."""
        self.requests = 0
        self.tokens = 0
        self.running = 0
        self.begin_day(0)

    def forget_before(self, second: int) -> None:
        """Stop counting what happened before `second`."""
        buckets = self.buckets
        while buckets and buckets[0][SECOND] < second:
            gone = buckets.popleft()
            self.requests -= gone[REQUESTS]
            self.tokens -= gone[TOKENS]
            gone[SECOND] = GONE
        self.oldest = buckets[0][SECOND] if buckets else 2**62

    def bucket(self, second: int) -> Bucket:
        """The bucket of `second`, which is not before any other's."""
        buckets = self.buckets
        if buckets:
            last = buckets[-1]
            if last[SECOND] >= second:
                return last
        else:
            self.oldest = second
        new = [second, 0, 0]
        buckets.append(new)
        return new

    def begin_day(self, number: int) -> None:
        """Count a new day: what this process lets in, and beside it what it knows of that was let in before or elsewhere."""
        self.day = number
        self.day_requests = self.day_tokens = 0
        self.known_requests = self.known_tokens = 0

    @property
    def is_idle(self) -> bool:
        return not self.running and not self.buckets

    def wait_for(self, kind: int, room: int, now: float) -> int:
        """Whole seconds from `now` until the used `kind` (REQUESTS or TOKENS) is at most `room`, if nothing else comes; at least 1."""
        used = self.requests if kind == REQUESTS else self.tokens
        until = now
        for bucket in self.buckets:
            if used <= room:
                break
            used -= bucket[kind]
            until = bucket[SECOND] + COUNTED
        return max(1, ceil(until - now))

    def reset(self, now: float) -> int:
        """Whole seconds from `now` until nothing is counted any more, if nothing else comes."""
        return max(0, ceil(self.buckets[-1][SECOND] + COUNTED - now)) if self.buckets else 0
