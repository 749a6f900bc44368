"""Metering: what every call used and cost, kept so that nothing is lost and nothing counted twice."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from backend.identity import repository as identity
from backend.identity.principal import Principal, Role, require_role
from backend.kernel.clock import Clock
from backend.kernel.days import day_of, start_of
from backend.kernel.db import Database
from backend.kernel.errors import StorageUnavailable
from backend.kernel.events import EventBus
from backend.kernel.paging import Page, clamp_limit, decode_cursor, encode_cursor, not_ours
from backend.metering import repository
from backend.metering.catch_up import CatchUp
from backend.metering.events import CompletionFinished
from backend.metering.journal import Journal, Ticket
from backend.metering.record import AttemptRecord, CallRecord, final_line, open_line, progress_line
from backend.metering.rollups.service import UsageService
from backend.metering.schemas import CallSummary, SpendToday
from backend.metering.writer import LedgerWriter
from backend.observability.metrics import Metrics
from backend.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MICROSECOND = 250_000_000_000_000_000
"""In the year 9892, before the end of what a date can be."""

LAST_WORDS_SECONDS = 1.0

log = structlog.get_logger(__name__)


class MeteringService:
    """The journal, the writer behind it, and the ledger's readers. `start` needs no database: rows wait in the journal for one."""

    def __init__(self, db: Database, clock: Clock, events: EventBus, settings: Settings, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._events = events
        self._metrics = metrics
        self.usage = UsageService(db, clock, settings.reporting.timezone)
        root = settings.data_dir / "journal"
        self._journal = Journal(root)
        self._writer: LedgerWriter | None = None
        self._catch_up = CatchUp(self.flush)
        self._root = root

    async def start(self) -> None:
        try:
            self._journal.open()
        except StorageUnavailable as error:
            # Pages still work; calls are refused with the reason until the disk takes something.
            log.error("journal.not_writable", reason=error.message)
        self._writer = LedgerWriter(self._db, self._journal, self._root, self._clock)
        self._writer.start()

    async def stop(self) -> None:
        await self._catch_up.stop()
        await self._last_words()
        settled = True
        if self._writer is not None:
            settled = await self._writer.stop()
            self._writer = None
        self._journal.close(keep=not settled)

    async def _last_words(self) -> None:
        """Calls that were told just now to end are settled in a moment; what is not is left to the replay."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while self._journal.has_open_calls:
                    await asyncio.sleep(0.01)

    @property
    def process_id(self) -> str | None:
        """The name of this process's journal, under which it holds slices of budgets; None while the disk takes no journal."""
        return self._journal.directory.name if self._journal.is_open else None

    @property
    def backlog_bytes(self) -> int:
        """How much of the journal is not in the database yet."""
        return self._journal.untaken_bytes

    @property
    def backlog_seconds(self) -> float:
        """How far the ledger is behind: the age of the oldest call of this process that has ended and is not in it."""
        return self._writer.behind_seconds if self._writer is not None else 0.0

    def journal_trouble(self) -> str | None:
        """Why no call is let in for want of a journal; None while there is one. Where there was none, this tries again."""
        try:
            self.require_journal()
        except StorageUnavailable as error:
            return error.message
        return "The disk did not keep what was written last." if self._journal.sync_failed else None

    def require_journal(self) -> None:
        """Nothing may be reserved without one: what this process holds of budgets is held in its name.

        Raises:
            StorageUnavailable: it cannot be opened.
        """
        if not self._journal.is_open:
            self._journal.open()

    def open_call(self, call: CallRecord) -> Ticket:
        """Say in the journal that an upstream is about to be called; the ticket goes to `record`.

        Raises:
            StorageUnavailable: it cannot be written, so the call must not be made.
        """
        self.require_journal()
        return self._journal.open_call(open_line(call))

    def progress(
        self, call: CallRecord, attempts: list[AttemptRecord], columns: dict[str, Any], usage: dict[str, int], ticket: Ticket
    ) -> None:
        """Say in the journal what a running call has come to, for the case that nothing more is heard of it. Where there is no room for
        it, the next may find some.

        Args:
            columns: of the call's row, where it is other than when it was opened.
            usage: of the last attempt.
        """
        self._journal.progress(progress_line(call.id, columns, usage, attempts), ticket)
        if self._writer is not None:
            self._writer.wake()

    def record(self, call: CallRecord, attempts: list[AttemptRecord], ticket: Ticket | None = None) -> None:
        """Write the final line, and tell subscribers. Does not raise: what cannot be written is in the log, with all its numbers."""
        line = b""
        try:
            line = final_line(call, attempts)
            if ticket is None:
                self._journal.append(line)
            else:
                self._journal.close_call(line, ticket)
        except Exception as error:
            if attempts or not line:
                log.error("journal.final_line_lost", line=line.decode() or repr(call), error=type(error).__name__)
            # A call that was refused before anybody was asked cost nothing; on a full disk its row is the one to go without.
        if self._writer is not None:
            self._writer.wake()
        self._events.publish(CompletionFinished(call, tuple(attempts)))

    async def flush(self) -> None:
        """Bring everything recorded so far into the database, now: a transaction of its own. Readers `catch_up` together."""
        if self._writer is not None:
            await self._writer.drain()

    async def catch_up(self) -> None:
        """Return once everything recorded so far is in the database. However many ask, it costs at most five transactions a second.

        Raises:
            StorageUnavailable: the database is away.
        """
        if self._writer is not None and self._journal.untaken_bytes:
            await self._catch_up.wait()

    async def recent_calls(self, principal: Principal, tenant_id: str, limit: int = 50) -> list[CallSummary]:
        """The tenant's last calls, newest first.

        Raises:
            NotFound: the tenant is not the principal's; the same as if there were none.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            return await repository.recent(session, tenant_id, clamp_limit(limit))

    async def calls_of_key(
        self, tenant_id: str, key_id: str, *, limit: int, cursor: str | None = None, since: datetime | None = None
    ) -> Page[CallSummary]:
        """A page of what one key has called, newest first; for the key itself, which the gateway has authenticated.

        Raises:
            BadRequest: the cursor is none of ours.
        """
        before = None
        if cursor is not None:
            micros, call_id = decode_cursor(cursor, int, str)
            if not 0 <= micros < _LAST_MICROSECOND:
                raise not_ours()
            before = _EPOCH + timedelta(microseconds=micros), call_id
        async with self._db.read() as session:
            calls = await repository.of_key(session, tenant_id, key_id, limit=limit + 1, before=before, since=since)
        if len(calls) <= limit:
            return Page(calls)
        last = calls[limit - 1]
        return Page(calls[:limit], encode_cursor((last.created_at - _EPOCH) // timedelta(microseconds=1), last.id))

    async def spend_today(self, principal: Principal, tenant_id: str) -> SpendToday:
        """What was charged since midnight in the tenant's time zone, and the day before by the same time.

        Raises:
            NotFound: the tenant is not the principal's; the same as if there were none.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            zone = await identity.time_zone(session, tenant_id)
            now = self._clock.now()
            today, one = day_of(now, zone), timedelta(days=1)
            before, since, end = (start_of(day, zone) for day in (today - one, today, today + one))
            whole = await self.usage.total(session, tenant_id, since, end)
            yesterday = await self.usage.total(session, tenant_id, before, min(before + (now - since), since))
        return SpendToday(whole, since.astimezone(zone), yesterday)
