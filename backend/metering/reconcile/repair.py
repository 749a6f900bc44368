"""Bringing rollups back to what the ledger says, while calls go on.

Rollups are sums of rows, and every transaction adds the same to them and to the ledger. So what they lack or have too much at one moment
is the same at every later one, and is made good by rows of a writer of their own (`REPAIR`): nobody's row is changed and nobody waits.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.service import AuditService
from backend.identity.principal import Principal
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import Conflict
from backend.kernel.money import format_usd
from backend.metering import repository as ledger
from backend.metering.reconcile import repository
from backend.metering.rollups import repository as rollups
from backend.metering.rollups.gather import (
    ALL,
    DAY,
    GRAINS,
    LEDGER,
    MEASURES,
    SPAN_NAMES,
    Place,
    Totals,
    by_minute,
    by_span,
    coarser,
)
from backend.metering.rollups.series import SeriesBook, id_of

REPAIR = 0
"""The writer id of repairs."""
_DAY = timedelta(days=1)
_TRIES = 5
_OWN_GRAINS = sum("tenant_id" in keeps for keeps, _ in GRAINS)
_CHARGED = MEASURES.index("charged_nano")


class Repairer:
    def __init__(self, db: Database, audit: AuditService) -> None:
        self._db = db
        self._audit = audit

    async def repair(self, principal: Principal, tenant_id: str, day: date, spans: Sequence[int]) -> int:
        """Make these spans of a day of UTC right, and say so in the audit log; how many rows it took.

        Args:
            tenant_id: `ALL` for the rollups of all tenants together, which are made to agree with those of each.

        Raises:
            Conflict: somebody calls under ever new names.
        """
        first = datetime.combine(day, time.min, UTC)
        for _ in range(_TRIES):
            book = SeriesBook()
            if tenant_id != ALL:
                async with self._db.read() as session:
                    calls = by_minute(await ledger.facts_between(session, tenant_id, {}, first, first + _DAY), LEDGER)
                await book.learn(self._db, calls)
            async with self._db.write() as unit:
                await repository.one_moment(unit.session)
                wanted = (
                    await _wanted_together(unit.session, first, spans)
                    if tenant_id == ALL
                    else await _wanted(unit.session, tenant_id, first, spans, book)
                )
                if wanted is not None:
                    return await self._write(unit, principal, tenant_id, first, spans, wanted)
        raise Conflict("Calls of new kinds came faster than the day could be repaired. Try again.")

    async def _write(
        self,
        unit: UnitOfWork,
        principal: Principal,
        tenant_id: str,
        first: datetime,
        spans: Iterable[int],
        wanted: dict[tuple[int, Place], Totals],
    ) -> int:
        earlier: dict[tuple[int, Place], Totals] = {}
        begins = int(first.timestamp())
        for _, span, writer_id, place, totals in await repository.rollups(unit.session, tenant_id, begins, begins + DAY):
            if span in spans:
                wanted.setdefault((span, place), Totals()).add(-totals)
                if writer_id == REPAIR:
                    earlier[span, place] = totals
        lacking = {place: totals for place, totals in wanted.items() if totals}
        money = dict.fromkeys(spans, 0)
        for (span, _), totals in lacking.items():
            money[span] += totals.sums[_CHARGED]
        for key, totals in lacking.items():
            if key in earlier:
                totals.add(earlier[key])
        if lacking:
            await rollups.replace(unit.session, [rollups.row_of(place, span, REPAIR, totals) for (span, place), totals in lacking.items()])
            added = {f"charged_by_{SPAN_NAMES[span]}": format_usd(nano) for span, nano in money.items()}
            what = {"day": first.date().isoformat(), "rows": len(lacking), **added}
            await self._audit.record(unit, principal, "rollup.repair", tenant_id, tenant_id=None if tenant_id == ALL else tenant_id, **what)
        return len(lacking)


async def _wanted(
    session: AsyncSession, tenant_id: str, first: datetime, spans: Iterable[int], book: SeriesBook
) -> dict[tuple[int, Place], Totals] | None:
    """What the day's rollups should add up to; None if there is a series by now that the book does not know."""
    minutes = by_minute(await ledger.facts_between(session, tenant_id, {}, first, first + _DAY), LEDGER)
    if not all(book.knows(names) for names in minutes):
        return None
    # All tenants' series are not this tenant's to repair.
    totals = by_span(minutes, {names: book.ids_of(names)[:_OWN_GRAINS] for names in minutes})
    return {(span, place): found for span in spans for place, found in totals[span].items()}


async def _wanted_together(session: AsyncSession, first: datetime, spans: Iterable[int]) -> dict[tuple[int, Place], Totals]:
    """What the day's rollups of all tenants together should add up to, by those of each."""
    found: dict[tuple[int, Place], Totals] = {}
    begins = int(first.timestamp())
    for series, span, _, (_, starts), totals in await repository.rollups(session, None, begins, begins + DAY):
        if span in spans:
            together = coarser(series, GRAINS[-1][0])
            found.setdefault((span, (id_of(together), starts)), Totals()).add(totals)
    return found
