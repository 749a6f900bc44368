"""The REST surface, assembled from the domains' routers. Every prefix owns its 404; errors have one shape."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from backend import __version__
from backend.benchmarks import api as benchmarks_api
from backend.carbon import api as carbon_api
from backend.catalog import api as catalog_api
from backend.catalog import offers_api
from backend.catalog.answers import Answers
from backend.catalog.edits import api as catalog_edits_api
from backend.catalog.service import CatalogService
from backend.credentials import api as credentials_api
from backend.document import describe
from backend.gateway.fan_out import api as fan_out_api
from backend.gateway.fan_out.service import FanOut
from backend.identity import api as identity_api
from backend.jobs import api as jobs_api
from backend.kernel.body import ClientDisconnected, read_body
from backend.kernel.errors import BadRequest, BourseError, InternalError, MethodNotAllowed, NotFound, as_rest, response_headers
from backend.kernel.json import dump_json, parse_json
from backend.kernel.memory import give_back_soon
from backend.kernel.request import App, Message, Receive, Scope, Send, header
from backend.matching import api as matching_api
from backend.matching.usual import workload_for_all
from backend.pricing import api as pricing_api
from backend.pricing import edits_api as price_edits_api
from backend.pricing.workload import Workload
from backend.prompt_prices import api as prompt_prices_api
from backend.providers import api as providers_api
from backend.routing import api as routing_api
from backend.routing import discovery_api, health_api
from backend.runtime import Runtime
from backend.validators import has_validator, with_validator

MAX_REST_BODY_BYTES = 2 * 1024 * 1024
MAX_REST_VALUES = 30_000
"""In a JSON body: a thousand results of benchmarks hold half as many, and looking at three times as many holds everybody up."""
MAX_PROBLEMS = 20
_LONGEST_NAME = 120
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def build_rest(runtime: Runtime) -> App:
    """The ASGI app of every API that is not `/v1`: bodies are read within limits before FastAPI sees them."""
    api = build_api(runtime)

    async def rest(scope: Scope, receive: Receive, send: Send) -> None:
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            # PostgreSQL's text cannot hold one and says so as an error; bodies are looked through as they are read.
            await _told(scope["path"], BadRequest("The address holds a NUL character."))(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        if scope["method"] == "GET":
            if has_validator(scope["path"]):
                send = with_validator(scope, send)
        else:
            try:
                uploading = scope["path"] == jobs_api.UPLOAD_PATH
                body = await read_body(scope, receive, max_bytes=jobs_api.MAX_UPLOAD_BYTES if uploading else MAX_REST_BODY_BYTES)
                if body and not uploading and _is_json(scope):
                    # FastAPI's own reader takes what no database and no provider can hold: NaN, half characters, numbers without end.
                    parse_json(body, most=MAX_REST_VALUES)
            except ClientDisconnected:
                return
            except BourseError as error:
                await _told(scope["path"], error)(scope, receive, send)
                return
            drop = (b"content-encoding", b"content-length")
            headers = [(key, value) for key, value in scope["headers"] if key not in drop]
            scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
            receive = _replay(body, receive)
        await api(scope, receive, send)

    return rest


def build_api(runtime: Runtime) -> FastAPI:
    """The FastAPI app; its OpenAPI document is the snapshot-tested contract."""
    api = FastAPI(
        title="Bourse",
        version=__version__,
        openapi_url=None,  # below, because FastAPI's own would be made on the loop
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # What generated clients call their functions.
        generate_unique_id_function=lambda route: route.name,
    )
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
    api.include_router(jobs_api.build_router(runtime.ingestion, person))
    api.include_router(fan_out_api.build_router(FanOut(runtime.gateway, runtime.auth, runtime.routes, runtime.provider_book)))
    readers = [] if runtime.settings.store.public else [Depends(known)]
    answers = Answers(public=runtime.settings.store.public)
    measured = runtime.measured
    api.include_router(catalog_api.build_router(runtime.catalog, measured, answers), dependencies=readers)
    api.include_router(benchmarks_api.build_router(runtime.benchmarks, runtime.catalog), dependencies=readers)
    api.include_router(benchmarks_api.build_edits_router(runtime.benchmarks, person))
    api.include_router(catalog_edits_api.build_router(runtime.catalog_edits, runtime.catalog, measured, person))
    api.include_router(offers_api.build_router(runtime.catalog, measured, answers), dependencies=readers)
    api.include_router(matching_api.build_router(runtime.matching), dependencies=readers)
    api.include_router(price_edits_api.build_edits_router(runtime.pricing, runtime.price_edits, runtime.clock, person))

    prices_of = pricing_api.build_router(runtime.pricing, runtime.clock, _usual_work(runtime.catalog), runtime.settings.server.public_url)
    api.include_router(prices_of, dependencies=readers)
    api.include_router(prompt_prices_api.build_router(runtime.prompt_prices), dependencies=readers)
    api.include_router(carbon_api.build_router(runtime.carbon), dependencies=readers)

    document = b""
    writing = asyncio.Lock()

    @api.get("/openapi.json", include_in_schema=False)
    async def get_openapi_document() -> Response:
        """Made in a thread, once, and held as it is sent: it takes half a second, in which this process calls models."""
        nonlocal document
        async with writing:
            if not document:
                document = await asyncio.to_thread(lambda: dump_json(api.openapi()))
                give_back_soon()
        return Response(document, media_type="application/json")

    @api.exception_handler(BourseError)
    async def _known(request: Request, error: BourseError) -> JSONResponse:
        return _told(request.url.path, error)

    @api.exception_handler(HTTPException)
    async def _routing(request: Request, error: HTTPException) -> JSONResponse:
        ours: BourseError = BadRequest(str(error.detail))
        if error.status_code == 404:
            ours = NotFound("There is no such address in this API.")
        elif error.status_code == 405:
            ours = MethodNotAllowed(headers={"allow": _methods_of(api, request.scope)})
        return _told(request.url.path, ours)

    @api.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [
            # A name that does not exist is as long as whoever made it up likes.
            {"field": _field(item["loc"])[:_LONGEST_NAME], "message": item["msg"][:1000]}
            for item in error.errors()[:MAX_PROBLEMS]
        ]
        first = problems[0] if problems else {"field": "", "message": "The request is not valid."}
        where = f"{first['field']}: " if first["field"] else ""
        message = where + first["message"]
        if first["field"] == "" and request.method in _WITH_BODY and not _says_json(request):
            # What everybody forgets first, and a body that was not read as JSON says so by nothing but its type.
            message = "The body must be JSON, sent with the header 'Content-Type: application/json'."
        elif first["field"] == "" and isinstance(error.body, list | str | int | float | bool):
            message = "The body must be a JSON object."
        ours = BadRequest(message, param=first["field"] or None, details={"problems": problems})
        return _told(request.url.path, ours)

    @api.exception_handler(Exception)
    async def _unforeseen(request: Request, _error: Exception) -> JSONResponse:
        # Starlette raises it again once this is sent, so the front door logs and counts it.
        ours = InternalError(f"Something went wrong on our side. Quote request {request.scope['bourse'].request_id}.")
        return _told(request.url.path, ours)

    api.openapi = partial(describe, api)  # type: ignore[method-assign]
    return api


def _usual_work(catalog: CatalogService) -> pricing_api.UsualWork:
    """Prices know neither what models do nor what is usual for it."""

    def usual(names: Sequence[str], stated: pricing_api.Stated) -> Workload:
        found = (catalog.summary(name) for name in names)
        return workload_for_all({model.mode for model in found if model is not None}, stated)

    return usual


def _field(where: Sequence[str | int]) -> str:
    """The name of a field, without where the request had it and without tags, which name a shape of the body."""
    return ".".join(str(part) for part in where[1:] if not str(part).startswith("("))


def _says_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _told(path: str, error: BourseError) -> JSONResponse:
    """Callers of `/api` look at `success` first."""
    body = as_rest(error)
    return JSONResponse({"success": False, **body} if path.startswith("/api/") else body, error.status, response_headers(error))


def _methods_of(api: FastAPI, scope: Scope) -> str:
    """What can be done at an address: a framework that stops at the first route that knows it would name only that one's method."""
    known = [
        (route.path, route.methods) for route in iter_route_contexts(api.routes) if route.path and route.path_regex.match(scope["path"])
    ]
    # A model's id may hold slashes, so its address takes in those below it, which are meant.
    nearest = max((path.count("/") for path, _ in known), default=0)
    methods = {method for path, of_it in known if path.count("/") == nearest for method in of_it or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _without_body(send: Send) -> Send:
    """The answer to a HEAD: what a GET would be answered with, but for its body."""

    async def head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return head


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
