"""The change feed: how every process learns that keys, tenants, limits, budgets, routes or prices have changed.

The database's version is looked at each half second; that is the bound, whoever made the change. A change made by this process, a
PostgreSQL NOTIFY and a message in Redis (`notices.py`) bring the look forward. They may be lost or late: the next look sees the same.

When the database cannot be asked, what was loaded stays in force, because calls go on within the budgets already leased. After
`LOST_SECONDS` it does not: others may reach the database and revoke keys that this process still knows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from backend.kernel.clock import Clock
from backend.kernel.db import ChangeMarked, Database
from backend.kernel.notices import Notices, notices_for
from backend.kernel.tasks import end_tasks

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
BREATH_SECONDS = 0.05
"""Between two looks, however many notices arrive: changes in a row cost one reload, not one each."""
ANSWER_SECONDS = 2.0
RELOAD_SECONDS = 30.0
LOST_SECONDS = 60.0
"""As long as a process may hold leases of budgets without the database."""

Reload = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Subscriber:
    reload: Reload
    vital: bool


class ChangeFeed:
    """Calls every subscriber after the version moved, in their order; one that fails is called again at the next look, alone.

    Args:
        redis_url: where notices are exchanged in addition; only used beside PostgreSQL, because SQLite has one serving process.
        poll_seconds: from one look to the next where no notice comes.
    """

    def __init__(self, db: Database, clock: Clock, *, redis_url: str | None = None, poll_seconds: float = POLL_SECONDS) -> None:
        self._db = db
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._subscribers: list[_Subscriber] = []
        self._behind: list[_Subscriber] = []
        self._awake = asyncio.Event()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._seen = -1
        self._confirmed: float | None = None
        self.notices: tuple[Notices, ...] = notices_for(db.url, redis_url, self.wake)
        self.healthy = True
        db.events.subscribe(ChangeMarked, self._on_marked)

    @property
    def lost(self) -> bool:
        """Whether nobody could say for `LOST_SECONDS` that what vital subscribers loaded is still true."""
        return self._confirmed is not None and self._clock.monotonic() - self._confirmed > LOST_SECONDS

    @property
    def age(self) -> float:
        """Seconds since what vital subscribers loaded was last known to be true; 0 until the first loading."""
        return self._clock.monotonic() - self._confirmed if self._confirmed is not None else 0.0

    def subscribe(self, reload: Reload, *, vital: bool = False) -> None:
        """Call `reload` after changes.

        Args:
            vital: as long as it fails, this process counts as not knowing; for what decides who may call.
        """
        self._subscribers.append(_Subscriber(reload, vital))

    async def start(self, *, seen: int | None = None) -> None:
        """Begin to look. `seen` is the version before the first loading began, so that what changed meanwhile is noticed; None = now."""
        self._seen = await self._db.change_version() if seen is None else seen
        self._confirmed = self._clock.monotonic()
        self._task = asyncio.create_task(self._poll(), name="change-feed")
        for notices in self.notices:
            notices.start()

    async def stop(self) -> None:
        for notices in self.notices:
            await notices.stop()
        await end_tasks(self._task)
        self._task = None

    def wake(self) -> None:
        """Look now instead of at the next half second."""
        self._awake.set()

    def _on_marked(self, _: ChangeMarked) -> None:
        self.wake()
        for notices in self.notices:
            notices.tell()

    async def _poll(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._poll_seconds - BREATH_SECONDS):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()
            await self.check()
            await asyncio.sleep(BREATH_SECONDS)

    async def check(self) -> None:
        """One look at the version, and what follows from it; never raises for what a database or a subscriber does."""
        async with self._looking:
            self._report(await self._look())

    async def _look(self) -> Exception | None:
        asked = self._clock.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                version = await self._db.change_version()
        except Exception as error:
            return error
        if version != self._seen:
            self._seen, self._behind = version, list(self._subscribers)
        failure: Exception | None = None
        for subscriber in tuple(self._behind):
            try:
                async with asyncio.timeout(RELOAD_SECONDS):
                    await subscriber.reload()
            except Exception as error:
                failure = error
            else:
                self._behind.remove(subscriber)
        if not any(subscriber.vital for subscriber in self._behind):
            self._confirmed = asked
        return failure

    def _report(self, failure: Exception | None) -> None:
        if failure is not None and self.healthy:
            log.warning("change_feed.failed", error=type(failure).__name__)
        elif failure is None and not self.healthy:
            log.info("change_feed.recovered")
        self.healthy = failure is None
