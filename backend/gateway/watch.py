"""All time limits of a call and its caller's hang-up, kept by one timer for all calls instead of one per wait.

A limit that passes cancels the call's task with a reason; the pipeline catches it by asking `reason`. Between two looks the timer costs
nothing, and a wait costs two attribute writes. The watcher for the hang-up starts with the first look, so that short calls, which
are most, do without a task and without a timer of their own.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from backend.kernel.errors import BourseError
from backend.kernel.request import Receive

Reason = Literal["client_closed", "total", "attempt", "first_byte", "first_token", "idle", "stalled", "revoked"]

LOOK_SECONDS = 0.5
"""The hang-up is noticed within this, and limits are kept to the millisecond all the same: a look is set to the next one due."""
STALL_SECONDS = 60.0
"""How long a caller may leave its socket unread."""
RECHECK_SECONDS = 10.0
"""How often a running stream's key is looked at again."""


class Looks:
    """One timer for all watches of a loop: setting and taking back one for each call costs 1 µs."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.next_at = float("inf")
        """The loop's time of the next look."""

    def add(self, watch: "Watch", loop: asyncio.AbstractEventLoop) -> None:
        self._watches.add(watch)
        if self._timer is None:
            self._set(loop)

    def discard(self, watch: "Watch") -> None:
        self._watches.discard(watch)

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        self.next_at = loop.time() + LOOK_SECONDS
        self._timer = loop.call_at(self.next_at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._watches:
            self._set(loop)
            for watch in self._watches:
                loop.call_soon(watch.look)


class Watch:
    """Made in the task that it watches.

    Args:
        total: seconds from now that the whole call may take.
        looks: whose timer looks after it; one of its own if None.
        keep_alive: called when nothing was sent for `keep_alive_after` seconds of waiting; it must not block.
        silent_for: seconds that the caller has waited already.
    """

    __slots__ = ("_deadline", "_deadline_reason", "_hang_up", "_idle", "_keep_alive_after", "_last_sign", "_looks", "_loop", "_over",
                 "_receive", "_recheck", "_recheck_at", "_task", "_timer", "_total", "at_look", "keep_alive",
                 "last", "reason", "refusal", "waiting")  # fmt: skip

    def __init__(
        self, receive: Receive, *, total: float, looks: Looks | None = None, keep_alive_after: float = 15.0, silent_for: float = 0.0
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._looks = looks or Looks()
        self._over = False
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._receive = receive
        self.last = self._loop.time()
        """When the provider last gave us an event (or we began to wait or to send); the relay writes it."""
        self.waiting = True
        """Waiting for the provider, as opposed to waiting for the caller to take what was sent; the relay writes it."""
        self.reason: Reason | None = None
        self.keep_alive: Callable[[], None] | None = None
        self.at_look: Callable[[], None] | None = None
        """Called at every look, so at least each half second; it must neither block nor raise."""
        self._keep_alive_after = keep_alive_after
        self._last_sign = self.last - silent_for
        self._total = self.last + total
        self._deadline = self._total
        self._deadline_reason: Reason = "total"
        self._idle: float | None = None
        self._recheck: Callable[[], object] | None = None
        self._recheck_at = 0.0
        self.refusal: BourseError | None = None
        """Why the key is not good any more, once the reason is "revoked"."""
        self._hang_up: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, seconds: float, reason: Reason) -> None:
        """One limit from now on, beside the total: of an attempt or of the first token. Replaces the one before, and the idle limit."""
        self.last = now = self._loop.time()
        self.waiting = True
        self._idle = None
        self._deadline, self._deadline_reason = (now + seconds, reason) if now + seconds < self._total else (self._total, "total")
        self._arm()

    @property
    def left(self) -> float:
        """Seconds until the total."""
        return self._total - self._loop.time()

    def limit_total(self) -> None:
        """From now on the total alone: nobody is being asked."""
        self.limit(float("inf"), "total")

    def limit_idle(self, seconds: float) -> None:
        """From now on the total, and `seconds` of silence."""
        self._deadline, self._deadline_reason = self._total, "total"
        self._idle = seconds
        if seconds < LOOK_SECONDS:
            self._arm()

    def recheck(self, check: Callable[[], object]) -> None:
        """From now on call `check` now and then; when it raises a BourseError, the call ends with the reason "revoked"."""
        self._recheck = check

    def stop(self) -> None:
        """No limit any more: the call is being settled."""
        self._look_no_more()
        # They hold the call, and the call holds us: without them it is freed at once, and not when somebody looks for circles.
        self.keep_alive = self.at_look = self._recheck = None
        if self._hang_up is not None:
            self._hang_up.cancel()
            self._hang_up = None

    def expired(self) -> Reason | None:
        """In `except CancelledError`: the reason if it was ours (the cancellation is then taken back), None if somebody else cancelled."""
        if self.reason is not None and self._task.uncancel() == 0:
            return self.reason
        return None

    def signed(self) -> None:
        """Something is being sent to the caller: a keep-alive is not due, and from now on it is the caller who may stall."""
        self.last = self._last_sign = self._loop.time()
        self.waiting = False

    def _arm(self) -> None:
        self._over = False
        self._looks.add(self, self._loop)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._deadline
        if self._idle is not None and self.waiting:
            due = min(due, max(self.last + self._idle, self._loop.time() + 0.01))
        if due < self._looks.next_at:
            self._timer = self._loop.call_at(due, self.look)

    def look(self) -> None:
        """See whether a limit has passed; `Looks` and the watch's own timer call it."""
        if self._over:
            return None
        if self.at_look is not None:
            self.at_look()
        now = self._loop.time()
        if now >= self._deadline:
            return self._expire(self._deadline_reason)
        if self._recheck is not None and now >= self._recheck_at:
            self._recheck_at = now + RECHECK_SECONDS
            try:
                self._recheck()
            except BourseError as refusal:
                self.refusal = refusal
                return self._expire("revoked")
        if self.waiting:
            if self._idle is not None and now >= self.last + self._idle:
                return self._expire("idle")
            if self.keep_alive is not None and now - self._last_sign >= self._keep_alive_after:
                self._last_sign = now
                self.keep_alive()
        elif now - self.last >= STALL_SECONDS:
            return self._expire("stalled")
        if self._hang_up is None:
            self._hang_up = self._loop.create_task(self._wait_for_hang_up())
        self._arm()
        return None

    def _look_no_more(self) -> None:
        self._over = True
        self._looks.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, reason: Reason) -> None:
        self._look_no_more()
        if self.reason is None:
            self.reason = reason
            self._task.cancel()

    async def _wait_for_hang_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._hang_up = None
        self._expire("client_closed")
