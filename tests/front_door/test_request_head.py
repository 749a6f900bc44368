"""Heads of requests: what is no HTTP/1.1, what never ends and what never comes reaches nobody and keeps nothing."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from backend import http_head
from tests.front_door.test_http_server import Send, hello, served

TARGET = b"GET / HTTP/1.1\r\n"
HOST = b"host: x\r\n"


def with_host(host: bytes) -> bytes:
    return TARGET + b"host: " + host + b"\r\n"


GOOD_HOSTS = [b"x", b"localhost:3000", b"127.0.0.1:1", b"[::1]:3000", b"Bourse_backend", b"a.example.", b"xn--bcher-kva.example"]
BAD_HOSTS = [b"x/#@evil", b"//", b"x%2f..", b"a b", b"", b"x:", b"x:123456", b"x@y", b"[::1", b"x?y", b"x\\y", b"x,y", b"<x>", b"x\ty"]
MORE = [b"x\x00y", b"x:y", b"[x]", b"::1", b"https://x", b"x;y", b'"x"', b"x'y", b"x\xffy", b"{x}"]
BAD_HEADS = {
    "no host": TARGET,
    "two hosts": TARGET + b"host: a\r\nhost: b\r\n",
    "length and chunked": TARGET + HOST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
    "chunked and length": TARGET + HOST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    "two lengths": TARGET + HOST + b"content-length: 5\r\ncontent-length: 6\r\n",
    "a length with a sign": TARGET + HOST + b"content-length: +5\r\n",
    "a length below 0": TARGET + HOST + b"content-length: -1\r\n",
    "no known coding": TARGET + HOST + b"transfer-encoding: xchunked\r\n",
    "a blank before the colon": TARGET + HOST + b"transfer-encoding : chunked\r\n",
    "a folded line": TARGET + HOST + b"x-a: b\r\n c\r\n",
    "a bare line feed": TARGET + b"host: x\nx-a: b\r\n",
    "NUL in a value": TARGET + HOST + b"x-a: b\x00c\r\n",
    "a blank in a name": TARGET + HOST + b"x a: b\r\n",
    "64 KiB in one header": TARGET + HOST + b"x-a: " + b"a" * 65536 + b"\r\n",
    "64 KiB in one packet of many": TARGET + HOST + b"".join(b"x-%d: %b\r\n" % (n, b"a" * 400) for n in range(190)),
    "1000 headers": TARGET + HOST + b"".join(b"x-%d: a\r\n" % n for n in range(1000)),
    "a long target": b"GET /?" + b"a" * 65536 + b" HTTP/1.1\r\n" + HOST,
    "HTTP/0.9": b"GET /\r\n" + HOST,
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + HOST,
    "TLS": b"\x16\x03\x01\x02\x00\r\n" + HOST,
    "no method": b"GOT / HTTP/1.1\r\n" + HOST,
    "no path": b"CONNECT evil:443 HTTP/1.1\r\n" + HOST,
}


async def seen_and_answered(head: bytes, *, pieces: int = 1) -> tuple[int, bytes]:
    """How many requests the app saw of a head, and what was answered before the connection was closed."""
    seen = 0

    async def counting(scope: dict[str, Any], send: Send) -> None:
        nonlocal seen
        seen += 1
        await hello(scope, send)

    async with served(counting) as (reader, writer):
        size = -(-len(head) // pieces)
        for place in range(0, len(head), size):
            writer.write(head[place : place + size])
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            answered = await reader.read()
    return seen, answered


@pytest.mark.case("C6")
@pytest.mark.parametrize("host", [pytest.param(with_host(host), id=repr(host)) for host in [*BAD_HOSTS, *MORE]])
async def test_a_host_that_is_none_reaches_nobody(host: bytes) -> None:
    seen, answered = await seen_and_answered(host + b"\r\n")
    assert (seen, answered[:12]) == (0, b"HTTP/1.1 400")


@pytest.mark.case("C6")
@pytest.mark.parametrize("head", [pytest.param(head, id=name) for name, head in BAD_HEADS.items()])
async def test_a_head_that_is_none_reaches_nobody_and_is_answered_in_the_one_shape(head: bytes) -> None:
    seen, answered = await seen_and_answered(head + b"\r\n")
    first, _, body = answered.partition(b"\r\n\r\n")
    assert (seen, first[:12]) == (0, b"HTTP/1.1 400")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert b"x-request-id: req_" in first


@pytest.mark.parametrize("host", [*GOOD_HOSTS])
async def test_a_host_is_a_name_or_an_address_with_or_without_a_port(host: bytes) -> None:
    seen, answered = await seen_and_answered(with_host(host) + b"connection: close\r\n\r\n")
    assert (seen, answered[:12]) == (1, b"HTTP/1.1 200")


async def test_an_old_client_need_not_name_a_host() -> None:
    assert (await seen_and_answered(b"GET / HTTP/1.0\r\n\r\n"))[0] == 1


async def test_a_head_may_come_in_pieces() -> None:
    head = with_host(b"x") + b"".join(b"x-%d: %b\r\n" % (n, b"a" * 200) for n in range(150)) + b"connection: close\r\n\r\n"
    assert (await seen_and_answered(head, pieces=40))[0] == 1


@pytest.mark.case("C6")
@pytest.mark.parametrize("line", [b"a" * 1000, b"x-a: b\r\n" * 125], ids=["one header", "many"])
async def test_a_head_without_end_is_cut_at_64_kib(line: bytes) -> None:
    async with served(hello) as (reader, writer):
        writer.write(TARGET + HOST + b"x-a: ")
        sent = 0
        async with asyncio.timeout(20):
            while not reader.at_eof() and sent < 20_000_000:
                try:
                    writer.write(line)
                    await writer.drain()
                except ConnectionError:
                    break
                sent += len(line)
                await asyncio.sleep(0)
    # What lies in the buffers of both sockets was sent in vain.
    assert sent < 10_000_000


@pytest.mark.case("C2")
@pytest.mark.parametrize("begun", [b"", b"GE", TARGET + b"host: "], ids=["nothing", "a word", "half of it"])
async def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(http_head, "HEAD_SECONDS", 0.2)
    async with served(hello) as (reader, writer), asyncio.timeout(10):
        writer.write(begun)
        assert (await reader.read())[:12] == (b"HTTP/1.1 408" if begun else b"")


@pytest.mark.case("C2")
async def test_a_little_of_a_head_now_and_then_puts_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_head, "HEAD_SECONDS", 0.3)
    async with served(hello) as (reader, writer), asyncio.timeout(10):
        writer.write(TARGET + b"host: ")
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait([answer], timeout=0.05)
        with suppress(ConnectionResetError):  # the word may be lost if we still send when the connection is closed
            assert (await answer)[:12] == b"HTTP/1.1 408"


@pytest.mark.case("C2")
async def test_between_two_requests_on_a_connection_a_slow_head_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_head, "HEAD_SECONDS", 1.0)
    async with served(hello) as (reader, writer), asyncio.timeout(20):
        writer.write(with_host(b"x") + b"\r\n")
        assert await reader.readuntil(b"hello")
        await asyncio.sleep(1.1)
        writer.write(TARGET)
        assert (await reader.read())[:12] == b"HTTP/1.1 408"


async def test_an_answer_that_takes_longer_than_a_head_may_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_head, "HEAD_SECONDS", 0.8)

    async def slow(scope: dict[str, Any], send: Send) -> None:
        await asyncio.sleep(1.0)
        await hello(scope, send)

    async with served(slow) as (reader, writer), asyncio.timeout(10):
        writer.write(with_host(b"x") + b"\r\n")
        assert await reader.readuntil(b"hello")


async def test_a_websocket_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_head, "HEAD_SECONDS", 0.8)

    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(1.0)
        await send({"type": "websocket.send", "text": "still here"})
        await receive()

    upgrade = (
        b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    async with served(app, whole_app=True) as (reader, writer), asyncio.timeout(10):
        writer.write(with_host(b"x") + upgrade + b"\r\n")
        assert b" 101 " in await reader.readline()
        assert await reader.readuntil(b"still here")
