"""Changing the catalog over HTTP, for super admins who are signed in. A change counts in every process within a second."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from backend.catalog.answers_schema import ChangedModels, ModelBody
from backend.catalog.api import Name, whole_model
from backend.catalog.concurrency import expected_version
from backend.catalog.edits.fields import ModelChange, NewModel, NewOffer, WholeModel
from backend.catalog.edits.service import CatalogEdits
from backend.catalog.measured import Measured
from backend.catalog.service import CatalogService
from backend.identity.principal import Principal

_CONFLICTS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a field is not what it has to be; `error.param` names it"},
    401: {"description": "nobody is signed in"},
    403: {"description": "only a super admin may, and only from our own pages"},
    404: {"description": "there is no such model"},
    409: {"description": "there is one already, or it has changed since the `version` that the body names"},
    412: {"description": "it has changed since the version that `If-Match` names"},
}
_HIDDEN: dict[int | str, dict[str, Any]] = {
    **_CONFLICTS,
    204: {"description": "done, and the model is hidden, so there is nothing to show"},
}
IfMatch = Annotated[str | None, Header(max_length=200, description="the ETag that reading it gave, or its `version` in quotes")]


OfferName = Annotated[str, Path(max_length=255, description="as `offerList` names it", examples=["acme/acme-large"])]


def build_router(
    edits: CatalogEdits, catalog: CatalogService, measured: Measured, signed_in: Callable[[Request], Awaitable[Principal]]
) -> APIRouter:
    """POST, PUT, PATCH and DELETE below /catalog/models, and what was changed under /admin."""
    router = APIRouter(tags=["catalog"])
    Person = Annotated[Principal, Depends(signed_in)]

    async def shown(model_id: str, status: int = 200) -> Response:
        if catalog.summary(model_id) is None:
            return Response(status_code=204)  # it is changed, and hidden
        answer = await whole_model(catalog, measured, model_id)
        headers = {"etag": answer.etag, "cache-control": "no-store"}
        if status == 201:
            headers["location"] = f"/catalog/models/{model_id}"
        return Response(answer.body, status, headers, answer.media_type)

    @router.get("/admin/catalog/models", summary="Models that operators made, changed or deleted")
    async def list_changed_models(person: Person) -> ChangedModels:
        """By id, with the fields that an operator decides."""
        return ChangedModels.model_validate({"models": [asdict(model) for model in await edits.all(person)]})

    @router.post("/catalog/models", status_code=201, summary="Add a model", response_model=ModelBody, responses=_CONFLICTS)
    async def add_model(person: Person, new: NewModel) -> Response:
        """A model of one's own. Sources that come to name it fill in what was not said."""
        return await shown(await edits.create(person, new), 201)

    @router.post(
        "/catalog/models/{model_id}/offers", status_code=201, summary="Add an offer of a model", response_model=ModelBody, responses=_HIDDEN
    )
    async def add_offer(person: Person, model_id: Name, new: NewOffer) -> Response:
        """Say that a provider sells it under an id of its own; unpriced until a price is stated."""
        offer_id = await edits.add_offer(person, model_id, new)
        return await shown(offer_id, 201)

    @router.delete(
        "/catalog/models/{model_id}/offers/{offer_id:path}",
        status_code=204,
        summary="End an offer that an operator added",
        responses=_CONFLICTS,
    )
    async def end_offer(person: Person, model_id: Name, offer_id: OfferName) -> None:
        """It is retired; what was charged by it stays in the ledger."""
        await edits.end_offer(person, model_id, offer_id)

    @router.put(
        "/catalog/models/{model_id:path}",
        summary="Say everything that is not as the sources say",
        response_model=ModelBody,
        responses=_HIDDEN,
    )
    async def replace_model(person: Person, model_id: Name, whole: WholeModel, if_match: IfMatch = None) -> Response:
        """Fields that are missing go back to what the sources say."""
        return await shown(await edits.replace(person, model_id, whole, if_match=expected_version(if_match)))

    @router.patch(
        "/catalog/models/{model_id:path}", summary="Change a model, or take changes back", response_model=ModelBody, responses=_HIDDEN
    )
    async def change_model(person: Person, model_id: Name, change: ModelChange, if_match: IfMatch = None) -> Response:
        """A field that is set holds against later ingestion until it is reset. `hidden: false` brings back a deleted model. A model that is
        hidden is changed and not shown: 204."""
        return await shown(await edits.change(person, model_id, change, if_match=expected_version(if_match)))

    @router.delete("/catalog/models/{model_id:path}", status_code=204, summary="Take a model out of the store", responses=_CONFLICTS)
    async def delete_model(person: Person, model_id: Name, if_match: IfMatch = None) -> None:
        """It stays out though sources go on naming it, until `PATCH` with `hidden: false`."""
        await edits.delete(person, model_id, if_match=expected_version(if_match))

    return router
