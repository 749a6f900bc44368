"""The catalog for the rest of the house: lists and names from memory, details from the database."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

from backend.catalog import details, repository
from backend.catalog.index import StoreIndex
from backend.catalog.index_source import IndexSource
from backend.catalog.listed_figures import FIELDS, ListedFigures, listed_figures
from backend.catalog.names import fold
from backend.catalog.providers import provider_id
from backend.catalog.schemas import (
    NO_EVIDENCE,
    Evidence,
    Freshness,
    ModelDetail,
    ModelSummary,
    PaletteHit,
    SourceFreshness,
    StorePage,
    StoreQuery,
)
from backend.catalog.sold import OfferEntry
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.memory import give_back_soon
from backend.kernel.money import format_usd
from backend.pricing.repository import stated
from backend.pricing.schemas import PriceOrigin

_OFFER_COLUMNS = (
    "id", "model_id", "provider_id", "price_state", "input_nano", "output_nano", "price_sources", "price_agreement", "status",
    "context_tokens",
)  # fmt: skip
_MODEL_COLUMNS = (
    "id", "name", "creator", "family", "mode", "capabilities", "modalities_in", "modalities_out", "context_tokens",
    "max_output_tokens",
    "release_date",
    "status",
    "open_weights", "languages", "hidden",
)  # fmt: skip


class CatalogService:
    """Reads are synchronous and answered from memory, except `model`, which reads one model's offers and prices from the database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._index = StoreIndex({})
        self._freshness = Freshness(0, 0, 0, 0)
        self._version: object = None
        self._loading = asyncio.Lock()

    @property
    def version(self) -> str:
        """Changes with every load that brought something new; the same in every process that has loaded the same store."""
        return hashlib.blake2b(repr(self._version).encode(), digest_size=6).hexdigest()

    async def load(self) -> bool:
        """Build the index if the store has changed since the last time; True when the store holds anything."""
        async with self._loading, self._db.read() as session:
            version = await repository.version(session)
            if version != self._version:
                source = IndexSource()
                runs = await repository.runs(session)
                source.as_of = {run["source"]: run["data_date"] or run["finished_at"].date() for run in runs}
                async for row in repository.prices_in_force(session):
                    source.add_price(row)
                async for row in repository.each(session, repository.PROVIDER, "id", "name"):
                    source.providers[row.id] = row.name
                async for row in repository.each(session, repository.OFFER, *_OFFER_COLUMNS):
                    source.add_offer(row)
                async for row in repository.each(session, repository.ALIAS, "name", "target"):
                    source.add_alias(row)
                async for row in repository.each(session, repository.MODEL, *_MODEL_COLUMNS):
                    if not row.hidden:
                        source.add_model(row)
                index = await asyncio.to_thread(StoreIndex.build, source, self._clock.now().date())
                self._freshness = Freshness(
                    models=len(index.models),
                    offers=index.offer_count,
                    providers=len(index.providers),
                    quarantined=await repository.quarantined_offers(session),
                    sources=tuple(SourceFreshness(run["source"], run["data_date"], run["finished_at"], run["read"]) for run in runs),
                )
                self._index, self._version = index, version
                give_back_soon()
        return bool(self._index.models)

    def search(self, query: StoreQuery, evidence: Evidence = NO_EVIDENCE) -> StorePage:
        """One page of the store with counts per filter. Never raises: unknown words filter everything out, limits are capped.

        Args:
            evidence: what benchmarks say, for queries that ask for scores or languages.
        """
        return self._index.search(query, evidence)

    def all(self, query: StoreQuery, evidence: Evidence = NO_EVIDENCE) -> list[ModelSummary]:
        """Every row that the query finds, in its order; for exports."""
        return self._index.everything_found(query, evidence)

    async def model(self, name: str) -> ModelDetail | None:
        """Everything about the model that a model id, offer id or alias stands for; None if there is no such name."""
        found = self._index.resolve(name)
        if found is None:
            return None
        summary = self._index.models[found[0]]
        async with self._db.read() as session:
            row = await repository.model_row(session, summary.id)
            if row is None:
                return None
            offers = await repository.offers_of_model(session, summary.id)
            prices = await stated(session, [offer["id"] for offer in offers], self._clock.now())
            aliases = await repository.aliases_of(session, [summary.id, *(offer["id"] for offer in offers)])
        return details.model_detail(summary, row, offers, prices, aliases, [self._origin(offer) for offer in self._index.offers[found[0]]])

    async def listed_figures(self) -> dict[str, ListedFigures]:
        """Offer id → what price lists say of it beside its price."""
        async with self._db.read() as session:
            rows = await repository.offers_that_say(session, *FIELDS)
        return {row.id: said for row in rows if (said := listed_figures(row.extra)) is not None}

    def offers_named(self, name: str) -> list[tuple[str, str]]:
        """`(provider id, upstream id)` of every offer that the name stands for: cheapest first, then unpriced ones. No I/O."""
        found = self._index.resolve(name)
        if found is None:
            return []
        position, offer_id = found
        return [(offer.provider, offer.upstream_id) for offer in self._index.offers[position] if offer_id is None or offer.id == offer_id]

    def origin(self, offer_id: str) -> PriceOrigin:
        """Whose word an offer's price is, and what speaks against it. No I/O."""
        position = self._index.model_of_offer.get(offer_id)
        entries = () if position is None else self._index.offers[position]
        return next((self._origin(offer) for offer in entries if offer.id == offer_id), PriceOrigin(offer_id))

    def _origin(self, offer: OfferEntry) -> PriceOrigin:
        return PriceOrigin(offer.id, offer.source, self._index.as_of.get(offer.source or ""), offer.doubt)

    def summary(self, name: str) -> ModelSummary | None:
        """The model that a model id, offer id or alias stands for, as in lists; no I/O."""
        found = self._index.resolve(name)
        return None if found is None else self._index.models[found[0]]

    def sold_by(self, provider_id: str) -> Iterator[tuple[OfferEntry, ModelSummary]]:
        """Every offer of a provider that is not retired, with its model; walks the whole store."""
        for model, offers in self.sold():
            for offer in offers:
                if offer.provider == provider_id and not offer.retired:
                    yield offer, model

    def sold(self) -> Iterator[tuple[ModelSummary, Sequence[OfferEntry]]]:
        """Every model in order of relevance, with its offers, the cheapest first; for those who make a table of all."""
        return zip(self._index.models, self._index.offers, strict=True)

    def provider_names(self) -> dict[str, str]:
        """Provider id → its name for people."""
        return dict(self._index.providers)

    def provider_called(self, name: str) -> str:
        """The id of a provider by its id, its name or what other lists call it, whatever the case; what nobody is called stays as it is."""
        wanted = fold(name)
        return self._index.provider_of.get(wanted) or self._index.provider_of.get(provider_id(wanted), name)

    def as_of(self) -> dict[str, date]:
        """Source → the day that it describes, or on which it was read where it does not say."""
        return dict(self._index.as_of)

    def palette(self, text: str, limit: int = 8) -> list[PaletteHit]:
        """The best matches for a few typed letters; two of one name are told apart by their ids."""
        if not text.strip():
            return []
        index = self._index
        hits = []
        found = [index.models[position] for position in index.ranked(text, index.matching(text))[: max(0, min(limit, 50))]]
        named = Counter(model.name for model in found)
        for model in found:
            hint = [
                model.id if named[model.name] > 1 else "",
                model.creator_name or "",
                f"{model.offers} {'offer' if model.offers == 1 else 'offers'}",
            ]
            if model.input_nano is not None:
                hint.append(f"from {format_usd(model.input_nano)} per 1M in")
            hits.append(PaletteHit(model.name, " · ".join(part for part in hint if part), f"/models/{model.id}"))
        return hits

    def freshness(self) -> Freshness:
        """How much the store holds and how old its sources are, as of the last load."""
        return self._freshness
