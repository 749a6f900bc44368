"""All SQL of prices that a serving process runs."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from backend.kernel.db import UtcDateTime
from backend.kernel.ids import new_id
from backend.pricing.cost import PriceLine
from backend.pricing.evidence import WITHDRAWN
from backend.pricing.tables import Price, PriceChange

if TYPE_CHECKING:
    from backend.pricing.changes import Look, Stock

_ROWS = 2000

_OFFER = sa.table(
    "offer",
    *(
        sa.column(name)
        for name in ("id", "model_id", "provider_id", "mode", "status", "price_state", "input_nano", "output_nano", "price_agreement",
                     "price_sources")
    ),
    sa.column("deprecation_date", sa.Date()),
)  # fmt: skip
_MODEL = sa.table(
    "model",
    sa.column("id"),
    sa.column("name"),
    sa.column("release_date", sa.Date()),
    sa.column("hidden", sa.Boolean()),
    sa.column("updated_at", UtcDateTime()),
)
_PROVIDER = sa.table("provider", sa.column("id"), sa.column("name"))
"""The columns of the catalog's tables that prices need, named here so that pricing does not import the catalog."""


_PRICE: sa.Table = SQLModel.metadata.tables[str(Price.__tablename__)]
_CHANGE: sa.Table = SQLModel.metadata.tables[str(PriceChange.__tablename__)]
_LINE = (
    "offer_id", "id", "component", "unit", "nano_per_million", "context_above", "service_tier", "time_window", "region",
    "cache_ttl", "variant",
)  # fmt: skip
_RUN = sa.table(
    "ingestion_run",
    sa.column("id"),
    sa.column("source"),
    sa.column("content_hash"),
    sa.column("data_date", sa.Date()),
    sa.column("started_at", UtcDateTime()),
    sa.column("finished_at", UtcDateTime()),
    *(sa.column(name) for name in ("read", "kept", "merged", "quarantined")),
)


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


async def doubted(session: AsyncSession, state: str, limit: int, after: tuple[int, str] | None, offer_id: str | None) -> Sequence[Any]:
    """Price rows that wait for a person (state `waiting`) or that he `accepted` or `rejected`; the dearest first, then by id."""
    states = {
        "waiting": _PRICE.c.status == "quarantined",
        "accepted": sa.and_(_PRICE.c.status != "rejected", _PRICE.c.extra["approved"].as_boolean()),
        "rejected": _PRICE.c.status == "rejected",
    }
    query = sa.select(_PRICE).where(states[state])
    if offer_id is not None:
        query = query.where(_PRICE.c.offer_id == offer_id)
    if after is not None:
        nano, id = after
        query = query.where(sa.or_(_PRICE.c.nano_per_million < nano, sa.and_(_PRICE.c.nano_per_million == nano, _PRICE.c.id > id)))
    query = query.order_by(_PRICE.c.nano_per_million.desc(), _PRICE.c.id).limit(limit)
    return (await session.execute(query)).mappings().all()


async def count_doubted(session: AsyncSession) -> int:
    """How many prices wait for a person."""
    return int((await session.execute(sa.select(sa.func.count()).where(_PRICE.c.status == "quarantined"))).scalar_one())


async def price(session: AsyncSession, price_id: str) -> Any | None:
    return (await session.execute(sa.select(_PRICE).where(_PRICE.c.id == price_id))).mappings().first()


async def offers_beside(session: AsyncSession, offer_id: str) -> Sequence[Any]:
    """The offer and all others of its model."""
    model = sa.select(_OFFER.c.model_id).where(_OFFER.c.id == offer_id).scalar_subquery()
    return (await session.execute(sa.select(_OFFER).where(_OFFER.c.model_id == model))).mappings().all()


async def insert_prices(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        await session.execute(sa.insert(_PRICE), list(rows))


async def update_price(session: AsyncSession, id: str, **values: Any) -> None:
    await session.execute(sa.update(_PRICE).where(_PRICE.c.id == id).values(**values))


async def update_offer(session: AsyncSession, offer_id: str, **values: Any) -> None:
    """What prices decide about an offer's row."""
    await session.execute(sa.update(_OFFER).where(_OFFER.c.id == offer_id).values(**values))


async def offers(session: AsyncSession, offer_ids: Sequence[str]) -> Sequence[Any]:
    """What prices need of these offers; those that are not in the store are left out."""
    return (await session.execute(sa.select(_OFFER).where(_OFFER.c.id.in_(offer_ids)))).mappings().all()


async def stated(session: AsyncSession, offer_ids: Sequence[str], now: datetime) -> Sequence[Any]:
    """Every price that is stated of these offers and has neither ended nor been withdrawn: in force, to come, doubted or outvoted."""
    alive = sa.or_(_PRICE.c.expires_at.is_(None), _PRICE.c.expires_at > now, _PRICE.c.in_force)
    query = sa.select(_PRICE).where(_PRICE.c.offer_id.in_(offer_ids), alive, _PRICE.c.status != WITHDRAWN)
    return (await session.execute(query)).mappings().all()


async def prices_of_source(session: AsyncSession, offer_id: str, source: str) -> Sequence[Any]:
    """Everything that the source has ever said of the offer's prices, withdrawn or not."""
    query = sa.select(_PRICE).where(_PRICE.c.offer_id == offer_id, _PRICE.c.source == source)
    return (await session.execute(query.order_by(_PRICE.c.effective_at, _PRICE.c.id))).mappings().all()


async def readings(session: AsyncSession) -> dict[str, tuple[date | None, datetime]]:
    """Source → the day that its newest reading describes, if it says, and when that was."""
    newest = sa.select(sa.func.max(_RUN.c.id)).where(_RUN.c.finished_at.is_not(None)).group_by(_RUN.c.source)
    query = sa.select(_RUN.c.source, _RUN.c.data_date, _RUN.c.finished_at).where(_RUN.c.id.in_(newest))
    return {source: (day, at) for source, day, at in (await session.execute(query)).all()}


async def last_hash(session: AsyncSession, source: str) -> str | None:
    """The content hash of a source's newest reading."""
    query = sa.select(_RUN.c.content_hash).where(_RUN.c.source == source, _RUN.c.finished_at.is_not(None)).order_by(_RUN.c.id.desc())
    return (await session.execute(query.limit(1))).scalar_one_or_none()


async def add_reading(
    session: AsyncSession, source: str, digest: str, now: datetime, entries: int, *, data_date: date | None = None
) -> None:
    """Remember that a source was read: `version` grows, so that whoever holds prices in memory reads them anew."""
    counts = {"read": entries, "kept": entries, "merged": 0, "quarantined": 0}
    row = {"id": new_id("run"), "source": source, "content_hash": digest, "data_date": data_date, "started_at": now, "finished_at": now}
    await session.execute(sa.insert(_RUN).values(**row, **counts))


async def replace_changes(session: AsyncSession, entries: Sequence[dict[str, Any]]) -> None:
    """The whole log anew."""
    await session.execute(sa.delete(_CHANGE))
    for start in range(0, len(entries), _ROWS):
        await session.execute(sa.insert(_CHANGE), entries[start : start + _ROWS])


async def changes_of_offers(session: AsyncSession, offer_ids: Sequence[str]) -> Sequence[Any]:
    """The log of these offers, the oldest first."""
    query = sa.select(_CHANGE).where(_CHANGE.c.offer_id.in_(offer_ids)).order_by(_CHANGE.c.day, _CHANGE.c.id)
    return (await session.execute(query)).mappings().all()


async def prices_ever(session: AsyncSession, offer_ids: Sequence[str], *, only: str | None = None) -> Sequence[Any]:
    """Every price that was ever believed possible of these offers, the oldest first; what waits in quarantine or was rejected is not.

    Args:
        only: this component's price per token without conditions.
    """
    query = sa.select(_PRICE).where(_PRICE.c.offer_id.in_(offer_ids))
    if only is not None:
        query = query.where(_PRICE.c.component == only, _PRICE.c.unit == "token", _PRICE.c.tier == "")
    rows = (await session.execute(query.order_by(_PRICE.c.effective_at, _PRICE.c.id))).mappings().all()
    # Sorted out here: asked for the status, SQLite goes by its index and reads nearly the whole table.
    return [row for row in rows if row["status"] in ("observed", "announced")]


async def news_version(session: AsyncSession) -> tuple[Any, ...]:
    """Differs when what changed may have to be told anew."""
    edited = (await session.execute(sa.select(sa.func.max(_MODEL.c.updated_at)))).scalar_one_or_none()
    return (*await version(session), edited)


async def looks(session: AsyncSession) -> "list[Look]":
    """When maps came to know the offers that are in the store, the oldest first, but for those of hidden models."""
    from backend.pricing.changes import Look

    query = (
        sa.select(
            *(_CHANGE.c[name] for name in ("id", "day", "after_day", "offer_id", "source", "source_url")),
            _MODEL.c.id.label("model_id"),
            _MODEL.c.name.label("model_name"),
            _PROVIDER.c.id.label("provider"),
            _PROVIDER.c.name.label("provider_name"),
        )
        .join(_OFFER, _OFFER.c.id == _CHANGE.c.offer_id)
        .join(_MODEL, _MODEL.c.id == _OFFER.c.model_id)
        .join(_PROVIDER, _PROVIDER.c.id == _OFFER.c.provider_id)
        .where(_CHANGE.c.event == "first_seen", sa.not_(_MODEL.c.hidden))
        .order_by(_CHANGE.c.day, _CHANGE.c.id)
    )
    return [Look(**row) async for row in _lean(session, query, {})]


async def news_stock(session: AsyncSession) -> "Stock":
    """What the list of changes is made of. Hidden models are not in it, nor are offers of which there is no news."""
    from backend.pricing.changes import Stock

    models = sa.select(_MODEL.c.id, _MODEL.c.name, _MODEL.c.release_date).where(sa.not_(_MODEL.c.hidden))
    told = _PRICE.alias()
    moved = sa.select(told.c.offer_id).where(sa.or_(told.c.expires_at.is_not(None), told.c.status == "announced"))
    logged = sa.select(_CHANGE.c.offer_id).where(_CHANGE.c.event == "price_change")
    offers = sa.select(_OFFER.c.id, _OFFER.c.model_id, _OFFER.c.provider_id, _OFFER.c.deprecation_date).where(
        sa.or_(_OFFER.c.deprecation_date.is_not(None), _OFFER.c.id.in_(moved), _OFFER.c.id.in_(logged))
    )
    providers = (await session.execute(sa.select(_PROVIDER.c.id, _PROVIDER.c.name))).all()
    columns = ("id", "day", "after_day", "offer_id", "source", "source_url", "rates", "before", "reverted")
    log = sa.select(*(_CHANGE.c[name] for name in columns)).where(_CHANGE.c.event == "price_change")
    names = (
        "id", "offer_id", "component", "unit", "tier", "nano_per_million", "effective_at", "observed_at", "expires_at", "source",
        "source_url", "status",
    )  # fmt: skip
    prices = (
        sa.select(*(_PRICE.c[name] for name in names))
        .where(_PRICE.c.tier == "", _PRICE.c.status.in_(("observed", "announced")), _PRICE.c.offer_id.in_(moved))
        .order_by(_PRICE.c.effective_at, _PRICE.c.id)
    )
    shared: dict[Any, Any] = {}
    return Stock(
        models={row["id"]: row async for row in _lean(session, models, shared)},
        offers={row["id"]: row async for row in _lean(session, offers, shared)},
        providers={row.id: row.name for row in providers},
        log=[row async for row in _lean(session, log.order_by(_CHANGE.c.day, _CHANGE.c.id), shared)],
        prices=[row async for row in _lean(session, prices, shared)],
    )


async def _lean(session: AsyncSession, query: Any, shared: dict[Any, Any]) -> AsyncIterator[dict[str, Any]]:
    """Rows a few hundred at a time, what many say alike (ids, days, addresses) held once: the list is kept for as long as the process
    lives, and what is taken to make it stays the process's own."""
    result = await session.stream(query, execution_options={"yield_per": 500})
    names = tuple(result.keys())
    async for part in result.partitions():
        for row in part:
            yield {
                name: shared.setdefault(value, value) if isinstance(value, str | date) else value
                for name, value in zip(names, row, strict=True)
            }
