"""Which models providers have, over HTTP, for super admins who are signed in."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from backend.identity.principal import Principal
from backend.kernel.asked import Amount, Asked
from backend.routing.discovery import Discovered, Discovery

Price = Annotated[Amount, Field(ge=0, description="USD per 1M tokens; 0 is free")]
ProviderName = Annotated[str, Path(max_length=64, examples=["acme"])]
_EXAMPLE: dict[str, Any] = {"model": "acme-large", "input": "0.4", "output": "1.6"}


class ModelToAdopt(Asked):
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    model: Annotated[str, Field(min_length=1, max_length=255, description="as the provider calls it")]
    input: Price
    output: Price
    alias: Annotated[str | None, Field(min_length=1, max_length=255, description="`provider/model` if not given")] = None


class DiscoveredModels(TypedDict):
    provider: str
    models: list[Discovered]


class AdoptedModel(TypedDict):
    alias: str


_FAILED: dict[int | str, dict[str, Any]] = {
    409: {"description": "it cannot be asked, has no list, or the alias is another route's"},
    502: {"description": "the provider did not answer with a list"},
}


def build_router(discovery: Discovery, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET and POST of /admin/discovery/{provider}."""
    router = APIRouter(prefix="/admin/discovery", tags=["providers"], responses=_FAILED)
    Admin = Annotated[Principal, Depends(signed_in)]

    @router.get("/{provider}", summary="The models that a provider says it has")
    async def discover_models(admin: Admin, provider: ProviderName) -> DiscoveredModels:
        """The models that a provider says it has, those without a price first, and what the store knows of each."""
        return {"provider": provider, "models": await discovery.models(admin, provider)}

    @router.post("/{provider}", summary="Give one of them a price", status_code=201)
    async def adopt_model(admin: Admin, provider: ProviderName, offer: ModelToAdopt) -> AdoptedModel:
        """Give a model of it a price, so that it can be asked: an alias with it as its candidate."""
        prices = {"input_usd": offer.input, "output_usd": offer.output}
        return {"alias": await discovery.adopt(admin, provider, offer.model, alias=offer.alias, **prices)}

    return router
