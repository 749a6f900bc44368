"""Prices over HTTP: what each offer costs and why, and models side by side. Amounts are USD, JSON numbers where people read them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from backend.kernel.asked import Day
from backend.kernel.clock import Clock
from backend.kernel.errors import BadRequest
from backend.kernel.json import dump_json
from backend.kernel.paging import MAX_LIMIT
from backend.pricing.bodies import ComparisonBody, ModelPricesBody, comparison_body, model_prices_body
from backend.pricing.changes import BY_DEFAULT, KINDS
from backend.pricing.feed import ATOM, ChangesBody, atom_feed, changes_body
from backend.pricing.history_bodies import HistoryBody, history_body
from backend.pricing.service import PricingService
from backend.pricing.workload import Workload

MOST_TOKENS = 100_000_000
FEED_ENTRIES = 100
Stated = Mapping[str, Any]
"""Fields of `Workload` that somebody stated."""
ModelName = Annotated[str, Path(max_length=255, description="a model id, offer id (`provider/upstream-id`) or alias", examples=["gpt-4o"])]
FirstModel = Annotated[str, Query(min_length=1, max_length=255, description="model id, offer id or alias", examples=["gpt-4o"])]
SecondModel = Annotated[str, Query(min_length=1, max_length=255, description="another", examples=["gpt-4o-mini"])]
Another = Annotated[str | None, Query(min_length=1, max_length=255)]
Tokens = Annotated[int, Query(ge=0, le=MOST_TOKENS)]
STANDARD = Workload()
_UNSTATED = "without it {}, or what is usual for models that all do another thing, or 0 where such a thing is stated"
_BESIDE = "without it 0, or what is usual for models that all do such a thing"
TokensIn = Annotated[int | None, Query(ge=0, le=MOST_TOKENS, description=_UNSTATED.format(STANDARD.input_tokens))]
TokensOut = Annotated[int | None, Query(ge=0, le=MOST_TOKENS, description=_UNSTATED.format(STANDARD.output_tokens))]
TokensBeside = Annotated[int | None, Query(ge=0, le=MOST_TOKENS, description=_BESIDE)]
Share = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Query(ge=0, le=1e9, allow_inf_nan=False)]
Word = Annotated[str | None, Query(max_length=64)]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a parameter is unknown, missing or not what it has to be; `error.param` names it"},
    404: {"description": "there is no such model"},
}


UsualWork = Callable[[Sequence[str], Stated], Workload]
"""(Names of models, what was stated) → the work that is usual for them, but for what was stated. Who knows what models do hands it in."""


def stated_work(
    inputTokens: TokensIn = None,
    outputTokens: TokensOut = None,
    callsPerDay: Amount = 1000,
    cacheShare: Share = 0,
    cacheWriteShare: Share = 0,
    reasoningTokens: Tokens = 0,
    audioInputTokens: TokensBeside = None,
    audioOutputTokens: TokensBeside = None,
    images: Annotated[int | None, Query(ge=0, le=10_000, description=_BESIDE)] = None,
    seconds: Annotated[float | None, Query(ge=0, le=1e9, allow_inf_nan=False, description=_BESIDE)] = None,
    characters: TokensBeside = None,
    serviceTier: Word = None,
    region: Word = None,
) -> Stated:
    """The fields of a workload that a query states; where a call is stated to be of something else, tokens that are not are stated to be
    none."""
    beside = {
        "audio_input_tokens": audioInputTokens, "audio_output_tokens": audioOutputTokens, "images": images, "seconds": seconds,
        "characters": characters,
    }  # fmt: skip
    named = beside | {"input_tokens": inputTokens, "output_tokens": outputTokens}
    always = {
        "calls_per_day": callsPerDay, "cache_share": cacheShare, "cache_write_share": cacheWriteShare,
        "reasoning_tokens": reasoningTokens, "service_tier": serviceTier, "region": region,
    }  # fmt: skip
    unstated = dict.fromkeys(named, 0) if any(beside.values()) else {}
    return unstated | {name: amount for name, amount in named.items() if amount is not None} | always


WORKLOAD = frozenset(stated_work.__annotations__) - {"return"}
_MODELS = ("modelA", "modelB", "modelC", "modelD", "modelE", "modelF")


Since = Annotated[Day | None, Query(description="the first day that counts, such as 2026-01-31")]
Kinds = Annotated[list[Annotated[str, Field(min_length=1)]] | None, Query(description=", ".join(KINDS), max_length=8)]
Cursor = Annotated[str | None, Query(max_length=400, description="from the page before")]
Provider = Annotated[str | None, Query(min_length=1, max_length=64, description="a provider's id, such as openai")]
Words = Annotated[str | None, Query(max_length=100, description="words in the name of model, offer or provider")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def build_router(service: PricingService, clock: Clock, usual: UsualWork, public_url: str | None = None) -> APIRouter:
    """The pricing engine's reads. `public_url` is where people find the pages."""
    router = APIRouter(prefix="/pricing", tags=["pricing"], responses=PROBLEMS)

    @router.get("/compare", summary="What models cost side by side", response_model=ComparisonBody)
    async def compare_models(
        request: Request,
        stated: Annotated[Stated, Depends(stated_work)],
        modelA: FirstModel,
        modelB: SecondModel,
        modelC: Another = None,
        modelD: Another = None,
        modelE: Another = None,
        modelF: Another = None,
    ) -> Response:
        """Two to six models for one workload, each at its cheapest offer, per call, day and month; how many calls of one equal a call of
        another, and with how long an answer both cost the same. What is not stated of the work is what is usual for what they all do."""
        only(request, {*_MODELS, *WORKLOAD})
        names = [name for name in (modelA, modelB, modelC, modelD, modelE, modelF) if name is not None]
        try:
            work = usual(names, stated)
        except ValueError as error:
            raise BadRequest(f"{str(error)[:1].upper()}{str(error)[1:]}.", param="cacheShare") from None
        return answer(comparison_body(await service.compare(names, work)))

    @router.get("/models/{model_id:path}/history", summary="What a model cost over time", response_model=HistoryBody)
    async def history_of_model(request: Request, model_id: ModelName) -> Response:
        """Steps per offer, component and source, from the sellers' dated lists and the log of public price maps, and what is announced.
        A day that a map changed is not the day that the seller did; where nobody looked, nothing is claimed."""
        only(request, set())
        return answer(history_body(await service.history(model_id), clock.now()))

    @router.get("/models/{model_id:path}", summary="What a model costs, and why", response_model=ModelPricesBody)
    async def prices_of_model(request: Request, model_id: ModelName) -> Response:
        """Every offer with every price that is stated of it: raw and per million, which is in force and why, how old it is, and how many
        sources agree."""
        only(request, set())
        return answer(model_prices_body(await service.model(model_id), clock.now()))

    @router.get("/changes", summary="What changed", response_model=ChangesBody)
    async def list_changes(
        request: Request,
        since: Since = None,
        kind: Kinds = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        model: Another = None,
        provider: Provider = None,
        q: Words = None,
    ) -> Response:
        """Prices, arrivals and ends, the newest first; the first page has what is still to come, too. `kind` may be given several times or
        with commas; without it, everything but `offer` (a model sold by one more). A change that only a public price map shows has
        `datedBy` map: it happened between `after` and `day`."""
        only(request, {"since", "kind", "limit", "cursor", "model", "provider", "q"})
        kinds, wish = kinds_of(kind), service.wish(model, provider, q)
        page = await service.changes(since, kinds, limit, cursor, wish)
        return answer(changes_body(page, await service.coming(kinds, wish) if cursor is None else []))

    @router.get("/changes.atom", summary="What changed, as a feed", response_class=Response, responses={200: {"content": {ATOM: {}}}})
    async def feed_of_changes(
        request: Request, kind: Kinds = None, cursor: Cursor = None, model: Another = None, provider: Provider = None, q: Words = None
    ) -> Response:
        """The newest hundred changes as an Atom feed, of the kinds, the model and the provider that are asked for; its link `next` leads to
        those before."""
        only(request, {"kind", "cursor", "model", "provider", "q"})
        page = await service.changes(None, kinds_of(kind), FEED_ENTRIES, cursor, service.wish(model, provider, q))
        asked = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        site = (public_url or str(request.base_url)).rstrip("/")
        return Response(atom_feed(page, asked, site=site, now=clock.now(), cursor=cursor), media_type=ATOM)

    return router


def kinds_of(words: list[str] | None) -> frozenset[str]:
    """The kinds that a query names.

    Raises:
        BadRequest: one is none.
    """
    if not words:
        return BY_DEFAULT
    named = frozenset(word.strip() for text in words for word in text.split(",") if word.strip())
    if unknown := named - set(KINDS):
        raise BadRequest(f"kind must be of {', '.join(KINDS)}, not {min(unknown)[:40]!r}.", param="kind")
    return named or BY_DEFAULT


def only(request: Request, known: set[str]) -> None:
    """Refuse parameters that mean nothing, so that a misspelt one is not silently ignored."""
    for name in request.query_params:
        if name not in known:
            hint = f" Known: {', '.join(sorted(known))}." if known else ""
            raise BadRequest(f"Unknown parameter {name[:60]!r}.{hint}", param=name[:60])


def answer(body: Mapping[str, Any]) -> Response:
    """Encoded here: FastAPI's own encoder takes several times what finding the answer takes."""
    return Response(dump_json(body), media_type="application/json")
