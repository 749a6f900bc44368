"""What operators do with sources: see how old they are, fetch them, hand texts in, take them back, and read what every run did."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from backend.audit.service import AuditService
from backend.catalog.ingest import Progress, bundled_sources, has_day_come
from backend.catalog.sources.formats import FORMATS, NOTHING
from backend.identity.principal import Principal, require_super_admin
from backend.ingestion_settings import SOURCE_NAME
from backend.jobs import repository
from backend.jobs.events import IngestionDied, IngestionEnded
from backend.jobs.order import run_apart
from backend.jobs.run import Ask, Upload, due_at, is_due
from backend.jobs.schemas import JobView, RunPage, RunView, SourceList, SourceResult, SourceView, run_view
from backend.jobs.sources import KNOWN, Feed, KeptCopy, feeds, is_in_force
from backend.jobs.tables import IngestionReport
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, BourseError, Conflict, NotFound
from backend.kernel.paging import clamp_limit, decode_cursor, encode_cursor
from backend.settings import Settings

WHAT = "manage sources of prices"
Run = Callable[[Ask, Progress | None], Awaitable[IngestionReport | None]]
_LOOKED_BACK = 100
"""Runs in which a source's last outcome is looked for."""
_AFTER_FAILURE = timedelta(hours=1)


class IngestionService:
    """`run`: how an ingestion is carried out; None = in a process of its own, because it takes more memory than a server has."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings, *, run: Run | None = None) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings.ingestion
        self._day_not_before = clock.now()
        self._run = run or (lambda ask, progress: run_apart(settings.database, settings.network, ask, progress))

    async def sources(self, principal: Principal) -> SourceList:
        """Every source there is, how old what it says is, and how fetching goes."""
        require_super_admin(principal, WHAT)
        async with self._db.read() as session:
            rows = {row["name"]: row for row in await repository.copies(session, with_text=False)}
            jobs = [JobView.model_validate(dict(row)) for row in await repository.jobs(session)]
            newest = await repository.reports(session, before=None, limit=_LOOKED_BACK, changed_only=False)
            now = await repository.now_of(session, self._clock)
        last = {one["source"]: SourceResult.model_validate(one) for report in reversed(newest) for one in report.sources}
        jitter = self._settings.jitter.total_seconds()
        given = feeds(self._settings)
        bundled = {source.name: source for source in bundled_sources()}
        names = list(dict.fromkeys([*bundled, *given, *rows]))
        shown = []
        for name in names:
            row, feed, own, known = rows.get(name), given.get(name), bundled.get(name), KNOWN.get(name)
            if row is not None and row["format"] == NOTHING and feed is None:
                continue
            copy = KeptCopy(row) if row is not None and row["body_hash"] is not None and row["format"] != NOTHING else None
            in_force = copy is not None and is_in_force(copy, own)
            counts = copy if in_force else own
            day = counts.data_date() if counts is not None else None
            scheduled = self._settings.enabled and feed is not None and feed.enabled
            shown.append(
                SourceView(
                    name=name,
                    label=own.label if own is not None else known.label if known is not None else name,
                    licence=own.licence if own is not None else known.licence if known is not None else "the operator's own",
                    url=feed.url if feed is not None else None,
                    format=row["format"] if copy is not None and row is not None else feed.format if feed is not None else None,
                    scheduled=scheduled,
                    every_seconds=feed.every if feed is not None else None,
                    bundled=own is not None and not in_force,
                    data_as_of=day.isoformat() if day is not None else None,
                    entries=row["entries"] if in_force and row is not None else None,
                    fetched_at=row["fetched_at"] if row is not None else None,
                    checked_at=row["checked_at"] if row is not None else None,
                    tried_at=row["tried_at"] if row is not None else None,
                    failures=row["failures"] if row is not None else 0,
                    error=row["error"] if row is not None else None,
                    etag=row["etag"] if row is not None else None,
                    last_modified=row["last_modified"] if row is not None else None,
                    next_at=max(due_at(feed, row, jitter) or now, now) if scheduled and feed is not None else None,
                    last=last.get(name),
                )
            )
        return SourceList(enabled=self._settings.enabled, sources=shown, jobs=jobs)

    async def runs(self, principal: Principal, *, cursor: str | None = None, limit: int = 50, changed_only: bool = False) -> RunPage:
        """What was done, the newest first.

        Raises:
            BadRequest: the cursor is none of ours.
        """
        require_super_admin(principal, WHAT)
        limit = clamp_limit(limit)
        before = None if cursor is None else decode_cursor(cursor, str)[0]
        async with self._db.read() as session:
            found = await repository.reports(session, before=before, limit=limit + 1, changed_only=changed_only)
        views = [run_view(row) for row in found[:limit]]
        return RunPage(runs=list(views), next_cursor=encode_cursor(views[-1].id) if len(found) > limit else None)

    async def one_run(self, principal: Principal, run_id: str) -> RunView:
        """One run with what changed.

        Raises:
            NotFound: there is none.
        """
        require_super_admin(principal, WHAT)
        async with self._db.read() as session:
            found = await repository.report(session, run_id)
        if found is None:
            raise NotFound("There is no such run.")
        return run_view(found)

    async def fetch(
        self, principal: Principal, name: str, *, force: bool = False, dry_run: bool = False, progress: Progress | None = None
    ) -> RunView:
        """Fetch one source now and bring the store up to it; `force`: also if it is suspiciously short or long. `progress` is told stages.

        Raises:
            NotFound: no such source. Conflict: another ingestion is under way.
        """
        require_super_admin(principal, WHAT)
        feed = feeds(self._settings).get(name)
        if feed is None:
            raise NotFound("There is no such source with an address.")
        ask = self._ask("person", principal, feeds=(feed,), force=force, dry_run=dry_run)
        return await self._carried_out(principal, ask, "ingestion.fetch", name, progress, force=force)

    async def upload(
        self, principal: Principal, name: str, text: bytes, *, format: str | None = None, force: bool = False, dry_run: bool = False
    ) -> RunView:
        """Take a text as what the source `name` says from now on. Under the name of a public list it stands for that.

        Raises:
            BadRequest: the name or format is none. Conflict: another ingestion is under way.
        """
        require_super_admin(principal, WHAT)
        upload = checked_upload(name, text, format)
        ask = self._ask("upload", principal, uploads=(upload,), force=force, dry_run=dry_run)
        return await self._carried_out(principal, ask, "ingestion.upload", name, bytes=len(text), force=force)

    async def remove(self, principal: Principal, name: str) -> RunView:
        """Forget what a source said. What ships with Bourse counts again where it was that; else what only it named is retired.

        Raises:
            NotFound: nothing is kept of such a source. Conflict: another ingestion is under way.
        """
        require_super_admin(principal, WHAT)
        async with self._db.read() as session:
            kept = {row["name"]: row for row in await repository.copies(session, with_text=False)}
        if name not in kept or kept[name]["format"] == NOTHING:
            raise NotFound("Nothing is kept of such a source.")
        return await self._carried_out(principal, self._ask("person", principal, removed=name), "ingestion.remove", name)

    async def run_due(self, principal: Principal) -> RunView | None:
        """Fetch what is due; None where nothing is, or another process is at it."""
        due = tuple(feed for feed in feeds(self._settings).values() if feed.enabled)
        if not await self._any_due(due):
            return None
        ask = self._ask("schedule", principal, feeds=due, due_only=True, jitter=self._settings.jitter.total_seconds())
        try:
            report = await self._run(ask, None)
        except Conflict:
            return None
        except BourseError as error:
            self._db.events.publish(IngestionDied(ask.trigger, error.message))
            raise
        return None if report is None else self._told(report)

    async def run_day(self, principal: Principal) -> RunView | None:
        """Weigh anew what is stored if a day has come that was announced; None where none has, or another process is at it. Needs no
        network. After a failure it waits an hour."""
        now = self._clock.now()
        if now < self._day_not_before or not await has_day_come(self._db, self._clock):
            return None
        self._day_not_before = now + _AFTER_FAILURE
        ask = self._ask("day", principal)
        try:
            report = await self._run(ask, None)
        except Conflict:
            self._day_not_before = now
            return None
        except BourseError as error:
            self._db.events.publish(IngestionDied(ask.trigger, error.message))
            raise
        if report is None or report.outcome != "failed":
            self._day_not_before = now
        return None if report is None else self._told(report)

    async def _any_due(self, wanted: tuple[Feed, ...]) -> bool:
        async with self._db.read() as session:
            now = await repository.now_of(session, self._clock)
            rows = {row["name"]: row for row in await repository.copies(session, with_text=False)}
        return any(is_due(feed, rows.get(feed.name), now, self._settings.jitter.total_seconds()) for feed in wanted)

    def _ask(self, trigger: str, principal: Principal, **more: Any) -> Ask:
        ask = Ask(trigger, principal.id, tell=self._settings.webhook.url is not None, max_bytes=self._settings.max_bytes)
        return replace(ask, **more)

    async def _carried_out(
        self, principal: Principal, ask: Ask, action: str, name: str, progress: Progress | None = None, **facts: Any
    ) -> RunView:
        if not ask.dry_run:
            async with self._db.write() as unit:
                await self._audit.record(unit, principal, action, name, **facts)
        try:
            report = await self._run(ask, progress)
        except Conflict:
            raise
        except BourseError as error:
            self._db.events.publish(IngestionDied(ask.trigger, error.message))
            raise
        assert report is not None, "only what is due may be nothing"
        return run_view(report) if ask.dry_run else self._told(report)

    def _told(self, report: IngestionReport) -> RunView:
        view = run_view(report)
        failed = tuple((one.source, one.why or "") for one in view.sources if one.outcome in ("failed", "refused"))
        counts = (view.new_offers, view.prices_up, view.prices_down, view.quarantined)
        self._db.events.publish(IngestionEnded(view.id, view.trigger, view.outcome, failed, *counts))
        return view


def checked_upload(name: str, text: bytes, format: str | None) -> Upload:
    """What somebody handed in, if it can be a source.

    Raises:
        BadRequest: it cannot.
    """
    if not SOURCE_NAME.fullmatch(name) or name in ("sandbox", "aliases", "operator", "benchmarks", "price-changes"):
        raise BadRequest(
            "A source's name is made of small letters, digits, dots, dashes and underscores, and is none of ours.", param="name"
        )
    if format is not None and format not in FORMATS:
        raise BadRequest(f"The format is one of {', '.join(FORMATS)}.", param="format")
    if not text.strip():
        raise BadRequest("The text is empty.", param="file")
    return Upload(name, text, format)
