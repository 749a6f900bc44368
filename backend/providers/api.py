"""Providers over HTTP, for super admins who are signed in. A change counts in every process within a second."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Request
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from backend.credentials.service import CredentialService, KeyView, Trial
from backend.identity.principal import Principal
from backend.kernel.asked import Asked
from backend.providers.edits import ProviderEdits
from backend.providers.http import UpstreamHttp
from backend.providers.service import ProviderService, ProviderView

_FIELDS = {"protocol": "openai", "base_url": "https://api.acme.example/v1", "max_parallel": 100, "models": ["acme-large"]}
Fields = Annotated[
    dict[str, Any], Body(description="fields of `providers.NAME` as in the configuration file, but for keys", examples=[_FIELDS])
]
Name = Annotated[str, Path(max_length=64, examples=["acme"])]
_EXAMPLE: dict[str, Any] = {"name": "acme", "settings": _FIELDS, "key": "sk-acme-0123456789-wxyz"}


class NewProvider(Asked):
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: Annotated[str, Field(min_length=1, max_length=63)]
    settings: Annotated[dict[str, Any], Field(description="as `PATCH` takes them", examples=[_FIELDS])]
    key: Annotated[str | None, Field(description="stored encrypted under the name default, and never shown again")] = None


class WhichKey(Asked):
    """Nothing here says where a key is sent: that is the provider's settings' alone."""

    model_config = ConfigDict(json_schema_extra={"example": {"key": "default"}})

    key: Annotated[str | None, Field(min_length=1, max_length=63)] = None
    tenant_id: Annotated[str | None, Field(max_length=40)] = None


class ProviderBody(TypedDict):
    """`key` is present, missing or none (there is none, and none is needed); `why` says why it cannot be asked. `edited` are the fields
    that the database decides, in dots."""

    name: str
    protocol: str
    base_url: str | None
    key: str
    usable: bool
    why: str | None
    offers: Annotated[int, Field(description="models that callers may ask it for")]
    origin: Annotated[str | None, Field(description="configuration, database or both; null: the sandbox, which nobody has written down")]
    edited: list[str]


class WholeProviderBody(ProviderBody):
    """With its settings as they would stand in the configuration file, its keys by name, and its models."""

    settings: dict[str, Any]
    keys: list[KeyView]
    models: list[str]


class ProviderBodies(TypedDict):
    providers: list[ProviderBody]


class Trials(TypedDict):
    trials: list[Trial]


_TAKEN: dict[int | str, dict[str, Any]] = {409: {"description": "there is one already, or it is in the configuration file, or in use"}}


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

    async def whole(person: Principal, name: str) -> WholeProviderBody:
        view = service.get(person, name)
        keys = await credentials.keys(person, provider=name)
        return {**_shown(view), "settings": dict(view.settings), "keys": keys, "models": list(view.offers)}

    @router.get("", summary="Providers, and whether each can be asked")
    async def list_providers(person: Person) -> ProviderBodies:
        """Every provider, whether it can be asked, and if not, why."""
        return {"providers": [_shown(view) for view in service.all(person)]}

    @router.post("", summary="Add a provider", status_code=201, responses=_TAKEN)
    async def add_provider(person: Person, new: NewProvider) -> WholeProviderBody:
        """Make a provider that is in the database alone, with its key; its models can be asked for at once."""
        await edits.add(person, new.name, new.settings, key=new.key)
        return await whole(person, new.name)

    @router.get("/{name}", summary="One provider")
    async def show_provider(person: Person, name: Name) -> WholeProviderBody:
        """One provider, its settings, its keys by name, and the models that callers may ask it for."""
        return await whole(person, name)

    @router.patch("/{name}", summary="Edit a provider", responses=_TAKEN)
    async def change_provider(person: Person, name: Name, fields: Fields) -> WholeProviderBody:
        """Edit the fields that the body has, and leave the others; null is a value, too."""
        await edits.change(person, name, fields)
        return await whole(person, name)

    @router.delete("/{name}", summary="End a provider", status_code=204, responses=_TAKEN)
    async def remove_provider(person: Person, name: Name) -> None:
        """End a provider that is in the database alone, and its stored keys; calls under way go on."""
        await edits.remove(person, name)

    @router.post("/{name}/test", summary="Try a provider's keys", responses=_TAKEN)
    async def test_provider(person: Person, name: Name, which: WhichKey) -> Trials:
        """Ask the provider with each of its keys, or one, for something that costs nothing."""
        trials = await credentials.test(person, http(), name, name=which.key, tenant_id=which.tenant_id)
        return {"trials": trials}

    return router


def _shown(view: ProviderView) -> ProviderBody:
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
