"""Reading prices in force; the only SQL of prices that a serving process runs."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from backend.pricing.cost import PriceLine
from backend.pricing.tables import Price

_ROWS = 2000

_OFFER = sa.table("offer", sa.column("id"), sa.column("price_state"), sa.column("provider_id"))
"""The columns of `catalog.offer` that prices need, named here so that pricing does not import the catalog."""


_PRICE: sa.Table = SQLModel.metadata.tables[str(Price.__tablename__)]
_LINE = (
    "offer_id", "id", "component", "unit", "nano_per_million", "context_above", "service_tier", "time_window", "region",
    "cache_ttl", "variant",
)  # fmt: skip
_RUN = sa.table("ingestion_run", sa.column("id"), sa.column("finished_at"))


async def version(session: AsyncSession) -> tuple[int, str | None]:
    """Grows with every finished ingestion: what to compare before loading prices again."""
    found = (await session.execute(sa.select(sa.func.count(), sa.func.max(_RUN.c.id)).where(_RUN.c.finished_at.is_not(None)))).one()
    return int(found[0]), found[1]


async def offer_states(session: AsyncSession) -> AsyncIterator[tuple[str, str]]:
    """Every offer's id with its price state."""
    result = await session.stream(sa.select(_OFFER.c.id, _OFFER.c.price_state), execution_options={"yield_per": _ROWS})
    async for rows in result.partitions():
        for offer_id, state in rows:
            yield offer_id, state


async def lines_in_force(session: AsyncSession) -> AsyncIterator[tuple[str, PriceLine]]:
    """All price lines in force, those of one offer side by side."""
    query = sa.select(*(_PRICE.c[name] for name in _LINE)).where(_PRICE.c.in_force).order_by(_PRICE.c.offer_id, _PRICE.c.id)
    result = await session.stream(query, execution_options={"yield_per": _ROWS})
    async for rows in result.partitions():
        for offer_id, *line in rows:
            yield offer_id, PriceLine(*line)


async def announced_lines(session: AsyncSession) -> list[tuple[str, datetime, PriceLine]]:
    """Prices that replace one in force on a day to come, with the offer and that day, the nearest first: those of sources that agree with
    the price in force until then. Until the evidence is weighed anew, nobody else is asked."""
    now, mine = _PRICE.alias(), _PRICE.alias()
    same_place = [
        sa.and_(*(other.c[name] == _PRICE.c[name] for name in ("offer_id", "component", "unit", "tier"))) for other in (now, mine)
    ]
    off = now.c.nano_per_million / 200
    agrees = mine.c.nano_per_million.between(now.c.nano_per_million - off, now.c.nano_per_million + off)
    query = (
        sa.select(_PRICE.c.effective_at, *(_PRICE.c[name] for name in _LINE))
        .where(_PRICE.c.status == "announced", sa.or_(_PRICE.c.nano_per_million > 0, _PRICE.c.confirmed_free))
        .where(
            sa.exists().where(
                same_place[0], now.c.in_force, same_place[1], mine.c.source == _PRICE.c.source, mine.c.status == "observed", agrees
            )
        )
        .order_by(_PRICE.c.effective_at, _PRICE.c.id)
    )
    return [(offer_id, day, PriceLine(*line)) for day, offer_id, *line in (await session.execute(query)).all()]


async def quarantined(session: AsyncSession, limit: int = 1000) -> list[Any]:
    """Price rows that wait for a person, dearest first."""
    columns = ("offer_id", "source", "component", "unit", "tier", "usd_per_million", "reason")
    query = (
        sa.select(*(_PRICE.c[name] for name in columns))
        .where(_PRICE.c.status == "quarantined")
        .order_by(_PRICE.c.nano_per_million.desc(), _PRICE.c.id)
        .limit(limit)
    )
    return list((await session.execute(query)).all())
