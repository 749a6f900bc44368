"""An HTTP server that answers in bytes that the test spells out, and a client of ours to call it.

async with serving(sending(b"HTTP/1.1 200 OK\\r\\n…")) as (server, url), client() as http:
    assert await ask(http, url) == b"…"
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

from backend.kernel.addresses import AddressPolicy
from backend.providers.http import UpstreamHttp

LOOPBACK = AddressPolicy((IPv4Network("127.0.0.1/32"),))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n"
Serve = Callable[["Call"], Awaitable[None]]


class Call:
    """One request as the server read it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, head: bytes, body: bytes) -> None:
        self.reader, self.writer, self.connection, self.head, self.body = reader, writer, number, head, body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Server:
    """Reads whole requests and lets the test's function answer them; `hung_up` is set when a connection ends."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.calls: list[Call] = []
        self.connections = 0
        self.hung_up = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                call = Call(reader, writer, number, head, await reader.readexactly(length))
                self.calls.append(call)
                await self._serve(call)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.hung_up.set()
            writer.close()


@asynccontextmanager
async def serving(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Server, str]]:
    server = Server(serve)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    host = "localhost" if tls else "127.0.0.1"
    try:
        yield server, f"{'https' if tls else 'http'}://{host}:{listener.sockets[0].getsockname()[1]}/v1/chat"
    finally:
        listener.close()


@asynccontextmanager
async def client(**options: object) -> AsyncIterator[UpstreamHttp]:
    http = UpstreamHttp(LOOPBACK, **options)  # type: ignore[arg-type]
    try:
        yield http
    finally:
        await http.close()


async def ask(http: UpstreamHttp, url: str, body: bytes = b"{}") -> bytes:
    return await (await http.post(http.target(url, {}), body, "", connect_seconds=2)).read_whole(10_000_000)


def sending(*pieces: bytes, close: bool = False) -> Serve:
    """Answer with these bytes, each in a packet of its own."""

    async def serve(call: Call) -> None:
        for piece in pieces:
            await call.send(piece)
            await asyncio.sleep(0)
        if close:
            call.writer.close()

    return serve
