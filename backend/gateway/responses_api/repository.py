"""SQL of kept responses. Every statement that a caller's request leads to names the tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.gateway.responses_api.tables import StoredResponse

_id, _tenant, _previous = col(StoredResponse.id), col(StoredResponse.tenant_id), col(StoredResponse.previous_id)
_created, _until, _size, _body = (
    col(StoredResponse.created_at),
    col(StoredResponse.kept_until),
    col(StoredResponse.size),
    col(StoredResponse.body),
)
_INSERT = sa.insert(StoredResponse)


class Link(NamedTuple):
    """One response of a conversation, without its body."""

    id: str
    previous_id: str | None
    size: int
    kept_until: datetime


async def add(session: AsyncSession, row: StoredResponse) -> None:
    await session.execute(_INSERT, row.model_dump())


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


async def trim(session: AsyncSession, *, most_bytes: int, most: int) -> int:
    """Delete the oldest of each tenant that has more than so many bytes, until it has not; how many."""
    so_far = sa.func.sum(_size).over(partition_by=_tenant, order_by=(_created.desc(), _id.desc())).label("so_far")
    sums = sa.select(_id.label("id"), so_far).subquery()
    return await _delete(session, sa.select(sums.c.id).where(sums.c.so_far > most_bytes).limit(most))


async def _delete(session: AsyncSession, chosen: sa.Select[str]) -> int:
    return len((await session.execute(sa.delete(StoredResponse).where(_id.in_(chosen)).returning(_id))).all())
