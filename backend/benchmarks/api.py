"""Benchmarks over HTTP: the catalogue, what a model scored, and new results from super admins."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from backend.benchmarks.bodies import (
    BenchmarksBody,
    IngestBody,
    IngestIn,
    ModelBenchmarksBody,
    Skill,
    benchmark_body,
    ingest_body,
    model_body,
)
from backend.benchmarks.service import BenchmarkService
from backend.catalog.query import refuse_unknown
from backend.catalog.service import CatalogService
from backend.identity.principal import Principal
from backend.kernel.errors import ModelNotFound
from backend.kernel.json import dump_json

MAX_LIMIT = 1000
_FILTERS = frozenset({"skill", "language", "dataset", "search", "offset", "limit"})
_EXAMPLE = {
    "results": [
        {
            "model": "gpt-4o",
            "benchmark": "aider-polyglot-percent-correct-2-tries",
            "score": 23.1,
            "date": "2026-11-20",
            "sourceUrl": "https://example.org/our-own-run",
            "dataset": "our own run",
            "licence": "CC0-1.0",
            "reportedBy": "platform team",
            "selfReported": False,
        }
    ]
}
_BAD = {400: {"description": "a parameter or field is unknown, missing or not what it has to be; `error.param` names it"}}
_PRIVATE = {
    401: {"description": "nobody is signed in"},
    403: {"description": "he is no super admin, or another site asks"},
}
_MISSING = {404: {"description": "the catalog has no such model"}}


def _described(*parts: Mapping[int, dict[str, str]]) -> dict[int | str, dict[str, Any]]:
    return {status: dict(text) for part in parts for status, text in part.items()}


def build_router(service: BenchmarkService, catalog: CatalogService) -> APIRouter:
    """The reads."""
    router = APIRouter(prefix="/benchmarks", tags=["benchmarks"])

    @router.get("", summary="Which benchmarks there are", response_model=BenchmarksBody, responses=_described(_BAD))
    async def list_benchmarks(
        request: Request,
        skill: Annotated[Skill | None, Query()] = None,
        language: Annotated[str | None, Query(max_length=16, description="BCP 47")] = None,
        dataset: Annotated[str | None, Query(max_length=120, description="as in `dataset`, whole")] = None,
        search: Annotated[str | None, Query(max_length=160, description="part of the id, name or metric")] = None,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
    ) -> Response:
        """Every metric of every version, with direction, scale, source, licence, and how many results it has. Filters hold all at once."""
        refuse_unknown([name for name, _ in request.query_params.multi_items()], _FILTERS)
        text = (search or "").casefold()
        found = [
            view
            for view in await service.catalogue()
            if (skill is None or view.skill == skill)
            and (language is None or view.language == language)
            and (dataset is None or view.dataset == dataset)
            and text in f"{view.id} {view.name} {view.metric}".casefold()
        ]
        page = found[offset : offset + limit]
        return _json(
            {
                "object": "list",
                "data": [benchmark_body(view) for view in page],
                "total": len(found),
                "offset": offset,
                "limit": limit,
                "has_more": offset + len(page) < len(found),
            }
        )

    @router.get(
        "/models/{model_id:path}", summary="What a model scored", response_model=ModelBenchmarksBody, responses=_described(_BAD, _MISSING)
    )
    async def benchmarks_of_model(
        request: Request,
        model_id: Annotated[str, Path(max_length=255, description="a model id, offer id or alias", examples=["gpt-4o"])],
    ) -> Response:
        """Every published result with its source and date, and the scores of skills that follow from them, each with its interval."""
        refuse_unknown([name for name, _ in request.query_params.multi_items()], frozenset())
        model = catalog.summary(model_id)
        if model is None:
            raise ModelNotFound(f"There is no model {model_id[:100]!r} in the catalog.", param="id")
        return _json(model_body(model.name, await service.of_model(model.id)))

    return router


def build_edits_router(service: BenchmarkService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """`POST /benchmarks`, for super admins."""
    router = APIRouter(prefix="/benchmarks", tags=["benchmarks"])

    @router.post("", summary="Add results", response_model=IngestBody, responses=_described(_BAD, _PRIVATE))
    async def add_results(
        admin: Annotated[Principal, Depends(signed_in)], asked: Annotated[IngestIn, Body(examples=[_EXAMPLE])]
    ) -> Response:
        """At most 1,000 results at once, and definitions of benchmarks that are new. All or nothing; the same request twice changes nothing
        more. A published name that no model answers to is kept and named in `unmatched`."""
        results = [result.record() for result in asked.results]
        report = await service.ingest(admin, results, [benchmark.record() for benchmark in asked.benchmarks])
        return _json(ingest_body(report))

    return router


def _json(body: Mapping[str, Any]) -> Response:
    """Encoded here: FastAPI's own encoder takes several times what finding the answer takes."""
    return Response(dump_json(body), media_type="application/json")
