"""A price as a source states it, before anybody decided whether to believe it."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.pricing.tiers import BASE, Tier


@dataclass(frozen=True, slots=True)
class Quote:
    """One stated price.

    `usd_per_million`: USD per 1,000,000 units. `amount`: the number as found, in `currency`, for `per` units. `effective_at` and
    `expires_at` are None where the source does not date it. `confirmed_free`: somebody who sells it says that it costs nothing.
    """

    component: str
    unit: str
    usd_per_million: Decimal
    amount: str
    tier: Tier = BASE
    currency: str = "USD"
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    source_url: str | None = None
    confirmed_free: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
