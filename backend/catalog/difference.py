"""How the store differs after an ingestion from what it was: what somebody is told who wants to hear of changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from backend.catalog.writing import PricePlan, Stored
from backend.kernel.money import usd_from_nano

MOST_NAMED = 100
"""Of each kind; counts are always whole."""


@dataclass(frozen=True, slots=True)
class Names:
    """`some`: the first of them by name."""

    count: int = 0
    some: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Names":
        ordered = sorted(ids)
        return cls(len(ordered), ordered[:MOST_NAMED])


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A base price in force that became another one, in USD per 1M tokens."""

    offer: str
    component: str
    before: str
    after: str

    @property
    def times(self) -> Decimal:
        before, after = Decimal(self.before), Decimal(self.after)
        return max(before, after) / min(before, after) if before and after else Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Held:
    """A price that waits in quarantine since this ingestion."""

    offer: str
    source: str
    component: str
    tier: str
    usd_per_million: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """`largest`: the largest changes of prices, those of one offer side by side; `held`: the first prices that wait for a person now."""

    new_models: Names = Names()
    retired_models: Names = Names()
    deprecated_models: Names = Names()
    new_offers: Names = Names()
    retired_offers: Names = Names()
    unpriced_offers: Names = Names()
    prices_up: int = 0
    prices_down: int = 0
    largest: list[PriceChange] = field(default_factory=list)
    quarantined: int = 0
    held: list[Held] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return self == Difference()


Rows = Sequence[dict[str, Any]]


def difference_of(stored: Stored, models: tuple[Rows, Rows], offers: tuple[Rows, Rows], prices: PricePlan) -> Difference:
    """What these rows change; each pair is rows to insert and rows to update."""
    changes = [change for row in offers[1] for change in _changes(stored.offers[row["id"]], row)]
    changes.sort(key=lambda change: (-change.times, change.offer, change.component))
    held = _held(stored, prices)
    return Difference(
        new_models=Names.of(row["id"] for row in models[0]),
        retired_models=_turned(stored.models, models[1], "status", "retired"),
        deprecated_models=_turned(stored.models, models[1], "status", "deprecated"),
        new_offers=Names.of(row["id"] for row in offers[0]),
        retired_offers=_turned(stored.offers, offers[1], "status", "retired"),
        unpriced_offers=_turned(stored.offers, offers[1], "price_state", "unpriced"),
        prices_up=sum(Decimal(change.after) > Decimal(change.before) for change in changes),
        prices_down=sum(Decimal(change.after) < Decimal(change.before) for change in changes),
        largest=changes[:MOST_NAMED],
        quarantined=len(held),
        held=held[:MOST_NAMED],
    )


def _turned(before: dict[str, dict[str, Any]], rows: Rows, column: str, word: str) -> Names:
    return Names.of(row["id"] for row in rows if row.get(column) == word and before[row["id"]][column] != word)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterable[PriceChange]:
    for component in ("input", "output"):
        old, new = before[f"{component}_nano"], after.get(f"{component}_nano")
        if old is not None and new is not None and old != new:
            yield PriceChange(after["id"], component, _usd(old), _usd(new))


def _held(stored: Stored, prices: PricePlan) -> list[Held]:
    of_id = {row["id"]: row for row in stored.prices}
    rows = [row for row in prices.inserts if row["status"] == "quarantined"]
    for update in prices.updates:
        old = of_id[update["id"]]
        if update["status"] == "quarantined" and old["status"] != "quarantined":
            rows.append(old | update)
    found = [
        Held(row["offer_id"], row["source"], row["component"], row["tier"], row["usd_per_million"], row["reason"] or "") for row in rows
    ]
    return sorted(found, key=lambda one: (-abs(Decimal(one.usd_per_million)), one.offer, one.component))


def _usd(nano: int) -> str:
    return f"{usd_from_nano(nano).normalize():f}"
