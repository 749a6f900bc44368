"""Telling that a threshold is reached: once per threshold and period, whichever process notices; the budget's row remembers."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets import repository
from backend.budgets.accounts import Account, limit_at
from backend.budgets.events import BudgetThresholdReached
from backend.budgets.tables import Budget
from backend.budgets.thresholds import level_of, reported_level, thresholds
from backend.budgets.windows import Period, period_of
from backend.kernel.days import day_of
from backend.kernel.db import Database, UnitOfWork

TimeOf = Callable[[AsyncSession], Awaitable[datetime]]


async def report(db: Database, time_of: TimeOf, accounts: Sequence[Account]) -> None:
    """Learn what was spent of these budgets by everybody, and raise the events that are due."""
    async with db.read() as session:
        now = await time_of(session)
        periods = {account.budget_id: period_at(account.window, account.zone, now) for account in accounts}
        spent = await repository.spent(session, [(budget_id, period.first, period.last) for budget_id, period in periods.items()])
    reached: list[str] = []
    for account in accounts:
        account.spent_nano = spent.get(account.budget_id, 0)
        account.resets_at = periods[account.budget_id].ends
        level = level_of(account.warn_at, account.spent_nano, account.limit_at(now))
        if level > account.alerted:
            reached.append(account.budget_id)
        account.alerted = level
    if reached:
        async with db.write() as unit:
            for budget, zone in (await repository.lock_budgets(unit.session, reached)).values():
                period = period_at(budget.window, zone, now)
                sums = await repository.spent(unit.session, [(budget.id, period.first, period.last)])
                remember(unit, budget, period, sums.get(budget.id, 0), now)


def remember(unit: UnitOfWork, budget: Budget, period: Period, spent_nano: int, now: datetime, *, refused: bool = False) -> None:
    """Raise what was not raised yet, for a budget that is locked in this transaction."""
    limit = limit_at(budget.limit_nano, budget.raise_nano, budget.raise_until, now)
    level = level_of(budget.warn_at, spent_nano, limit)
    first: date = period.first
    before = reported_level(budget.window, first, level, budget.alert_from, budget.alert_level)
    marks = thresholds(budget.warn_at)
    after = max(before, len(marks) if refused else level)
    for threshold in marks[before:after]:
        unit.emit(
            BudgetThresholdReached(
                budget_id=budget.id,
                tenant_id=budget.tenant_id,
                scope=budget.scope,
                scope_id=budget.scope_id,
                threshold=threshold,
                spent_nano=spent_nano,
                limit_nano=limit,
                resets_at=period.ends,
            )
        )
    if (budget.alert_from, budget.alert_level) != (first, after):
        budget.alert_from, budget.alert_level = first, after


def period_at(window: str, zone: str, now: datetime) -> Period:
    where = ZoneInfo(zone)
    return period_of(window, day_of(now, where), where)
