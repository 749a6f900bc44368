"""All SQL of the catalog."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from backend.catalog.tables import Alias, IngestionRun, Model, Offer, Provider
from backend.kernel.db import Change, UnitOfWork
from backend.pricing.evidence import OPERATOR
from backend.pricing.tables import Price

_BATCH = 2000
_INGESTION_LOCK = 0x626F7572_73650001
"""Key of PostgreSQL's advisory lock around one ingestion; SQLite has one writer anyway."""


def table(entity: type[SQLModel]) -> sa.Table:
    found = entity.__table__  # type: ignore[attr-defined]
    assert isinstance(found, sa.Table)
    return found


PROVIDER, MODEL, OFFER, ALIAS, PRICE, RUN, CHANGE = (
    table(entity) for entity in (Provider, Model, Offer, Alias, Price, IngestionRun, Change)
)


# --- ingestion ---------------------------------------------------------------------------------------------------------------------


async def lock_ingestion(unit: UnitOfWork, dialect: str) -> None:
    """One ingestion at a time, over all processes; released with the transaction."""
    if dialect == "postgresql":
        await unit.session.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _INGESTION_LOCK})


async def last_hashes(session: AsyncSession) -> dict[str, str]:
    """Source → content hash of its last finished reading."""
    query = sa.select(RUN.c.source, RUN.c.content_hash).where(RUN.c.finished_at.is_not(None), RUN.c.error.is_(None)).order_by(RUN.c.id)
    return {source: digest for source, digest in (await session.execute(query)).all()}


async def is_day_due(session: AsyncSession, now: datetime) -> bool:
    """Whether an announced price has come into force, one in force has ended, or an offer's last day has come."""
    query = sa.select(PRICE.c.id).where(
        sa.or_(
            sa.and_(PRICE.c.status == "announced", PRICE.c.effective_at <= now),
            sa.and_(PRICE.c.in_force, PRICE.c.expires_at <= now),
        )
    )
    if (await session.execute(query.limit(1))).first() is not None:
        return True
    ended = sa.select(OFFER.c.id).where(OFFER.c.deprecation_date <= now.date(), OFFER.c.status != "retired")
    return (await session.execute(ended.limit(1))).first() is not None


async def rows(session: AsyncSession, source: sa.Table, *columns: str) -> list[dict[str, Any]]:
    """Every row of a table as a dictionary, all columns or the named ones."""
    chosen = [source.c[name] for name in columns] or list(source.c)
    result = await session.stream(sa.select(*chosen), execution_options={"yield_per": _BATCH})
    names = [column.name for column in chosen]
    return [dict(zip(names, row, strict=True)) async for part in result.partitions() for row in part]


async def insert(session: AsyncSession, target: sa.Table, values: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(values), _BATCH):
        await session.execute(sa.insert(target), values[start : start + _BATCH])


async def update(session: AsyncSession, target: sa.Table, values: Sequence[dict[str, Any]]) -> None:
    """Rows by primary key; every dictionary has the key and the same columns to set."""
    if not values:
        return
    key = next(iter(target.primary_key.columns)).name
    columns = [name for name in values[0] if name != key]
    statement = sa.update(target).where(target.c[key] == sa.bindparam("_key")).values({name: sa.bindparam(f"_{name}") for name in columns})
    parameters = [{"_key": row[key], **{f"_{name}": row[name] for name in columns}} for row in values]
    connection = await session.connection()
    for start in range(0, len(parameters), _BATCH):
        await connection.execute(statement, parameters[start : start + _BATCH])


async def change_version(session: AsyncSession) -> int:
    """The change feed's version, read inside a transaction of one's own."""
    return int((await session.execute(sa.select(CHANGE.c.version).where(CHANGE.c.id == 1))).scalar_one())


# --- reading -----------------------------------------------------------------------------------------------------------------------


async def version(session: AsyncSession) -> tuple[Any, ...]:
    """Changes with every finished ingestion, and with every model and offer that somebody changed since."""
    query = sa.select(
        sa.func.count(),
        sa.func.max(RUN.c.id),
        sa.select(sa.func.max(MODEL.c.updated_at)).scalar_subquery(),
        sa.select(sa.func.max(OFFER.c.updated_at)).scalar_subquery(),
    ).where(RUN.c.finished_at.is_not(None))
    return tuple((await session.execute(query)).one())


async def each(session: AsyncSession, source: sa.Table, *columns: str) -> AsyncIterator[Any]:
    """Some columns of every row, in order of the primary key, a few hundred at a time so that a loop in between stays responsive."""
    key = next(iter(source.primary_key.columns))
    query = sa.select(*(source.c[name] for name in columns)).order_by(key)
    result = await session.stream(query, execution_options={"yield_per": 500})
    async for part in result.partitions():
        for row in part:
            yield row


async def prices_in_force(session: AsyncSession) -> AsyncIterator[Any]:
    """`offer_id`, `source` of its leading price, and whether an operator stands for any of its prices (`vouched`)."""
    base, token = PRICE.c.tier == "", PRICE.c.unit == "token"
    lead = sa.case(
        (sa.and_(base, token, PRICE.c.component == "input"), "0"),
        (sa.and_(base, token, PRICE.c.component == "output"), "1"),
        (base, "2"),
        else_="3",
    )
    first = sa.func.min(lead.concat(PRICE.c.source))
    by_hand = sa.or_(PRICE.c.source == OPERATOR, PRICE.c.extra["approved"].as_boolean())
    query = (
        sa.select(PRICE.c.offer_id, sa.func.substr(first, 2).label("source"), sa.func.max(sa.case((by_hand, 1), else_=0)).label("vouched"))
        .where(PRICE.c.in_force)
        .group_by(PRICE.c.offer_id)
    )
    result = await session.stream(query, execution_options={"yield_per": 500})
    async for part in result.partitions():
        for row in part:
            yield row


async def model_row(session: AsyncSession, model_id: str) -> Any | None:
    return (await session.execute(sa.select(MODEL).where(MODEL.c.id == model_id))).mappings().first()


async def offers_of_model(session: AsyncSession, model_id: str) -> Sequence[Any]:
    """With the provider's name, in order of the id."""
    query = (
        sa.select(OFFER, PROVIDER.c.name.label("provider_name"))
        .join(PROVIDER, PROVIDER.c.id == OFFER.c.provider_id)
        .where(OFFER.c.model_id == model_id)
        .order_by(OFFER.c.id)
    )
    return (await session.execute(query)).mappings().all()


async def offers_that_say(session: AsyncSession, *fields: str) -> Sequence[Any]:
    """`id` and `extra` of the offers of which some source states one of these fields that have no column."""
    text = sa.cast(OFFER.c.extra, sa.Text)
    query = sa.select(OFFER.c.id, OFFER.c.extra).where(sa.or_(*(text.contains(f'"{field}"', autoescape=True) for field in fields)))
    return (await session.execute(query)).all()


async def aliases_of(session: AsyncSession, targets: Sequence[str]) -> list[str]:
    query = sa.select(ALIAS.c.name).where(ALIAS.c.target.in_(targets)).order_by(ALIAS.c.name)
    return list((await session.execute(query)).scalars())


async def newest_model(session: AsyncSession) -> datetime | None:
    """When the newest model arrived; None while there is none."""
    newest: datetime | None = (await session.execute(sa.select(sa.func.max(MODEL.c.created_at)))).scalar_one()
    return newest


async def runs(session: AsyncSession) -> Sequence[Any]:
    """The newest finished run of each source, oldest data first."""
    newest = sa.select(sa.func.max(RUN.c.id)).where(RUN.c.finished_at.is_not(None)).group_by(RUN.c.source)
    return (await session.execute(sa.select(RUN).where(RUN.c.id.in_(newest)).order_by(RUN.c.data_date, RUN.c.source))).mappings().all()


async def quarantined_offers(session: AsyncSession) -> int:
    """How many offers have a price in quarantine."""
    query = sa.select(sa.func.count(sa.distinct(PRICE.c.offer_id))).where(PRICE.c.status == "quarantined")
    return int((await session.execute(query)).scalar_one())
