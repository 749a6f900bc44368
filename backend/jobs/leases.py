"""One row per job: whoever holds it runs the job, and N replicas run it once. A holder that died is followed when its lease has run out."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from backend.jobs import repository
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BourseError, Conflict
from backend.kernel.tasks import end_tasks

log = structlog.get_logger(__name__)

LENGTH = timedelta(seconds=60)
RENEWALS = 3
"""Per length."""


class LeaseLost(Exception):
    """Somebody else has the job by now; what was under way must not be written."""


class Lease:
    """A job that this holder runs."""

    def __init__(self, name: str, holder: str) -> None:
        self.name = name
        self.holder = holder

    async def guard(self, unit: UnitOfWork, clock: Clock, length: timedelta = LENGTH) -> None:
        """Let this transaction commit only while the job is ours: the row stays locked until it has.

        Raises:
            LeaseLost: it is not.
        """
        now = await repository.now_of(unit.session, clock)
        if not await repository.renew(unit.session, self.name, self.holder, now, length):
            raise LeaseLost(f"the job {self.name} was taken over")


class Leases:
    def __init__(self, db: Database, clock: Clock, *, length: timedelta = LENGTH) -> None:
        self._db = db
        self._clock = clock
        self._length = length

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[Lease]:
        """Run the body while the job is ours; it is cancelled when the lease is lost.

        Raises:
            Conflict: somebody else runs it. LeaseLost: somebody else took it over meanwhile.
        """
        lease = Lease(name, f"{os.getpid()}-{os.urandom(8).hex()}")
        if not await self._take(lease):
            raise Conflict(f"Another process runs the job {name} just now.", retry_after=self._length.total_seconds())
        body = asyncio.current_task()
        assert body is not None
        renewal = asyncio.create_task(self._keep(lease, body), name=f"lease {name}")
        error: str | None = None
        try:
            yield lease
        except asyncio.CancelledError:
            if renewal.done() and not renewal.cancelled():
                body.uncancel()
                raise LeaseLost(f"the job {name} was taken over") from None
            raise
        except Exception as failure:
            error = str(failure)[:1000] if isinstance(failure, BourseError | LeaseLost) else f"{type(failure).__name__}: {failure}"[:1000]
            raise
        finally:
            await end_tasks(renewal)
            with suppress(BourseError):
                await self._give_back(lease, error)

    async def _take(self, lease: Lease) -> bool:
        async with self._db.write() as unit:
            now = await repository.now_of(unit.session, self._clock)
            return await repository.take(unit.session, lease.name, lease.holder, now, self._length)

    async def _give_back(self, lease: Lease, error: str | None) -> None:
        async with self._db.write() as unit:
            now = await repository.now_of(unit.session, self._clock)
            await repository.give_back(unit.session, lease.name, lease.holder, now, error)

    async def _keep(self, lease: Lease, body: "asyncio.Task[object]") -> None:
        """Renew until it is lost; ends only then. A database that is away is asked again, and says whether the lease outlived it."""
        while True:
            await asyncio.sleep(self._length.total_seconds() / RENEWALS)
            try:
                async with self._db.write() as unit:
                    now = await repository.now_of(unit.session, self._clock)
                    kept = await repository.renew(unit.session, lease.name, lease.holder, now, self._length)
            except BourseError:
                continue
            if not kept:
                log.warning("job.lease_lost", job=lease.name)
                body.cancel()
                return
