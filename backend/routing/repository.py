"""SQL of routes."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.routing.tables import RouteEdit


async def edits(session: AsyncSession) -> dict[str, dict[str, Any]]:
    """What was edited of every alias, by name."""
    rows = await session.execute(sa.select(col(RouteEdit.name), col(RouteEdit.fields)).order_by(col(RouteEdit.name)))
    return {name: fields for name, fields in rows}


async def put_edit(session: AsyncSession, name: str, fields: dict[str, Any], *, now: datetime, by: str) -> None:
    row = await session.get(RouteEdit, name)
    if row is None:
        session.add(RouteEdit(name=name, fields=fields, created_at=now, updated_at=now, updated_by=by))
    else:
        row.fields, row.updated_at, row.updated_by = fields, now, by
    await session.flush()


async def remove_edit(session: AsyncSession, name: str) -> None:
    await session.execute(sa.delete(RouteEdit).where(col(RouteEdit.name) == name))
