"""Signing in over HTTP: forms and JSON, cookies that hold, and nobody else's page."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from backend.identity.api import build_router
from backend.identity.cookies import local_path
from backend.identity.service import IdentityService
from backend.kernel.db import Database
from backend.kernel.errors import BourseError, as_rest, response_headers
from backend.kernel.request import open_context
from backend.settings import Settings
from tests.identity.conftest import MakeIdentity

EMAIL, PASSWORD = "ann@example.org", "correct horse battery"
Connect = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """The routes are the same on both databases; what differs below them is tested with the service."""
    return sqlite_database


def serve(service: IdentityService, settings: Settings) -> FastAPI:
    """The routes behind what the front door does for them: the request's context, and errors as JSON."""
    app = FastAPI()
    app.include_router(build_router(service, settings))

    @app.middleware("http")
    async def _context(request: Request, proceed: Any) -> Any:
        request.scope["bourse"] = open_context(request.scope, started=0.0, trusted_proxy_hops=settings.server.trusted_proxy_hops)
        return await proceed(request)

    @app.exception_handler(BourseError)
    async def _known(_request: Request, error: BourseError) -> JSONResponse:
        return JSONResponse(as_rest(error), error.status, response_headers(error))

    return app


@pytest.fixture
async def connect(make_identity: MakeIdentity) -> AsyncIterator[Connect]:
    """A client of a fresh installation where Ann is the admin, at the given address and with the given settings."""
    clients: list[httpx.AsyncClient] = []

    async def make(base_url: str = "http://localhost:3000", **settings: Any) -> httpx.AsyncClient:
        settings.setdefault("bootstrap", {"admin_users": [{"email": EMAIL, "password": PASSWORD}]})
        service = make_identity(**settings)
        await service.bootstrap()
        app = serve(service, Settings.model_validate(settings))
        clients.append(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


def cookie_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"]


async def sign_in(client: httpx.AsyncClient, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return await client.post("/auth/sign-in", json={"email": EMAIL, "password": password}, headers=headers)


async def test_json_signs_in_and_the_session_says_who_it_is(connect: Connect) -> None:
    client = await connect()
    answer = await sign_in(client)
    assert answer.status_code == 200
    assert re.fullmatch(r"__Host-bourse=[A-Za-z0-9_-]{43}; Path=/; Max-Age=1209600; Secure; HttpOnly; SameSite=Lax", cookie_of(answer))
    told = await client.get("/auth/session", headers={"cookie": cookie_of(answer).partition(";")[0]})
    assert told.headers["cache-control"] == "no-store"
    assert told.json()["email"] == EMAIL
    assert told.json()["tenant"]["slug"] == "demo"
    assert told.json()["role"] == "owner"


async def test_a_form_signs_in_and_is_sent_on_with_see_other(connect: Connect) -> None:
    client = await connect()
    answer = await client.post("/auth/sign-in", data={"email": EMAIL, "password": PASSWORD, "next": "/usage?key=demo"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/usage?key=demo")
    assert cookie_of(answer).startswith("__Host-bourse=")


async def test_a_wrong_password_in_a_form_goes_back_to_the_page_with_a_code_and_no_words(connect: Connect) -> None:
    client = await connect()
    answer = await client.post(
        "/auth/sign-in", data={"email": EMAIL, "password": "wrong", "next": "/usage"}, headers={"accept": "text/html,*/*"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?problem=sign_in_failed&next=%2Fusage")
    assert "set-cookie" not in answer.headers


async def test_signing_out_ends_the_session_and_clears_the_cookie(connect: Connect) -> None:
    client = await connect()
    cookie = {"cookie": cookie_of(await sign_in(client)).partition(";")[0]}
    answer = await client.post("/auth/sign-out", headers={**cookie, "content-type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert all("Max-Age=0" in value for value in answer.headers.get_list("set-cookie"))
    assert (await client.get("/auth/session", headers=cookie)).json() == {"signed_in": False}


async def test_signing_in_again_gives_a_new_cookie_and_ends_the_old_session(connect: Connect) -> None:
    client = await connect()
    first = cookie_of(await sign_in(client)).partition(";")[0]
    second = cookie_of(await sign_in(client, cookie=first)).partition(";")[0]
    assert first != second
    assert (await client.get("/auth/session", headers={"cookie": first})).json() == {"signed_in": False}


@pytest.mark.parametrize(
    ("body", "field"),
    [({"email": EMAIL}, "password"), ({"password": PASSWORD}, "email"), ({"email": EMAIL, "password": ""}, "password")],
)
async def test_a_missing_field_is_named(connect: Connect, body: dict[str, str], field: str) -> None:
    answer = await (await connect()).post("/auth/sign-in", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


@pytest.mark.parametrize(
    "request_",
    [{"json": ["a"]}, {"json": {"email": 1}}, {"content": b"{", "headers": {"content-type": "application/json"}}, {"content": b"x"}],
)
async def test_anything_but_a_form_or_an_object_of_strings_is_a_bad_request(connect: Connect, request_: dict[str, Any]) -> None:
    assert (await (await connect()).post("/auth/sign-in", **request_)).status_code == 400


async def test_a_huge_body_is_refused(connect: Connect) -> None:
    answer = await (await connect()).post("/auth/sign-in", data={"email": "x" * 20_000, "password": "x"})
    assert answer.status_code == 413


# Forgery and where to go next (W1, A9) -----------------------------------------------------------------------------------------------


@pytest.mark.case("W1")
@pytest.mark.parametrize("path", ["/auth/sign-in", "/auth/sign-out", "/auth/setup"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000.evil.example"},
        {"origin": "http://evil.localhost.example"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_another_sites_page_is_refused_and_nothing_happens(
    client_of_nothing: httpx.AsyncClient, path: str, headers: dict[str, str], kind: str
) -> None:
    answer = await client_of_nothing.post(
        path, content=b"email=ann%40example.org&password=x&token=x", headers={**headers, "content-type": kind, "accept": "text/html"}
    )
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "cross_site"
    assert "set-cookie" not in answer.headers


@pytest.fixture
async def client_of_nothing() -> AsyncIterator[httpx.AsyncClient]:
    """A client of routes whose service would fail if it were asked anything: a forged request must not get that far."""
    app = serve(None, Settings())  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:3000") as client:
        yield client


@pytest.mark.parametrize("origin", ["http://localhost:3000", "HTTP://LOCALHOST:3000"])
async def test_our_own_page_is_let_in(connect: Connect, origin: str) -> None:
    assert (await sign_in(await connect(), origin=origin)).status_code == 200


async def test_the_two_port_developer_mode_goes_back_to_the_pages_port(connect: Connect) -> None:
    client = await connect("http://localhost:8000")
    answer = await client.post(
        "/auth/sign-in", data={"email": EMAIL, "password": PASSWORD, "next": "/usage"}, headers={"origin": "http://localhost:3000"}
    )
    assert answer.headers["location"] == "http://localhost:3000/usage"


async def test_production_knows_no_other_port(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN", PASSWORD)
    client = await connect(
        "http://localhost:8000", env="production", bootstrap={"admin_users": [{"email": EMAIL, "password": "env:ADMIN"}]}
    )
    assert (await sign_in(client, origin="http://localhost:3000")).status_code == 403


@pytest.mark.case("A9")
@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/ok\r\nset-cookie: x=y",
        "",
        None,
        "usage",
        "///evil.example",
        "/x" * 600,
        "/\x85/evil",
    ],
)
def test_going_on_never_leaves_the_site(target: str | None) -> None:
    assert local_path(target) == "/"


@pytest.mark.parametrize("target", ["/", "/usage", "/models/gpt-4o?tab=prices#limits", "/a//b", "/?next=https://x"])
def test_a_local_path_is_kept(target: str) -> None:
    assert local_path(target) == target


@pytest.mark.case("W6")
@pytest.mark.parametrize("text", ["a\r\nset-cookie: x=y", "\x1b[31mred\x1b[0m", "line\u2028break", "\u202edetrevni", "x" * 4_000])
async def test_hostile_text_breaks_no_header_line_or_row(connect: Connect, sqlite_database: Database, text: str) -> None:
    client = await connect()
    wrong = await client.post("/auth/sign-in", data={"email": text, "password": "x", "next": "/" + text}, headers={"accept": "text/html"})
    assert wrong.status_code == 303
    assert wrong.headers["location"] in (
        "/sign-in?problem=sign_in_failed&next=%2F",
        f"/sign-in?problem=sign_in_failed&next={quote('/' + text, safe='')}",
    )
    assert wrong.headers["location"].isascii()
    assert "set-cookie" not in wrong.headers
    # A header cannot carry a line break in the first place; what it can carry is stored without its controls, and cut.
    agent = text.encode().replace(b"\r\n", b"").decode()
    right = await client.post("/auth/sign-in", json={"email": EMAIL, "password": PASSWORD}, headers=[("user-agent", agent.encode())])
    assert right.status_code == 200
    async with sqlite_database.read() as session:
        [stored] = (await session.execute(sa.text("SELECT user_agent FROM sign_in_session"))).scalars()
    assert stored.isprintable()
    assert len(stored) <= 255


# Plain http ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base_url", ["http://192.0.2.7:3000", "http://bourse.example.org", "http://localhost.example.org"])
async def test_plain_http_elsewhere_is_refused_with_the_reason(connect: Connect, base_url: str) -> None:
    answer = await sign_in(await connect(base_url))
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "insecure_address"
    assert "insecure_cookies" in answer.json()["error"]["message"]
    assert "set-cookie" not in answer.headers


async def test_an_operator_may_accept_plain_http(connect: Connect) -> None:
    client = await connect("http://192.0.2.7:3000", server={"insecure_cookies": True})
    answer = await sign_in(client)
    assert re.fullmatch(r"bourse=[A-Za-z0-9_-]{43}; Path=/; Max-Age=1209600; HttpOnly; SameSite=Strict", cookie_of(answer))
    told = await client.get("/auth/session", headers={"cookie": cookie_of(answer).partition(";")[0]})
    assert told.json()["signed_in"] is True


async def test_the_unprefixed_cookie_counts_only_where_it_is_allowed(connect: Connect) -> None:
    client = await connect()
    value = cookie_of(await sign_in(client)).partition(";")[0].partition("=")[2]
    assert (await client.get("/auth/session", headers={"cookie": f"bourse={value}"})).json() == {"signed_in": False}


@pytest.mark.parametrize(
    ("base_url", "settings", "headers"),
    [
        ("https://bourse.example.org", {}, {}),
        ("http://127.0.0.1:3000", {}, {}),
        ("http://[::1]:3000", {}, {}),
        ("http://bourse.example.org", {"server": {"public_url": "https://bourse.example.org"}}, {}),
        ("http://bourse.example.org", {}, {"origin": "https://bourse.example.org"}),
        ("http://bourse.example.org", {"server": {"trusted_proxy_hops": 1}}, {"x-forwarded-proto": "https"}),
    ],
    ids=["https", "loopback", "loopback-v6", "public-url", "browser-says-https", "trusted-proxy-says-https"],
)
async def test_https_and_loopback_get_the_strict_cookie(
    connect: Connect, base_url: str, settings: dict[str, Any], headers: dict[str, str]
) -> None:
    answer = await sign_in(await connect(base_url, **settings), **headers)
    assert answer.status_code == 200
    assert cookie_of(answer).startswith("__Host-bourse=")


async def test_an_untrusted_forwarded_proto_is_hearsay(connect: Connect) -> None:
    answer = await sign_in(await connect("http://bourse.example.org"), **{"x-forwarded-proto": "https"})
    assert answer.status_code == 403


# First run -----------------------------------------------------------------------------------------------------------------------------


async def test_setup_makes_the_first_admin_over_a_form_and_signs_him_in(make_identity: MakeIdentity) -> None:
    service = make_identity()
    await service.bootstrap()
    token = await service.open_setup()
    assert token is not None
    app = serve(service, Settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:3000") as client:
        fields = {"token": token, "email": EMAIL, "password": PASSWORD, "next": "/usage"}
        answer = await client.post("/auth/setup", data=fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/usage")
        told = await client.get("/auth/session", headers={"cookie": cookie_of(answer).partition(";")[0]})
        assert told.json()["is_super_admin"] is True
        assert told.json()["tenant"]["slug"] == "demo"
        again = await client.post("/auth/setup", json={**fields, "email": "eve@example.org"})
        assert (again.status_code, again.json()["error"]["code"]) == (403, "setup_closed")
