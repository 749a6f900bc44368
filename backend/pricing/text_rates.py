"""What a text of so many tokens costs at every offer at once: the lines that `cost_of_call` would choose, laid out as columns.

Choosing lines for ten thousand offers takes a tenth of a second, multiplying chosen ones a few thousandths; so they are chosen once, for
each of an offer's context bands, and kept until a price changes. What depends on the time of day stays with `cost_of_call`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from backend.pricing.cost import MILLION, PriceCard, cost_of_call
from backend.pricing.usage import Usage


class Band(NamedTuple):
    """Nano-dollars per 1M tokens, and for a request times 1M; for calls whose input exceeds `above` tokens. None: it has no price."""

    above: int
    paid: int | None
    made: int | None
    request: int


class TextRates:
    """The prices of one offer under one service tier, for calls of plain text in and out."""

    __slots__ = ("_bands", "_card", "_tier", "free")

    def __init__(self, card: PriceCard, tier: str | None = None) -> None:
        self.free = card.state == "free"
        self._tier = tier
        self._card = card if any(line.time_window for line in card.lines) else None
        self._bands = () if self._card is not None or card.state != "priced" else _bands(card, tier)

    def nano(self, paid: int, made: int, at: datetime) -> int | None:
        """The cost of `paid` tokens in and `made` tokens out at that instant in nano-dollars, rounded up once; None where it has no price
        for one of them."""
        if self.free:
            return 0
        if self._card is not None:
            cost = cost_of_call(Usage(input=paid, output=made), self._card, at=at, service_tier=self._tier)
            return cost.nano if cost.state == "priced" and cost.parts else None
        for band in self._bands:
            if paid > band.above:
                if (paid and band.paid is None) or (made and band.made is None):
                    return None
                return -(-(paid * (band.paid or 0) + made * (band.made or 0) + band.request) // MILLION)
        return None

    @property
    def only_band(self) -> Band | None:
        """The prices of every call, where there is one for tokens in and out, and it depends on nothing."""
        if len(self._bands) != 1 or self._bands[0].paid is None or self._bands[0].made is None:
            return None
        return self._bands[0] if self._bands[0].above < 0 else None

    def band(self, paid: int, at: datetime) -> Band | None:
        """The prices for a call with so many tokens in; None where it is given away, or has none."""
        if self._card is not None:
            return _band(self._card, paid, at, self._tier)
        return next((band for band in self._bands if paid > band.above), None)

    def never_cheaper_than(self, other: "TextRates") -> bool:
        """Whether it costs at least as much whatever the tokens; False also where that cannot be told at a glance."""
        if len(self._bands) != 1 or len(other._bands) != 1:
            return False
        (_, paid, made, request), (_, their_paid, their_made, their_request) = self._bands[0], other._bands[0]
        if paid is None or made is None or their_paid is None or their_made is None:
            return False
        return paid >= their_paid and made >= their_made and request >= their_request

    @property
    def priced(self) -> bool:
        return self.free or self._card is not None or bool(self._bands)


class RateColumn:
    """Many rates side by side: most are a sum of two products, which are made of all of them at once."""

    def __init__(self, rates: Sequence[TextRates]) -> None:
        bands = [one.only_band for one in rates]
        self._paid = [0 if band is None else band.paid or 0 for band in bands]
        self._made = [0 if band is None else band.made or 0 for band in bands]
        self._request = [0 if band is None else band.request for band in bands]
        self._others = [(place, one) for place, (one, band) in enumerate(zip(rates, bands, strict=True)) if band is None]

    def nano(self, paid: int, made: int, at: datetime) -> list[int | None]:
        """What `TextRates.nano` says of each."""
        columns = zip(self._paid, self._made, self._request, strict=True)
        costs: list[int | None] = [-(-(paid * each + made * other + request) // MILLION) for each, other, request in columns]
        for place, rates in self._others:
            costs[place] = rates.nano(paid, made, at)
        return costs


def rates_of(cards: Iterable[PriceCard], tier: str | None = None) -> dict[str, TextRates]:
    """Offer id → its rates, of those that have any; with a tier, of those that have prices of their own for it.

    Takes a few tenths of a second for the whole store; run it in a thread.
    """
    asked = (card for card in cards if card.state in ("priced", "free") and (tier is None or tier in card.tiers))
    return {card.offer_id: rates for card in asked if (rates := TextRates(card, tier)).priced}


def _bands(card: PriceCard, tier: str | None) -> tuple[Band, ...]:
    thresholds = sorted({line.context_above for line in card.lines if line.context_above is not None}, reverse=True)
    at = datetime(1970, 1, 1, tzinfo=UTC)  # nothing of it depends on the time
    found = ((above, _band(card, above + 1, at, tier)) for above in (*thresholds, -1))
    return tuple([band._replace(above=above) for above, band in found if band is not None])


def _band(card: PriceCard, paid: int, at: datetime, tier: str | None) -> Band | None:
    """None where the offer bills no tokens: what it would take for a text, nobody knows."""
    sheet = card.sheet(paid, at, tier)
    request = card.line("requests", at=at, total_input=paid, service_tier=tier)
    if "input" in sheet.ignored:
        return None if request is None else Band(-1, 0, 0, request.nano_per_million)
    if sheet.input is None and sheet.output is None:
        return None
    return Band(
        -1,
        None if sheet.input is None else sheet.input.nano_per_million,
        None if sheet.output is None else sheet.output.nano_per_million,
        0 if request is None else request.nano_per_million,
    )
