"""Evidence for the price rules, made in one line."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backend.pricing.evidence import Evidence
from backend.pricing.quotes import Quote
from backend.pricing.tiers import BASE, Tier

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
RANKS = {"genai-prices": 40, "litellm": 30, "models.dev": 20}


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def said() -> Callable[..., Evidence]:
    """`said("litellm", "2.50")`: what a source says about an offer's base input price, or about anything else that is named."""

    def make(source: str, usd: str, component: str = "input", *, offer: str = "acme/m", tier: Tier = BASE, **more: Any) -> Evidence:
        quote = {name: more.pop(name) for name in ("effective_at", "expires_at", "confirmed_free", "unit") if name in more}
        defaults = {"model_id": offer.partition("/")[2], "family": None, "mode": "chat", "rank": RANKS.get(source, 10), "as_of": NOW}
        return Evidence(
            offer_id=offer,
            source=source,
            quote=Quote(component, quote.pop("unit", "token"), Decimal(usd), usd, tier, **quote),
            **(defaults | more),
        )

    return make
