"""SQL of budgets. In which order rows are locked says decision 0009."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from backend.budgets.tables import Budget, BudgetDay, BudgetHolder, BudgetLease
from backend.identity.tables import ApiKey, Tenant
from backend.kernel.ids import new_id
from backend.kernel.statements import Statement, execute_each

Rows = Sequence[Mapping[str, Any]]
RECALL_CHANNEL = "bourse_recall"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease and whether its process still renews its row."""

    id: str
    budget_id: str
    day: date
    holder_id: str
    amount_nano: int
    answered: int
    expires_at: datetime


async def create_if_absent(
    session: AsyncSession,
    *,
    tenant_id: str,
    scope: str,
    scope_id: str,
    limit_nano: int,
    window: str,
    warn_at: Sequence[float],
    now: datetime,
    is_default: bool = False,
    key_id: str | None = None,
    name: str | None = None,
) -> bool:
    """Give a key, user, tenant or end user its budget unless it has one; whether a row was made. An existing one is never changed here.

    Args:
        key_id, name: of an end user: his key, and what he is called.
    """
    statement = _insert(session, Budget).values(
        id=new_id("budget"),
        tenant_id=tenant_id,
        scope=scope,
        scope_id=scope_id,
        key_id=key_id,
        name=name,
        limit_nano=limit_nano,
        window=window,
        warn_at=list(warn_at),
        is_default=is_default,
        raise_nano=0,
        recall=0,
        alert_level=0,
        created_at=now,
        updated_at=now,
    )
    statement = statement.on_conflict_do_nothing(index_elements=["tenant_id", "scope", "scope_id"])
    return _count(await session.execute(statement)) == 1


async def has_other_defaults(session: AsyncSession, *, limit_nano: int, window: str, warn_at: list[float]) -> bool:
    """Whether a tenant's budget that nobody has set is another than this one."""
    query = sa.select(col(Budget.limit_nano), col(Budget.window), col(Budget.warn_at))
    rows = await session.execute(query.where(col(Budget.is_default), col(Budget.scope) == "tenant").distinct())
    return any(tuple(row) != (limit_nano, window, warn_at) for row in rows)


async def lock_defaults(session: AsyncSession) -> list[Budget]:
    """The tenants' budgets that nobody has set, locked until the transaction ends."""
    query = sa.select(Budget).where(col(Budget.is_default), col(Budget.scope) == "tenant").order_by(col(Budget.id)).with_for_update()
    return list((await session.execute(query)).scalars())


# Reading ---------------------------------------------------------------------------------------------------------------------------


async def all_budgets(session: AsyncSession) -> list[tuple[Budget, str]]:
    """Every budget but those of end users, with its tenant's time zone."""
    query = sa.select(Budget, col(Tenant.timezone)).join(Tenant, col(Tenant.id) == col(Budget.tenant_id))
    query = query.where(col(Budget.key_id).is_(None))
    return [(budget, zone) for budget, zone in await session.execute(query)]


async def budgets_at(session: AsyncSession, places: Sequence[tuple[str, str, str]]) -> list[tuple[Budget, str]]:
    """The budgets of these tenants' scopes, with the tenant's time zone."""
    wanted = [
        sa.and_(col(Budget.tenant_id) == tenant_id, col(Budget.scope) == scope, col(Budget.scope_id) == scope_id)
        for tenant_id, scope, scope_id in places
    ]
    query = sa.select(Budget, col(Tenant.timezone)).join(Tenant, col(Tenant.id) == col(Budget.tenant_id)).where(sa.or_(*wanted))
    return [(budget, zone) for budget, zone in await session.execute(query)]


async def budgets_of_tenant(session: AsyncSession, tenant_id: str) -> list[Budget]:
    """Without those of end users."""
    query = (
        sa.select(Budget)
        .where(col(Budget.tenant_id) == tenant_id, col(Budget.key_id).is_(None))
        .order_by(col(Budget.scope), col(Budget.id))
    )
    return list((await session.execute(query)).scalars())


async def database_time(session: AsyncSession) -> datetime:
    """PostgreSQL's clock, at this moment and not at the transaction's begin."""
    return _aware((await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one())


Span = tuple[str, date, date]
"""A budget, and from which day to which, both included."""


async def spent(session: AsyncSession, spans: Sequence[Span]) -> dict[str, int]:
    """What was charged to each budget in its span."""
    if not spans:
        return {}
    return {budget_id: int(amount) for budget_id, amount in await session.execute(_spent(spans))}


async def committed(session: AsyncSession, spans: Sequence[Span]) -> tuple[list[LeaseRow], dict[str, int]]:
    """All leases of the budgets, and what was charged to each in its span; both at the same instant, so nothing is in both or in none."""
    if not spans:
        return [], {}
    leases = (
        sa.select(
            col(BudgetLease.id),
            col(BudgetLease.budget_id),
            col(BudgetLease.day),
            col(BudgetLease.holder_id),
            col(BudgetLease.amount_nano),
            col(BudgetLease.answered),
            col(BudgetHolder.expires_at),
        )
        .join(BudgetHolder, col(BudgetHolder.id) == col(BudgetLease.holder_id))
        .where(col(BudgetLease.budget_id).in_([budget_id for budget_id, _, _ in spans]))
    )
    sums = _spent(spans).subquery()
    nothing = [sa.cast(sa.null(), column.type) for column in leases.selected_columns]
    charges = sa.select(nothing[0], sums.c.budget_id, nothing[2], nothing[3], sums.c.amount, nothing[5], nothing[6])
    found: list[LeaseRow] = []
    spent_nano: dict[str, int] = {}
    for row in await session.execute(leases.union_all(charges)):
        if row[0] is None:
            spent_nano[row[1]] = int(row[4])
        else:
            found.append(LeaseRow(*row))
    return found, spent_nano


def _spent(spans: Sequence[Span]) -> Any:
    budgets: dict[tuple[date, date], list[str]] = {}
    for budget_id, first, last in spans:
        budgets.setdefault((first, last), []).append(budget_id)
    wanted = [
        sa.and_(col(BudgetDay.budget_id).in_(budget_ids), col(BudgetDay.day) >= first, col(BudgetDay.day) <= last)
        for (first, last), budget_ids in budgets.items()
    ]
    # A sum of bigint is numeric in PostgreSQL; amounts are within 64 bits.
    amount = sa.cast(sa.func.sum(col(BudgetDay.spent_nano)), sa.BigInteger).label("amount")
    return sa.select(col(BudgetDay.budget_id), amount).where(sa.or_(*wanted)).group_by(col(BudgetDay.budget_id))


# Granting --------------------------------------------------------------------------------------------------------------------------


async def lock_budgets(session: AsyncSession, budget_ids: Iterable[str]) -> dict[str, tuple[Budget, str]]:
    """The budgets with their tenants' time zones, locked until the transaction ends; those that are gone are missing."""
    query = (
        sa.select(Budget, col(Tenant.timezone))
        .join(Tenant, col(Tenant.id) == col(Budget.tenant_id))
        .where(col(Budget.id).in_(sorted(budget_ids)))
        .order_by(col(Budget.id))
        .with_for_update(of=Budget)
        .execution_options(populate_existing=True)
    )
    return {budget.id: (budget, zone) for budget, zone in await session.execute(query)}


async def lock_budget_of(session: AsyncSession, tenant_id: str, scope: str, scope_id: str) -> Budget | None:
    query = sa.select(Budget).where(col(Budget.tenant_id) == tenant_id, col(Budget.scope) == scope, col(Budget.scope_id) == scope_id)
    query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def budget_of(session: AsyncSession, tenant_id: str, scope: str, scope_id: str) -> Budget | None:
    query = sa.select(Budget).where(col(Budget.tenant_id) == tenant_id, col(Budget.scope) == scope, col(Budget.scope_id) == scope_id)
    return (await session.execute(query)).scalar_one_or_none()


async def delete_budget(session: AsyncSession, budget_id: str) -> None:
    """The budget and its leases; its days stay as history."""
    query = sa.select(col(BudgetLease.id)).where(col(BudgetLease.budget_id) == budget_id)
    await session.execute(query.order_by(col(BudgetLease.id)).with_for_update())
    await session.execute(sa.delete(BudgetLease).where(col(BudgetLease.budget_id) == budget_id))
    await session.execute(sa.delete(Budget).where(col(Budget.id) == budget_id))


async def add_leases(session: AsyncSession, rows: Rows) -> None:
    if rows:
        await session.execute(sa.insert(BudgetLease), list(rows))


async def change_leases(session: AsyncSession, amounts: Mapping[str, int], answered: Mapping[str, int] | None = None) -> None:
    """Run `changing_leases`."""
    await execute_each(session, [changing_leases(amounts, answered)])


def changing_leases(amounts: Mapping[str, int], answered: Mapping[str, int] | None = None) -> Statement:
    """Add to leases (negative: take from them), and note which recall they answered, in the order of their ids.

    A lease that is gone stays gone; none goes below zero. Everything that a transaction changes goes into one call, for the order's sake.
    """
    answered = answered or {}
    rows = [(by := amounts.get(id_, 0), by, to := answered.get(id_, 0), to, id_) for id_ in sorted({*amounts, *answered})]
    return Statement(_CHANGE_LEASE, rows)


async def tell_of_recall(session: AsyncSession) -> None:
    """Wake the other processes when this transaction commits; they would look within a fifth of a second anyway."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(sa.select(sa.func.pg_notify(RECALL_CHANNEL, "")))


async def recalled_leases(session: AsyncSession, holder_id: str) -> list[tuple[str, int]]:
    """Leases of a process that were recalled and not answered for: id, and the recall."""
    query = (
        sa.select(col(BudgetLease.id), col(Budget.recall))
        .join(Budget, col(Budget.id) == col(BudgetLease.budget_id))
        .where(col(BudgetLease.holder_id) == holder_id, col(BudgetLease.answered) < col(Budget.recall))
    )
    return [(lease, recall) for lease, recall in await session.execute(query)]


async def lock_leases_of(session: AsyncSession, holder_id: str) -> dict[str, int]:
    """What the database holds for a process, by lease, locked until the transaction ends."""
    query = sa.select(col(BudgetLease.id), col(BudgetLease.amount_nano)).where(col(BudgetLease.holder_id) == holder_id)
    rows = await session.execute(query.order_by(col(BudgetLease.id)).with_for_update())
    return {lease: amount for lease, amount in rows}


async def delete_empty_leases(session: AsyncSession, lease_ids: Sequence[str]) -> None:
    query = sa.delete(BudgetLease).where(col(BudgetLease.id).in_(lease_ids), col(BudgetLease.amount_nano) == 0)
    await session.execute(query)


# End users -------------------------------------------------------------------------------------------------------------------------


async def terms_of_end_users(session: AsyncSession, key_id: str) -> dict[str, Any] | None:
    """What the key says of its end users. Until the transaction ends nobody else changes that, or how many there are."""
    query = sa.select(col(ApiKey.end_users)).where(col(ApiKey.id) == key_id).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one_or_none()


async def count_end_users(session: AsyncSession, key_id: str) -> int:
    return int((await session.execute(sa.select(sa.func.count()).where(col(Budget.key_id) == key_id))).scalar_one())


async def end_users(session: AsyncSession, tenant_id: str, key_id: str, *, after: str, limit: int) -> list[Budget]:
    """The accounts of a key's end users by name, those after `after`."""
    query = sa.select(Budget).where(col(Budget.tenant_id) == tenant_id, col(Budget.key_id) == key_id, col(Budget.name) > after)
    return list((await session.execute(query.order_by(col(Budget.name)).limit(limit))).scalars())


async def forget_idle_end_users(session: AsyncSession, key_id: str, since: date, most: int) -> int:
    """Delete accounts that follow the key's terms, spent nothing since a day, and of which no process holds anything; how many."""
    query = sa.select(col(Budget.id)).where(col(Budget.key_id) == key_id, col(Budget.is_default), col(Budget.raise_nano) == 0)
    spent = sa.exists().where(col(BudgetDay.budget_id) == col(Budget.id), col(BudgetDay.day) >= since, col(BudgetDay.spent_nano) > 0)
    held = sa.exists().where(col(BudgetLease.budget_id) == col(Budget.id))
    query = query.where(~spent, ~held).order_by(col(Budget.id)).limit(most)
    idle = list((await session.execute(query.with_for_update(of=Budget, skip_locked=True))).scalars())
    # Once more under the lock: nobody is granted anything of these any more, and what was granted just before shows.
    leased = sa.select(col(BudgetLease.budget_id)).where(col(BudgetLease.budget_id).in_(idle))
    busy = set((await session.execute(leased)).scalars())
    gone = [budget_id for budget_id in idle if budget_id not in busy]
    await session.execute(sa.delete(Budget).where(col(Budget.id).in_(gone)))
    return len(gone)


async def apply_terms(session: AsyncSession, key_id: str, *, limit_nano: int, window: str, now: datetime) -> None:
    """Bring the accounts of a key's end users, but those that somebody set, to what the key says now."""
    await _lock_end_users(session, key_id)
    query = sa.update(Budget).where(col(Budget.key_id) == key_id, col(Budget.is_default))
    changed = {"limit_nano": limit_nano, "window": window, "updated_at": now, "alert_level": 0, "recall": col(Budget.recall) + 1}
    await session.execute(query.values(**changed))


async def delete_end_users(session: AsyncSession, key_id: str) -> None:
    """All accounts of a key's end users, and what is leased of them."""
    ids = await _lock_end_users(session, key_id)
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        leases = sa.select(col(BudgetLease.id)).where(col(BudgetLease.budget_id).in_(part)).order_by(col(BudgetLease.id))
        await session.execute(leases.with_for_update())
        await session.execute(sa.delete(BudgetLease).where(col(BudgetLease.budget_id).in_(part)))
        await session.execute(sa.delete(Budget).where(col(Budget.id).in_(part)))


async def _lock_end_users(session: AsyncSession, key_id: str) -> list[str]:
    query = sa.select(col(Budget.id)).where(col(Budget.key_id) == key_id).order_by(col(Budget.id)).with_for_update()
    return list((await session.execute(query)).scalars())


# Processes -------------------------------------------------------------------------------------------------------------------------


async def renew_holder(session: AsyncSession, holder_id: str, expires_at: datetime) -> bool:
    """Whether the process still has its row."""
    query = sa.update(BudgetHolder).where(col(BudgetHolder.id) == holder_id).values(expires_at=expires_at)
    return _count(await session.execute(query)) == 1


async def add_holder(session: AsyncSession, holder_id: str, now: datetime, expires_at: datetime) -> None:
    await session.execute(sa.insert(BudgetHolder), [{"id": holder_id, "started_at": now, "expires_at": expires_at}])


async def count_holders(session: AsyncSession, now: datetime) -> int:
    query = sa.select(sa.func.count()).select_from(BudgetHolder).where(col(BudgetHolder.expires_at) > now)
    return int((await session.execute(query)).scalar_one())


async def holders(session: AsyncSession) -> list[tuple[BudgetHolder, int, int]]:
    """Every process with the number of its leases and what they hold."""
    query = (
        sa.select(BudgetHolder, sa.func.count(col(BudgetLease.id)), sa.func.coalesce(sa.func.sum(col(BudgetLease.amount_nano)), 0))
        .outerjoin(BudgetLease, col(BudgetLease.holder_id) == col(BudgetHolder.id))
        .group_by(col(BudgetHolder.id))
        .order_by(col(BudgetHolder.id))
    )
    return [(holder, int(count), int(amount)) for holder, count, amount in await session.execute(query)]


async def lock_holder(session: AsyncSession, holder_id: str) -> BudgetHolder | None:
    query = sa.select(BudgetHolder).where(col(BudgetHolder.id) == holder_id).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


async def delete_holder(session: AsyncSession, holder_id: str) -> int:
    """The process's row and its leases; the nano-dollars that they held."""
    await lock_holder(session, holder_id)
    amounts = await lock_leases_of(session, holder_id)
    await session.execute(sa.delete(BudgetLease).where(col(BudgetLease.holder_id) == holder_id))
    await session.execute(sa.delete(BudgetHolder).where(col(BudgetHolder.id) == holder_id))
    return sum(amounts.values())


# Settling --------------------------------------------------------------------------------------------------------------------------


def adding_to_spent(amounts: Mapping[tuple[str, date], int], *, as_text: bool) -> Statement:
    """Add to what was charged, per budget and day, in their order."""
    return Statement(_ADD_SPENT, [(id_, day.isoformat() if as_text else day, amounts[id_, day]) for id_, day in sorted(amounts)])


_CHANGE_LEASE = (
    "UPDATE budget_lease SET amount_nano = CASE WHEN amount_nano + ? < 0 THEN 0 ELSE amount_nano + ? END,"
    " answered = CASE WHEN answered < ? THEN ? ELSE answered END WHERE id = ?"
)
_ADD_SPENT = (
    "INSERT INTO budget_day (budget_id, day, spent_nano) VALUES (?, ?, ?)"
    " ON CONFLICT (budget_id, day) DO UPDATE SET spent_nano = budget_day.spent_nano + excluded.spent_nano"
)


def _insert(session: AsyncSession, table: type[SQLModel]) -> Any:
    """Both dialects have the same ON CONFLICT, each in a class of its own."""
    return (sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert)(table)


def _count(result: Any) -> int:
    return int(result.rowcount)


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
