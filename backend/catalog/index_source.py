"""What the index is built from: rows of the database, turned into the little that the index keeps of them."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from backend.catalog.creators import creator_name
from backend.catalog.relevance import Rankable
from backend.catalog.schemas import ModelSummary
from backend.catalog.sold import OfferEntry, cheapness, is_own, own_offers
from backend.pricing.doubt import AskedPrice, doubts


class _Told(NamedTuple):
    """What is known of the price in force of an offer."""

    source: str
    vouched: bool


class IndexSource:
    """What an index is built from: feed it rows, readings and prices before offers before models; it keeps no row, only what the index will
    hold."""

    def __init__(self) -> None:
        self.providers: dict[str, str] = {}
        self.offers: dict[str, list[OfferEntry]] = defaultdict(list)
        self.targets: dict[str, str] = {}
        self.names: dict[str, list[str]] = defaultdict(list)
        self.rankables: list[Rankable] = []
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._contexts: dict[int | None, int | None] = {}
        self.as_of: dict[str, date] = {}
        """Source → the day that it describes, or on which it was read where it does not say."""
        self._told: dict[str, _Told] = {}

    def add_price(self, row: Any) -> None:
        self._told[row.offer_id] = _Told(sys.intern(row.source), bool(row.vouched))

    def add_offer(self, row: Any) -> None:
        offer_id, provider, state = sys.intern(row.id), sys.intern(row.provider_id), sys.intern(row.price_state)
        retired = row.status == "retired"
        context = self._contexts.setdefault(row.context_tokens, row.context_tokens)
        told = self._told.get(offer_id)
        entry = OfferEntry(
            offer_id,
            provider,
            state,
            row.input_nano,
            row.output_nano,
            row.price_sources,
            retired,
            context,
            told.source if told else None,
            agree=row.price_agreement,
        )
        self.offers[row.model_id].append(entry)

    def add_alias(self, row: Any) -> None:
        self.targets[row.name] = sys.intern(row.target)
        self.names[row.target].append(row.name)

    def add_model(self, row: Any) -> None:
        offers = self._with_doubts(row, self.offers.get(row.id, []))
        if offers:
            self.offers[row.id] = offers
        self.rankables.append(_rankable(row, offers, self._shared, self.as_of))

    def _with_doubts(self, row: Any, offers: list[OfferEntry]) -> list[OfferEntry]:
        if len(offers) < 2:
            return offers
        asked = [
            AskedPrice(
                offer.id,
                offer.provider,
                offer.input_nano,
                offer.output_nano,
                is_own(row.creator, offer),
                offer.agree,
                offer.id in self._told and self._told[offer.id].vouched,
            )
            for offer in offers
            if not offer.retired and offer.price_state == "priced" and offer.blend is not None
        ]
        doubtful = doubts(asked, open_weights=bool(row.open_weights))
        return [offer._replace(doubt=doubtful[offer.id]) if offer.id in doubtful else offer for offer in offers] if doubtful else offers


def _rankable(row: Any, offers: Sequence[OfferEntry], shared: dict[tuple[str, ...], tuple[str, ...]], as_of: dict[str, date]) -> Rankable:
    def words(values: list[str]) -> tuple[str, ...]:
        found = tuple(sys.intern(value) for value in values)
        return shared.setdefault(found, found)

    best = min(offers, key=cheapness(row.creator), default=None)
    priced = best is not None and best.blend is not None
    states = {offer.price_state for offer in offers}
    state = (
        best.price_state if best is not None and priced else next((s for s in ("priced", "free", "quarantined") if s in states), "unpriced")
    )
    own = min(own_offers(row.creator, offers), key=cheapness(row.creator), default=None)
    summary = ModelSummary(
        id=sys.intern(row.id),
        name=row.name,
        creator=sys.intern(row.creator) if row.creator else None,
        creator_name=creator_name(row.creator),
        mode=sys.intern(row.mode),
        capabilities=words(row.capabilities),
        modalities_in=words(row.modalities_in),
        modalities_out=words(row.modalities_out),
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        input_nano=best.input_nano if best is not None and priced else None,
        output_nano=best.output_nano if best is not None and priced else None,
        price_state=sys.intern(state),
        offers=len(offers),
        providers=len({offer.provider for offer in offers}),
        cheapest_offer=best.id if best is not None and priced else None,
        own_offer=own.id if own is not None else None,
        own_input_nano=own.input_nano if own is not None else None,
        own_output_nano=own.output_nano if own is not None else None,
        release_date=row.release_date,
        status=sys.intern(row.status),
        open_weights=row.open_weights,
        languages=words(row.languages),
        price_source=best.source if best is not None and priced else None,
        price_as_of=as_of.get(best.source or "") if best is not None and priced else None,
    )
    return Rankable(summary, sys.intern(row.family) if row.family else None, own is not None)
