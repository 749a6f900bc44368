"""Whether somebody who failed again and again may be asked: nobody for a while, but for one call now and then that finds out."""

from backend.routing.route import Breaker

TRIPPED = 1_000_000
"""Failures that open every breaker, whatever its threshold."""
_MOST_BREAKERS = 16
_MOSTLY_ANSWERS = 20
"""So many answers since it was open last, and its failures in a row may be chance: of 1,000 calls of which each tenth fails, one is the
third failure in a row."""
_SOON = 0.1
"""The part of the probe interval after which such a one is probed first."""


class Circuit:
    """The facts are shared, and each route's breaker judges them. Times are seconds of one monotonic clock, which the callers read."""

    __slots__ = ("_lifted", "_opened", "_probes_soon", "answers", "failed_at", "failures", "probed_at")

    def __init__(self) -> None:
        self.failures = 0
        """In a row, up to now."""
        self.failed_at = 0.0
        self.probed_at = float("-inf")
        """When the last call was made that was not one among many."""
        self._opened: dict[Breaker, float] = {}
        self._lifted = 0
        """The failures that count no more, as long as there is none after them."""
        self._probes_soon = False
        self.answers = 0
        """Since it was open last."""

    def fail(self, now: float) -> None:
        self.failures += 1
        self.failed_at = now

    def trip(self, now: float) -> None:
        """Open at once, for all breakers."""
        self.fail(now)
        self.failures = max(self.failures, TRIPPED)

    def lift(self) -> bool:
        """Calls are let through again, until the next failure; returns whether a breaker had been open."""
        if not self._opened:
            return False
        self._lifted = self.failures
        self._opened.clear()
        return True

    def close(self) -> bool:
        """All is well again; returns whether a breaker had been open."""
        self.failures = self._lifted = 0
        was_open = bool(self._opened)
        self._opened.clear()
        return was_open

    @property
    def was_left_out(self) -> bool:
        """The row of failures that lasts has opened a breaker."""
        return bool(self._opened)

    def is_open(self, breaker: Breaker, now: float) -> bool:
        """Closed again for everybody once `breaker.open` has passed, and open again with the next failure after that."""
        opened = self._opened_at(breaker)
        return opened is not None and now < opened + breaker.open

    def wait(self, breaker: Breaker, now: float) -> float:
        """Seconds until a call may be made: 0 while closed, and when it is time for a probe."""
        opened = self._opened_at(breaker)
        if opened is None:
            return 0.0
        if self._probes_soon and self.probed_at <= opened:
            probe = opened + _SOON * breaker.probe_interval
        else:
            probe = max(opened, self.probed_at) + breaker.probe_interval
        return max(0.0, min(opened + breaker.open, probe) - now)

    def probe(self, now: float) -> None:
        """A call is being made; while open, the next may be made a `probe_interval` from now."""
        self.probed_at = now

    def _opened_at(self, breaker: Breaker) -> float | None:
        if self.failures < breaker.failures or self.failures == self._lifted:
            return None
        opened = self._opened.get(breaker)
        if opened is None or self.failed_at >= opened + breaker.open:
            if len(self._opened) >= _MOST_BREAKERS:
                self._opened.clear()
            self._probes_soon = self.answers >= _MOSTLY_ANSWERS
            self.answers = 0
            opened = self._opened[breaker] = self.failed_at
        return opened
