"""Budgets for those who set them: read, set, raise for a while, delete; and releasing what a dead process held.

Every change is checked against the principal, audited and put on the change feed. A new limit is in force with the next slice that any
process is granted; what processes hold already is recalled, so a lower limit binds within a fraction of a second.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.service import AuditService
from backend.budgets import repository
from backend.budgets.accounts import END_USER, SCOPES, Payer, limit_at, places_of
from backend.budgets.opening import open_default_budget
from backend.budgets.schemas import BudgetView, HolderView
from backend.budgets.settlement import return_leases_of
from backend.budgets.tables import Budget
from backend.budgets.windows import check_window, period_of
from backend.identity import repository as identity
from backend.identity.belonging import require_in_tenant
from backend.identity.principal import Principal, Role, require_role, require_super_admin, system
from backend.kernel.clock import Clock
from backend.kernel.days import day_of
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest, Conflict, NotFound
from backend.kernel.money import MAX_NANO_USD, format_usd, nano_from_usd
from backend.kernel.paging import MAX_LIMIT
from backend.settings import Settings


class BudgetService:
    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._default = settings.budgets.default

    async def follow_default(self) -> None:
        """Bring the budgets that nobody set to `budgets.default` of the configuration; at start, after the bootstrap."""
        default = self._default
        limit, warn_at, now = nano_from_usd(default.limit_usd), list(default.warn_at), self._clock.now()
        async with self._db.write() as unit:
            if not await repository.has_other_defaults(unit.session, limit_nano=limit, window=default.window, warn_at=warn_at):
                return
            await unit.mark_changed()
            for row in await repository.lock_defaults(unit.session):
                if (row.limit_nano, row.window, row.warn_at) == (limit, default.window, warn_at):
                    continue
                before = _facts(row)
                row.limit_nano, row.window, row.warn_at = limit, default.window, warn_at
                _changed(row, now)
                await self._record(unit, system("configuration"), "budget.set", row, before=before, after=_facts(row))

    # Reading -----------------------------------------------------------------------------------------------------------------------

    async def of_tenant(self, principal: Principal, tenant_id: str) -> list[BudgetView]:
        """Every budget in the tenant, and how it stands.

        Raises:
            NotFound: no such tenant for this principal.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            return await self._views(session, tenant_id, await repository.budgets_of_tenant(session, tenant_id))

    async def of_end_users(
        self, principal: Principal, tenant_id: str, key_id: str, *, after: str = "", limit: int = 100
    ) -> list[BudgetView]:
        """The accounts of a key's end users by name: up to `limit`, those whose names come after `after`.

        Raises:
            NotFound: no such tenant for this principal.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            rows = await repository.end_users(session, tenant_id, key_id, after=after, limit=max(1, min(limit, MAX_LIMIT)))
            return await self._views(session, tenant_id, rows)

    async def get(self, principal: Principal, tenant_id: str, scope: str, scope_id: str) -> BudgetView:
        """One budget, and how it stands.

        Raises:
            NotFound: no such tenant for this principal, or no such budget.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            row = await repository.budget_of(session, tenant_id, scope, scope_id)
            if row is None:
                raise NotFound("There is no such budget.")
            return (await self._views(session, tenant_id, [row]))[0]

    async def of_payer(self, payer: Payer) -> list[BudgetView]:
        """The budgets that bind a key, the tightest first; for `GET /v1/budget`, where the key itself asks."""
        async with self._db.read() as session:
            rows = [row for row, _ in await repository.budgets_at(session, places_of(payer))]
            views = await self._views(session, payer.tenant_id, rows)
        return sorted(views, key=lambda view: (view.remaining_nano, view.limit_in_force_nano))

    # Changing ----------------------------------------------------------------------------------------------------------------------

    async def set(
        self,
        principal: Principal,
        tenant_id: str,
        scope: str,
        scope_id: str,
        *,
        limit_nano: int,
        window: str | None = None,
        warn_at: Sequence[float] | None = None,
    ) -> None:
        """Give a key, user or tenant this budget. What was spent in the window counts on; without a budget counting begins now.

        Args:
            scope: key, user (the person's keys in this tenant), tenant, or end_user (of a key, who has an account already).
            window, warn_at: as they are, or the default's for a new budget, if None.

        Raises:
            PermissionDenied: a tenant's budget is a super admin's to set, the others an admin's of the tenant.
            NotFound: no such tenant for this principal, or nothing of that id in it. BadRequest: an amount, window or share that cannot be.
        """
        self._require_setter(principal, tenant_id, scope)
        _check_amount(limit_nano)
        if window is not None:
            check_window(window)
        if warn_at is not None and not all(0 < share <= 1 for share in warn_at):
            raise BadRequest("A warning is at a share of the limit above 0 and at most 1.", param="warn_at")
        now = self._clock.now()
        async with self._db.write() as unit:
            await unit.mark_changed()
            if scope != END_USER:
                await require_in_tenant(unit.session, tenant_id, scope, scope_id)
            elif await repository.budget_of(unit.session, tenant_id, scope, scope_id) is None:
                raise NotFound("There is no such end user in this tenant.")
            created = await repository.create_if_absent(
                unit.session,
                tenant_id=tenant_id,
                scope=scope,
                scope_id=scope_id,
                limit_nano=limit_nano,
                window=window or self._default.window,
                warn_at=self._default.warn_at if warn_at is None else warn_at,
                now=now,
            )
            row = await self._locked(unit, tenant_id, scope, scope_id)
            before = None if created else _facts(row)
            if not created:
                row.limit_nano = limit_nano
                row.window = window or row.window
                row.warn_at = row.warn_at if warn_at is None else list(warn_at)
                row.is_default = False
                _changed(row, now)
            await self._record(unit, principal, "budget.set", row, before=before, after=_facts(row))

    async def raise_for_a_while(
        self, principal: Principal, tenant_id: str, scope: str, scope_id: str, *, by_nano: int, until: datetime | None = None
    ) -> None:
        """Add to a limit until an instant; then the limit is what it was. A second raise replaces the first; 0 ends it.

        Raises:
            PermissionDenied, NotFound, BadRequest: as for `set`.
        """
        self._require_setter(principal, tenant_id, scope)
        _check_amount(by_nano)
        now = self._clock.now()
        if by_nano and until is None:
            raise BadRequest("Say until when the limit is raised.", param="until")
        if by_nano and until is not None and until <= now:
            raise BadRequest("The raise would have ended already.", param="until")
        async with self._db.write() as unit:
            await unit.mark_changed()
            row = await self._locked(unit, tenant_id, scope, scope_id)
            _check_amount(row.limit_nano + by_nano)
            before = _facts(row)
            row.raise_nano, row.raise_until = by_nano, until if by_nano else None
            _changed(row, now)
            await self._record(unit, principal, "budget.raise", row, before=before, after=_facts(row))

    async def delete(self, principal: Principal, tenant_id: str, scope: str, scope_id: str) -> None:
        """End a budget. A tenant is never without one: it has the default again, with what was spent counted from now.

        Raises:
            PermissionDenied, NotFound: as for `set`.
        """
        self._require_setter(principal, tenant_id, scope)
        async with self._db.write() as unit:
            await unit.mark_changed()
            row = await self._locked(unit, tenant_id, scope, scope_id)
            await self._record(unit, principal, "budget.delete", row, before=_facts(row), after=None)
            await repository.delete_budget(unit.session, row.id)
            if scope == "tenant":
                await open_default_budget(unit.session, tenant_id, self._default, now=self._clock.now())

    # Processes that are gone -------------------------------------------------------------------------------------------------------

    async def holders(self, principal: Principal) -> list[HolderView]:
        """Every process that may hold slices.

        Raises:
            PermissionDenied: only a super admin may see this.
        """
        require_super_admin(principal)
        async with self._db.read() as session:
            now = await self._now(session)
            return [
                HolderView(row.id, row.started_at, row.expires_at, row.expires_at <= now, leases, amount)
                for row, leases, amount in await repository.holders(session)
            ]

    async def release(self, principal: Principal, holder_id: str) -> int:
        """Free what a dead process held, where its journal is lost or out of reach. What it spent and did not say is then not counted.

        Returns:
            The nano-dollars that are free again.

        Raises:
            PermissionDenied: only a super admin may do this. NotFound. Conflict: the process may be alive.
        """
        require_super_admin(principal)
        async with self._db.write() as unit:
            holder = await repository.lock_holder(unit.session, holder_id)
            if holder is None:
                raise NotFound("There is no such process.")
            if holder.expires_at > await self._now(unit.session):
                raise Conflict(f"That process may be alive: it was heard of lately. Try again after {holder.expires_at:%H:%M:%S} UTC.")
            freed = await return_leases_of(unit.session, holder_id)
            await self._audit.record(unit, principal, "budget.release", holder_id, freed=format_usd(freed))
        return freed

    # -------------------------------------------------------------------------------------------------------------------------------

    async def _views(self, session: AsyncSession, tenant_id: str, rows: Sequence[Budget]) -> list[BudgetView]:
        zone = await identity.time_zone(session, tenant_id)
        now = await self._now(session)
        today = day_of(now, zone)
        periods = {row.id: period_of(row.window, today, zone) for row in rows}
        leases, spent = await repository.committed(
            session, [(budget_id, period.first, period.last) for budget_id, period in periods.items()]
        )
        return [
            BudgetView.of(
                row,
                limit=limit_at(row.limit_nano, row.raise_nano, row.raise_until, now),
                spent=spent.get(row.id, 0),
                leased=sum(
                    lease.amount_nano
                    for lease in leases
                    if lease.budget_id == row.id and periods[row.id].first <= lease.day <= periods[row.id].last
                ),
                starts_at=periods[row.id].starts,
                resets_at=periods[row.id].ends,
            )
            for row in rows
        ]

    async def _now(self, session: AsyncSession) -> datetime:
        return await repository.database_time(session) if self._db.dialect == "postgresql" else self._clock.now()

    async def _locked(self, unit: UnitOfWork, tenant_id: str, scope: str, scope_id: str) -> Budget:
        row = await repository.lock_budget_of(unit.session, tenant_id, scope, scope_id)
        if row is None:
            raise NotFound("There is no such budget.")
        return row

    async def _record(self, unit: UnitOfWork, principal: Principal, action: str, row: Budget, **facts: Any) -> None:
        await self._audit.record(unit, principal, action, row.id, tenant_id=row.tenant_id, scope=row.scope, scope_id=row.scope_id, **facts)

    def _require_setter(self, principal: Principal, tenant_id: str, scope: str) -> None:
        if scope not in SCOPES:
            raise BadRequest("A budget is a key's, a user's, a tenant's or an end user's.", param="scope")
        require_role(principal, tenant_id, Role.ADMIN)
        if scope == "tenant":
            require_super_admin(principal, "set a tenant's budget")


def _facts(row: Budget) -> dict[str, Any]:
    """What the audit log keeps of a budget, before a change and after it."""
    raised = {"raise": format_usd(row.raise_nano), "until": row.raise_until.isoformat()} if row.raise_until is not None else {}
    return {"limit": format_usd(row.limit_nano), "window": row.window, "warn_at": list(row.warn_at), **raised}


def _changed(row: Budget, now: datetime) -> None:
    """Reported thresholds begin anew with a changed limit, and processes give back what they hold beyond it."""
    row.updated_at = now
    row.alert_level = 0
    row.recall += 1


def _check_amount(nano: int) -> None:
    if not 0 <= nano <= MAX_NANO_USD // 2:
        raise BadRequest("An amount of money is not negative, and at most 4.6 billion dollars.", param="limit")
