"""SQL of reconciling. Every reading is made within one moment of the database, in which a call is in all places or in none."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.budgets.tables import Budget, BudgetDay, BudgetHolder, BudgetLease
from backend.metering.rollups.gather import ALL, AMOUNTS, DIMENSIONS, ERRORS, MEASURES, Place, Series, Totals
from backend.metering.rollups.histogram import merge_encoded
from backend.metering.rollups.tables import Rollup, RollupSeries
from backend.metering.tables import Call, CallAttempt

Compared = tuple[int, ...]
"""Sums in the order of `MEASURES`, then how many latencies and first tokens were measured."""

_SUMMED = MEASURES[3 : -len(AMOUNTS)]
_BY_HAND_OR_LATE = timedelta(days=2)


async def one_moment(session: AsyncSession) -> None:
    """Let everything that this transaction reads be of the moment at which it first does. Before anything else in it."""
    if session.get_bind().dialect.name == "postgresql":
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


async def tenants(session: AsyncSession) -> list[str]:
    """Every tenant that has calls, rollups or a budget."""
    series = sa.select(col(RollupSeries.tenant_id)).where(col(RollupSeries.tenant_id) != ALL)
    query = sa.union(sa.select(col(Call.tenant_id)), series, sa.select(col(Budget.tenant_id)))
    return sorted((await session.execute(query)).scalars())


async def has_series_called(session: AsyncSession, tenant_id: str, model: str) -> bool:
    """`ALL`: any tenant has."""
    query = sa.select(col(RollupSeries.id)).where(col(RollupSeries.tenant_id) == tenant_id, col(RollupSeries.model) == model).limit(1)
    return (await session.execute(query)).first() is not None


async def days(session: AsyncSession, tenant_id: str, since: date | None) -> list[date]:
    """The days of UTC, from one on, on which the tenant has calls or rollups."""
    calls = sa.select(_text_of_moment(session, "%Y-%m-%d")).where(col(Call.tenant_id) == tenant_id).distinct()
    starts = sa.select(col(Rollup.starts)).join(RollupSeries, col(RollupSeries.id) == col(Rollup.series_id)).distinct()
    starts = starts.where(col(RollupSeries.tenant_id) == tenant_id)
    if since is not None:
        begins = datetime(since.year, since.month, since.day, tzinfo=UTC)
        calls = calls.where(col(Call.created_at) >= begins)
        starts = starts.where(col(Rollup.starts) >= int(begins.timestamp()))
    found = {date.fromisoformat(day) for day in (await session.execute(calls)).scalars()}
    return sorted(found | {datetime.fromtimestamp(start, UTC).date() for start in (await session.execute(starts)).scalars()})


async def ledger_sums(
    session: AsyncSession, tenant_id: str, first: datetime, last: datetime, *, minutes: bool
) -> dict[tuple[Series, int], Compared]:
    """Calls that began in [first, last), added up by series and by minute or hour."""
    text, suffix = ("%Y-%m-%d %H:%M", ":00+00:00") if minutes else ("%Y-%m-%d %H", ":00:00+00:00")
    group: list[sa.ColumnElement[Any]] = [sa.func.coalesce(col(getattr(Call, name)), "") for name in DIMENSIONS]
    group.append(_text_of_moment(session, text))
    sums: list[sa.ColumnElement[Any]] = [sa.func.sum(sa.cast(col(getattr(Call, name)), sa.BigInteger)) for name in _SUMMED]
    sums += [_amount(unit, per) for unit, (_, per) in AMOUNTS.items()]
    errors = sa.func.sum(sa.case((col(Call.outcome).in_(ERRORS), 1), else_=0))
    overruns = sa.func.sum(sa.case((col(Call.overrun), 1), else_=0))
    query = sa.select(*group, sa.func.count(), errors, overruns, *sums, sa.func.count(), sa.func.count(col(Call.first_token_ms)))
    query = query.where(col(Call.tenant_id) == tenant_id, col(Call.created_at) >= first, col(Call.created_at) < last)
    # By their place: PostgreSQL takes two spellings of an expression with parameters for two expressions.
    query = query.group_by(*[sa.literal_column(str(number + 1)) for number in range(len(group))])
    found: dict[tuple[Series, int], Compared] = {}
    for row in await session.execute(query):
        names, moment, values = row[: len(DIMENSIONS)], row[len(DIMENSIONS)], row[len(DIMENSIONS) + 1 :]
        found[tuple(names), int(datetime.fromisoformat(moment + suffix).timestamp())] = tuple(map(int, values))
    return found


async def rollups(session: AsyncSession, tenant_id: str | None, first: int, last: int) -> list[tuple[Series, int, int, Place, Totals]]:
    """Rows that start in [first, last): series, span, writer, place and what is in them; a tenant's, those of all tenants together
    (`ALL`), or each tenant's coarser ones (None)."""
    names = [col(getattr(RollupSeries, name)) for name in DIMENSIONS]
    query = sa.select(*names, Rollup).join(Rollup, col(Rollup.series_id) == col(RollupSeries.id))
    coarser = sa.and_(col(RollupSeries.tenant_id) != ALL, col(RollupSeries.key_id) == ALL)
    query = query.where(coarser if tenant_id is None else col(RollupSeries.tenant_id) == tenant_id)
    query = query.where(col(Rollup.starts) >= first, col(Rollup.starts) < last)
    found = []
    for *series, row in await session.execute(query):
        totals = Totals(tuple([getattr(row, name) for name in MEASURES]))
        merge_encoded(totals.latency, row.latency)
        merge_encoded(totals.first_token, row.first_token)
        found.append((tuple(series), row.span, row.writer_id, (row.series_id, row.starts), totals))
    return found


async def attempts_that_differ(session: AsyncSession, tenant_id: str, first: datetime, last: datetime) -> list[tuple[str, int, int]]:
    """Calls whose cost is not that of their attempts: id, the call's, and the sum of the attempts'."""
    tries = sa.func.coalesce(sa.func.sum(col(CallAttempt.provider_cost_nano)), 0)
    query = sa.select(col(Call.id), col(Call.provider_cost_nano), tries).outerjoin(CallAttempt, col(CallAttempt.call_id) == col(Call.id))
    query = query.where(col(Call.tenant_id) == tenant_id, col(Call.created_at) >= first, col(Call.created_at) < last)
    query = query.group_by(col(Call.id), col(Call.provider_cost_nano)).having(col(Call.provider_cost_nano) != tries)
    return [(call_id, int(cost), int(sum_of_tries)) for call_id, cost, sum_of_tries in await session.execute(query)]


async def charges_by_budget(session: AsyncSession, tenant_id: str, since: date | None) -> dict[tuple[str, date], int]:
    """What the ledger says was charged to each budget, by the local day on which calls were reserved."""
    query = sa.select(col(Call.budget_ids), col(Call.budget_day), sa.func.sum(col(Call.charged_nano)))
    query = query.where(col(Call.tenant_id) == tenant_id, col(Call.budget_day).is_not(None))
    if since is not None:
        # The first condition alone is what the index understands; a local day begins up to 14 hours beside that of UTC.
        begins = datetime(since.year, since.month, since.day, tzinfo=UTC) - _BY_HAND_OR_LATE
        query = query.where(col(Call.created_at) >= begins, col(Call.budget_day) >= since)
    found: dict[tuple[str, date], int] = {}
    for budget_ids, day, charged in await session.execute(query.group_by(col(Call.budget_ids), col(Call.budget_day))):
        for budget_id in budget_ids:
            place = budget_id, cast(date, day)
            found[place] = found.get(place, 0) + int(charged)
    return found


async def spent_by_budget(session: AsyncSession, budget_ids: Sequence[str] | None, since: date | None) -> dict[tuple[str, date], int]:
    """What budgets' counters say, of these budgets or of all that there ever were."""
    found: dict[tuple[str, date], int] = {}
    parts = [None] if budget_ids is None else [budget_ids[start : start + 500] for start in range(0, len(budget_ids), 500)]
    for part in parts:
        query = sa.select(col(BudgetDay.budget_id), col(BudgetDay.day), col(BudgetDay.spent_nano))
        if part is not None:
            query = query.where(col(BudgetDay.budget_id).in_(part))
        if since is not None:
            query = query.where(col(BudgetDay.day) >= since)
        found |= {(budget_id, day): spent for budget_id, day, spent in await session.execute(query)}
    return found


async def budgets(session: AsyncSession, tenant_id: str) -> dict[str, tuple[str, str]]:
    """The tenant's budgets: scope and its id."""
    query = sa.select(col(Budget.id), col(Budget.scope), col(Budget.scope_id)).where(col(Budget.tenant_id) == tenant_id)
    return {budget_id: (scope, scope_id) for budget_id, scope, scope_id in await session.execute(query)}


async def leases(session: AsyncSession, now: datetime) -> list[tuple[str, bool, int, int]]:
    """By process: whether it renewed its row lately, its leases, and what they hold."""
    amount = sa.func.coalesce(sa.func.sum(col(BudgetLease.amount_nano)), 0)
    query = sa.select(col(BudgetHolder.id), col(BudgetHolder.expires_at) > now, sa.func.count(col(BudgetLease.id)), amount)
    query = query.outerjoin(BudgetLease, col(BudgetLease.holder_id) == col(BudgetHolder.id))
    query = query.group_by(col(BudgetHolder.id), col(BudgetHolder.expires_at)).order_by(col(BudgetHolder.id))
    return [(holder, bool(alive), int(count), int(held)) for holder, alive, count, held in await session.execute(query)]


def _amount(unit: str, per: int) -> sa.ColumnElement[Any]:
    quantity = sa.cast(sa.func.round(col(Call.quantity) * per), sa.BigInteger)
    return sa.func.sum(sa.case((col(Call.unit) == unit, quantity), else_=0))


def _text_of_moment(session: AsyncSession, form: str) -> sa.ColumnElement[Any]:
    """When a call began, in UTC, as text that is cut off at its day, hour or minute."""
    if session.get_bind().dialect.name == "sqlite":
        # Kept as text, from the year down to the microsecond. `strftime` of newer SQLites rounds up into the next minute.
        return sa.func.substr(sa.cast(col(Call.created_at), sa.Text), 1, len(form.replace("%Y", "2000")), type_=sa.Text)
    pattern = form.replace("%Y", "YYYY").replace("%m", "MM").replace("%d", "DD").replace("%H", "HH24").replace("%M", "MI")
    return sa.func.to_char(sa.func.timezone("UTC", col(Call.created_at)), pattern, type_=sa.Text)
