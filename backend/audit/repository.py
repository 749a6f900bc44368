"""SQL of the audit log: rows are added and read, never changed."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.audit.tables import AuditEntry


async def add(session: AsyncSession, entry: AuditEntry) -> None:
    """Write the row now, so that a failure ends the transaction that it belongs to."""
    session.add(entry)
    await session.flush()


async def latest(session: AsyncSession, *, tenant_id: str | None, limit: int) -> list[AuditEntry]:
    """The newest entries first; of one tenant, or of all when `tenant_id` is None."""
    query = sa.select(AuditEntry).order_by(col(AuditEntry.at).desc(), col(AuditEntry.id).desc()).limit(limit)
    if tenant_id is not None:
        query = query.where(col(AuditEntry.tenant_id) == tenant_id)
    return list((await session.execute(query)).scalars())
