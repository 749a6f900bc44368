"""The whole store in memory, for lists: filters are bit masks, one bit per model in order of relevance, so that a page costs well under
a millisecond and a count is the number of bits in an AND. Built anew and swapped as a whole; never changed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

from backend.catalog.headline import headline
from backend.catalog.index_source import IndexSource
from backend.catalog.languages import Languages
from backend.catalog.names import canonical, fold
from backend.catalog.orders import KEYS, by_evidence, in_order
from backend.catalog.relevance import Rankable, by_relevance
from backend.catalog.schemas import BY_SCORE, BY_VALUE, NO_EVIDENCE, Evidence, FacetValue, ModelSummary, StorePage, StoreQuery
from backend.catalog.sold import OfferEntry, PriceRange, SoldPrices, cheapness
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

_LONGEST_SAID = 40
"""Signs of a name that nobody has."""


class StoreIndex:
    """Everything that lists, the palette and name look-ups need."""

    def __init__(self, providers: dict[str, str]) -> None:
        self.providers = providers
        self.provider_of = {fold(name): provider for provider, name in providers.items()} | {provider: provider for provider in providers}
        """Ids and names, whatever their case."""
        self.models: list[ModelSummary] = []
        self.position: dict[str, int] = {}
        self.offers: list[tuple[OfferEntry, ...]] = []
        self.model_of_offer: dict[str, int] = {}
        self.aliases: dict[str, str] = {}
        self._texts: list[str] = []
        self._masks: dict[str, dict[str, int]] = defaultdict(dict)
        self._sold = SoldPrices(())
        self._sellers = {provider: f"{provider} {fold(name)}" for provider, name in providers.items()}
        self._contexts: list[int] = []
        self._orders: dict[str, tuple[int, ...]] = {}
        self._priced = 0
        self._agreed = 0
        self._languages = Languages((), {}, self._mask)
        self.everything = 0
        self.as_of: dict[str, date] = {}

    @property
    def offer_count(self) -> int:
        return len(self.model_of_offer)

    # --- building ---------------------------------------------------------------------------------------------------------------

    @classmethod
    def build(cls, source: IndexSource, today: date) -> "StoreIndex":
        """Takes a few tenths of a second for the whole store; run it in a thread."""
        index = cls(source.providers)
        index.aliases = source.targets
        index.as_of = source.as_of
        for place in by_relevance(source.rankables, today):
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
        self._languages = Languages(self.models, self.position, self._mask)
        self._contexts = [model.context_tokens or -1 for model in self.models]
        known = [next((offer for offer in self.offers[i] if offer.id == model.known_offer), None) for i, model in enumerate(self.models)]
        self._priced = self._mask(i for i, offer in enumerate(known) if offer is not None)
        self._agreed = self._mask(i for i, offer in enumerate(known) if offer is not None and offer.agree > 1)
        sortable = {name: [key(model) for model in self.models] for name, key in KEYS.items()}
        self._orders = {name: in_order(range(count), column.__getitem__) for name, column in sortable.items()}

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

    def search(self, query: StoreQuery, evidence: Evidence = NO_EVIDENCE) -> StorePage:
        """One page of the store; see `StoreQuery` for what the filters mean."""
        masks, unsold, sold, prices = self._found(query, evidence)
        found = unsold & sold
        limit = max(1, min(query.limit, MAX_LIMIT))
        order = self._ordered(query, found, prices, evidence)
        offset = self._start(query, order)
        items = tuple(self._shown(i, query, prices) for i in order[offset : offset + limit])
        facets = {name: self._facet(name, query, found, masks, sold) for name in _FACET_OF}
        facets["provider"] = self._provider_facet(query, unsold, prices)
        facets["language"] = self._languages.facet(found, query.languages, evidence.languages)
        facets["open_weights"] = self._open_facet(query, masks, sold)
        total = found.bit_count()
        priced, agreed = self._agreement(query, found, prices)
        sellers = sum(1 for mask in self._masks["provider"].values() if mask & found)
        return StorePage(
            items=items,
            total=total,
            offset=offset,
            limit=limit,
            facets=facets,
            headline=headline(query, total, self._provider_name, sellers, evidence.measure),
            priced=priced,
            agreed=agreed,
        )

    def _provider_name(self, provider: str) -> str:
        """For the headline, which is where who asks for a provider that there is not is told so."""
        shown = provider if len(provider) <= _LONGEST_SAID else f"{provider[:_LONGEST_SAID]}…"
        return self.providers.get(provider, f"“{shown}” (there is no such provider)")

    def everything_found(self, query: StoreQuery, evidence: Evidence = NO_EVIDENCE) -> list[ModelSummary]:
        """All rows of the query at once, in its order, for an export."""
        _, unsold, sold, prices = self._found(query, evidence)
        return [self._shown(i, query, prices) for i in self._ordered(query, unsold & sold, prices, evidence)]

    def _found(self, query: StoreQuery, evidence: Evidence) -> tuple[dict[str, int], int, int, PriceRange | None]:
        """The mask of each filter but sellers and prices, all of these together, the mask of those two, and the prices asked for."""
        masks = self._filter_masks(query, evidence)
        prices = PriceRange.of(query)
        sold = self._any("provider", query.providers)
        if prices:
            sold &= self._mask(self._sold.within(prices, query.providers))
        unsold = self.everything
        for mask in masks.values():
            unsold &= mask
        return masks, unsold, sold, prices

    def _start(self, query: StoreQuery, order: list[int]) -> int:
        for model_id in reversed(query.after):
            place = self.position.get(model_id)
            if place is not None and place in order:
                return order.index(place) + 1
        return max(0, query.offset)

    def _filter_masks(self, query: StoreQuery, evidence: Evidence) -> dict[str, int]:
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
        if query.languages:
            spoken = self._languages.masks(evidence.languages)
            masks["language"] = self.everything
            for tag in query.languages:
                masks["language"] &= spoken.get(tag.lower(), 0)
        if query.min_score is not None or query.benchmark:
            lowest = 0.0 if query.min_score is None else query.min_score
            good = (self.position.get(model_id) for model_id, score in evidence.scores.items() if score >= lowest)
            masks["score"] = self._mask(i for i in good if i is not None)
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

    def _ordered(self, query: StoreQuery, found: int, prices: PriceRange | None, evidence: Evidence) -> list[int]:
        if query.sort in (BY_SCORE, BY_VALUE):
            return list(by_evidence(query, _bits(found), self.models, lambda i: self._shown(i, query, prices), evidence))
        if query.sort == "relevance" or query.sort not in self._orders:
            order = self.ranked(query.search, found) if query.search.strip() else list(_bits(found))
            return order[::-1] if query.descending else order
        if query.sort in ("input", "output") and query.providers:
            amounts = self._sold.amounts(query.sort, query.providers)
            return list(in_order(_bits(found), amounts.get, query.descending))
        wanted = set(_bits(found))
        order = [i for i in self._orders[query.sort] if i in wanted]
        if query.descending:
            # Those of whom nothing is known stay last whichever way the list runs.
            key = KEYS[query.sort]
            known = [i for i in order if key(self.models[i]) is not None]
            order = known[::-1] + order[len(known) :]
        return order

    def _shown(self, i: int, query: StoreQuery, prices: PriceRange | None) -> ModelSummary:
        """The row, with the price that was asked about: that of the chosen providers, or the cheapest where prices decide."""
        model = self.models[i]
        offer = self._seller(i, query) if query.providers else None
        if offer is not None and offer.id != model.cheapest_offer:
            priced = offer.blend is not None
            model = replace(
                model,
                input_nano=offer.input_nano if priced else None,
                output_nano=offer.output_nano if priced else None,
                price_state=offer.price_state,
                cheapest_offer=offer.id if priced else None,
                price_source=offer.source if priced else None,
                price_as_of=self.as_of.get(offer.source or "") if priced else None,
                price_doubt=offer.doubt,
            )
        if model.own_offer is not None and (query.providers or prices or query.sort in ("input", "output")):
            model = replace(model, own_offer=None, own_input_nano=None, own_output_nano=None)
        return model

    def _agreement(self, query: StoreQuery, found: int, prices: PriceRange | None) -> tuple[int, int]:
        """Of the models that are found, how many have a price that is shown, and on how many of these prices several sources agree."""
        if not query.providers and not prices and query.sort not in ("input", "output"):
            return (found & self._priced).bit_count(), (found & self._agreed).bit_count()
        agree = [offer.agree for i in _bits(found) if (offer := self._seller(i, query)) is not None and offer.blend is not None]
        return len(agree), sum(count > 1 for count in agree)

    def _seller(self, i: int, query: StoreQuery) -> OfferEntry | None:
        """The cheapest offer of the providers that are asked for, or of all."""
        return next((offer for offer in self.offers[i] if not query.providers or offer.provider in query.providers), None)

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
