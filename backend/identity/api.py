"""Signing in and out over HTTP, from a plain form or as JSON, so that no password ever travels through the pages' websocket.

A form is answered with a redirect, which reloads the page: a websocket keeps the headers that it was opened with, so the old one must
go for the new cookie to count. Problems come back to the form's page as a code in the URL, never as text.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, Required
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import Field
from typing_extensions import TypedDict

from backend.identity.cookies import (
    SECURE_NAME,
    Caller,
    caller,
    clear_cookies,
    local_path,
    refuse_insecure_address,
    session_cookie,
    set_cookie,
)
from backend.identity.principal import Principal
from backend.identity.schemas import NewSession, SessionView
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.identity.tokens import is_token
from backend.kernel.errors import BadRequest, BourseError, RequestTooLarge, SignInRequired
from backend.kernel.json import parse_json
from backend.kernel.request import RequestContext
from backend.settings import Settings

_MAX_FORM_BYTES = 16 * 1024
_NO_STORE = {"cache-control": "no-store"}
# For the OpenAPI document alone: who somebody is, is found out by the rules below.
_COOKIE = APIKeyCookie(
    name=SECURE_NAME,
    scheme_name="session",
    description="what signing in sets; requests of other sites' pages are refused",
    auto_error=False,
)
KEY = HTTPBearer(scheme_name="key", description="an API key: `Authorization: Bearer sk-…`", auto_error=False)
_TOKEN = HTTPBearer(
    scheme_name="token", description="an access token of a super admin: `Authorization: Bearer bt-…`; never on `/v1`", auto_error=False
)
ForToken = Annotated[Any, Depends(_TOKEN)]
ForCookie = Annotated[Any, Depends(_COOKIE)]
ForKey = Annotated[Any, Depends(KEY)]


class SignedIn(TypedDict):
    signed_in: Literal[True]
    user_id: str
    next: Annotated[str, Field(description="the local path to go on to")]


class SignedOut(TypedDict):
    signed_in: Literal[False]


class TenantBody(TypedDict):
    id: str
    slug: str
    name: str


class SessionBody(TypedDict, total=False):
    """`signed_in` alone where nobody is."""

    signed_in: Required[bool]
    user_id: str
    name: str
    email: str
    is_super_admin: bool
    tenant: TenantBody | None
    role: str | None


_REDIRECT: dict[int | str, dict[str, Any]] = {303: {"description": "the answer to a form: where the browser goes on"}}
_BEGINS = {
    **_REDIRECT,
    401: {"description": "that is not right, or has been used"},
    403: {"description": "another site asks, or the cookie would not be safe here"},
    429: {"description": "too many tries"},
}


def build_router(service: IdentityService, settings: Settings) -> APIRouter:
    """POST /auth/sign-in, /auth/sign-out and /auth/setup; GET /auth/session."""
    router = APIRouter(prefix="/auth", tags=["sign-in"])

    @router.post("/sign-in", summary="Sign in", response_model=SignedIn, responses=_BEGINS, openapi_extra=_body("email", "password"))
    async def sign_in(request: Request) -> Response:
        """Sign in with `email` and `password`; `next` is the local path to go on to. Sets the session cookie."""

        async def begin(fields: dict[str, str]) -> NewSession:
            return await service.sign_in(
                _field(fields, "email"),
                _field(fields, "password"),
                previous=session_cookie(request.headers.get("cookie", ""), settings),
                user_agent=request.headers.get("user-agent", ""),
                **_origin(request),
            )

        return await _begin_session(request, settings, begin, page="/sign-in")

    @router.post(
        "/setup",
        summary="Make the first account",
        response_model=SignedIn,
        responses=_BEGINS,
        openapi_extra=_body("token", "email", "password"),
    )
    async def set_up(request: Request) -> Response:
        """Make the first admin with the one-time `token` from the console, and sign him in."""

        async def begin(fields: dict[str, str]) -> NewSession:
            return await service.complete_setup(
                _field(fields, "token").strip(),
                _field(fields, "email"),
                _field(fields, "password"),
                user_agent=request.headers.get("user-agent", ""),
                **_origin(request),
            )

        return await _begin_session(request, settings, begin, page="/setup")

    @router.post(
        "/sign-out", summary="Sign out", response_model=SignedOut, responses=_REDIRECT | {403: {"description": "another site asks"}}
    )
    async def sign_out(request: Request) -> Response:
        """End the session and make the browser forget its cookie."""
        who = caller(request.scope, settings)
        await service.sign_out(session_cookie(request.headers.get("cookie", ""), settings), **_origin(request))
        response = _redirect(who, "/") if _is_form(request) else JSONResponse({"signed_in": False}, headers=_NO_STORE)
        for cookie in clear_cookies():
            response.headers.append("set-cookie", cookie)
        return response

    @router.get("/session", summary="Who you are", response_model=SessionBody)
    async def get_session(request: Request) -> Response:
        """Who the cookie says you are; `signed_in` false if nobody."""
        found = await service.session(session_cookie(request.headers.get("cookie", ""), settings), **_origin(request))
        return JSONResponse(_describe(found), headers=_NO_STORE)

    return router


def require_reader(service: IdentityService, auth: AuthSnapshot, settings: Settings) -> Callable[[Request], Awaitable[None]]:
    """For reads that anybody may do who is known: with a session, an API key as for `/v1`, or an access token.

    Raises (when called):
        SignInRequired: neither is there. InvalidApiKey and what else `AuthSnapshot.authenticate` raises: the key is not good.
    """

    async def check(request: Request, _key: ForKey = None, _cookie: ForCookie = None) -> None:
        authorization = request.headers.get("authorization")
        if authorization is not None and is_token(authorization):
            await service.tokens.owner(authorization, **_origin(request))
        elif authorization is not None:
            auth.authenticate(authorization, address=_origin(request)["address"])
        elif not (await service.session(session_cookie(request.headers.get("cookie", ""), settings), **_origin(request))).signed_in:
            raise SignInRequired

    return check


def signed_in(service: IdentityService, settings: Settings) -> Callable[[Request], Awaitable[Principal]]:
    """For what only a person with a session may do, in the tenant that comes first, or a super admin's program with an access token. What
    he may do the service decides.

    Raises (when called):
        SignInRequired: there is no session, or the token is not good. PermissionDenied: another site's page sent the request.
    """

    async def check(request: Request, _cookie: ForCookie = None, _token: ForToken = None) -> Principal:
        authorization = request.headers.get("authorization")
        if authorization is not None:
            # No other site's page can make a browser send it, so it needs no look at where the request came from.
            return await service.tokens.owner(authorization, **_origin(request))
        caller(request.scope, settings)
        found = await service.session(session_cookie(request.headers.get("cookie", ""), settings), **_origin(request))
        if not found.signed_in:
            raise SignInRequired
        return found.principal

    return check


async def _begin_session(
    request: Request, settings: Settings, begin: Callable[[dict[str, str]], Awaitable[NewSession]], *, page: str
) -> Response:
    """The common course of signing in and setting up: check where it came from, read the fields, begin, set the cookie, move on."""
    who = caller(request.scope, settings)
    fields: dict[str, str] = {}
    try:
        refuse_insecure_address(who, settings)
        fields = await _fields(request)
        new = await begin(fields)
    except BourseError as error:
        if not _wants_page(request) or error.status >= 500:
            raise
        query = {"problem": error.code or error.param or "bad_request"}
        if fields.get("next"):
            query["next"] = local_path(fields["next"])
        return _redirect(who, f"{page}?{urlencode(query)}")
    target = local_path(fields.get("next"))
    response: Response
    if _is_form(request):
        response = _redirect(who, target)
    else:
        response = JSONResponse({"signed_in": True, "user_id": new.user_id, "next": target}, headers=_NO_STORE)
    response.headers.append("set-cookie", set_cookie(who, new.cookie, settings))
    return response


async def _fields(request: Request) -> dict[str, str]:
    """The body's fields, from a form or a JSON object of strings.

    Raises:
        BadRequest: it is neither. RequestTooLarge: more than 16 KiB.
    """
    body = await request.body()
    if len(body) > _MAX_FORM_BYTES:
        raise RequestTooLarge("The request body is larger than 16 KiB.")
    if _is_form(request):
        try:
            return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=16))
        except ValueError:
            raise BadRequest("The form is not valid.") from None
    if _content_type(request) != "application/json":
        raise BadRequest("Send a form (application/x-www-form-urlencoded) or JSON (application/json).")
    values = parse_json(body)
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise BadRequest("The body must be a JSON object of strings.")
    return values


def _field(fields: dict[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise BadRequest(f"The field {name!r} is missing.", param=name)
    return value


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_form(request: Request) -> bool:
    return _content_type(request) == "application/x-www-form-urlencoded"


def _wants_page(request: Request) -> bool:
    return _is_form(request) and "text/html" in request.headers.get("accept", "")


def _redirect(who: Caller, path: str) -> RedirectResponse:
    """303 to a path of the site that the form was on (in the two-port developer mode that is not where the API listens)."""
    foreign_page = who.origin is not None and not who.origin.lower().endswith(f"//{who.host}")
    return RedirectResponse(f"{who.origin}{path}" if foreign_page else path, status_code=303, headers=_NO_STORE)


def _origin(request: Request) -> dict[str, str]:
    context: RequestContext = request.scope["bourse"]
    return {"address": context.address, "request_id": context.request_id}


def _describe(found: SessionView) -> dict[str, Any]:
    if not found.signed_in:
        return {"signed_in": False}
    who = found.principal
    return {
        "signed_in": True,
        "user_id": who.id,
        "name": who.name,
        "email": who.email,
        "is_super_admin": who.is_super_admin,
        "tenant": {"id": who.tenant_id, "slug": found.tenant_slug, "name": found.tenant_name} if who.tenant_id else None,
        "role": who.role.name.lower() if who.role is not None else None,
    }


_EXAMPLE = {"token": "setup-0123", "email": "ann@example.org", "password": "correct horse battery"}


def _body(*names: str) -> dict[str, Any]:
    """The request body for the OpenAPI document: the same fields as a form or as JSON."""
    properties: dict[str, Any] = {name: {"type": "string", "minLength": 1} for name in names}
    if "password" in properties:
        properties["password"]["format"] = "password"
    properties["next"] = {"type": "string", "description": "local path to go on to"}
    example = {name: _EXAMPLE[name] for name in names}
    schema = {"type": "object", "required": list(names), "properties": properties, "example": example}
    kinds = ("application/x-www-form-urlencoded", "application/json")
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}}
