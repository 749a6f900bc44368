"""The rules between the front door and the pages: closed doors, one address a page, headers, our own sockets only."""

from pathlib import Path
from typing import Any

import pytest

from backend.kernel.errors import MethodNotAllowed, NotFound
from backend.kernel.request import open_context
from backend.pages import Pages, StaticPages
from backend.settings import Settings


class Inner:
    """Stands where Reflex's app would be: remembers what it was asked and answers 200 with a page."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8")]})
        await send({"type": "http.response.body", "body": b"<!doctype html>"})


@pytest.fixture
def built(tmp_path: Path) -> StaticPages:
    (tmp_path / "index.html").write_text("<script>start()</script><script src='/x.js'></script>")
    (tmp_path / "usage").mkdir()
    (tmp_path / "usage" / "index.html").write_text("<script>usage()</script>")
    return StaticPages.found(tmp_path)


class Visit:
    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.sent: list[Any] = []

    async def http(self, path: str, method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None) -> dict[bytes, bytes]:
        scope: dict[str, Any] = {"type": "http", "path": path, "method": method, "headers": headers or [], "client": ("127.0.0.1", 1)}
        scope["bourse"] = open_context(scope, started=0.0, trusted_proxy_hops=0)
        await self.pages.http(scope, _never, self._send)
        return dict(self.sent[0]["headers"])

    async def websocket(self, origin: str | None, host: str = "bourse.test") -> str:
        headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin is not None else [])
        await self.pages.websocket({"type": "websocket", "path": "/_event", "headers": headers}, _never, self._send)
        return str(self.sent[-1]["type"])

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


async def _never() -> Any:
    raise AssertionError("nothing is to be read")


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def visit(inner: Inner, built: StaticPages) -> Visit:
    return Visit(Pages(inner, built, Settings()))


def test_the_policy_lists_the_hash_of_every_inline_script_and_no_unsafe_source(built: StaticPages) -> None:
    policy = built.content_security_policy()
    assert len(built.script_hashes) == 2
    assert "'unsafe-eval'" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert "object-src 'none'; base-uri 'none'; frame-ancestors 'none'" in policy


async def test_a_prerendered_page_has_one_address(visit: Visit, inner: Inner) -> None:
    headers = await visit.http("/usage")
    assert inner.scopes[0]["path"] == "/usage/"
    assert headers[b"cache-control"] == b"no-cache"
    assert b"script-src 'self'" in headers[b"content-security-policy"]


async def test_hashed_assets_are_kept_for_ever(visit: Visit) -> None:
    assert (await visit.http("/assets/app-1234.js"))[b"cache-control"] == b"public, max-age=31536000, immutable"


CLOSED = ("/_upload", "/_upload/x", "/_all_routes", "/_health", "/ping", "/assets/../backend/asgi.py", "/a\\..\\b", "/x\x00")


@pytest.mark.case("W8")
@pytest.mark.parametrize("path", CLOSED)
async def test_doors_that_nothing_of_ours_uses_are_closed(visit: Visit, inner: Inner, path: str) -> None:
    with pytest.raises(NotFound):
        await visit.http(path)
    assert not inner.scopes


async def test_a_page_cannot_be_posted_to(visit: Visit) -> None:
    with pytest.raises(MethodNotAllowed):
        await visit.http("/usage", method="POST")


@pytest.mark.case("W8")
async def test_a_range_bomb_is_answered_as_if_it_had_asked_for_the_whole(visit: Visit, inner: Inner) -> None:
    await visit.http("/assets/a.js", headers=[(b"range", b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(500)))])
    await visit.http("/assets/a.js", headers=[(b"range", b"bytes=0-99")])
    assert [dict(scope["headers"]).get(b"range") for scope in inner.scopes] == [None, b"bytes=0-99"]


@pytest.mark.case("W2")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://bourse.test.evil.example", "http://localhost:3000"])
async def test_another_site_s_script_opens_no_socket(visit: Visit, origin: str) -> None:
    assert await visit.websocket(origin) == "websocket.close"


@pytest.mark.parametrize("origin", ["http://bourse.test", "https://bourse.test", None])
async def test_our_own_pages_open_sockets(visit: Visit, origin: str | None) -> None:
    assert await visit.websocket(origin) == "websocket.accept"


async def test_two_port_development_may_open_a_socket_from_this_machine_only(inner: Inner) -> None:
    visit = Visit(Pages(inner, StaticPages(), Settings()))
    assert await visit.websocket("http://localhost:3000", host="localhost:8000") == "websocket.accept"
    assert await visit.websocket("http://evil.example:3000", host="localhost:8000") == "websocket.close"
