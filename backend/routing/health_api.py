"""How providers and their models do, over HTTP, for super admins who are signed in: as the process that is asked knows it."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from backend.identity.principal import Principal
from backend.routing.health_service import HealthService


def build_router(service: HealthService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET /admin/health/candidates and GET /admin/health/providers."""
    router = APIRouter(prefix="/admin/health", tags=["health"])
    Admin = Annotated[Principal, Depends(signed_in)]

    @router.get("/candidates")
    async def list_candidates(admin: Admin) -> dict[str, Any]:
        """Every candidate of a route: whether its breaker is open and since when, its newest error, its latency, its next probe."""
        return {"candidates": [asdict(state) for state in service.candidates(admin)]}

    @router.get("/providers")
    async def list_providers(admin: Admin) -> dict[str, Any]:
        """Every provider: whether it can be reached, whether it accepts our key, how many calls it has."""
        return {"providers": [asdict(state) for state in service.providers(admin)]}

    return router
