"""One ingestion from beginning to end: fetch, look whether it can be right, bring the store up to it, and say what changed.

Nothing of a text counts before the whole of it was read, and it is kept in the transaction that writes what it says. So a text that
is half, hostile or wrong changes nothing, and what was known stays.
"""

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from backend.catalog.difference import Difference
from backend.catalog.ingest import Ingested, Progress, RunReport, bring_up, bundled_sources
from backend.catalog.records import SourceReading
from backend.catalog.sources import PriceSource
from backend.catalog.sources.feed import FeedUnreadable
from backend.catalog.sources.formats import NOTHING, looks_like, read_text
from backend.jobs import repository
from backend.jobs.fetching import Fetched, FetchFailed, Pause, fetch
from backend.jobs.leases import Lease, Leases
from backend.jobs.sources import Feed, KeptCopy, in_force
from backend.jobs.tables import IngestionReport
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.http import OutboundClient
from backend.kernel.ids import new_id

JOB = "ingestion"
LEAST_SHARE, MOST_SHARE = 0.5, 3.0
"""Of the entries that a source had before; beyond them somebody has to say that it is right."""
FEW = 50
"""Entries below which shares say nothing."""
MOST_REFUSED = 0.2
KEPT_REPORTS = 500
_SHOWN, _SHOWN_ENTRIES = 20, 50
_RETRY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Upload:
    """A text that somebody handed in, and the source that it is of."""

    name: str
    text: bytes
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What to do. `feeds`: sources to fetch; `due_only`: those of them whose time has come; `force`: also what is suspiciously short or
    long; `removed`: a source that shall say nothing any more; `tell`: whether a webhook waits for the report."""

    trigger: str
    actor: str
    feeds: tuple[Feed, ...] = ()
    uploads: tuple[Upload, ...] = ()
    removed: str | None = None
    due_only: bool = False
    force: bool = False
    dry_run: bool = False
    tell: bool = False
    max_bytes: int = 32 * 1024**2
    jitter: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What became of one source. `outcome`: new, unchanged, failed (not had), refused (cannot be right). `status`: what its server
    answered, None where it was not asked or did not answer."""

    source: str
    outcome: str
    why: str | None = None
    bytes: int = 0
    entries: int = 0
    status: int | None = None
    values: dict[str, Any] = field(default_factory=dict)
    copy: KeptCopy | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    """Its entries that nobody can read, with the reason."""
    dropped: bool = False
    """Its copy goes, and what ships with Bourse counts again."""


def is_due(feed: Feed, row: Any | None, now: datetime, jitter: float) -> bool:
    """Whether a source shall be looked at."""
    due = due_at(feed, row, jitter)
    return feed.enabled and (due is None or due <= now)


def due_at(feed: Feed, row: Any | None, jitter: float) -> datetime | None:
    """When a source shall be looked at: `every` after it was last, a little later by chance that all replicas share; after failures
    sooner at first, then less and less often. None: now, because it never was."""
    if row is None or row["tried_at"] is None:
        return None
    wait = timedelta(seconds=feed.every)
    if row["failures"]:
        wait = min(wait, _RETRY * 2 ** min(row["failures"] - 1, 12))
    chance = zlib.crc32(f"{feed.name} {row['tried_at'].isoformat()}".encode()) / 2**32
    later = timedelta(seconds=min(jitter, wait.total_seconds()) * chance)
    found: datetime = row["tried_at"] + wait + later
    return found


async def run(
    db: Database,
    clock: Clock,
    http: OutboundClient,
    ask: Ask,
    *,
    pause: Pause = asyncio.sleep,
    progress: Progress | None = None,
    shipped: Sequence[PriceSource] | None = None,
) -> IngestionReport | None:
    """Do it, and keep the report; None where nothing was due, or nothing was asked for and no day had come.

    Args:
        shipped: what counts where no copy does; None = what ships with Bourse.

    Raises:
        Conflict: another process is at it. LeaseLost: another one took over, and nothing was written.
    """
    if ask.dry_run:
        return await _Run(db, clock, http, ask, pause, progress, shipped, None).go()
    async with Leases(db, clock).held(JOB) as lease:
        return await _Run(db, clock, http, ask, pause, progress, shipped, lease).go()


class _Run:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        http: OutboundClient,
        ask: Ask,
        pause: Pause,
        progress: Progress | None,
        shipped: Sequence[PriceSource] | None,
        lease: Lease | None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._http = http
        self._ask = ask
        self._pause = pause
        self._progress = progress
        self._shipped = bundled_sources() if shipped is None else shipped
        self._lease = lease
        self._rows: dict[str, Any] = {}
        self._started = clock.now()
        self._kept: IngestionReport | None = None

    async def go(self) -> IngestionReport | None:
        async with self._db.read() as session:
            self._rows = {row["name"]: row for row in await repository.copies(session, with_text=True)}
            now = await repository.now_of(session, self._clock)
        ask = self._ask
        wanted = [feed for feed in ask.feeds if not ask.due_only or is_due(feed, self._rows.get(feed.name), now, ask.jitter)]
        if ask.due_only and not wanted:
            return None
        await self._begin(wanted, now)
        if self._progress is not None and wanted:
            self._progress(f"asking for {', '.join(feed.name for feed in wanted)}", 0, 1)
        outcomes = [*await asyncio.gather(*(self._fetched(feed, now) for feed in wanted))]
        outcomes += [await self._judged(one.name, one.text, one.format, None, Fetched(one.text), now) for one in ask.uploads]
        if ask.removed is not None:
            outcomes.append(self._removed(ask.removed, now))
        done, error = await self._brought_up(outcomes)
        if self._kept is not None:
            return self._kept
        if not outcomes and error is None:
            return None  # another process was sooner
        report = self._report(outcomes, done, error)
        if not ask.dry_run:
            # Nothing was written with it, so it has a transaction of its own.
            async with self._db.write() as unit:
                await self._keep(unit, outcomes, report)
        return report

    async def _begin(self, wanted: Sequence[Feed], now: datetime) -> None:
        """Count the look as failed until it has come to an end: what ends this process must not be tried again with every look."""
        if self._lease is None or not wanted:
            return
        async with self._db.write() as unit:
            await self._lease.guard(unit, self._clock)
            for feed in wanted:
                values = self._failure(feed.name, "failed", "the last look at it did not come to an end", now).values
                await repository.save_copy(unit.session, feed.name, feed.format or "table", **values)

    async def _fetched(self, feed: Feed, now: datetime) -> Outcome:
        row = self._rows.get(feed.name)
        same = row is not None and row["url"] == feed.url and row["body"] is not None
        known = {"etag": row["etag"], "last_modified": row["last_modified"]} if same and row is not None and not self._ask.force else {}
        try:
            found = await fetch(self._http, feed.url, **known, max_bytes=self._ask.max_bytes, pause=self._pause)
        except FetchFailed as error:
            failed = self._failure(feed.name, "failed", str(error), now)
            failed.status = error.status
            return failed
        if found.text is None:
            assert row is not None
            values = {"checked_at": now, "tried_at": now, "failures": 0, "error": None}
            return Outcome(feed.name, "unchanged", entries=row["entries"], status=304, values=values)
        judged = await self._judged(feed.name, found.text, feed.format, feed.url, found, now)
        judged.status = 200
        return judged

    async def _judged(self, name: str, text: bytes, stated: str | None, url: str | None, found: Fetched, now: datetime) -> Outcome:
        row = self._rows.get(name)
        if len(text) > self._ask.max_bytes:
            return self._failure(name, "refused", f"it is longer than {self._ask.max_bytes:,} bytes", now)
        try:
            shape = stated if stated is not None else await asyncio.to_thread(looks_like, text)
            reading = await asyncio.to_thread(read_text, shape, text, name, now.date())
        except FeedUnreadable as error:
            return self._failure(name, "refused", str(error), now)
        except MemoryError:
            return self._failure(name, "refused", "it takes more memory to read than an ingestion may have", now)
        objection = await asyncio.to_thread(self._objection, name, reading)
        if objection is not None:
            refused = self._failure(name, "refused", objection, now)
            refused.unreadable = reading.refused
            return refused
        digest = hashlib.sha256(shape.encode() + b"\x00" + text).hexdigest()
        seen = {"checked_at": now, "tried_at": now, "failures": 0, "error": None, "etag": found.etag, "last_modified": found.last_modified}
        entries = len(reading.offers)
        if row is not None and row["body_hash"] == digest:
            return Outcome(name, "unchanged", bytes=len(text), entries=entries, values=seen | {"url": url})
        body = await asyncio.to_thread(gzip.compress, text, 6, mtime=0)
        kept = {"format": shape, "url": url, "body": body, "body_hash": digest, "entries": entries, "fetched_at": now} | seen
        copy = KeptCopy({"name": name, **kept}, reading)
        return Outcome(name, "new", None, len(text), entries, values=kept, copy=copy, unreadable=reading.refused)

    def _objection(self, name: str, reading: SourceReading) -> str | None:
        """Why a text that can be read cannot be right, in a sentence."""
        found = len(reading.offers)
        if not found:
            first = next(iter(reading.refused.items()), None)
            return "it names no model that can be read" + (f"; {first[0]}: {first[1]}" if first else "")
        if len(reading.refused) > MOST_REFUSED * reading.read and len(reading.refused) > 1 and not self._ask.force:
            entry, reason = next(iter(reading.refused.items()))
            return f"{len(reading.refused):,} of its {reading.read:,} entries cannot be read, such as {entry}: {reason}"
        before = self._entries_before(name)
        if before >= FEW and not self._ask.force and not LEAST_SHARE * before <= found <= MOST_SHARE * before:
            return f"it names {found:,} offers where it named {before:,} before; say that this is right (force) if it is"
        return None

    def _entries_before(self, name: str) -> int:
        copies = [KeptCopy(row) for row in self._rows.values() if row["body_hash"] is not None and row["name"] == name]
        source = next((one for one in in_force(copies, self._shipped) if one.name == name), None)
        if source is None:
            return 0
        return int(self._rows[name]["entries"]) if isinstance(source, KeptCopy) else len(source.read().offers)

    def _failure(self, name: str, outcome: str, why: str, now: datetime) -> Outcome:
        row = self._rows.get(name)
        failures = 1 + (row["failures"] if row is not None else 0)
        return Outcome(name, outcome, why[:1000], values={"tried_at": now, "failures": failures, "error": why[:1000]})

    def _removed(self, name: str, now: datetime) -> Outcome:
        digest = hashlib.sha256(NOTHING.encode()).hexdigest()
        if any(source.name == name for source in self._shipped):
            return Outcome(name, "new", dropped=True)
        values: dict[str, Any] = {
            "format": NOTHING,
            "url": None,
            "body": None,
            "body_hash": digest,
            "entries": 0,
            "etag": None,
            "last_modified": None,
        }
        values |= {"checked_at": now, "fetched_at": now, "failures": 0, "error": None}
        return Outcome(name, "new", values=values, copy=KeptCopy({"name": name, **values}))

    async def _brought_up(self, outcomes: Sequence[Outcome]) -> tuple[Ingested | None, str | None]:
        """What the store became. Also where no text is new: a day that was announced may have come."""
        by_name = {one.source: one for one in outcomes}
        copies = []
        for row in self._rows.values():
            one = by_name.pop(row["name"], None)
            if one is not None and one.copy is not None:
                copies.append(one.copy)
            elif row["body_hash"] is not None and (one is None or not one.dropped):
                copies.append(KeptCopy({**row, **(one.values if one is not None else {})}))
        copies += [one.copy for one in by_name.values() if one.copy is not None]

        async def also(unit: UnitOfWork, reports: list[RunReport], difference: Difference) -> None:
            await self._keep(unit, outcomes, self._report(outcomes, Ingested(reports, difference), None))

        try:
            sources = in_force(copies, self._shipped)
            done = await bring_up(self._db, self._clock, sources, self._progress, dry_run=self._ask.dry_run, also=also)
        except (SQLAlchemyError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError) as error:
            self._kept = None
            why = f"the store could not take it: {type(error).__name__}: {error}"[:1000]
            for one in outcomes:
                if one.copy is not None:
                    failed = self._failure(one.source, "refused", why, self._clock.now())
                    one.outcome, one.why, one.values, one.copy = failed.outcome, failed.why, failed.values, None
            return None, why
        return done, None

    async def _keep(self, unit: UnitOfWork, outcomes: Sequence[Outcome], report: IngestionReport) -> None:
        assert self._lease is not None, "a dry run keeps nothing"
        await self._lease.guard(unit, self._clock)
        uploaded = {upload.name for upload in self._ask.uploads}
        for one in outcomes:
            if one.dropped:
                await repository.drop_copy(unit.session, one.source)
                continue
            if one.copy is None and one.source in uploaded:
                continue  # a text that was refused says nothing of its source, nor of how fetching goes
            values = {name: value for name, value in one.values.items() if name != "format"}
            await repository.save_copy(unit.session, one.source, one.values.get("format", "table"), **values)
        await repository.add_report(unit.session, report)
        await repository.forget_reports(unit.session, keep=KEPT_REPORTS)
        self._kept = report

    def _report(self, outcomes: Sequence[Outcome], done: Ingested | None, error: str | None) -> IngestionReport:
        brought = {report.source: report for report in done.reports} if done is not None else {}
        difference = done.difference if done is not None else None
        failed = [one for one in outcomes if one.outcome in ("failed", "refused")]
        changed = difference is not None and not difference.is_empty
        if (outcomes and len(failed) == len(outcomes)) or (error is not None and not outcomes):
            outcome = "failed"
        elif failed:
            outcome = "partly"
        else:
            outcome = "changed" if changed else "unchanged"
        return IngestionReport(
            id=new_id("ingestion"),
            started_at=self._started,
            finished_at=self._clock.now(),
            trigger=self._ask.trigger,
            actor=self._ask.actor[:64],
            outcome=outcome,
            sources=[_shown(one, brought.get(one.source)) for one in outcomes],
            difference=asdict(difference) if difference is not None else {},
            error=error,
            telling=repository.WAITING if self._ask.tell and (changed or failed or error) else "none",
        )


def _shown(one: Outcome, brought: RunReport | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"source": one.source, "outcome": one.outcome, "why": one.why, "bytes": one.bytes, "entries": one.entries}
    unreadable = dict(list(one.unreadable.items())[:_SHOWN_ENTRIES])
    shown |= {"status": one.status, "refused": len(one.unreadable), "refused_entries": unreadable}
    if brought is not None and not brought.skipped and one.copy is not None:
        shown |= {"read": brought.read, "kept": brought.kept, "merged": brought.merged, "new_prices": brought.prices}
        shown |= {"quarantined": brought.quarantined, "unknown_fields": dict(sorted(brought.unknown.items())[:_SHOWN])}
    return shown
