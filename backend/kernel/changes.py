"""The change feed: every process asks the database each half second whether keys, tenants, routes or prices have changed."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from backend.kernel.db import Database

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5


class ChangeFeed:
    """Calls every subscriber after the version moved, one after another; a subscriber that fails is called again at the next poll."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._subscribers: list[Callable[[], Awaitable[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._seen = -1
        self.healthy = True

    def subscribe(self, reload: Callable[[], Awaitable[None]]) -> None:
        self._subscribers.append(reload)

    async def start(self, *, seen: int | None = None) -> None:
        """Begin to look. `seen` is the version before the first loading began, so that what changed meanwhile is noticed; None = now."""
        self._seen = await self._db.change_version() if seen is None else seen
        self._task = asyncio.create_task(self._poll(), name="change-feed")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.check()

    async def check(self) -> None:
        """One look at the version; for tests and for whoever cannot wait half a second."""
        try:
            async with asyncio.timeout(5):
                version = await self._db.change_version()
                if version != self._seen:
                    for reload in self._subscribers:
                        await reload()
                    self._seen = version
        except Exception as error:
            if self.healthy:
                log.warning("change_feed.failed", error=type(error).__name__)
            self.healthy = False
        else:
            self.healthy = True
