"""Keys of providers over HTTP, for people who are signed in. A change counts in every process within a second. No key is ever sent back."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from backend.credentials.service import CredentialService
from backend.identity.principal import Principal
from backend.providers.http import UpstreamHttp
from backend.providers.service import ProviderService, ProviderView

Name = Annotated[str, Field(min_length=1, max_length=63)]


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    provider: Annotated[str, Field(max_length=64)]
    key: str = Field(description="the key itself; it is stored encrypted and never shown again")
    name: Name = "default"
    tenant_id: Annotated[str | None, Field(max_length=40)] = None
    replace: bool = False


class WhichKey(BaseModel):
    """Nothing here says where a key is sent: that is the configuration's alone."""

    model_config = ConfigDict(extra="forbid")

    key: Name | None = None
    tenant_id: Annotated[str | None, Field(max_length=40)] = None


def build_router(
    service: CredentialService,
    providers: ProviderService,
    http: Callable[[], UpstreamHttp],
    signed_in: Callable[[Request], Awaitable[Principal]],
) -> APIRouter:
    """GET, POST and DELETE of /admin/credentials; GET of /admin/providers and of one by its name, POST of its test."""
    router = APIRouter(prefix="/admin", tags=["providers"])
    Person = Annotated[Principal, Depends(signed_in)]

    @router.get("/providers")
    async def list_providers(person: Person) -> dict[str, Any]:
        """Every configured provider, whether it can be asked, and if not, why."""
        return {"providers": [_shown(view) for view in providers.all(person)]}

    @router.get("/providers/{name}")
    async def show_provider(person: Person, name: str) -> dict[str, Any]:
        """One provider, its keys by name, and the models that the catalog knows of it."""
        view = providers.get(person, name)
        keys = await service.keys(person, provider=name)
        return {**_shown(view), "keys": [asdict(key) for key in keys], "models": list(view.offers)}

    @router.post("/providers/{name}/test")
    async def test_provider(person: Person, name: str, which: WhichKey) -> dict[str, Any]:
        """Ask the provider with each of its keys, or one, for something that costs nothing."""
        return {"trials": [asdict(one) for one in await service.test(person, http(), name, name=which.key, tenant_id=which.tenant_id)]}

    @router.get("/credentials")
    async def list_credentials(person: Person, provider: str | None = None, tenant_id: str | None = None) -> dict[str, Any]:
        """Keys of everybody's calls, or of a tenant's alone."""
        return {"keys": [asdict(key) for key in await service.keys(person, provider=provider, tenant_id=tenant_id)]}

    @router.post("/credentials", status_code=201)
    async def add_credential(person: Person, new: NewKey) -> dict[str, Any]:
        """Store a key, for where its provider is now."""
        return asdict(await service.add(person, new.provider, new.key, name=new.name, tenant_id=new.tenant_id, replace=new.replace))

    @router.delete("/credentials/{provider}/{name}", status_code=204)
    async def remove_credential(person: Person, provider: str, name: str, tenant_id: str | None = None) -> None:
        """Take away a stored key."""
        await service.remove(person, provider, name, tenant_id=tenant_id)

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
    }
