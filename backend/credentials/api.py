"""Keys of providers over HTTP, for people who are signed in. A change counts in every process within a second. No key is ever sent back."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from backend.credentials.service import CredentialService
from backend.identity.principal import Principal

Name = Annotated[str, Field(min_length=1, max_length=63)]


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    provider: Annotated[str, Field(max_length=64)]
    key: str = Field(description="the key itself; it is stored encrypted and never shown again")
    name: Name = "default"
    tenant_id: Annotated[str | None, Field(max_length=40)] = None
    replace: bool = False


def build_router(service: CredentialService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET, POST and DELETE of /admin/credentials."""
    router = APIRouter(prefix="/admin/credentials", tags=["providers"])
    Person = Annotated[Principal, Depends(signed_in)]

    @router.get("")
    async def list_credentials(person: Person, provider: str | None = None, tenant_id: str | None = None) -> dict[str, Any]:
        """Keys of everybody's calls, or of a tenant's alone."""
        return {"keys": [asdict(key) for key in await service.keys(person, provider=provider, tenant_id=tenant_id)]}

    @router.post("", status_code=201)
    async def add_credential(person: Person, new: NewKey) -> dict[str, Any]:
        """Store a key, for where its provider is now."""
        return asdict(await service.add(person, new.provider, new.key, name=new.name, tenant_id=new.tenant_id, replace=new.replace))

    @router.delete("/{provider}/{name}", status_code=204)
    async def remove_credential(person: Person, provider: str, name: str, tenant_id: str | None = None) -> None:
        """Take away a stored key."""
        await service.remove(person, provider, name, tenant_id=tenant_id)

    return router
