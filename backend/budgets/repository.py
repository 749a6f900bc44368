"""SQL of budgets."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.budgets.tables import Budget
from backend.kernel.ids import new_id


async def create_if_absent(
    session: AsyncSession, *, scope: str, scope_id: str, limit_nano: int, window: str, warn_at: Sequence[float], now: datetime
) -> bool:
    """Give a key, user or tenant its budget unless it has one; whether a row was made. An existing budget is never changed here."""
    query = sa.select(col(Budget.id)).where(col(Budget.scope) == scope, col(Budget.scope_id) == scope_id)
    if (await session.execute(query)).first() is not None:
        return False
    session.add(
        Budget(
            id=new_id("budget"),
            scope=scope,
            scope_id=scope_id,
            limit_nano=limit_nano,
            window=window,
            warn_at=list(warn_at),
            created_at=now,
            updated_at=now,
        )
    )
    await session.flush()
    return True
