"""Routes over HTTP, for super admins who are signed in. A change counts in every process within a second."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request

from backend.identity.principal import Principal
from backend.kernel.money import usd_from_nano
from backend.routing.service import RouteService, RouteView

_FIELDS = {
    "strategy": "cheapest",
    "candidates": [{"provider": "acme", "model": "gpt-4o-mini", "weight": 3}],
    "timeouts": {"total": "60s"},
    "rules": [{"task": "code", "use": ["acme/gpt-4o-mini"]}],
}


def build_router(service: RouteService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET /admin/routes, and GET, PUT, PATCH and DELETE of one by its name, which may hold slashes."""
    router = APIRouter(prefix="/admin/routes", tags=["routes"])
    Admin = Annotated[Principal, Depends(signed_in)]
    Fields = Annotated[dict[str, Any], Body(description="fields of `models[]` as in the configuration file", examples=[_FIELDS])]

    @router.get("")
    async def list_routes(admin: Admin, *, all: bool = False) -> dict[str, Any]:
        """Every alias, and with `all` every model that configured providers sell."""
        return {"routes": [_shown(view) for view in service.all(admin) if all or view.kind == "alias"]}

    @router.get("/{name:path}")
    async def show_route(admin: Admin, name: str) -> dict[str, Any]:
        """What a name stands for: its settings, its candidates, and why one would not be asked."""
        return _shown(service.get(admin, name))

    @router.put("/{name:path}")
    async def replace_route(admin: Admin, name: str, fields: Fields) -> dict[str, Any]:
        """Make the body all that is edited of an alias; `{}` goes back to the file. Makes the alias if there is none."""
        await service.edits.replace(admin, name, fields)
        return _shown(await service.seen(admin, name))

    @router.patch("/{name:path}")
    async def change_route(admin: Admin, name: str, fields: Fields) -> dict[str, Any]:
        """Edit the fields that the body has, and leave the others; null is a value, too."""
        await service.edits.change(admin, name, fields)
        return _shown(await service.seen(admin, name))

    @router.delete("/{name:path}", status_code=204)
    async def delete_route(admin: Admin, name: str) -> None:
        """End an alias that is in the database alone."""
        await service.edits.delete(admin, name)
        await service.refresh()

    return router


def _shown(view: RouteView) -> dict[str, Any]:
    shown = {**asdict(view), "usable": view.usable, "why": view.why or None, "trouble": view.trouble or None}
    for candidate, one in zip(shown["candidates"], view.candidates, strict=True):
        for kind in ("input", "output"):
            nano = candidate.pop(f"{kind}_nano")
            candidate[f"{kind}_usd_per_million"] = None if nano is None else f"{usd_from_nano(nano).normalize():f}"
        candidate |= {"usable": one.usable, "why": one.why or None}
    return shown
