"""SQL of kept responses. Every statement that a caller's request leads to names the tenant."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.gateway.replay.repository import Wish
from backend.gateway.responses_api.tables import StoredResponse

_id, _tenant, _previous = col(StoredResponse.id), col(StoredResponse.tenant_id), col(StoredResponse.previous_id)
_created, _until, _size, _body = (
    col(StoredResponse.created_at),
    col(StoredResponse.kept_until),
    col(StoredResponse.size),
    col(StoredResponse.body),
)
# The driver's own statement: every call that is kept runs it, and the way through the compiler costs as much again.
_ADD = (
    "INSERT INTO stored_response (id, tenant_id, key_id, previous_id, created_at, kept_until, size, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)


class Row(NamedTuple):
    """A response that is to be kept: its columns. The table's own class takes as long to build as a call takes."""

    id: str
    tenant_id: str
    key_id: str
    previous_id: str | None
    created_at: datetime
    kept_until: datetime
    size: int
    body: bytes


class Link(NamedTuple):
    """One response of a conversation, without its body."""

    id: str
    previous_id: str | None
    size: int
    kept_until: datetime


def adding(dialect: str, row: Row) -> Wish:
    """Keep a response."""
    created, until = (_bound(dialect, instant) for instant in (row.created_at, row.kept_until))
    values = (row.id, row.tenant_id, row.key_id, row.previous_id, created, until, row.size, row.body)
    return Wish(row.id, ((_ADD, values),))


def _bound(dialect: str, instant: datetime) -> datetime | str:
    """As `UtcDateTime` is written."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") if dialect == "sqlite" else instant


async def chain(session: AsyncSession, tenant_id: str, response_id: str, *, now: datetime, most: int) -> list[Link]:
    """The response and those before it, oldest first, as far back as they are kept, at most so many."""
    own = (_tenant == tenant_id, _until > now)
    start = sa.select(_id, _previous, _size, _until, sa.literal(1).label("depth")).where(_id == response_id, *own)
    links = start.cte("links", recursive=True)
    before = sa.select(_id, _previous, _size, _until, links.c.depth + 1).join(links, _id == links.c.previous_id)
    links = links.union_all(before.where(*own, links.c.depth < most))
    rows = await session.execute(sa.select(links).order_by(links.c.depth.desc()))
    return [Link(row.id, row.previous_id, row.size, row.kept_until) for row in rows]


async def bodies(session: AsyncSession, tenant_id: str, ids: Sequence[str], *, now: datetime) -> dict[str, bytes]:
    """Those of them that are there."""
    rows = await session.execute(sa.select(_id, _body).where(_tenant == tenant_id, _until > now, _id.in_(ids)))
    return {row.id: row.body for row in rows}


async def size(session: AsyncSession, tenant_id: str, ids: Sequence[str], *, now: datetime) -> int:
    """Bytes of those of them that are there."""
    own = sa.select(sa.func.coalesce(sa.func.sum(_size), 0)).where(_tenant == tenant_id, _until > now, _id.in_(ids))
    return int((await session.execute(own)).scalar_one())


async def extend(session: AsyncSession, tenant_id: str, ids: Sequence[str], until: datetime) -> None:
    """Keep them until then at least."""
    chosen = sa.update(StoredResponse).where(_tenant == tenant_id, _id.in_(ids), _until < until)
    await session.execute(chosen.values(kept_until=until))


async def remove(session: AsyncSession, tenant_id: str, response_id: str, *, now: datetime) -> bool:
    """Whether it was there."""
    chosen = sa.delete(StoredResponse).where(_tenant == tenant_id, _id == response_id, _until > now)
    return (await session.execute(chosen.returning(_id))).one_or_none() is not None


async def sweep(session: AsyncSession, *, now: datetime, most: int) -> int:
    """Delete what is not kept any longer; how many."""
    over = sa.select(_id).where(_until <= now).order_by(_until).limit(most)
    return await _delete(session, over)


async def crowded(session: AsyncSession, most_bytes: int) -> list[str]:
    """Tenants that keep more than so many bytes."""
    sums = sa.select(_tenant).group_by(_tenant).having(sa.func.sum(_size) > most_bytes)
    return list((await session.execute(sums)).scalars())


async def trim(session: AsyncSession, tenant_id: str, *, most_bytes: int, most: int) -> int:
    """Delete the tenant's oldest until no more than so many bytes are left; how many."""
    so_far = sa.func.sum(_size).over(order_by=(_created.desc(), _id.desc())).label("so_far")
    sums = sa.select(_id.label("id"), so_far).where(_tenant == tenant_id).subquery()
    return await _delete(session, sa.select(sums.c.id).where(sums.c.so_far > most_bytes).limit(most))


async def _delete(session: AsyncSession, chosen: sa.Select[str]) -> int:
    return len((await session.execute(sa.delete(StoredResponse).where(_id.in_(chosen)).returning(_id))).all())
