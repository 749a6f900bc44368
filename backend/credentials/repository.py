"""SQL of stored provider keys."""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.credentials.tables import ProviderKey


class SealedKey(NamedTuple):
    """A key as it stands in the database, but for what people see of it. There may be very many, and all are read with every change."""

    id: str
    tenant_id: str | None
    provider: str
    name: str
    origin: str
    master: str
    sealed: bytes


async def sealed_keys(session: AsyncSession) -> list[SealedKey]:
    """Everybody's, oldest first."""
    columns = [getattr(ProviderKey, field) for field in SealedKey._fields]
    return [SealedKey._make(row) for row in await session.execute(sa.select(*columns).order_by(col(ProviderKey.id)))]


async def keys_of(session: AsyncSession, tenant_id: str | None) -> list[ProviderKey]:
    """One owner's."""
    owner = col(ProviderKey.tenant_id).is_(None) if tenant_id is None else col(ProviderKey.tenant_id) == tenant_id
    return list((await session.scalars(sa.select(ProviderKey).where(owner))).all())


async def find(session: AsyncSession, provider: str, name: str, tenant_id: str | None) -> ProviderKey | None:
    owner = col(ProviderKey.tenant_id).is_(None) if tenant_id is None else col(ProviderKey.tenant_id) == tenant_id
    query = sa.select(ProviderKey).where(col(ProviderKey.provider) == provider, col(ProviderKey.name) == name, owner)
    return (await session.scalars(query)).first()


async def count_of(session: AsyncSession, provider: str, tenant_id: str | None) -> int:
    """How many keys of a provider an owner has stored."""
    owner = col(ProviderKey.tenant_id).is_(None) if tenant_id is None else col(ProviderKey.tenant_id) == tenant_id
    query = sa.select(sa.func.count()).select_from(ProviderKey).where(col(ProviderKey.provider) == provider, owner)
    return int((await session.execute(query)).scalar_one())


async def add(session: AsyncSession, key: ProviderKey) -> None:
    session.add(key)
    await session.flush()


async def remove(session: AsyncSession, key_id: str) -> None:
    await session.execute(sa.delete(ProviderKey).where(col(ProviderKey.id) == key_id))


async def remove_of(session: AsyncSession, provider: str) -> int:
    """All keys of a provider, whosever; returns how many there were."""
    gone = await session.execute(sa.delete(ProviderKey).where(col(ProviderKey.provider) == provider).returning(col(ProviderKey.id)))
    return len(gone.all())


async def sealed_otherwise(session: AsyncSession, master: str, after: str, limit: int) -> list[ProviderKey]:
    """Keys that another master key than this one seals, by id from `after` on."""
    query = sa.select(ProviderKey).where(col(ProviderKey.master) != master, col(ProviderKey.id) > after)
    return list((await session.scalars(query.order_by(col(ProviderKey.id)).limit(limit))).all())


async def count_sealed_otherwise(session: AsyncSession, master: str) -> int:
    query = sa.select(sa.func.count()).select_from(ProviderKey).where(col(ProviderKey.master) != master)
    return int((await session.execute(query)).scalar_one())


async def reseal(session: AsyncSession, rows: list[tuple[str, str, bytes]], master: str) -> None:
    """Write what was sealed under `master`, for rows by id that are still sealed by the key that is named."""
    if not rows:
        return
    table = ProviderKey.__table__  # type: ignore[attr-defined]
    query = sa.update(table).where(table.c.id == sa.bindparam("row"), table.c.master == sa.bindparam("before"))
    values = [{"row": key_id, "before": before, "anew": sealed} for key_id, before, sealed in rows]
    await session.execute(query.values(sealed=sa.bindparam("anew"), master=master), values)
