"""Sources of models and prices over HTTP, for super admins who are signed in."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.routing import APIRoute
from starlette.datastructures import UploadFile

from backend.catalog.query import refuse_unknown
from backend.identity.principal import Principal
from backend.jobs.schemas import RunPage, RunView, SourceList
from backend.jobs.service import IngestionService
from backend.kernel.errors import BadRequest

SourceName = Annotated[str, Path(max_length=63, description="of a source", examples=["our-prices"])]
RunId = Annotated[str, Path(max_length=64, examples=["ing_01k0"])]
UPLOAD_PATH = "/admin/ingestion/upload"
MAX_UPLOAD_BYTES = 16 * 1024**2
FormatName = Literal["litellm", "genai-prices", "models.dev", "openrouter", "table"]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TABLE = "provider,model,input,output\nacme,acme-large,0.4,1.6\n"
_FORM = {"schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}}
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "description": "the text itself, or a form with it as `file`",
        "content": {
            "multipart/form-data": _FORM,
            "text/csv": {**_BINARY, "example": _TABLE},
            "application/yaml": _BINARY,
            "application/json": {"schema": {}},
        },
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a parameter, a name, a format or a text is wrong"},
    401: {"description": "not signed in"},
    403: {"description": "not a super admin"},
    409: {"description": "another ingestion is under way"},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "no such source or run"}}


def build_router(service: IngestionService, signed_in: Callable[[Request], Awaitable[Principal]]) -> APIRouter:
    """GET sources and runs, POST to fetch or hand in a source, DELETE to forget one, all under /admin/ingestion."""
    known = [Depends(_only_known)]
    errors: dict[int | str, dict[str, Any]] = {code: _ERRORS[code] for code in (400, 401, 403)}
    router = APIRouter(prefix="/admin/ingestion", tags=["ingestion"], responses=errors, dependencies=known)
    Admin = Annotated[Principal, Depends(signed_in)]
    Name = Annotated[
        str, Query(min_length=1, max_length=63, pattern="^[a-z0-9][a-z0-9._-]{0,62}$", description="of the source", examples=["our-prices"])
    ]
    Force = Annotated[bool, Query(description="take it although it is suspiciously short or long")]
    DryRun = Annotated[bool, Query(description="only say what would change")]

    @router.get("/sources", summary="Sources of models and prices")
    async def list_sources(admin: Admin) -> SourceList:
        """Every source, how old what it says is, how fetching goes, and whose turn it is."""
        return await service.sources(admin)

    @router.post("/sources/{name}/run", summary="Fetch a source now", responses={**_NOT_FOUND, 409: _ERRORS[409]})
    async def fetch_source(admin: Admin, name: SourceName, *, force: Force = False, dry_run: DryRun = False) -> RunView:
        """Fetch a source now and bring the store up to it; takes some seconds."""
        return await service.fetch(admin, name, force=force, dry_run=dry_run)

    @router.delete("/sources/{name}", summary="Forget what a source said", responses={**_NOT_FOUND, 409: _ERRORS[409]})
    async def forget_source(admin: Admin, name: SourceName) -> RunView:
        """Forget what was fetched or handed in. What ships with Bourse counts again; what only this source named is retired."""
        return await service.remove(admin, name)

    @router.post("/upload", summary="Hand in a list", openapi_extra=_UPLOAD_BODY, responses={409: _ERRORS[409]})
    async def upload_source(
        admin: Admin,
        request: Request,
        *,
        name: Name,
        format: Annotated[FormatName | None, Query(description="as the text looks if not given")] = None,
        force: Force = False,
        dry_run: DryRun = False,
    ) -> RunView:
        """Hand in a text as what the source says from now on: a list in a public project's format, or CSV, YAML or JSON of one's own."""
        text = await _text_of(request)
        return await service.upload(admin, name, text, format=format, force=force, dry_run=dry_run)

    @router.get("/runs", summary="What ingestions did")
    async def list_runs(
        admin: Admin,
        *,
        cursor: Annotated[str | None, Query(max_length=200, description="from the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        changed: Annotated[bool, Query(description="only those that changed something")] = False,
    ) -> RunPage:
        """What was done, the newest first."""
        return await service.runs(admin, cursor=cursor, limit=limit, changed_only=changed)

    @router.get("/runs/{run_id}", summary="One ingestion", responses=_NOT_FOUND)
    async def show_run(admin: Admin, run_id: RunId) -> RunView:
        """One run with what changed in the store."""
        return await service.one_run(admin, run_id)

    return router


async def _only_known(request: Request) -> None:
    route: APIRoute = request.scope["route"]
    refuse_unknown(request.query_params.keys(), frozenset(field.alias for field in route.dependant.query_params))


async def _text_of(request: Request) -> bytes:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await request.body()
    async with request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequest("The form has no file called `file`.", param="file")
        return await file.read()
