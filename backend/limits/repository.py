"""SQL of limits."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.identity.tables import ApiKey
from backend.limits.tables import RateLimitOverride


async def overrides(session: AsyncSession) -> dict[tuple[str, str, str], dict[str, Any]]:
    """All overrides of users and tenants, by tenant, scope and id."""
    table = RateLimitOverride
    rows = await session.execute(sa.select(col(table.tenant_id), col(table.scope), col(table.scope_id), col(table.limits)))
    return {(tenant_id, scope, scope_id): limits for tenant_id, scope, scope_id, limits in rows}


async def overrides_of_tenant(session: AsyncSession, tenant_id: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Scope, id and limits of everything in a tenant for which somebody set some: the tenant, its people, its keys that are not revoked."""
    table = RateLimitOverride
    rows = await session.execute(
        sa.select(col(table.scope), col(table.scope_id), col(table.limits)).where(col(table.tenant_id) == tenant_id)
    )
    keys = sa.select(col(ApiKey.id), col(ApiKey.rate_limit)).where(col(ApiKey.tenant_id) == tenant_id, col(ApiKey.status) == "active")
    found = [(scope, scope_id, dict(limits)) for scope, scope_id, limits in rows]
    found += [("key", key_id, dict(limits)) for key_id, limits in await session.execute(keys) if limits]
    order = ("tenant", "user", "key")
    return sorted(found, key=lambda one: (order.index(one[0]), one[1]))


async def override(session: AsyncSession, tenant_id: str, scope: str, scope_id: str) -> RateLimitOverride | None:
    return await session.get(RateLimitOverride, (tenant_id, scope, scope_id))


async def put_override(
    session: AsyncSession, tenant_id: str, scope: str, scope_id: str, *, limits: dict[str, Any], now: datetime, by: str
) -> None:
    row = await override(session, tenant_id, scope, scope_id)
    if row is None:
        session.add(RateLimitOverride(tenant_id=tenant_id, scope=scope, scope_id=scope_id, limits=limits, updated_at=now, updated_by=by))
    else:
        row.limits, row.updated_at, row.updated_by = limits, now, by
    await session.flush()


async def remove_override(session: AsyncSession, tenant_id: str, scope: str, scope_id: str) -> None:
    table = RateLimitOverride
    query = sa.delete(table).where(col(table.tenant_id) == tenant_id, col(table.scope) == scope, col(table.scope_id) == scope_id)
    await session.execute(query)


async def key_override(session: AsyncSession, key_id: str) -> dict[str, Any]:
    """A key's own limits, empty where it has none."""
    query = sa.select(col(ApiKey.rate_limit)).where(col(ApiKey.id) == key_id)
    return dict((await session.execute(query)).scalar_one() or {})


async def set_key_override(session: AsyncSession, key_id: str, limits: dict[str, Any] | None) -> None:
    await session.execute(sa.update(ApiKey).where(col(ApiKey.id) == key_id).values(rate_limit=limits))
