"""How busy this process is, in one word: normal, high or degraded. Rules of routes read it, and the gate sheds calls by it.

A process of asyncio is busy when its loop is late: what one call does on it, all others wait for. That lateness is sampled ten times a
second. Calls that wait at the gate are the other sign, as soon as they are of several tenants: a single one's queue is his own affair.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

import structlog

from backend.settings import OverloadSettings

log = structlog.get_logger(__name__)

Level = Literal["normal", "high", "degraded"]
LEVELS: tuple[Level, ...] = ("normal", "high", "degraded")

SAMPLE_SECONDS = 0.1
_SMOOTHING = 0.1
"""A sample's weight: the smoothed value follows within a second or two, so that one pause of half a second is no overload."""
_EASED = 0.5
"""A level is left when what led to it has fallen to this share."""


class HasLevel(Protocol):
    """All that others need to know of the load."""

    @property
    def level(self) -> Level: ...


class Load:
    """`waited` tells how long tenants wait at the gate, in seconds; whoever has a gate sets it."""

    def __init__(self, settings: OverloadSettings) -> None:
        self._thresholds = (settings.high.total_seconds(), settings.degraded.total_seconds())
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.waited: Callable[[], float] = lambda: 0.0
        self.level: Level = "normal"
        self.lag = 0.0
        """Seconds by which the loop was late at the last look."""
        self.seconds = 0.0
        """The smoothed value that the level follows."""

    def start(self) -> None:
        """Sample from now on, in the running loop."""
        self._look_again(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sampled(self, late: float, waited: float) -> None:
        """Take in one sample, in seconds: how late the loop was, and how long tenants wait at the gate."""
        self.lag = late
        self.seconds += (max(late, waited) - self.seconds) * _SMOOTHING
        high, degraded = self._thresholds
        now = LEVELS.index(self.level)
        risen = (self.seconds >= high) + (self.seconds >= degraded)
        eased = (self.seconds >= high * _EASED) + (self.seconds >= degraded * _EASED)
        level = LEVELS[max(risen, min(now, eased))]
        if level != self.level:
            say = log.warning if LEVELS.index(level) > now else log.info
            say("load.level", level=level, before=self.level, seconds=round(self.seconds, 3))
            self.level = level

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + SAMPLE_SECONDS
        self._timer = loop.call_at(self._due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sampled(max(0.0, loop.time() - self._due), self.waited())
        self._look_again(loop)
