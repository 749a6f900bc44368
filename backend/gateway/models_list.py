"""`GET /v1/models`: what this key may ask for, in OpenAI's shape with the facts that choose a model."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from backend.kernel.money import NANO_PER_USD
from backend.pricing.book import PriceBook
from backend.pricing.cost import PriceCard
from backend.routing.route import Candidate, Route


class Described(Protocol):
    """What the catalog knows of a model; `ModelSummary` is one."""

    @property
    def context_tokens(self) -> int | None: ...
    @property
    def max_output_tokens(self) -> int | None: ...
    @property
    def capabilities(self) -> tuple[str, ...]: ...


class Catalog(Protocol):
    def summary(self, name: str) -> Described | None: ...


class ModelList:
    """`created` is when this process learnt of its models: neither the configuration nor the catalog knows an instant for each."""

    def __init__(self, prices: PriceBook, catalog: Catalog, created: datetime) -> None:
        self._prices = prices
        self._catalog = catalog
        self._created = int(created.timestamp())

    def all(self, routes: Iterable[Route], at: datetime) -> dict[str, Any]:
        return {"object": "list", "data": [self.one(route, at) for route in routes]}

    def window(self, candidate: Candidate) -> int | None:
        """The context window of a candidate's model in tokens, None where the catalog does not know."""
        described = self._described(candidate)
        return described.context_tokens if described is not None else None

    def _described(self, candidate: Candidate) -> Described | None:
        return self._catalog.summary(candidate.offer_id) or self._catalog.summary(candidate.model)

    def one(self, route: Route, at: datetime) -> dict[str, Any]:
        """One route. `price` is USD per 1M tokens of the first candidate, null where unknown; so are `context` and `capabilities`. What
        an `image`, a `second`, a `query`, a million `character`s and a million tokens of sound cost is in it where they have a price."""
        first = route.candidates[0]
        described = self._described(first)
        return {
            "id": route.name,
            "object": "model",
            "created": self._created,
            "owned_by": first.provider,
            "alias": route.is_alias,
            "provider": first.provider,
            "deployment": first.model,
            "enabled": route.enabled,
            "context": described.context_tokens if described else None,
            "price": _price(first, self._prices, at),
            "capabilities": described.capabilities if described else None,
            "candidates": [{"provider": candidate.provider, "model": candidate.model} for candidate in route.candidates],
        }


def _price(candidate: Candidate, prices: PriceBook, at: datetime) -> dict[str, Any] | None:
    card: PriceCard | None = candidate.card or prices.card(candidate.offer_id)
    if card is None or card.state not in ("priced", "free"):
        return None
    if card.state == "free":
        return {"input": 0, "output": 0, "currency": "USD", "per": "1M tokens"}
    paid, made = card.line("input", at=at), card.line("output", at=at)
    others = {name: line.nano_per_million / NANO_PER_USD / per for name, bucket, per in _OTHERS if (line := card.line(bucket, at=at))}
    return {
        "input": paid.nano_per_million / NANO_PER_USD if paid else None,
        "output": made.nano_per_million / NANO_PER_USD if made else None,
        "currency": "USD",
        "per": "1M tokens",
        **others,
    }


_OTHERS = (
    ("image", "images", 1_000_000),
    ("character", "characters", 1),
    ("second", "seconds", 1_000_000),
    ("query", "requests", 1_000_000),
    ("audio_input", "audio_input", 1),
    ("audio_output", "audio_output", 1),
)
"""What else a model may be priced by, and of how many the price is told: of one, but of a million characters and tokens of sound."""
