"""Which models providers have, over HTTP, for super admins who are signed in."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from backend.identity.principal import Principal
from backend.routing.discovery import Discovery

Price = Annotated[Decimal, Field(ge=0, description="USD per 1M tokens; 0 is free")]


class NewOffer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1, max_length=255, description="as the provider calls it")]
    input: Price
    output: Price
    alias: Annotated[str | None, Field(min_length=1, max_length=255, description="`provider/model` if not given")] = None


def build_router(discovery: Discovery, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET and POST of /admin/discovery/{provider}."""
    router = APIRouter(prefix="/admin/discovery", tags=["providers"])
    Admin = Annotated[Principal, Depends(signed_in)]

    @router.get("/{provider}")
    async def discover(admin: Admin, provider: str) -> dict[str, Any]:
        """The models that a provider says it has, those without a price first, and what the store knows of each."""
        found = await discovery.models(admin, provider)
        return {"provider": provider, "models": [asdict(one) for one in found]}

    @router.post("/{provider}", status_code=201)
    async def adopt(admin: Admin, provider: str, offer: NewOffer) -> dict[str, Any]:
        """Give a model of it a price, so that it can be asked: an alias with it as its candidate."""
        prices = {"input_usd": offer.input, "output_usd": offer.output}
        return {"alias": await discovery.adopt(admin, provider, offer.model, alias=offer.alias, **prices)}

    return router
