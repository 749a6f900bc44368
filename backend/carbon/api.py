"""`GET /carbon/models/{id}`: what calls of a model are estimated to emit."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from backend.carbon.footprint import Footprint, Unknown
from backend.carbon.schemas import CarbonOfModel, CarbonZones
from backend.carbon.service import CarbonService
from backend.kernel.errors import BadRequest
from backend.kernel.json import dump_json

MOST_CALLS = 10**12
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a parameter is unknown or not what it has to be; `error.param` names it"},
    404: {"description": "there is no such model"},
}
ModelName = Annotated[str, Path(max_length=255, description="a model id, offer id (`provider/upstream-id`) or alias", examples=["gpt-4o"])]


def build_router(service: CarbonService) -> APIRouter:
    """GET /carbon/models/{id}."""
    router = APIRouter(prefix="/carbon", tags=["carbon"], responses=PROBLEMS)

    @router.get("/zones", summary="Electricity zones", response_model=CarbonZones)
    async def list_carbon_zones(request: Request) -> CarbonZones:
        """What `zone` may be, and which one counts where none is named."""
        _refuse_unknown(request, frozenset())
        await service.prepare()
        return CarbonZones(default=service.zone, zones=service.zones())

    @router.get("/models/{model_id:path}", summary="Energy and emissions of calls", response_model=CarbonOfModel)
    async def carbon_of_model(
        model_id: ModelName,
        request: Request,
        output_tokens: Annotated[int, Query(ge=0, le=10_000_000, description="of the answer, thoughts among them")] = 500,
        calls: Annotated[int, Query(ge=1, le=MOST_CALLS)] = 1,
        zone: Annotated[str | None, Query(pattern="^[A-Za-z]{3}$", description="of the electricity: FRA, USA …, WOR")] = None,
    ) -> Response:
        """By model id, offer id or alias. A range, what it rests on, and the method's own caveats; or the reason why there is none."""
        _refuse_unknown(request, frozenset({"output_tokens", "calls", "zone"}))
        await service.prepare()
        return Response(dump_json(body(service.per_call(model_id, output_tokens, calls=calls, zone=zone))), media_type="application/json")

    return router


def _refuse_unknown(request: Request, known: frozenset[str]) -> None:
    for name in request.query_params:
        if name not in known:
            raise BadRequest(f"Unknown parameter {name[:60]!r}.", param=name[:60])


def body(found: Footprint | Unknown) -> dict[str, Any]:
    known = found if isinstance(found, Footprint) else None
    return {
        "model": found.model_id,
        "known": known is not None,
        "reason": found.reason if isinstance(found, Unknown) else None,
        "outputTokens": found.output_tokens,
        "calls": found.calls,
        "zone": found.zone,
        "wattHours": known and {"low": known.wh_low, "high": known.wh_high},
        "gramsCO2e": known and {"low": known.grams_low, "high": known.grams_high},
        "parameters": known and known.size.label,
        "sizeSource": known and known.size.source,
        "basis": known and known.basis,
        "caveats": list(known.caveats) if known else [],
        "method": known and known.method,
    }
