"""`/api/models`, `/api/models/provider/{provider}` and `/api/providers`: what is sold, in the shape of Price Runner.

`success`, `count` and `data` are that API's; `count` is of the page and `total` of everything. An error says `success: false` beside the
house's own shape. A price that nobody knows is null, never 0.
"""

import asyncio
from array import array
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response

from backend.catalog.answers import Answer, Answers, etag
from backend.catalog.listed_figures import ListedFigures
from backend.catalog.measured import Measured, Mmlu
from backend.catalog.model_size import model_size
from backend.catalog.names import fold
from backend.catalog.offers_schema import OFFER_PAGE, OfferPageBody, ProviderListBody
from backend.catalog.query import Parameters, limit_of, number, refuse_unknown
from backend.catalog.schemas import ModelSummary
from backend.catalog.service import CatalogService
from backend.catalog.sold import OfferEntry
from backend.kernel.errors import NotFound
from backend.kernel.json import dump_json
from backend.kernel.memory import give_back_soon

MAX_OFFERS = 1000
_NOTHING = ListedFigures()
_ANY_PARAMETER: dict[int | str, dict[str, Any]] = {400: {"description": "it has no parameters"}}
ProviderName = Annotated[str, Path(max_length=255, description="id or name", examples=["OpenAI"])]


class Rows:
    """Objects as JSON, end to end in one piece of memory: a list of as many small pieces takes ten times as much."""

    def __init__(self, rows: Iterable[bytes]) -> None:
        joined = bytearray()
        self._ends = array("I", [0])
        for row in rows:
            joined += row
            joined += b","
            self._ends.append(len(joined))
        self._joined = bytes(joined)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def page(self, offset: int, limit: int) -> bytes:
        """An array of those there are."""
        first, last = min(offset, len(self)), min(offset + limit, len(self))
        return b"[%b]" % self._joined[self._ends[first] : max(self._ends[first], self._ends[last] - 1)]

    def chosen(self, places: Iterable[int]) -> bytes:
        """An array of these."""
        return b"[%b]" % b",".join(self._joined[self._ends[place] : self._ends[place + 1] - 1] for place in places)


class OfferRows:
    """Every offer as encoded JSON, made on first use and again when the store has changed; a page is then a slice. `by_provider`: the
    places of its offers."""

    def __init__(self, catalog: CatalogService, measured: Measured) -> None:
        self._catalog = catalog
        self._measured = measured
        self._of: tuple[str, int] = ("", -1)
        self._making = asyncio.Lock()
        self.rows = Rows(())
        self.by_provider: dict[str, array[int]] = {}

    async def refresh(self) -> str:
        """Bring the rows up to now; the version that they then have."""
        await self._measured.refresh()
        if self._now() != self._of:
            async with self._making:
                now = self._now()
                if now != self._of:
                    mmlu, listed = await self._measured.mmlu(), await self._catalog.listed_figures()
                    # A tenth of a second in which others are to be served.
                    self.rows, self.by_provider = await asyncio.to_thread(self._made, mmlu, listed)
                    self._of = now
                    give_back_soon()
        return f"{self._of[0]} {self._of[1]}"

    def _now(self) -> tuple[str, int]:
        return self._catalog.version, self._measured.revision

    def _made(self, mmlu: Mapping[str, Mmlu], listed: Mapping[str, ListedFigures]) -> "tuple[Rows, dict[str, array[int]]]":
        by_provider: dict[str, array[int]] = {}
        names = self._catalog.provider_names()
        as_of = self._catalog.as_of()
        sold = [(model, offer) for model, offers in self._catalog.sold() for offer in offers if not offer.retired]
        for place, (_, offer) in enumerate(sold):
            by_provider.setdefault(offer.provider, array("I")).append(place)
        return Rows(dump_json(_row(model, offer, names, mmlu, listed.get(offer.id, _NOTHING), as_of)) for model, offer in sold), by_provider

    def provider(self, name: str) -> str:
        """The id of a provider by its id, its name or what other lists call it, whatever the case.

        Raises:
            NotFound: nobody of that name sells anything.
        """
        if (found := self._catalog.provider_called(name[:255])) in self.by_provider:
            return found
        raise NotFound(f"There is no provider {name[:100]!r}: GET /api/providers names those there are.", param="provider")


def build_router(catalog: CatalogService, measured: Measured, answers: Answers) -> APIRouter:
    """Reads alone."""
    router = APIRouter(prefix="/api", tags=["offers"])
    held = OfferRows(catalog, measured)

    @router.get("/models", summary="Every offer with its price", response_model=OfferPageBody, openapi_extra=OFFER_PAGE)
    async def list_offers(request: Request) -> Response:
        """Models by relevance, each model's cheapest offer first and those with a doubtful price last. `price_per_token` is USD per input
        token."""
        limit, offset = _page(request.query_params.multi_items())
        version = await held.refresh()

        async def page() -> Answer:
            return _answer(held.rows.page(offset, limit), min(limit, max(0, len(held.rows) - offset)), len(held.rows), offset, {})

        return await answers.answer(request, version, ("offers", limit, offset), page)

    @router.get("/models/provider/{provider}", summary="The offers of one provider", response_model=OfferPageBody, openapi_extra=OFFER_PAGE)
    async def list_offers_of(provider: ProviderName, request: Request) -> Response:
        """By the provider's id or name, whatever the case."""
        limit, offset = _page(request.query_params.multi_items())
        version = await held.refresh()
        found = held.provider(provider)

        async def page() -> Answer:
            places = held.by_provider[found]
            shown = places[offset : offset + limit]
            provider = {"provider": catalog.provider_names().get(found, found)}
            return _answer(held.rows.chosen(shown), len(shown), len(places), offset, provider)

        return await answers.answer(request, version, ("offers of", found, limit, offset), page)

    @router.get("/providers", summary="Who sells anything", response_model=ProviderListBody, responses=_ANY_PARAMETER)
    async def list_sellers(request: Request) -> Response:
        """Names in alphabetical order, and beside them each provider's id and how many offers it has."""
        refuse_unknown([name for name, _ in request.query_params.multi_items()], frozenset())
        version = await held.refresh()

        async def everybody() -> Answer:
            names = catalog.provider_names()
            sellers = sorted(((names.get(i, i), i, len(rows)) for i, rows in held.by_provider.items()), key=lambda s: (fold(s[0]), s[1]))
            body = dump_json(
                {
                    "success": True,
                    "count": len(sellers),
                    "data": [name for name, _, _ in sellers],
                    "providers": [{"id": i, "name": name, "offers": offers} for name, i, offers in sellers],
                }
            )
            return Answer(body, etag(body))

        return await answers.answer(request, version, ("providers",), everybody)

    return router


def _page(parameters: Parameters) -> tuple[int, int]:
    refuse_unknown([name for name, _ in parameters], frozenset({"limit", "offset"}))
    single = dict(parameters)
    return limit_of(single.get("limit"), 100, MAX_OFFERS), number(single.get("offset"), "offset", 10**7) or 0


def _answer(data: bytes, count: int, total: int, offset: int, more: dict[str, Any]) -> Answer:
    body = dump_json(
        {"success": True, "count": count, "total": total, "offset": offset, "has_more": offset + count < total, **more,
         "data": orjson.Fragment(data)}
    )  # fmt: skip
    return Answer(body, etag(body))


def _row(
    model: ModelSummary,
    offer: OfferEntry,
    names: Mapping[str, str],
    mmlu: Mapping[str, Mmlu],
    listed: ListedFigures,
    as_of: Mapping[str, date],
) -> dict[str, Any]:
    # A list is about this very offer; each figure goes with the name of whose it is.
    score, score_source = listed.mmlu or mmlu.get(model.id) or (None, None)
    size, size_source = listed.size or (model_size(model.id), None)
    priced = offer.blend is not None
    return {
        "model_name": model.id,
        "provider": names.get(offer.provider, offer.provider),
        "price_per_token": _per_token(offer.input_nano) if priced else None,
        "output_price_per_token": _per_token(offer.output_nano) if priced else None,
        "mmlu_score": None if score is None else round(score, 1),
        "mmlu_source": score_source,
        "model_size": size,
        "model_size_source": size_source,
        "currency": "USD",
        "price_state": offer.price_state,
        "price_source": offer.source,
        "price_as_of": as_of.get(offer.source or ""),
        "price_doubt": offer.doubt,
        "offer_id": offer.id,
        "provider_id": offer.provider,
    }


def _per_token(nano_per_million: int | None) -> float | None:
    return None if nano_per_million is None else float(Decimal(nano_per_million).scaleb(-15))
