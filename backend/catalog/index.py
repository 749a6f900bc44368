"""The whole store in memory, for lists: filters are bit masks, one bit per model in order of relevance, so that a page costs well under
a millisecond and a count is the number of bits in an AND. Built anew and swapped as a whole; never changed.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from backend.catalog.creators import creator_name
from backend.catalog.headline import headline
from backend.catalog.names import canonical, fold
from backend.catalog.relevance import Rankable, in_order
from backend.catalog.schemas import FacetValue, ModelSummary, StorePage, StoreQuery
from backend.catalog.sold import OfferEntry, PriceRange, SoldPrices, cheapness, own_offers
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, MODES, STATUSES

MAX_SEARCH = 200
MAX_WORDS = 8
MAX_LIMIT = 200
_OPEN = {"yes": "Open weights", "no": "Closed weights"}
_FACET_OF = {
    "modality_in": ("modalities_in", MODALITIES),
    "modality_out": ("modalities_out", MODALITIES),
    "capability": ("capabilities", CAPABILITIES),
    "mode": ("modes", MODES),
    "status": ("statuses", STATUSES),
}
_ALL_MUST_HOLD = frozenset({"modality_in", "modality_out", "capability"})


class IndexSource:
    """What an index is built from: feed it rows, offers before models; it keeps no row, only what the index will hold."""

    def __init__(self) -> None:
        self.providers: dict[str, str] = {}
        self.offers: dict[str, list[OfferEntry]] = defaultdict(list)
        self.targets: dict[str, str] = {}
        self.names: dict[str, list[str]] = defaultdict(list)
        self.rankables: list[Rankable] = []
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}

    def add_offer(self, row: Any) -> None:
        offer_id, provider, state = sys.intern(row.id), sys.intern(row.provider_id), sys.intern(row.price_state)
        retired = row.status == "retired"
        self.offers[row.model_id].append(OfferEntry(offer_id, provider, state, row.input_nano, row.output_nano, row.price_sources, retired))

    def add_alias(self, row: Any) -> None:
        self.targets[row.name] = sys.intern(row.target)
        self.names[row.target].append(row.name)

    def add_model(self, row: Any) -> None:
        self.rankables.append(_rankable(row, self.offers.get(row.id, []), self._shared))


class StoreIndex:
    """Everything that lists, the palette and name look-ups need."""

    def __init__(self, providers: dict[str, str]) -> None:
        self.providers = providers
        self.models: list[ModelSummary] = []
        self.position: dict[str, int] = {}
        self.offers: list[tuple[OfferEntry, ...]] = []
        self.model_of_offer: dict[str, int] = {}
        self.aliases: dict[str, str] = {}
        self._texts: list[str] = []
        self._masks: dict[str, dict[str, int]] = {}
        self._sold = SoldPrices(())
        self._sellers = {provider: f"{provider} {fold(name)}" for provider, name in providers.items()}
        self._contexts: list[int] = []
        self._orders: dict[str, tuple[int, ...]] = {}
        self._sources: list[float] = []
        self.everything = 0

    @property
    def offer_count(self) -> int:
        return len(self.model_of_offer)

    # --- building ---------------------------------------------------------------------------------------------------------------

    @classmethod
    def build(cls, source: IndexSource, today: date) -> "StoreIndex":
        """Takes a few tenths of a second for the whole store; run it in a thread."""
        index = cls(source.providers)
        index.aliases = source.targets
        for place in in_order(source.rankables, today):
            rankable = source.rankables[place]
            index._add(rankable, source.offers.get(rankable.summary.id, []), source.names)
        index._finish()
        return index

    def _add(self, rankable: Rankable, offers: list[OfferEntry], aliases: dict[str, list[str]]) -> None:
        summary = rankable.summary
        position = len(self.models)
        self.models.append(summary)
        self.position[summary.id] = position
        ordered = tuple(sorted(offers, key=cheapness(summary.creator)))
        self.offers.append(ordered)
        names = [summary.name, summary.id, summary.creator_name or "", rankable.family or "", *aliases.get(summary.id, [])]
        for offer in ordered:
            self.model_of_offer[offer.id] = position
            names += aliases.get(offer.id, [])
        words = " ".join(dict.fromkeys(fold(name) for name in names if name))
        # The second spelling without separators lets "gpt4o" find "gpt-4o".
        self._texts.append(f"{words} {''.join(c for c in fold(summary.id) if c.isalnum())}")
        priced = [offer.sources for offer in ordered if offer.sources]
        self._sources.append(sum(priced) / len(priced) if priced else 0.0)

    def _finish(self) -> None:
        count = len(self.models)
        self.everything = (1 << count) - 1
        groups: dict[str, dict[str, list[int]]] = {
            name: defaultdict(list) for name in ("modality_in", "modality_out", "capability", "provider", "mode", "status", "open_weights")
        }
        for i, model in enumerate(self.models):
            for facet, values in (
                ("modality_in", model.modalities_in),
                ("modality_out", model.modalities_out),
                ("capability", model.capabilities),
                ("mode", (model.mode,)),
                ("status", (model.status,)),
                ("open_weights", () if model.open_weights is None else ("yes" if model.open_weights else "no",)),
            ):
                for value in values:
                    groups[facet][value].append(i)
            for provider in {offer.provider for offer in self.offers[i]}:
                groups["provider"][provider].append(i)
        self._masks = {facet: {value: self._mask(places) for value, places in values.items()} for facet, values in groups.items()}
        self._sold = SoldPrices(self.offers)
        self._contexts = [model.context_tokens or -1 for model in self.models]
        models = self.models
        keys: dict[str, Callable[[int], Any]] = {
            "name": lambda i: fold(models[i].name),
            "input": lambda i: models[i].input_nano,
            "output": lambda i: models[i].output_nano,
            "context": lambda i: models[i].context_tokens,
            "released": lambda i: models[i].release_date,
            "offers": lambda i: models[i].offers,
        }
        self._orders = {name: _order(range(count), key) for name, key in keys.items()}

    def _mask(self, places: Iterable[int]) -> int:
        bits = bytearray(len(self.models) // 8 + 1)
        for i in places:
            bits[i >> 3] |= 1 << (i & 7)
        return int.from_bytes(bits, "little")

    # --- names ------------------------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> tuple[int, str | None] | None:
        """Position of the model that a model id, offer id or alias stands for, and the offer's id if it names one."""
        found = self._resolve_as_written(name)
        if found is None:
            own = _canonical(name)
            if own is not None and own != name:
                found = self._resolve_as_written(own)
        return found

    def _resolve_as_written(self, text: str) -> tuple[int, str | None] | None:
        if (position := self.position.get(text)) is not None:
            return position, None
        if (position := self.model_of_offer.get(text)) is not None:
            return position, text
        if (target := self.aliases.get(text)) is not None:
            if (position := self.position.get(target)) is not None:
                return position, None
            if (position := self.model_of_offer.get(target)) is not None:
                return position, target
        return None

    # --- searching --------------------------------------------------------------------------------------------------------------

    def matching(self, text: str) -> int:
        """Models in which every word of the text occurs, in a name, an alias or a seller; wildcards are ordinary characters."""
        found = self.everything
        for word in fold(text[:MAX_SEARCH]).split()[:MAX_WORDS]:
            mask = self._mask([i for i, words in enumerate(self._texts) if word in words])
            for provider, names in self._sellers.items():
                if word in names:
                    mask |= self._masks["provider"].get(provider, 0)
            found &= mask
            if not found:
                break
        return found

    def ranked(self, text: str, mask: int) -> list[int]:
        """The models of the mask, best text match first, relevance deciding between equals."""
        wanted = fold(text[:MAX_SEARCH])
        joined = "".join(c for c in wanted if c.isalnum())

        def distance(i: int) -> int:
            model = self.models[i]
            name = fold(model.name)
            if wanted in (model.id, name):
                return 0
            if joined and joined == "".join(c for c in model.id if c.isalnum()):
                return 1
            if name.startswith(wanted) or model.id.startswith(wanted):
                return 2
            padded = f" {name} {model.id.replace('-', ' ')}"
            return 3 if all(f" {word}" in padded for word in wanted.split()) else 4

        return sorted(_bits(mask), key=lambda i: (distance(i), i))

    def search(self, query: StoreQuery) -> StorePage:
        """One page of the store; see `StoreQuery` for what the filters mean."""
        masks = self._filter_masks(query)
        provider_mask = self._any("provider", query.providers)
        prices = PriceRange.of(query)
        price_mask = self._mask(self._sold.within(prices, query.providers)) if prices else self.everything
        unsold = self.everything
        for mask in masks.values():
            unsold &= mask
        found = unsold & provider_mask & price_mask
        limit = max(1, min(query.limit, MAX_LIMIT))
        offset = max(0, query.offset)
        order = self._ordered(query, found)
        items = tuple(self._shown(i, query, prices) for i in order[offset : offset + limit])
        facets = {name: self._facet(name, query, found, masks, provider_mask & price_mask) for name in _FACET_OF}
        facets["provider"] = self._provider_facet(query, unsold, prices)
        facets["open_weights"] = self._open_facet(query, masks, provider_mask & price_mask)
        total = found.bit_count()
        sources = [self._sources[i] for i in order if self._sources[i]]
        sellers = sum(1 for mask in self._masks["provider"].values() if mask & found)
        return StorePage(
            items=items,
            total=total,
            offset=offset,
            limit=limit,
            facets=facets,
            headline=headline(query, total, lambda provider: self.providers.get(provider, provider), sellers),
            average_sources=round(sum(sources) / len(sources), 2) if sources else 0.0,
        )

    def _filter_masks(self, query: StoreQuery) -> dict[str, int]:
        masks: dict[str, int] = {}
        if query.search.strip():
            masks["search"] = self.matching(query.search)
        for facet, (attribute, _) in _FACET_OF.items():
            values: frozenset[str] = getattr(query, attribute)
            if values:
                masks[facet] = self._all(facet, values) if facet in _ALL_MUST_HOLD else self._any(facet, values)
        if query.open_weights is not None:
            masks["open_weights"] = self._masks["open_weights"].get("yes" if query.open_weights else "no", 0)
        if query.context_min is not None:
            least = query.context_min
            masks["context"] = self._mask([i for i, tokens in enumerate(self._contexts) if tokens >= least])
        return masks

    def _all(self, facet: str, values: frozenset[str]) -> int:
        mask = self.everything
        for value in values:
            mask &= self._masks[facet].get(value, 0)
        return mask

    def _any(self, facet: str, values: frozenset[str]) -> int:
        if not values:
            return self.everything
        mask = 0
        for value in values:
            mask |= self._masks[facet].get(value, 0)
        return mask

    def _ordered(self, query: StoreQuery, found: int) -> list[int]:
        if query.sort == "relevance" or query.sort not in self._orders:
            order = self.ranked(query.search, found) if query.search.strip() else list(_bits(found))
            return order[::-1] if query.descending else order
        if query.sort in ("input", "output") and query.providers:
            amounts = self._sold.amounts(query.sort, query.providers)
            return list(_order(_bits(found), amounts.get, query.descending))
        wanted = set(_bits(found))
        order = [i for i in self._orders[query.sort] if i in wanted]
        if query.descending:
            # Those of whom nothing is known stay last whichever way the list runs.
            known = [i for i in order if _sort_value(self.models[i], query.sort) is not None]
            order = known[::-1] + order[len(known) :]
        return order

    def _shown(self, i: int, query: StoreQuery, prices: PriceRange | None) -> ModelSummary:
        """The row, with the price that was asked about: that of the chosen providers, or the cheapest where prices decide."""
        model = self.models[i]
        offer = next((offer for offer in self.offers[i] if offer.provider in query.providers), None) if query.providers else None
        if offer is not None and offer.id != model.cheapest_offer:
            priced = offer.blend is not None
            model = replace(
                model,
                input_nano=offer.input_nano if priced else None,
                output_nano=offer.output_nano if priced else None,
                price_state=offer.price_state,
                cheapest_offer=offer.id if priced else None,
            )
        if model.own_offer is not None and (query.providers or prices or query.sort in ("input", "output")):
            model = replace(model, own_offer=None, own_input_nano=None, own_output_nano=None)
        return model

    # --- counting ---------------------------------------------------------------------------------------------------------------

    def _facet(self, facet: str, query: StoreQuery, found: int, masks: dict[str, int], sold: int) -> tuple[FacetValue, ...]:
        attribute, labels = _FACET_OF[facet]
        selected: frozenset[str] = getattr(query, attribute)
        base = found
        if facet not in _ALL_MUST_HOLD:
            base = sold
            for name, mask in masks.items():
                if name != facet:
                    base &= mask
        values = [
            FacetValue(value, label, (base & self._masks[facet].get(value, 0)).bit_count(), value in selected)
            for value, label in labels.items()
        ]
        return tuple(value for value in values if value.count or value.selected)

    def _open_facet(self, query: StoreQuery, masks: dict[str, int], sold: int) -> tuple[FacetValue, ...]:
        base = sold
        for name, mask in masks.items():
            if name != "open_weights":
                base &= mask
        chosen = {True: "yes", False: "no", None: ""}[query.open_weights]
        return tuple(
            FacetValue(value, label, (base & self._masks["open_weights"].get(value, 0)).bit_count(), value == chosen)
            for value, label in _OPEN.items()
        )

    def _provider_facet(self, query: StoreQuery, unsold: int, prices: PriceRange | None) -> tuple[FacetValue, ...]:
        counts: Mapping[str, int]
        if prices:
            left = bytearray(len(self.models))
            for i in _bits(unsold):
                left[i] = 1
            counts = self._sold.counts(prices, left)
        else:
            counts = {provider: (unsold & mask).bit_count() for provider, mask in self._masks["provider"].items()}
        values = [
            FacetValue(provider, self.providers.get(provider, provider), count, provider in query.providers)
            for provider in counts.keys() | (query.providers & self.providers.keys())
            if (count := counts.get(provider, 0)) or provider in query.providers
        ]
        return tuple(sorted(values, key=lambda value: (-value.selected, -value.count, value.label)))


def _rankable(row: Any, offers: list[OfferEntry], shared: dict[tuple[str, ...], tuple[str, ...]]) -> Rankable:
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
    )
    return Rankable(summary, sys.intern(row.family) if row.family else None, own is not None)


def _sort_value(model: ModelSummary, sort: str) -> Any:
    return {
        "name": model.name,
        "input": model.input_nano,
        "output": model.output_nano,
        "context": model.context_tokens,
        "released": model.release_date,
        "offers": model.offers,
    }[sort]


def _order(places: Iterable[int], key: Callable[[int], Any], descending: bool = False) -> tuple[int, ...]:
    """Positions by value; those without one stay last whichever way the list runs."""
    listed = list(places)
    values = {i: key(i) for i in listed}
    known = sorted((i for i in listed if values[i] is not None), key=lambda i: values[i], reverse=descending)
    return (*known, *(i for i in listed if values[i] is None))


def _bits(mask: int) -> list[int]:
    """Positions of the set bits, lowest first."""
    text = bin(mask)[:1:-1]
    found: list[int] = []
    at = text.find("1")
    while at >= 0:
        found.append(at)
        at = text.find("1", at + 1)
    return found


def _canonical(name: str) -> str | None:
    try:
        return canonical(name)
    except ValueError:
        return None
