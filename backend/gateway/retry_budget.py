"""How often providers are asked once more, over all calls: when many fail at once, asking again is what keeps them down."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 10.0
_STEP_SECONDS = 1.0


class RetryBudget:
    """Within any ten seconds so many further attempts as a share of the calls in them, and a few a second at the least.

    Count one in `calls` for each call; `take` before an attempt that is not its first.

    Args:
        share: further attempts per call.
        floor: further attempts per second that are granted however few calls there are.
        withheld: called when one is not.
    """

    __slots__ = ("_before", "_floor", "_now", "_share", "_steps", "_withheld", "calls")

    def __init__(
        self,
        share: float = 0.2,
        floor: float = 3.0,
        *,
        now: Callable[[], float] = time.monotonic,
        withheld: Callable[[], None] = lambda: None,
    ) -> None:
        self._share = share
        self._floor = floor
        self._now = now
        self._withheld = withheld
        self.calls = 0
        self._before = (now(), 0)
        """When the window began, and how many calls there had been then."""
        self._steps: deque[_Step] = deque()

    def take(self) -> bool:
        """Whether one more attempt may be made; it then counts as made."""
        return self.spend() or self.withhold()

    def withhold(self) -> bool:
        """Tell that one is not made; returns False."""
        self._withheld()
        return False

    def give_back(self) -> None:
        """The one that was granted last was not made after all."""
        self._steps[-1].granted -= 1

    def spend(self) -> bool:
        """As `take`, for an attempt that is going to be made in any case."""
        now, steps = self._now(), self._steps
        if not steps or now - steps[-1].at >= _STEP_SECONDS:
            steps.append(_Step(now, self.calls))
        while steps[0].at <= now - WINDOW_SECONDS - _STEP_SECONDS:
            gone = steps.popleft()
            self._before = (gone.at, gone.calls)
        began, calls = self._before
        # Where nobody asked for longer than the window, the calls since are taken to have been spread evenly.
        part = min(1.0, WINDOW_SECONDS / (now - began)) if now > began else 1.0
        allowed = max(self._share * part * (self.calls - calls), self._floor * WINDOW_SECONDS)
        if sum([step.granted for step in steps]) + 1 > allowed:
            return False
        steps[-1].granted += 1
        return True


class _Step:
    """A second in which somebody asked."""

    __slots__ = ("at", "calls", "granted")

    def __init__(self, at: float, calls: int) -> None:
        self.at = at
        self.calls = calls
        self.granted = 0
