"""Reads of the catalog: `GET /catalog/models` and `GET /catalog/models/{id}`, in the seed's shape with more beside it."""

import asyncio
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from backend.catalog import cursor
from backend.catalog.answers import Answer, Answers, etag
from backend.catalog.answers_schema import FOUND, LISTED, ModelBody, ModelPageBody
from backend.catalog.bodies import chosen_fields, detail_body, page_body
from backend.catalog.concurrency import version_of
from backend.catalog.export import models_as_csv
from backend.catalog.measured import Measured
from backend.catalog.parameters import LIST_PARAMETERS
from backend.catalog.query import read_query, refuse_unknown, words
from backend.catalog.service import CatalogService
from backend.kernel.errors import BadRequest, ModelNotFound
from backend.kernel.json import dump_json

Name = Annotated[str, Path(max_length=255, description="a model id, offer id or alias", examples=["gpt-4o"])]
_FORMATS = ("json", "csv")


def build_router(service: CatalogService, measured: Measured, answers: Answers) -> APIRouter:
    """The catalog's reads; writes are in `edits.api`."""
    router = APIRouter(prefix="/catalog", tags=["catalog"])

    @router.get("/models", summary="Search models", response_model=ModelPageBody, responses=LISTED, openapi_extra=LIST_PARAMETERS)
    async def list_models(request: Request) -> Response:
        """Filters hold all at once; repeat a parameter or separate values by commas to give several. As CSV it is every model found."""
        parameters = request.query_params.multi_items()
        query = read_query(parameters, service.provider_called)
        fields = chosen_fields(words(parameters, "fields"))
        as_csv = _wants_csv(request, dict(parameters).get("format"))
        evidence = await measured.evidence(query)

        async def page() -> Answer:
            if as_csv:
                return _csv(await asyncio.to_thread(lambda: models_as_csv(service.all(query, evidence))))
            found = service.search(query, evidence)
            end = found.offset + len(found.items)
            more = cursor.following(query, [item.id for item in found.items], end) if found.items and end < found.total else None
            body = dump_json(page_body(found, fields, evidence, more))
            return Answer(body, etag(body))

        key = ("csv", replace(query, offset=0, limit=1, after=())) if as_csv else ("models", fields, query)
        return await answers.answer(request, f"{service.version} {measured.revision}", key, page)

    @router.get("/models/{model_id:path}", summary="One model with its offers and prices", response_model=ModelBody, responses=FOUND)
    async def get_model(model_id: Name, request: Request) -> Response:
        """By model id, offer id (`provider/upstream-id`) or alias."""
        refuse_unknown([name for name, _ in request.query_params.multi_items()], frozenset())
        await measured.refresh()

        async def model() -> Answer:
            return await whole_model(service, measured, model_id)

        return await answers.answer(request, f"{service.version} {measured.revision}", ("model", model_id), model)

    return router


def _wants_csv(request: Request, format_: str | None) -> bool:
    if format_:
        if format_ not in _FORMATS:
            raise BadRequest("format must be json or csv.", param="format")
        return format_ == "csv"
    accepted = request.headers.get("accept", "")[:1000].lower()
    return "text/csv" in accepted and "json" not in accepted


def _csv(body: bytes) -> Answer:
    return Answer(body, etag(body), "text/csv; charset=utf-8", (("content-disposition", 'attachment; filename="models.csv"'),))


async def whole_model(service: CatalogService, measured: Measured, name: str) -> Answer:
    """One model as it is now.

    Raises:
        ModelNotFound: nothing goes by that name.
    """
    detail = await service.model(name)
    if detail is None:
        raise ModelNotFound(f"There is no model {name[:100]!r} in the catalog.", param="id")
    model_id, version = detail.summary.id, version_of(detail.updated_at)
    languages = () if detail.languages else await measured.languages(model_id)
    body = dump_json(detail_body(detail, await measured.metrics(model_id), languages, version))
    return Answer(body, etag(body, f"-{version}"))
