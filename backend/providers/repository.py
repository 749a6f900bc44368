"""SQL of providers."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.providers.tables import ProviderEdit


async def edits(session: AsyncSession) -> dict[str, dict[str, Any]]:
    """What was edited of every provider, by name."""
    rows = await session.execute(sa.select(col(ProviderEdit.name), col(ProviderEdit.fields)).order_by(col(ProviderEdit.name)))
    return {name: fields for name, fields in rows}


async def put_edit(session: AsyncSession, name: str, fields: dict[str, Any], *, now: datetime, by: str) -> None:
    row = await session.get(ProviderEdit, name)
    if row is None:
        session.add(ProviderEdit(name=name, fields=fields, created_at=now, updated_at=now, updated_by=by))
    else:
        row.fields, row.updated_at, row.updated_by = fields, now, by
    await session.flush()


async def remove_edit(session: AsyncSession, name: str) -> None:
    await session.execute(sa.delete(ProviderEdit).where(col(ProviderEdit.name) == name))
