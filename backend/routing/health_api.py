"""How providers and their models do, over HTTP, for super admins who are signed in: as the process that is asked knows it."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from typing_extensions import TypedDict

from backend.identity.principal import Principal
from backend.routing.health_service import CandidateState, HealthService, ProviderState


class CandidateStates(TypedDict):
    candidates: list[CandidateState]


class ProviderStates(TypedDict):
    providers: list[ProviderState]


def build_router(service: HealthService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET /admin/health/candidates and GET /admin/health/providers."""
    router = APIRouter(prefix="/admin/health", tags=["health"])
    Admin = Annotated[Principal, Depends(signed_in)]

    @router.get("/candidates", summary="How candidates do")
    async def list_candidate_health(admin: Admin) -> CandidateStates:
        """Every candidate of a route: whether its breaker is open and since when, its newest error, its latency, its next probe."""
        return {"candidates": service.candidates(admin)}

    @router.get("/providers", summary="How providers do")
    async def list_provider_health(admin: Admin) -> ProviderStates:
        """Every provider: whether it can be reached, whether it accepts our key, how many calls it has."""
        return {"providers": service.providers(admin)}

    return router
