"""Equal calls of one process at the same time: the first one asks, the others wait for what becomes of it."""

import asyncio

from backend.gateway.attempt import CallerGone
from backend.gateway.cache.entry import Entry
from backend.gateway.watch import Looks, Watch
from backend.kernel.request import Receive


class Flight:
    """Of one key. `over` once it landed; `entry` is what it brought, if that can be given to others."""

    __slots__ = ("_waiting", "entry", "lost", "over")

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self.over = False
        self.entry: Entry | None = None
        self.lost = False
        """It came to no answer: its caller went away, or it failed. One of those who wait asks in its place, and the others for him."""

    def land(self, entry: Entry | None, *, lost: bool = False) -> None:
        """The end, once; whoever waits goes on."""
        if self.over:
            return
        self.over, self.entry, self.lost = True, entry, lost
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait(self, receive: Receive, seconds: float, looks: Looks) -> None:
        """Return once it is over, or after so many seconds.

        Raises:
            CallerGone: the caller who waits hung up.
        """
        watch = Watch(receive, total=seconds, looks=looks)
        watch.limit(seconds, "total")
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        except asyncio.CancelledError:
            reason = watch.expired()
            if reason is None:
                raise
            if reason != "total":
                raise CallerGone from None
        finally:
            watch.stop()
            self._waiting.discard(future)
