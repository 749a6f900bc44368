"""The catalog for the rest of the house: lists and names from memory, details from the database."""

import asyncio
from collections.abc import Iterator

from backend.catalog import details, repository
from backend.catalog.index import IndexSource, StoreIndex
from backend.catalog.schemas import Freshness, ModelDetail, ModelSummary, PaletteHit, SourceFreshness, StorePage, StoreQuery
from backend.catalog.sold import OfferEntry
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.money import format_usd

_OFFER_COLUMNS = ("id", "model_id", "provider_id", "price_state", "input_nano", "output_nano", "price_sources", "status")
_MODEL_COLUMNS = (
    "id", "name", "creator", "family", "mode", "capabilities", "modalities_in", "modalities_out", "context_tokens",
    "max_output_tokens",
    "release_date",
    "status",
    "open_weights",
)  # fmt: skip


class CatalogService:
    """Reads are synchronous and answered from memory, except `model`, which reads one model's offers and prices from the database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._index = StoreIndex({})
        self._freshness = Freshness(0, 0, 0, 0)
        self._version: object = None

    async def load(self) -> bool:
        """Build the index if the store has changed since the last time; True when the store holds anything."""
        async with self._db.read() as session:
            version = await repository.version(session)
            if version != self._version:
                source = IndexSource()
                async for row in repository.each(session, repository.PROVIDER, "id", "name"):
                    source.providers[row.id] = row.name
                async for row in repository.each(session, repository.OFFER, *_OFFER_COLUMNS):
                    source.add_offer(row)
                async for row in repository.each(session, repository.ALIAS, "name", "target"):
                    source.add_alias(row)
                async for row in repository.each(session, repository.MODEL, *_MODEL_COLUMNS):
                    source.add_model(row)
                index = await asyncio.to_thread(StoreIndex.build, source, self._clock.now().date())
                self._freshness = Freshness(
                    models=len(index.models),
                    offers=index.offer_count,
                    providers=len(index.providers),
                    quarantined=await repository.quarantined_offers(session),
                    sources=tuple(
                        SourceFreshness(run["source"], run["data_date"], run["finished_at"], run["read"])
                        for run in await repository.runs(session)
                    ),
                )
                self._index, self._version = index, version
        return bool(self._index.models)

    def search(self, query: StoreQuery) -> StorePage:
        """One page of the store with counts per filter. Never raises: unknown words filter everything out, limits are capped."""
        return self._index.search(query)

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
            prices = await repository.prices_of_offers(session, [offer["id"] for offer in offers])
            aliases = await repository.aliases_of(session, [summary.id, *(offer["id"] for offer in offers)])
        return details.model_detail(summary, row, offers, prices, aliases)

    def offers_named(self, name: str) -> list[tuple[str, str]]:
        """`(provider id, upstream id)` of every offer that the name stands for: cheapest first, then unpriced ones. No I/O."""
        found = self._index.resolve(name)
        if found is None:
            return []
        position, offer_id = found
        return [(offer.provider, offer.upstream_id) for offer in self._index.offers[position] if offer_id is None or offer.id == offer_id]

    def summary(self, name: str) -> ModelSummary | None:
        """The model that a model id, offer id or alias stands for, as in lists; no I/O."""
        found = self._index.resolve(name)
        return None if found is None else self._index.models[found[0]]

    def sold_by(self, provider_id: str) -> Iterator[tuple[OfferEntry, ModelSummary]]:
        """Every offer of a provider that is not retired, with its model; walks the whole store."""
        for model, offers in zip(self._index.models, self._index.offers, strict=True):
            for offer in offers:
                if offer.provider == provider_id and not offer.retired:
                    yield offer, model

    def palette(self, text: str, limit: int = 8) -> list[PaletteHit]:
        """The best matches for a few typed letters."""
        if not text.strip():
            return []
        index = self._index
        hits = []
        for position in index.ranked(text, index.matching(text))[: max(0, min(limit, 50))]:
            model = index.models[position]
            hint = [model.creator_name or "", f"{model.offers} {'offer' if model.offers == 1 else 'offers'}"]
            if model.input_nano is not None:
                hint.append(f"from {format_usd(model.input_nano)} per 1M in")
            hits.append(PaletteHit(model.name, " · ".join(part for part in hint if part), f"/models/{model.id}"))
        return hits

    def freshness(self) -> Freshness:
        """How much the store holds and how old its sources are, as of the last load."""
        return self._freshness
