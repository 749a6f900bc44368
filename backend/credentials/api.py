"""Keys of providers over HTTP, for people who are signed in. A change counts in every process within a second. No key is ever sent back."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from backend.credentials.service import CredentialService, KeyView
from backend.identity.principal import Principal
from backend.kernel.asked import Asked

Name = Annotated[str, Field(min_length=1, max_length=63)]
ProviderName = Annotated[str, Path(max_length=64, examples=["acme"])]
KeyName = Annotated[str, Path(max_length=64, examples=["second"])]
Of = Annotated[str | None, Query(max_length=64, description="of this provider alone", examples=["acme"])]
Tenant = Annotated[str | None, Query(max_length=40, description="of this tenant's own")]
_EXAMPLE: dict[str, Any] = {"provider": "acme", "key": "sk-acme-0123456789-abcd", "name": "second"}


class NewKey(Asked):
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    provider: Annotated[str, Field(max_length=64)]
    key: Annotated[str, Field(description="the key itself; it is stored encrypted and never shown again")]
    name: Name = "default"
    tenant_id: Annotated[str | None, Field(max_length=40)] = None
    replace: bool = False


class ProviderKeys(TypedDict):
    keys: list[KeyView]


_REFUSED: dict[int | str, dict[str, Any]] = {404: {"description": "there is no such provider or key"}}
_TAKEN: dict[int | str, dict[str, Any]] = {409: {"description": "there is a key of that name, or one more than there may be"}}


def build_router(service: CredentialService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET, POST and DELETE of /admin/credentials."""
    router = APIRouter(prefix="/admin/credentials", tags=["providers"], responses=_REFUSED)
    Person = Annotated[Principal, Depends(signed_in)]

    @router.get("", summary="Keys of providers")
    async def list_credentials(person: Person, provider: Of = None, tenant_id: Tenant = None) -> ProviderKeys:
        """Keys of everybody's calls, or of a tenant's alone."""
        return {"keys": await service.keys(person, provider=provider, tenant_id=tenant_id)}

    @router.post("", summary="Store a key of a provider", status_code=201, responses=_TAKEN)
    async def add_credential(person: Person, new: NewKey) -> KeyView:
        """Store a key, for where its provider is now."""
        return await service.add(person, new.provider, new.key, name=new.name, tenant_id=new.tenant_id, replace=new.replace)

    @router.delete("/{provider}/{name}", summary="Take a stored key away", status_code=204)
    async def remove_credential(person: Person, provider: ProviderName, name: KeyName, tenant_id: Tenant = None) -> None:
        """Take away a stored key."""
        await service.remove(person, provider, name, tenant_id=tenant_id)

    return router
