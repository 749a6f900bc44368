"""The SQL of what operators change in the catalog."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from backend.catalog.repository import ALIAS, MODEL, OFFER, PROVIDER
from backend.catalog.writing import OPERATOR

_NEW_OFFER: dict[str, Any] = {
    "deprecation_date": None, "price_state": "unpriced", "input_nano": None, "output_nano": None, "price_agreement": 0, "price_sources": 0,
}  # fmt: skip


async def model(session: AsyncSession, model_id: str) -> Any | None:
    return (await session.execute(sa.select(MODEL).where(MODEL.c.id == model_id))).mappings().first()


async def newest_change(session: AsyncSession) -> datetime | None:
    """When a model or an offer was changed last."""
    days = [(await session.execute(sa.select(sa.func.max(table.c.updated_at)))).scalar_one() for table in (MODEL, OFFER)]
    return max((day for day in days if day is not None), default=None)


async def touched_models(session: AsyncSession) -> Sequence[Any]:
    """Models that an operator made, changed or hid, by id."""
    facts = sa.cast(MODEL.c.facts, sa.Text)
    query = sa.select(MODEL.c.id, MODEL.c.name, MODEL.c.facts, MODEL.c.hidden, MODEL.c.updated_at)
    touched = sa.or_(MODEL.c.hidden, facts.like(f'%"{OPERATOR}"%'))
    return (await session.execute(query.where(touched).order_by(MODEL.c.id))).mappings().all()


async def add_model(session: AsyncSession, values: dict[str, Any]) -> None:
    await session.execute(sa.insert(MODEL).values(values))


async def change_model(session: AsyncSession, model_id: str, values: dict[str, Any]) -> None:
    await session.execute(sa.update(MODEL).where(MODEL.c.id == model_id).values(values))


async def target_of(session: AsyncSession, name: str, canonical: str) -> str | None:
    """What goes by a name, or by its canonical form, already: the id of a model or offer."""
    names = [name, canonical]
    for query in (
        sa.select(MODEL.c.id).where(MODEL.c.id.in_(names)),
        sa.select(OFFER.c.id).where(OFFER.c.id.in_(names)),
        sa.select(ALIAS.c.target).where(ALIAS.c.name == canonical),
    ):
        found = (await session.execute(query.limit(1))).scalar_one_or_none()
        if found is not None:
            return str(found)
    return None


async def offer_row(session: AsyncSession, offer_id: str) -> Any | None:
    return (await session.execute(sa.select(OFFER).where(OFFER.c.id == offer_id))).mappings().first()


async def put_offer(session: AsyncSession, values: dict[str, Any], *, new: bool) -> None:
    if new:
        await session.execute(sa.insert(OFFER).values(_NEW_OFFER | values | {"created_at": values["updated_at"]}))
    else:
        await session.execute(sa.update(OFFER).where(OFFER.c.id == values["id"]).values(values))


async def has_provider(session: AsyncSession, provider_id: str) -> bool:
    return (await session.execute(sa.select(PROVIDER.c.id).where(PROVIDER.c.id == provider_id))).first() is not None


async def add_provider(session: AsyncSession, provider_id: str, name: str, now: datetime) -> None:
    await session.execute(sa.insert(PROVIDER).values(id=provider_id, name=name, url=None, docs_url=None, created_at=now))


async def add_alias(session: AsyncSession, name: str, offer_id: str) -> None:
    """The canonical form of an offer's id, where it is another and free."""
    if name != offer_id and (await session.execute(sa.select(ALIAS.c.name).where(ALIAS.c.name == name))).first() is None:
        await session.execute(sa.insert(ALIAS).values(name=name, kind="offer", target=offer_id, source=OPERATOR))
