"""From the journal to the database, in the background, in batches, at most a quarter of a second behind.

The journal is the queue: while the database is away lines wait on the disk, memory holds one batch, and nothing is lost. At start
and every half minute the journals of processes that are gone are replayed (see `replay`). Writing the same line twice changes nothing.
"""

import asyncio
import os
import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import orjson
import structlog
from sqlalchemy.exc import DataError, IntegrityError

from backend.budgets.events import ChargesSettled, Settled
from backend.budgets.settlement import return_leases_of, settling, sums_by_lease
from backend.budgets.slices import Held
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.statements import Statement
from backend.kernel.tasks import end_tasks
from backend.metering import repository
from backend.metering.journal import Journal, abandoned
from backend.metering.replay import Replay
from backend.metering.repository import Final, WrittenMeanwhile
from backend.metering.rollups.keeping import delete_old_minutes
from backend.metering.rollups.repository import RowsChanged
from backend.metering.rollups.series import SeriesBook
from backend.metering.rollups.writing import RollupWriter

log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.2
"""How long lines are gathered before a batch is written."""
BATCH_BYTES = 1024 * 1024
BATCH_CALLS = 1000
"""As large as they are for a gateway that is busy all the time: each transaction waits for its turns of the loop, and must take as many
calls with it as came meanwhile."""
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
WRITE_SECONDS = 15.0
REPLAY_SECONDS = 30.0
"""How often a process looks whether a neighbour has died and left a journal."""
THIN_SECONDS = 3600.0
"""How often old rollups of minutes are deleted."""
UNWRITABLE = (DataError, IntegrityError, TypeError, ValueError, OverflowError)
"""What a row that will never be written is refused with, by the database or on the way to it."""
_FINAL = b'["final"'


class LedgerWriter:
    def __init__(self, db: Database, journal: Journal, root: Path, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._journal = journal
        self._root = root
        self._wake = asyncio.Event()
        self._draining = asyncio.Lock()
        self._replaying = asyncio.Lock()
        self._own_rollups, self._replayed_rollups = RollupWriter(SeriesBook()), RollupWriter(SeriesBook())
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._not_replayed: set[Path] = set()
        self._failures = 0
        self._told: set[str] = set()
        """Of the piece of our journal that is being written: calls whose charges the budgets have heard of."""
        self._behind_since: float | None = None

    def start(self) -> None:
        self._tasks = (
            asyncio.create_task(self._run(), name="ledger-writer"),
            asyncio.create_task(self._replay_all(), name="ledger-replay"),
            asyncio.create_task(self._thin_all(), name="rollup-thinning"),
        )

    def wake(self) -> None:
        """There is something to write."""
        if not self._wake.is_set():
            self._wake.set()
            if self._behind_since is None:
                self._behind_since = self._clock.monotonic()

    @property
    def behind_seconds(self) -> float:
        """The age of the oldest final line that is not in the database."""
        return 0.0 if self._behind_since is None else self._clock.monotonic() - self._behind_since

    async def stop(self, *, seconds: float = 5.0) -> bool:
        """Write what is left if the database takes it in time; the rest waits in the journal for the next start.

        Returns:
            Whether the database has everything, and this process holds nothing of any budget.
        """
        await end_tasks(*self._tasks)
        self._tasks = ()
        try:
            async with asyncio.timeout(seconds):
                while self._journal.untaken_bytes:
                    await self.drain()
                if not self._journal.has_open_calls:
                    await self._return_leases(self._journal.directory.name)
                await self._db.sync()
        except Exception as error:
            log.warning("ledger.left_in_journal", bytes=self._journal.untaken_bytes, error=type(error).__name__)
            return False
        return True

    async def drain(self) -> None:
        """Move what the journal holds by now. Raises what the database raises; then nothing of the failed batch was taken."""
        async with self._draining:
            began = self._clock.monotonic()
            # Not what comes meanwhile, too: under load that is a transaction for a handful of calls each, and without end.
            due = self._journal.untaken_bytes
            while due > 0 and (waiting := self._journal.untaken(BATCH_BYTES)) is not None:
                segment, data = waiting
                finals = [_final(line) for line in data.split(b"\n") if line[:8] == _FINAL]
                await self._write(finals, self._own_rollups, self._told, fresh=True)
                if self._journal.may_delete:
                    await self._db.sync()
                self._journal.take(segment, len(data))
                self._told.clear()
                due -= len(data)
            self._behind_since = began if self._wake.is_set() else None

    async def replay(self) -> bool:
        """Bring over the journals of processes that are gone; False if one could not be and is to be tried again. Each is on its own."""
        whole = True
        for directory, lock in abandoned(self._root, self._journal.directory):
            try:
                async with self._replaying:
                    await self._replay_one(directory)
                await self._db.sync()
                shutil.rmtree(directory)
            except Exception as error:
                whole = False
                if directory not in self._not_replayed:
                    self._not_replayed.add(directory)
                    log.warning("ledger.journal_not_replayed", journal=directory.name, error=type(error).__name__)
            finally:
                os.close(lock)
        return whole

    async def _replay_all(self) -> None:
        """Apart from our own journal, which must not wait for what others left behind; a neighbour may die at any time."""
        failures = 0
        while True:
            failures = 0 if await self.replay() else failures + 1
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1] if failures else REPLAY_SECONDS)

    async def _run(self) -> None:
        while True:
            try:
                await self._wake.wait()
                await asyncio.sleep(GATHER_SECONDS)
                self._wake.clear()
                await self.drain()
                if self._failures:
                    log.info("ledger.writing_again")
                self._failures = 0
            except Exception as error:
                if not self._failures:
                    log.warning("ledger.write_failed", error=type(error).__name__, waiting_bytes=self._journal.untaken_bytes)
                await asyncio.sleep(RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)])
                self._failures += 1
                self._wake.set()

    async def _replay_one(self, directory: Path) -> None:
        replay = Replay(directory)
        finished = replay.finished()
        while batch := list(islice(finished, BATCH_CALLS)):
            await self._write(batch, self._replayed_rollups, set())
        interrupted = replay.interrupted()
        await self._write(interrupted, self._replayed_rollups, set())
        await self._return_leases(directory.name)
        log.info("ledger.journal_replayed", journal=directory.name, interrupted=len(interrupted))

    async def _return_leases(self, holder_id: str) -> None:
        """Everything in that journal is in the ledger: what its process still holds of budgets was not spent."""
        async with asyncio.timeout(WRITE_SECONDS), self._db.write() as unit:
            await return_leases_of(unit.session, holder_id)

    async def _thin_all(self) -> None:
        while True:
            await asyncio.sleep(THIN_SECONDS)
            try:
                await delete_old_minutes(self._db, self._clock.now())
            except Exception as error:
                log.warning("rollup.not_thinned", error=type(error).__name__)

    async def _write(self, finals: Sequence[Final], rollups: RollupWriter, told: set[str], *, fresh: bool = False) -> None:
        """Bring these calls into the database, in batches.

        Args:
            told: the calls whose charges this process's budgets have heard of; those that are committed now are added. Whoever tries
                again after a failure passes the same ones: a charge that is told twice would be money that nobody has spent.
            fresh: they come from a journal of which nothing was written yet, as far as is known.
        """
        for start in range(0, len(finals), BATCH_CALLS):
            batch = finals[start : start + BATCH_CALLS]
            try:
                try:
                    await self._insert(batch, rollups, told, fresh=fresh)
                except (WrittenMeanwhile, RowsChanged):
                    await self._insert(batch, rollups, told)
            except UNWRITABLE:
                await self._write_one_by_one(batch, rollups, told)

    async def _insert(self, finals: Sequence[Final], rollups: RollupWriter, told: set[str], *, fresh: bool = False) -> None:
        """The one transaction: ledger, rollups and, last because other processes may wait for their rows, budgets."""

        settled: tuple[Settled, ...] = ()

        def also(new: list[Final]) -> Iterable[Statement]:
            nonlocal settled
            settled = sums_by_lease(map(_charge, new))
            yield from rollups.statements([row for row, _ in new])
            yield from settling(settled, as_text=self._db.dialect == "sqlite")

        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await rollups.prepare(self._db, [row for row, _ in finals])
                async with self._db.write() as unit:
                    new = await repository.insert_finals(unit.session, finals, fresh=fresh, also=also)
                    if told or len(new) < len(finals):
                        # Not of the new ones: a commit that we did not see succeed was told to nobody yet.
                        settled = sums_by_lease([_charge(final) for final in finals if final[0][repository.ID] not in told])
                    unit.emit(ChargesSettled(settled))
        except BaseException:
            rollups.forget()
            raise
        told.update([row[repository.ID] for row, _ in finals])
        rollups.keep()

    async def _write_one_by_one(self, finals: Sequence[Final], rollups: RollupWriter, told: set[str]) -> None:
        """A row that the database will never take must not hold up the others: it is put aside in a file, and said.

        Its money was spent all the same, and only a row of the ledger makes that count once, so what is left of it is written.
        """
        for final in finals:
            try:
                await self._insert([final], rollups, told)
            except UNWRITABLE as error:
                with (self._root / "refused.jsonl").open("ab") as file:
                    file.write(orjson.dumps(final) + b"\n")
                log.error("ledger.row_refused", call=final[0][repository.ID], error=type(error).__name__)
                try:
                    await self._insert([repository.bare(final)], rollups, told)
                except UNWRITABLE:
                    log.exception("ledger.charge_lost", call=final[0][repository.ID])


def _charge(final: Final) -> tuple[Sequence[Held], int]:
    row, _ = final
    return row[repository.RESERVATIONS], row[repository.CHARGED]


def _final(line: bytes) -> Final:
    _, _, row, attempts = orjson.loads(line)
    return row, attempts
