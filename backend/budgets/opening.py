"""Giving somebody a budget who has none yet, inside the transaction that makes him or needs it."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets import repository
from backend.kernel.money import nano_from_usd
from backend.settings import BudgetLimit, DefaultBudget


async def open_budget(session: AsyncSession, tenant_id: str, scope: str, scope_id: str, limit: BudgetLimit, *, now: datetime) -> None:
    """Give a key, user or tenant this budget, unless it has one."""
    await _open(session, tenant_id, scope, scope_id, limit, now, is_default=False)


async def open_default_budget(session: AsyncSession, tenant_id: str, default: DefaultBudget, *, now: datetime) -> None:
    """Give a tenant `budgets.default`, which it then follows, unless it has a budget."""
    await _open(session, tenant_id, "tenant", tenant_id, default, now, is_default=True)


async def _open(
    session: AsyncSession, tenant_id: str, scope: str, scope_id: str, limit: BudgetLimit, now: datetime, *, is_default: bool
) -> None:
    await repository.create_if_absent(
        session,
        tenant_id=tenant_id,
        scope=scope,
        scope_id=scope_id,
        limit_nano=nano_from_usd(limit.limit_usd),
        window=limit.window,
        warn_at=limit.warn_at,
        now=now,
        is_default=is_default,
    )
