"""How often providers are asked once more, over all calls: when many fail at once, asking again is what keeps them down."""

import time
from collections.abc import Callable

SHARE = 0.2
"""Further attempts per call."""
FLOOR = 3.0
"""Further attempts per second that are granted whatever the number of calls."""
BURST_SECONDS = 10.0
"""Of the present rate; what was not used for longer is lost."""


class RetryBudget:
    """Count one in `calls` for each call; `take` before an attempt that is not its first."""

    __slots__ = ("_balance", "_counted", "_filled_at", "_now", "calls")

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.calls = 0
        self._counted = 0
        self._balance = FLOOR * BURST_SECONDS
        self._filled_at = now()

    def take(self) -> bool:
        """Whether one more attempt may be made; it then counts as made."""
        now = self._now()
        elapsed = now - self._filled_at
        if elapsed >= 1.0:
            # Not more often: the larger of two rates is the larger only over a while.
            gain = max(SHARE * (self.calls - self._counted), FLOOR * elapsed)
            self._balance = min(self._balance + gain, max(FLOOR, gain / elapsed) * BURST_SECONDS)
            self._filled_at, self._counted = now, self.calls
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True
