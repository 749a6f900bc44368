"""SQL of the cache's generations."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.gateway.cache.tables import CacheGeneration

ALL = "*"


async def numbers(session: AsyncSession) -> dict[str, int]:
    """How often the answers of each tenant were cleared, and under `ALL` those of all; who is missing never was."""
    rows = await session.execute(sa.select(col(CacheGeneration.tenant_id), col(CacheGeneration.number)))
    return {tenant_id: number for tenant_id, number in rows}


async def clear(session: AsyncSession, tenant_id: str, *, now: datetime, by: str) -> None:
    row = await session.get(CacheGeneration, tenant_id)
    if row is None:
        session.add(CacheGeneration(tenant_id=tenant_id, number=1, cleared_at=now, cleared_by=by))
    else:
        row.number, row.cleared_at, row.cleared_by = row.number + 1, now, by
    await session.flush()
