"""Who sells which model for how much, as flat columns: one row per model and provider, with that provider's cheapest offer.

Rows lie in order of the model's position and, within a model, of cheapness; a price filter is one pass over numbers.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from backend.catalog.creators import FIRST_PARTY
from backend.catalog.schemas import StoreQuery
from backend.pricing.doubt import INPUT_WEIGHT, standing

UNPRICED = -1
_MOST = 2**63 - 1


class OfferEntry(NamedTuple):
    """One offer in lists; prices in nano-dollars per 1M tokens."""

    id: str
    provider: str
    price_state: str
    input_nano: int | None
    output_nano: int | None
    sources: int
    retired: bool
    context_tokens: int | None = None
    """None: its seller states no context of its own."""
    source: str | None = None
    """Whose word the price in force is."""
    doubt: str | None = None
    """Why its price is doubtful, by the rule of `backend.pricing.doubt`; None where it is not."""
    agree: int = 1
    """How many sources agree on the price in force; `sources` name one."""

    @property
    def blend(self) -> int | None:
        """The order of cheapness: three parts input to one part output; None when it cannot be compared."""
        if self.price_state not in ("priced", "free") or (self.input_nano is None and self.output_nano is None):
            return None
        return INPUT_WEIGHT * (self.input_nano or 0) + (self.output_nano or 0)

    @property
    def upstream_id(self) -> str:
        return self.id[len(self.provider) + 1 :]


def cheapness(creator: str | None) -> Callable[[OfferEntry], tuple[bool, bool, bool, int, int, bool, str]]:
    """Priced before unpriced, on sale before retired, both directions priced before one, sold before given away (free offers are rationed)
    before doubtful, then by price, the maker's own among equals."""

    def key(offer: OfferEntry) -> tuple[bool, bool, bool, int, int, bool, str]:
        blend = offer.blend
        one_sided = offer.input_nano is None or offer.output_nano is None
        rank = standing(offer.price_state, offer.doubt)
        return (blend is None, offer.retired, one_sided, rank, blend or 0, not is_own(creator, offer), offer.id)

    return key


def is_own(creator: str | None, offer: OfferEntry) -> bool:
    """Whether its seller made the model."""
    return creator is not None and FIRST_PARTY.get(offer.provider) == creator


def own_offers(creator: str | None, offers: Sequence[OfferEntry]) -> list[OfferEntry]:
    """The maker's own offers that have a price and are on sale."""
    return [offer for offer in offers if is_own(creator, offer) and offer.blend is not None and not offer.retired]


class PriceRange(NamedTuple):
    """Both ends of both directions, inclusive; without a condition even an unpriced offer lies within."""

    input_low: int
    input_high: int
    output_low: int
    output_high: int

    @classmethod
    def of(cls, query: StoreQuery) -> "PriceRange | None":
        """None when the query asks for no price."""
        ends: list[int] = []
        for low, high in ((query.input_min, query.input_max), (query.output_min, query.output_max)):
            ends += [UNPRICED, _MOST] if low is None and high is None else [max(0, low or 0), _MOST if high is None else high]
        return None if ends == [UNPRICED, _MOST] * 2 else cls(*ends)


class SoldPrices:
    """Built from the offers of each position, cheapest first."""

    def __init__(self, offers: Sequence[Sequence[OfferEntry]]) -> None:
        self._places, self._paid, self._made = array("q"), array("q"), array("q")
        self._first = array("q")
        self._sellers: list[str] = []
        self._rows: dict[str, array[int]] = defaultdict(lambda: array("q"))
        for place, entries in enumerate(offers):
            self._first.append(len(self._places) if entries else UNPRICED)
            seen: set[str] = set()
            for offer in entries:
                if offer.provider in seen:
                    continue
                seen.add(offer.provider)
                priced = offer.blend is not None
                self._rows[offer.provider].append(len(self._places))
                self._places.append(place)
                self._sellers.append(offer.provider)
                self._paid.append(offer.input_nano if priced and offer.input_nano is not None else UNPRICED)
                self._made.append(offer.output_nano if priced and offer.output_nano is not None else UNPRICED)

    def within(self, prices: PriceRange, providers: frozenset[str]) -> list[int]:
        """Positions whose cheapest offer (among these providers, or any) lies in the range."""
        low, high, out_low, out_high = prices
        paid, made = self._paid, self._made
        rows = self._cheapest(providers).items() if providers else ((i, row) for i, row in enumerate(self._first) if row >= 0)
        return [i for i, row in rows if low <= paid[row] <= high and out_low <= made[row] <= out_high]

    def counts(self, prices: PriceRange, left: bytearray) -> Counter[str]:
        """Per provider, of the positions marked in `left`, those that it sells in the range."""
        low, high, out_low, out_high = prices
        columns = zip(self._sellers, self._places, self._paid, self._made, strict=True)
        return Counter([s for s, i, paid, made in columns if low <= paid <= high and out_low <= made <= out_high and left[i]])

    def amounts(self, direction: str, providers: frozenset[str]) -> dict[int, int]:
        """Position → what the cheapest offer of these providers costs, `direction` being input or output; unpriced ones are left out."""
        column = self._paid if direction == "input" else self._made
        return {i: column[row] for i, row in self._cheapest(providers).items() if column[row] != UNPRICED}

    def _cheapest(self, providers: frozenset[str]) -> dict[int, int]:
        found: dict[int, int] = {}
        for row in sorted(row for provider in providers if provider in self._rows for row in self._rows[provider]):
            found.setdefault(self._places[row], row)
        return found
