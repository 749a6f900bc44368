"""Providers over HTTP, for super admins who are signed in. A change counts in every process within a second."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from backend.credentials.service import CredentialService
from backend.identity.principal import Principal
from backend.providers.edits import ProviderEdits
from backend.providers.http import UpstreamHttp
from backend.providers.service import ProviderService, ProviderView

_FIELDS = {"protocol": "openai", "base_url": "https://api.acme.example/v1", "max_parallel": 100, "models": ["acme-large"]}
Fields = Annotated[
    dict[str, Any], Body(description="fields of `providers.NAME` as in the configuration file, but for keys", examples=[_FIELDS])
]


class NewProvider(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=63)]
    settings: Annotated[dict[str, Any], Field(description="as `PATCH` takes them", examples=[_FIELDS])]
    key: Annotated[str | None, Field(description="stored encrypted under the name default, and never shown again")] = None


class WhichKey(BaseModel):
    """Nothing here says where a key is sent: that is the provider's settings' alone."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str | None, Field(min_length=1, max_length=63)] = None
    tenant_id: Annotated[str | None, Field(max_length=40)] = None


def build_router(
    service: ProviderService,
    edits: ProviderEdits,
    credentials: CredentialService,
    http: Callable[[], UpstreamHttp],
    signed_in: Callable[[Request], Awaitable[Principal]],
) -> APIRouter:
    """GET and POST of /admin/providers; GET, PATCH and DELETE of one by its name, and POST of its test."""
    router = APIRouter(prefix="/admin/providers", tags=["providers"])
    Person = Annotated[Principal, Depends(signed_in)]

    async def whole(person: Principal, name: str) -> dict[str, Any]:
        view = service.get(person, name)
        keys = await credentials.keys(person, provider=name)
        return {**_shown(view), "settings": view.settings, "keys": [asdict(key) for key in keys], "models": list(view.offers)}

    @router.get("")
    async def list_providers(person: Person) -> dict[str, Any]:
        """Every provider, whether it can be asked, and if not, why."""
        return {"providers": [_shown(view) for view in service.all(person)]}

    @router.post("", status_code=201)
    async def add_provider(person: Person, new: NewProvider) -> dict[str, Any]:
        """Make a provider that is in the database alone, with its key; its models can be asked for at once."""
        await edits.add(person, new.name, new.settings, key=new.key)
        return await whole(person, new.name)

    @router.get("/{name}")
    async def show_provider(person: Person, name: str) -> dict[str, Any]:
        """One provider, its settings, its keys by name, and the models that callers may ask it for."""
        return await whole(person, name)

    @router.patch("/{name}")
    async def change_provider(person: Person, name: str, fields: Fields) -> dict[str, Any]:
        """Edit the fields that the body has, and leave the others; null is a value, too."""
        await edits.change(person, name, fields)
        return await whole(person, name)

    @router.delete("/{name}", status_code=204)
    async def remove_provider(person: Person, name: str) -> None:
        """End a provider that is in the database alone, and its stored keys; calls under way go on."""
        await edits.remove(person, name)

    @router.post("/{name}/test")
    async def test_provider(person: Person, name: str, which: WhichKey) -> dict[str, Any]:
        """Ask the provider with each of its keys, or one, for something that costs nothing."""
        trials = await credentials.test(person, http(), name, name=which.key, tenant_id=which.tenant_id)
        return {"trials": [asdict(one) for one in trials]}

    return router


def _shown(view: ProviderView) -> dict[str, Any]:
    return {
        "name": view.name,
        "protocol": view.protocol,
        "base_url": view.base_url,
        "key": view.key,
        "usable": view.usable,
        "why": view.why or None,
        "offers": len(view.offers),
        "origin": view.origin or None,
        "edited": list(view.edited),
    }
