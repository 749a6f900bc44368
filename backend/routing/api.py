"""Routes over HTTP, for super admins who are signed in. A change counts in every process within a second."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import Field
from typing_extensions import TypedDict

from backend.identity.principal import Principal
from backend.kernel.money import usd_from_nano
from backend.routing.service import RouteService, RouteView

_FIELDS = {
    "strategy": "cheapest",
    "candidates": [{"provider": "acme", "model": "gpt-4o-mini", "weight": 3}],
    "timeouts": {"total": "60s"},
    "rules": [{"task": "code", "use": ["acme/gpt-4o-mini"]}],
}
Name = Annotated[str, Path(max_length=255, description="an alias; it may hold slashes", examples=["fast"])]
UsdPerMillion = Annotated[str | None, Field(description="a decimal, USD per 1M tokens; null: there is none of that kind")]


class CandidateBody(TypedDict):
    """`price_from` is route (the operator's own), catalog, fallback or none; `why` says why it would not be asked."""

    provider: str
    model: str
    offer_id: str
    weight: int
    price_from: str
    price_state: str
    input_usd_per_million: UsdPerMillion
    output_usd_per_million: UsdPerMillion
    usable: bool
    why: str | None


class RouteBody(TypedDict):
    """`kind` is alias, or offers (a provider's model, or a name of the catalog); `origin` of an alias is configuration, database or both.
    `edited` are the fields that the database decides, in dots; `why` says why no call would be answered."""

    name: str
    kind: str
    strategy: str
    enabled: bool
    max_output_tokens: int | None
    candidates: list[CandidateBody]
    origin: str
    edited: list[str]
    settings: Annotated[dict[str, Any], Field(description="as it would stand in the configuration file")]
    notes: list[str]
    usable: bool
    why: str | None
    trouble: str | None


class RouteBodies(TypedDict):
    routes: list[RouteBody]


_TAKEN: dict[int | str, dict[str, Any]] = {409: {"description": "the configuration file decides, or somebody has changed it meanwhile"}}


def build_router(service: RouteService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET /admin/routes, and GET, PUT, PATCH and DELETE of one by its name, which may hold slashes."""
    router = APIRouter(prefix="/admin/routes", tags=["routes"])
    Admin = Annotated[Principal, Depends(signed_in)]
    Fields = Annotated[dict[str, Any], Body(description="fields of `models[]` as in the configuration file", examples=[_FIELDS])]
    All = Annotated[bool, Query(description="also what is no alias")]

    @router.get("", summary="Routes")
    async def list_routes(admin: Admin, *, all: All = False) -> RouteBodies:
        """Every alias, and with `all` every model that configured providers sell."""
        return {"routes": [_shown(view) for view in service.all(admin) if all or view.kind == "alias"]}

    @router.get("/{name:path}", summary="One route")
    async def show_route(admin: Admin, name: Name) -> RouteBody:
        """What a name stands for: its settings, its candidates, and why one would not be asked."""
        return _shown(service.get(admin, name))

    @router.put("/{name:path}", summary="Make or replace a route", responses=_TAKEN)
    async def replace_route(admin: Admin, name: Name, fields: Fields) -> RouteBody:
        """Make the body all that is edited of an alias; `{}` goes back to the file. Makes the alias if there is none."""
        await service.edits.replace(admin, name, fields)
        return _shown(await service.seen(admin, name))

    @router.patch("/{name:path}", summary="Edit a route", responses=_TAKEN)
    async def change_route(admin: Admin, name: Name, fields: Fields) -> RouteBody:
        """Edit the fields that the body has, and leave the others; null is a value, too."""
        await service.edits.change(admin, name, fields)
        return _shown(await service.seen(admin, name))

    @router.delete("/{name:path}", summary="End a route", status_code=204, responses=_TAKEN)
    async def delete_route(admin: Admin, name: Name) -> None:
        """End an alias that is in the database alone."""
        await service.edits.delete(admin, name)
        await service.refresh()

    return router


def _shown(view: RouteView) -> RouteBody:
    shown: Any = {**asdict(view), "usable": view.usable, "why": view.why or None, "trouble": view.trouble or None}
    for candidate, one in zip(shown["candidates"], view.candidates, strict=True):
        for kind in ("input", "output"):
            nano = candidate.pop(f"{kind}_nano")
            candidate[f"{kind}_usd_per_million"] = None if nano is None else f"{usd_from_nano(nano).normalize():f}"
        candidate |= {"usable": one.usable, "why": one.why or None}
    found: RouteBody = shown
    return found
