"""`GET /catalog/models` and `GET /catalog/models/{id}`: thin reads in the seed's shape, with more beside it.

Prices are USD per 1M tokens, as JSON numbers where they are exact enough for people and as text in each offer's `prices`. An unknown query
parameter is an error, so that a misspelt filter never silently shows everything.
"""

from decimal import Decimal, InvalidOperation
from typing import Any

from fastapi import APIRouter, Request, Response

from backend.catalog.schemas import SORTS, ModelDetail, ModelSummary, OfferView, StorePage, StoreQuery
from backend.catalog.service import CatalogService
from backend.kernel.errors import BadRequest, ModelNotFound
from backend.kernel.json import dump_json
from backend.kernel.money import nano_from_usd, usd_from_nano

MAX_LIMIT = 200
_LISTS = {
    "capability": "capabilities", "modality": "modalities_in", "modality_out": "modalities_out", "provider": "providers", "mode": "modes",
    "status": "statuses",
}  # fmt: skip
_SINGLE = ("search", "context_min", "priceRange", "priceRangeOut", "open_weights", "sort", "order", "offset", "limit")
PARAMETERS = frozenset({*_LISTS, *_SINGLE})


def build_router(service: CatalogService) -> APIRouter:
    """The catalog's routes."""
    router = APIRouter(prefix="/catalog", tags=["catalog"])

    @router.get("/models", summary="Search models", response_model=dict[str, Any])
    async def list_models(request: Request) -> Response:
        """Filters hold all at once; repeat a parameter or separate values by commas to give several."""
        query = read_query(request.query_params.multi_items())
        return _json(page_body(service.search(query)))

    @router.get("/models/{model_id:path}", summary="One model with its offers and prices", response_model=dict[str, Any])
    async def get_model(model_id: str, request: Request) -> Response:
        """By model id, offer id (`provider/upstream-id`) or alias."""
        _refuse_unknown([name for name, _ in request.query_params.multi_items()], frozenset())
        detail = await service.model(model_id)
        if detail is None:
            raise ModelNotFound(f"There is no model {model_id[:100]!r} in the catalog.", param="id")
        return _json(detail_body(detail))

    return router


def _json(body: dict[str, Any]) -> Response:
    """Encoded here: FastAPI's own encoder takes four milliseconds for a page, several times what finding it takes."""
    return Response(dump_json(body), media_type="application/json")


def read_query(parameters: list[tuple[str, str]]) -> StoreQuery:
    """The query of a request.

    Raises:
        BadRequest: for an unknown parameter or a value that does not parse, naming it.
    """
    _refuse_unknown([name for name, _ in parameters], PARAMETERS)
    lists = {
        field: frozenset(word.strip() for key, value in parameters if key == name for word in value.split(",") if word.strip())
        for name, field in _LISTS.items()
    }
    single = dict(parameters)
    low, high = _range(single.get("priceRange"), "priceRange")
    out_low, out_high = _range(single.get("priceRangeOut"), "priceRangeOut")
    sort = single.get("sort", "relevance")
    if sort not in SORTS:
        raise BadRequest(f"sort must be one of {', '.join(SORTS)}.", param="sort")
    order = single.get("order", "asc")
    if order not in ("asc", "desc"):
        raise BadRequest("order must be asc or desc.", param="order")
    return StoreQuery(
        search=single.get("search", ""),
        **lists,
        open_weights=_flag(single.get("open_weights")),
        input_min=low,
        input_max=high,
        output_min=out_low,
        output_max=out_high,
        context_min=_number(single.get("context_min"), "context_min", 2**40),
        sort=sort,
        descending=order == "desc",
        offset=_number(single.get("offset"), "offset", 10**7) or 0,
        limit=_limit(single.get("limit")),
    )


def _refuse_unknown(names: list[str], known: frozenset[str]) -> None:
    for name in names:
        if name not in known:
            expected = f" Known: {', '.join(sorted(known))}." if known else ""
            raise BadRequest(f"Unknown parameter {name[:60]!r}.{expected}", param=name[:60])


def _limit(text: str | None) -> int:
    limit = _number(text, "limit", 10**12)
    if limit == 0:
        raise BadRequest("limit must be at least 1.", param="limit")
    return min(limit or 24, MAX_LIMIT)


def _number(text: str | None, name: str, most: int) -> int | None:
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) > most:
        raise BadRequest(f"{name} must be a whole number from 0 to {most}.", param=name)
    return int(text)


def _flag(text: str | None) -> bool | None:
    if text is None or text == "":
        return None
    if text.lower() not in ("true", "false"):
        raise BadRequest("open_weights must be true or false.", param="open_weights")
    return text.lower() == "true"


def _range(text: str | None, name: str) -> tuple[int | None, int | None]:
    """`low-high` in USD per 1M tokens; either end may be left out."""
    if text is None or text == "":
        return None, None
    low, dash, high = text.partition("-")
    if not dash:
        raise BadRequest(f"{name} must be low-high in USD per 1M tokens, such as 0.5-3.", param=name)
    return _usd(low, name), _usd(high, name)


def _usd(text: str, name: str) -> int | None:
    if not text.strip():
        return None
    try:
        amount = Decimal(text.strip())
        if not amount.is_finite() or amount < 0 or amount > 10**6:
            raise ValueError(text)
        return nano_from_usd(amount)
    except (InvalidOperation, ValueError):
        raise BadRequest(f"{name} must be low-high in USD per 1M tokens, such as 0.5-3.", param=name) from None


# --- bodies ------------------------------------------------------------------------------------------------------------------------


def page_body(page: StorePage) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [summary_body(item) for item in page.items],
        "total": page.total,
        "offset": page.offset,
        "limit": page.limit,
        "has_more": page.offset + len(page.items) < page.total,
        "headline": page.headline,
        "facets": {
            name: [{"value": value.value, "label": value.label, "count": value.count} for value in values]
            for name, values in page.facets.items()
        },
    }


def summary_body(model: ModelSummary) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "provider": model.creator,
        "releaseDate": model.release_date,
        "deprecated": model.status in ("deprecated", "retired"),
        "status": model.status,
        "mode": model.mode,
        "capabilities": list(model.capabilities),
        "modalities": list(model.modalities_in),
        "modalitiesOut": list(model.modalities_out),
        "contextTokens": model.context_tokens,
        "openWeights": model.open_weights,
        "offers": model.offers,
        "providers": model.providers,
        "pricingReference": f"/catalog/models/{model.id}",
        "pricing": {
            "state": model.price_state,
            "currency": "USD",
            "unit": "1M tokens",
            "input": _amount(model.input_nano),
            "output": _amount(model.output_nano),
            "offer": model.cheapest_offer,
        },
    }


def detail_body(detail: ModelDetail) -> dict[str, Any]:
    return summary_body(detail.summary) | {
        "description": detail.description,
        "family": detail.family,
        "licence": detail.licence,
        "maxOutputTokens": detail.max_output_tokens,
        "knowledgeCutoff": detail.knowledge_cutoff,
        "deprecationDate": detail.deprecation_date,
        "supportedFormats": list(detail.supported_formats),
        "languages": list(detail.languages),
        "metrics": [],
        "capabilityMatrix": {state.capability: state.supported for state in detail.capability_matrix},
        "facts": [{"name": fact.name, "value": fact.value, "source": fact.source} for fact in detail.facts],
        "aliases": list(detail.aliases),
        "headline": detail.headline,
        "offerList": [offer_body(offer) for offer in detail.offers],
    }


def offer_body(offer: OfferView) -> dict[str, Any]:
    return {
        "id": offer.id,
        "provider": offer.provider_id,
        "providerName": offer.provider_name,
        "upstreamId": offer.upstream_id,
        "region": offer.region,
        "contextTokens": offer.context_tokens,
        "maxOutputTokens": offer.max_output_tokens,
        "status": offer.status,
        "priceState": offer.price_state,
        "input": _amount(offer.input_nano),
        "output": _amount(offer.output_nano),
        "agreement": {"agree": offer.price_agreement, "sources": offer.price_sources},
        "prices": [
            {
                "component": line.component,
                "unit": line.unit,
                "tier": line.tier,
                "usdPerMillion": line.usd_per_million,
                "amount": line.amount,
                "currency": line.currency,
                "source": line.source,
                "sourceUrl": line.source_url,
                "effectiveAt": line.effective_at,
                "observedAt": line.observed_at,
                "status": line.status,
                "inForce": line.in_force,
                "reason": line.reason,
            }
            for line in offer.prices
        ],
    }


def _amount(nano: int | None) -> float | None:
    return None if nano is None else float(usd_from_nano(nano))
