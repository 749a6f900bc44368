"""The REST surface, assembled from the domains' routers. Every prefix owns its 404; errors have one shape."""

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from backend import __version__
from backend.catalog import api as catalog_api
from backend.credentials import api as credentials_api
from backend.gateway.fan_out import api as fan_out_api
from backend.gateway.fan_out.service import FanOut
from backend.identity import api as identity_api
from backend.kernel.body import ClientDisconnected, read_body
from backend.kernel.errors import BadRequest, BourseError, InternalError, MethodNotAllowed, NotFound, as_rest, response_headers
from backend.kernel.json import parse_json
from backend.kernel.request import App, Receive, Scope, Send, header
from backend.providers import api as providers_api
from backend.routing import api as routing_api
from backend.routing import discovery_api, health_api
from backend.runtime import Runtime

MAX_REST_BODY_BYTES = 2 * 1024 * 1024


def build_rest(runtime: Runtime) -> App:
    """The ASGI app of every API that is not `/v1`: bodies are read within limits before FastAPI sees them."""
    api = build_api(runtime)

    async def rest(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            try:
                body = await read_body(scope, receive, max_bytes=MAX_REST_BODY_BYTES)
            except ClientDisconnected:
                return
            if body and _is_json(scope):
                # FastAPI's own reader takes what no database and no provider can hold: NaN, half characters, numbers without end.
                parse_json(body)
            drop = (b"content-encoding", b"content-length")
            headers = [(key, value) for key, value in scope["headers"] if key not in drop]
            scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
            receive = _replay(body, receive)
        await api(scope, receive, send)

    return rest


def build_api(runtime: Runtime) -> FastAPI:
    """The FastAPI app; its OpenAPI document is the snapshot-tested contract."""
    api = FastAPI(title="Bourse", version=__version__, openapi_url="/openapi.json", docs_url=None, redoc_url=None, redirect_slashes=False)
    api.include_router(identity_api.build_router(runtime.identity, runtime.settings))
    known = identity_api.require_reader(runtime.identity, runtime.auth, runtime.settings)
    person = identity_api.signed_in(runtime.identity, runtime.settings)
    api.include_router(routing_api.build_router(runtime.routing, person))
    api.include_router(discovery_api.build_router(runtime.discovery, person))
    api.include_router(health_api.build_router(runtime.health_view, person))
    api.include_router(
        providers_api.build_router(
            runtime.providers, runtime.provider_edits, runtime.credentials, runtime.connections.upstream_http, person
        )
    )
    api.include_router(credentials_api.build_router(runtime.credentials, person))
    api.include_router(fan_out_api.build_router(FanOut(runtime.gateway, runtime.auth, runtime.routes, runtime.provider_book)))
    readers = [] if runtime.settings.store.public else [Depends(known)]
    api.include_router(catalog_api.build_router(runtime.catalog), dependencies=readers)

    @api.exception_handler(BourseError)
    async def _known(_request: Request, error: BourseError) -> JSONResponse:
        return JSONResponse(as_rest(error), error.status, response_headers(error))

    @api.exception_handler(HTTPException)
    async def _routing(_request: Request, error: HTTPException) -> JSONResponse:
        ours: BourseError = BadRequest(str(error.detail))
        if error.status_code == 404:
            ours = NotFound("There is no such address in this API.")
        elif error.status_code == 405:
            ours = MethodNotAllowed(headers=dict(error.headers or {}))
        return JSONResponse(as_rest(ours), ours.status, response_headers(ours))

    @api.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [{"field": ".".join(str(part) for part in item["loc"][1:]), "message": item["msg"]} for item in error.errors()]
        first = problems[0] if problems else {"field": "", "message": "The request is not valid."}
        ours = BadRequest(f"{first['field']}: {first['message']}", param=first["field"] or None, details={"problems": problems})
        return JSONResponse(as_rest(ours), ours.status)

    @api.exception_handler(Exception)
    async def _unforeseen(request: Request, _error: Exception) -> JSONResponse:
        # Starlette raises it again once this is sent, so the front door logs and counts it.
        ours = InternalError(f"Something went wrong on our side. Quote request {request.scope['bourse'].request_id}.")
        return JSONResponse(as_rest(ours), ours.status)

    return api


def _is_json(scope: Scope) -> bool:
    return (header(scope, b"content-type") or "application/json").partition(";")[0].strip().lower().endswith("json")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
