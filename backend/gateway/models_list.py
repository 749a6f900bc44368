"""`GET /v1/models`: what this key may ask for, in OpenAI's shape with the facts that choose a model."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from backend.pricing.book import PriceBook
from backend.pricing.cost import PriceCard
from backend.routing.route import Candidate, Route

_NANO_PER_USD = 1_000_000_000


def model_list(routes: Iterable[Route], prices: PriceBook, at: datetime) -> dict[str, Any]:
    return {"object": "list", "data": [model_entry(route, prices, at) for route in routes]}


def model_entry(route: Route, prices: PriceBook, at: datetime) -> dict[str, Any]:
    """One route. `price` is USD per 1M tokens of the first candidate, null where unknown; so are `context` and `capabilities`."""
    first = route.candidates[0]
    return {
        "id": route.name,
        "object": "model",
        "created": 0,
        "owned_by": first.provider,
        "alias": route.is_alias,
        "provider": first.provider,
        "deployment": first.model,
        "enabled": route.enabled,
        "context": None,
        "price": _price(first, prices, at),
        "capabilities": None,
        "candidates": [{"provider": candidate.provider, "model": candidate.model} for candidate in route.candidates],
    }


def _price(candidate: Candidate, prices: PriceBook, at: datetime) -> dict[str, Any] | None:
    card: PriceCard | None = candidate.card or prices.card(candidate.offer_id)
    if card is None or card.state not in ("priced", "free"):
        return None
    if card.state == "free":
        return {"input": 0, "output": 0, "currency": "USD", "per": "1M tokens"}
    sheet = card.sheet(0, at)
    return {
        "input": sheet.input.nano_per_million / _NANO_PER_USD if sheet.input else None,
        "output": sheet.output.nano_per_million / _NANO_PER_USD if sheet.output else None,
        "currency": "USD",
        "per": "1M tokens",
    }
