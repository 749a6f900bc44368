"""What things cost: one row per offer, component and tier, from one source, never changed after it was written."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class Price(SQLModel, table=True):
    """One observed price. `amount` is what the source says, in `currency`, for one `unit` (or as many as `extra.per`) of `component`.

    The tier columns say when it applies; NULL means always. Of the rows of one offer, component and tier at most one has
    `in_force`; the others are the evidence it was chosen from. `status`: observed, announced (not yet in force), quarantined, rejected by
    a person, withdrawn (taken back or no longer stated before it was ever in force).
    """

    __tablename__ = "price"
    __table_args__ = (
        sa.Index("ix_price_offer_id_in_force", "offer_id", "in_force"),
        sa.UniqueConstraint("offer_id", "source", "component", "unit", "tier", "effective_at"),
    )
    id: str = Field(primary_key=True, max_length=40)
    offer_id: str = Field(foreign_key="offer.id")
    component: str = Field(
        max_length=40, description="input, output, cache_read, cache_write, reasoning, audio_in, audio_out, image_out, request …"
    )
    unit: str = Field(max_length=16, description="token, image, second … as in `backend.pricing.tiers.UNITS`")
    tier: str = Field(default="", max_length=160, description="canonical text of the tier columns; empty = the base price")
    context_above: int | None = Field(default=None, sa_type=sa.BigInteger, description="applies when total input tokens exceed this")
    service_tier: str | None = Field(default=None, max_length=24, description="batch, flex, priority")
    time_window: str | None = Field(default=None, max_length=64, description="UTC, such as 16:30-00:30")
    region: str | None = Field(default=None, max_length=64)
    cache_ttl: int | None = Field(default=None, description="seconds that a cache write lives")
    variant: str | None = Field(default=None, max_length=64, description="resolution, quality and the like")
    amount: str = Field(max_length=64, description="decimal text exactly as found")
    currency: str = Field(default="USD", max_length=3)
    usd_per_million: str = Field(max_length=64, description="decimal text: USD per 1,000,000 units")
    nano_per_million: int = Field(sa_type=sa.BigInteger, description="the same in nano-dollars, rounded up")
    effective_at: datetime = Field(sa_type=UtcDateTime)
    observed_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    source: str = Field(max_length=64)
    source_url: str | None = None
    status: str = Field(default="observed", max_length=16, index=True)
    in_force: bool = False
    confirmed_free: bool = False
    reason: str | None = Field(default=None, description="why it is in quarantine, or why it was chosen")
    extra: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class PriceChange(SQLModel, table=True):
    """One entry of the log of public price maps: what was first seen, changed or last seen in a map, and when the *map* said so.

    `day` is not when the seller changed anything: that lies after `after_day`, the newest look at the map before. `rates` are USD per 1M
    tokens as text, by place (`input`, `input;service_tier=batch` …); a rate of zero is left out, since maps write it for "unknown", too.
    """

    __tablename__ = "price_change"
    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    day: date = Field(index=True)
    after_day: date | None = Field(default=None, description="NULL where the map's first look is the one that has it")
    event: str = Field(max_length=20, description="first_seen, price_change, other_rate_change, last_seen")
    offer_id: str = Field(max_length=255, index=True, description="as the offer would be called here; the store may not know it (any more)")
    source: str = Field(max_length=64)
    source_url: str
    rates: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    before: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    reverted: bool = Field(default=False, description="the map went back within 60 days: rather its mistake than the seller's price")
