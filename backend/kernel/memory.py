"""Memory that was let go of, back to the system."""

import asyncio
import ctypes
from collections.abc import Callable

IDLE_SECONDS = 300.0
SOON_SECONDS = 2.0
_waiting: asyncio.AbstractEventLoop | None = None


def give_back() -> None:
    """Return what nothing holds any more; takes some milliseconds. The C library keeps what was freed for the next who asks, which after
    something large and rare is nobody. Without glibc it does nothing."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return
    trim(0)


def give_back_soon() -> None:
    """`give_back`, in a thread and once for all who ask within `SOON_SECONDS`: of whoever has just read much to keep little. Needs a
    running loop."""
    global _waiting
    loop = asyncio.get_running_loop()
    if _waiting is not loop:
        _waiting = loop
        loop.call_later(SOON_SECONDS, _give_back_in_thread, loop)


def _give_back_in_thread(loop: asyncio.AbstractEventLoop) -> None:
    global _waiting
    _waiting = None
    loop.run_in_executor(None, give_back)


class Idle:
    """Lets go of what a process need not carry because somebody asked for it last week: `rest` is called on the loop once nobody has
    called `used` for `IDLE_SECONDS`, and what it frees goes back to the system."""

    def __init__(self, rest: Callable[[], object]) -> None:
        self._rest = rest
        self._used = 0.0
        self._ending: asyncio.TimerHandle | None = None

    def used(self) -> None:
        """It is held, or will be, from now on. Needs a running loop."""
        loop = asyncio.get_running_loop()
        self._used = loop.time()
        if self._ending is None:
            self._ending = loop.call_later(IDLE_SECONDS, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._used + IDLE_SECONDS - loop.time()
        if left > 0:
            self._ending = loop.call_later(left, self._look)
            return
        self._ending = None
        self._rest()
        give_back_soon()
