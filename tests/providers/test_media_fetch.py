"""What callers name by URL: fetched under their own address rules, bounded in size, time, number and kind."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import Any

import pytest

from backend.kernel.addresses import AddressPolicy, AddressRefused
from backend.kernel.errors import BadRequest
from backend.providers import http as provider_http
from backend.providers import media_fetch
from backend.providers.http import UpstreamHttp
from backend.providers.media_fetch import Media, Wanted, fetch_media
from tests.fakes.byte_server import LOOPBACK, Call, Serve, Server, serving

DISGUISED = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/", "http://127.1:{port}/",
    "http://127.0.1:{port}/", "http://127.255.255.254:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/", "http://0177.0.0.1:{port}/", "http://017700000001:{port}/", "http://0:{port}/", "http://0.0.0.0:{port}/",
    "http://[::1]:{port}/", "http://[::]:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/", "http://public.example@127.0.0.1:{port}/", "http://public.example:x@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/#@public.example", "http://127.0.0.1:{port}\\@public.example/", "http://127.0.0.1:{port}?@public.example/",
    "http://１２７.0.0.1:{port}/", "http://①②⑦.0.0.1:{port}/", "http://127。0。0。1:{port}/", "http://ｌｏｃａｌｈｏｓｔ:{port}/",
    "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/latest/", "http://2852039166/latest", "http://10.0.0.1/",
    "http://172.16.0.1/", "http://192.168.0.1/", "http://100.64.0.1/", "http://[fe80::1]/", "http://[fc00::1]/", "http://127.0.0.1:22/",
    "http://127.0.0.1:6379/", "gopher://127.0.0.1:{port}/_GET", "ftp://127.0.0.1:{port}/", "file:///etc/passwd", "//127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/", "HTTP://127.0.0.1:{port}/", "http://127.0.0.1:{port}/a\r\nx: y", "http://metadata.google.internal./computeMetadata",
]  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"


def reply(body: bytes = PNG, content_type: str = "image/png", status: int = 200, *lines: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


@asynccontextmanager
async def web(pages: Callable[[str], bytes] | Serve) -> AsyncIterator[tuple[Server, str]]:
    async def serve(call: Call) -> None:
        found = pages(call.head.split(b" ")[1].decode())  # type: ignore[arg-type]
        if isinstance(found, bytes):
            await call.send(found)
        else:
            await found

    server = Server(serve)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    try:
        yield server, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


@asynccontextmanager
async def http(callers: AddressPolicy | None = LOOPBACK, **options: Any) -> AsyncIterator[UpstreamHttp]:
    """Providers may be on this machine; what callers name may be where `callers` says."""
    client = UpstreamHttp(LOOPBACK, callers=callers, **options)
    try:
        yield client.for_callers
    finally:
        await client.close()


async def fetched(client: UpstreamHttp, *urls: str, kind: str = "image") -> dict[str, Media]:
    return await fetch_media(client, [Wanted(url, kind, f"messages[{number}]") for number, url in enumerate(urls)])


async def test_what_is_there_is_fetched_once_without_anything_of_ours() -> None:
    async with web(lambda _: reply()) as (server, url), http() as client:
        assert await fetched(client, f"{url}/a.png", f"{url}/a.png") == {f"{url}/a.png": Media("image/png", PNG)}
        assert len(server.calls) == 1
        assert server.calls[0].head.startswith(b"GET /a.png HTTP/1.1\r\n")
        assert b"authorization" not in server.calls[0].head.lower()


@pytest.mark.case("W4")
async def test_what_the_operator_opened_for_providers_is_not_open_to_callers() -> None:
    async with web(lambda _: reply()) as (server, url), http(AddressPolicy()) as client:
        port = url.rpartition(":")[2]
        for place in DISGUISED:
            with pytest.raises(BadRequest) as caught:
                await fetched(client, place.replace("{port}", port))
            assert caught.value.param == "messages[0]", place
        assert server.calls == []


@pytest.mark.case("W4")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirection_is_followed(status: int) -> None:
    async with web(lambda _: reply(b"", "text/plain", status, "location: /inside")) as (server, url), http() as client:
        with pytest.raises(BadRequest, match="another one"):
            await fetched(client, url)
        assert len(server.calls) == 1


@pytest.mark.case("W4")
async def test_a_literal_address_is_checked_although_a_proxy_is_asked() -> None:
    async with web(lambda _: reply()) as (proxy, url), http(AddressPolicy((IPv4Network("192.0.2.1/32"),)), proxy=url) as client:
        with pytest.raises(AddressRefused):
            await fetched(client, "http://10.0.0.1/a.png")
        for disguised in ("127.1", "2130706433", "0x7f.1", "017700000001", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]"):
            with pytest.raises(BadRequest):
                await fetched(client, f"http://{disguised}/a.png")
        assert proxy.calls == []
        assert (await fetched(client, "http://img.example/a.png"))["http://img.example/a.png"].data == PNG


@pytest.mark.parametrize(
    ("page", "kind", "words"),
    [
        (reply(b"<html>", "text/html"), "image", "not of the kind"),
        (reply(b"x", "application/x-sh"), "", "not of the kind"),
        (reply(status=404), "image", "HTTP 404"),
        (reply()[:-3], "image", "not come whole"),
        (b"nonsense", "image", "cannot be reached"),
    ],
)
async def test_what_is_not_what_belongs_there(page: bytes, kind: str, words: str) -> None:
    async def serve(call: Call) -> None:
        await call.send(page)
        call.writer.close()

    server = Server(serve)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    async with http() as client:
        with pytest.raises(BadRequest, match=words):
            await fetched(client, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/a.png", kind=kind)
    listener.close()


async def test_an_undeclared_kind_is_that_of_the_name() -> None:
    async with web(lambda _: reply(content_type="application/octet-stream")) as (_, url), http() as client:
        assert (await fetched(client, f"{url}/a.webp?x=1"))[f"{url}/a.webp?x=1"].media_type == "image/webp"


@pytest.mark.parametrize("url", ["ftp://x/a.png", "file:///etc/passwd", "http://", "http://x:99999/", "http://[::1", "https://a b/"])
async def test_what_is_no_url(url: str) -> None:
    async with http() as client:
        with pytest.raises(BadRequest):
            await fetched(client, url)


async def test_size_is_bounded_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_fetch, "MAX_BYTES", 3 * len(PNG) - 1)
    async with web(lambda _: reply()) as (_, url), http() as client:
        assert len(await fetched(client, f"{url}/1", f"{url}/2")) == 2
        with pytest.raises(BadRequest, match="bytes") as caught:
            await fetched(client, f"{url}/1", f"{url}/2", f"{url}/3")
        assert caught.value.param == "messages[2]"


@pytest.mark.case("W4")
async def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: an address that may be called for the check, and one inside for the call."""
    asked: list[str] = []

    def rebinding(host: str, port: int, *_args: object, **_named: object) -> list[object]:
        asked.append(host)
        inside = ["127.0.0.1", "127.0.0.66"] if host == "mixed.example" else ["127.0.0.1" if len(asked) == 1 else "127.0.0.66"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in inside]

    async with web(lambda _: reply()) as (server, url), http() as client:
        port = url.rpartition(":")[2]
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        await fetched(client, f"http://rebind.example:{port}/a.png")
        assert (asked, len(server.calls)) == (["rebind.example"], 1)
        with pytest.raises(AddressRefused):
            await fetched(client, f"http://mixed.example:{port}/a.png")
        assert len(server.calls) == 1


@pytest.mark.case("W4")
async def test_what_comes_drop_by_drop_has_an_end_and_what_says_that_it_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drips(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 X\r\ncontent-type: image/png\r\n\r\n")
        while True:
            await call.send(b"x")
            await asyncio.sleep(0.001)

    async def large(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 X\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n" % (media_fetch.MAX_BYTES + 1))
        await call.reader.read()

    async with serving(large) as (_, url), http() as client, asyncio.timeout(10):
        with pytest.raises(BadRequest, match="more than 20,971,520 bytes"):
            await fetched(client, url)
    monkeypatch.setattr(media_fetch, "FETCH_SECONDS", 0.1)
    async with serving(drips) as (server, url), http() as client:
        with pytest.raises(BadRequest, match="did not come within"):
            await fetched(client, url)
        async with asyncio.timeout(10):
            await server.hung_up.wait()


async def test_no_connection_stays_open_to_a_host_that_a_caller_named() -> None:
    async with web(lambda _: reply()) as (server, url), http() as client:
        await fetched(client, f"{url}/a.png", f"{url}/b.png")
        async with asyncio.timeout(10):
            while client._all:
                await asyncio.sleep(0.001)
        assert client._idle == {}
        assert server.connections == 2


async def test_what_is_remembered_of_names_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_http, "MOST_NAMES", 3)
    async with web(lambda _: reply()) as (_, url), http() as client:
        port = url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "127.1", "127.0.1", "2130706433", "0x7f.1"):
            await fetched(client, f"http://{host}:{port}/a.png")
            assert len(client._resolved) <= 3
        assert client.policy.names_of_callers


async def test_number_and_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(lambda _: reply()) as (server, url), http() as client:
        with pytest.raises(BadRequest, match="No more than 16"):
            await fetched(client, *(f"{url}/{number}" for number in range(17)))
        assert len(server.calls) == 16
    monkeypatch.setattr(media_fetch, "FETCH_SECONDS", 0.05)
    async with web(lambda _: asyncio.Event().wait()) as (_, url), http() as client:  # type: ignore[arg-type, return-value]
        with pytest.raises(BadRequest, match="did not come within"):
            await fetched(client, url)
