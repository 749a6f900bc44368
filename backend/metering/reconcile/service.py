"""Reconciling: ledger ↔ budget counters ↔ rollups ↔ attempts, to the nano-dollar, while everything runs.

A call's row, its charge to budgets and its rollups are written in one transaction, so at any one moment of the database they agree,
whatever is in flight; everything is read as of one moment. What is in flight (leases, journals) is told beside it and is no difference.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.service import AuditService
from backend.identity.principal import Principal
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import PermissionDenied
from backend.metering import repository as ledger
from backend.metering.reconcile import repository
from backend.metering.reconcile.compare import LEDGER_CHANGED, added, budget_differences, explained, rollup_differences
from backend.metering.reconcile.repair import Repairer
from backend.metering.reconcile.repository import Compared
from backend.metering.reconcile.schemas import Difference, HeldByProcess, Reconciliation, WaitingJournal
from backend.metering.reconcile.waiting import JournalFolder, journals_in, refused_rows
from backend.metering.rollups.gather import ALL, DAY, GRAINS, HOUR, MEASURES, MINUTE, SPANS, Series, coarser
from backend.metering.rollups.keeping import MINUTES_KEPT
from backend.metering.rollups.series import OTHER

MOST_SHOWN = 1_000
_CALLS, _CHARGED, _COST = MEASURES.index("calls"), MEASURES.index("charged_nano"), MEASURES.index("provider_cost_nano")


class _Tally:
    """What was looked at, and what was found."""

    def __init__(self) -> None:
        self.calls = self.charged = self.cost = self.tenants = 0
        self.differences: list[Difference] = []
        self.days: list[tuple[str, date]] = []
        """Tenants' days on which rollups differ; `ALL` for all tenants together."""
        self.together: dict[date, dict[tuple[Series, int], Compared]] = {}
        """The ledger of all tenants, by minute or hour, as far as it was compared."""


class ReconcileService:
    def __init__(self, db: Database, clock: Clock, audit: AuditService, data_dir: Path) -> None:
        self._db = db
        self._clock = clock
        self._journals = data_dir / "journal"
        self._repairer = Repairer(db, audit)

    async def run(
        self, principal: Principal, *, tenant_id: str | None = None, since: date | None = None, repair: bool = False
    ) -> Reconciliation:
        """Compare everything, of one tenant or all, from a day on or since ever.

        Args:
            since: the first day; a day of UTC for rollups, the tenant's own for budgets.
            repair: bring rollups to what the ledger says, where nothing speaks against the ledger, and compare again.

        Raises:
            PermissionDenied: only a super admin may do this.
        """
        if not principal.is_super_admin:
            raise PermissionDenied("Only a super admin may reconcile.")
        found, tally = await self._compare(tenant_id, since)
        if not repair or not tally.days:
            return found
        in_doubt = {one.tenant_id for one in tally.differences if one.reason == LEDGER_CHANGED}
        repaired = 0
        for tenant, day in tally.days:
            if tenant not in in_doubt:
                repaired += await self._repairer.repair(principal, tenant, day, self._stretch(day)[2])
        found, _ = await self._compare(tenant_id, since)
        return replace(found, repaired=repaired)

    async def _compare(self, tenant_id: str | None, since: date | None) -> tuple[Reconciliation, _Tally]:
        # Journals first: what is in them and not in the moment that is read next was in flight.
        journals = await asyncio.to_thread(lambda: list(journals_in(self._journals)))
        refused = await asyncio.to_thread(refused_rows, self._journals)
        tally = _Tally()
        async with self._db.read() as session:
            await repository.one_moment(session)
            now = self._clock.now()
            leases = [HeldByProcess(*row) for row in await repository.leases(session, now)]
            told: set[str] = set()
            for tenant in [tenant_id] if tenant_id is not None else await repository.tenants(session):
                told |= await self._compare_tenant(session, tally, tenant, since)
            if tenant_id is None:
                counted = await repository.spent_by_budget(session, None, since)
                orphans = {place: spent for place, spent in counted.items() if place[0] not in told}
                await self._compare_together(session, tally, since)
                tally.differences += budget_differences(None, {}, orphans, {})
            waiting = [await _waiting(session, journal) for journal in journals]
        differences = explained(tally.differences)
        tally.differences = differences
        report = Reconciliation(
            at=now,
            tenants=tally.tenants,
            calls=tally.calls,
            charged_nano=tally.charged,
            provider_cost_nano=tally.cost,
            found=len(differences),
            differences=tuple(differences[:MOST_SHOWN]),
            leases=tuple(leases),
            journals=tuple([journal for journal in waiting if journal.ended or journal.running or not journal.alive]),
            refused_rows=refused,
        )
        return report, tally

    async def _compare_tenant(self, session: AsyncSession, tally: _Tally, tenant_id: str, since: date | None) -> set[str]:
        """The budgets that were compared."""
        tally.tenants += 1
        charges = await repository.charges_by_budget(session, tenant_id, since)
        budgets = await repository.budgets(session, tenant_id)
        ids = sorted({budget_id for budget_id, _ in charges} | budgets.keys())
        spent = await repository.spent_by_budget(session, ids, since)
        tally.differences += budget_differences(tenant_id, charges, spent, budgets)
        bounded = await repository.has_series_called(session, tenant_id, OTHER)
        for day in await repository.days(session, tenant_id, since):
            await self._compare_day(session, tally, tenant_id, day, bounded=bounded)
        return set(ids)

    async def _compare_day(self, session: AsyncSession, tally: _Tally, tenant_id: str, day: date, *, bounded: bool) -> None:
        first, last, spans = self._stretch(day)
        sums = await repository.ledger_sums(session, tenant_id, first, last, minutes=MINUTE in spans)
        rows = await repository.rollups(session, tenant_id, int(first.timestamp()), int(last.timestamp()))
        for values in sums.values():
            tally.calls += values[_CALLS]
            tally.charged += values[_CHARGED]
            tally.cost += values[_COST]
        together = [((coarser(series, GRAINS[-1][0]), at), values) for (series, at), values in sums.items()]
        tally.together[day] = added([*tally.together.get(day, {}).items(), *together])
        found = rollup_differences(tenant_id, sums, rows, spans=spans, bounded=bounded)
        if found:
            tally.days.append((tenant_id, day))
        tally.differences += found
        for call_id, cost, tries in await repository.attempts_that_differ(session, tenant_id, first, last):
            reason = "the call's row or one of its attempts was changed, or an attempt's row is missing"
            tally.differences.append(Difference("attempts", tenant_id, f"call {call_id}", "provider_cost_nano", cost, tries, reason))

    async def _compare_together(self, session: AsyncSession, tally: _Tally, since: date | None) -> None:
        """The rollups of all tenants together."""
        bounded = await repository.has_series_called(session, ALL, OTHER)
        for day in sorted({*tally.together, *await repository.days(session, ALL, since)}):
            first, last, spans = self._stretch(day)
            rows = await repository.rollups(session, ALL, int(first.timestamp()), int(last.timestamp()))
            found = rollup_differences(None, tally.together.get(day, {}), rows, spans=spans, bounded=bounded)
            if found:
                tally.days.append((ALL, day))
            tally.differences += found

    def _stretch(self, day: date) -> tuple[datetime, datetime, tuple[int, ...]]:
        """A day of UTC, and the spans in which all of it is kept."""
        first = datetime.combine(day, time.min, UTC)
        kept = first >= self._clock.now() - MINUTES_KEPT
        return first, first + timedelta(days=1), SPANS if kept else (HOUR, DAY)


async def _waiting(session: AsyncSession, journal: JournalFolder) -> WaitingJournal:
    """Without what is in the ledger already: an open line may outlive the final line that answered it."""
    ids: Sequence[str] = [*journal.ended, *journal.running]
    there: set[str] = set()
    for start in range(0, len(ids), 500):
        there |= await ledger.ids_there(session, ids[start : start + 500])
    ended = [charged for call_id, charged in journal.ended.items() if call_id not in there]
    running = [call_id for call_id in journal.running if call_id not in there]
    return WaitingJournal(journal.process, journal.alive, len(ended), sum(ended), len(running))
