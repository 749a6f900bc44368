"""`POST /match`, `GET /taxonomy` and `GET /suggestions/{id}`."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict

from backend.kernel.errors import BadRequest, ModelNotFound
from backend.kernel.json import dump_json
from backend.matching.answers import MatchShape, SuggestionsShape, TaxonomyShape
from backend.matching.bodies import match_body, taxonomy_body
from backend.matching.schemas import MatchIn, WorkloadIn
from backend.matching.service import MOST_SUGGESTED, MatchingService
from backend.matching.suggest_bodies import suggestions_body

_REFUSED: dict[int | str, dict[str, Any]] = {400: {"description": "A field or parameter is unknown or out of bounds; `param` names it."}}
_UNKNOWN: dict[int | str, dict[str, Any]] = {**_REFUSED, 404: {"description": "No model or offer has this name."}}


def build_router(service: MatchingService) -> APIRouter:
    """The routes of matching; all of them only read."""
    router = APIRouter(tags=["matching"])

    @router.post("/match", summary="Rank models for a task", response_model=MatchShape, responses=_REFUSED)
    async def match_models(body: MatchIn, request: Request) -> Response:
        """Reads the description, keeps the models that satisfy what must hold, and ranks them by what is preferred. The same question
        gets the same answer until prices, benchmarks or the catalog change. Nothing is asked of any model."""
        _no_parameters(request)
        return _json(match_body(await service.match(body.question())))

    @router.get("/taxonomy", summary="Tasks, and what they need", response_model=TaxonomyShape, responses=_REFUSED)
    async def get_taxonomy(request: Request) -> Response:
        """Every task that a description can be taken for: the words that name it, the ways to do it and the skills that decide."""
        _no_parameters(request)
        return _json(taxonomy_body())

    @router.get(
        "/suggestions/{model_id:path}",
        summary="What could be taken instead of a model",
        response_model=SuggestionsShape,
        responses=_UNKNOWN,
    )
    async def suggest_models(
        model_id: Annotated[
            str, Path(max_length=300, description="a model id, an offer id with its slashes, or an alias", examples=["gpt-4o"])
        ],
        asked: Annotated[SuggestionQuery, Query()],
    ) -> Response:
        """Three lists for a stated workload: cheaper but similar, better for the same money, and the same model at a cheaper offer. An
        empty list says why. Costs are those of the cheapest offer, or of the offer that is named."""
        found = await service.suggestions(model_id, asked.stated(), asked.limit)
        if found is None:
            raise ModelNotFound(f"There is no model {model_id[:100]!r} in the catalog.", param="id")
        return _json(suggestions_body(found))

    return router


class SuggestionQuery(WorkloadIn):
    """A workload, and how long each list may be."""

    model_config = ConfigDict(strict=False)  # a query is made of texts

    limit: Annotated[int, Query(ge=1, le=MOST_SUGGESTED)] = 5


def _json(body: dict[str, Any]) -> Response:
    return Response(dump_json(body), media_type="application/json")


def _no_parameters(request: Request) -> None:
    for name in request.query_params:
        raise BadRequest(f"Unknown parameter {name[:60]!r}.", param=name[:60])
