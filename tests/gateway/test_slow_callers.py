"""Callers who ask for a stream and do not read it."""

import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
import yaml

from backend.gateway import watch as watch_module
from backend.http_server import Http
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, chunk, sse
from tests.gateway.conftest import KEY, PLAIN, UNLIMITED, configuration, open_gateway

READERS = 64
MOST_BUFFERED = 256 * 1024


async def floods(exchange: Exchange) -> None:
    """As much as the other side takes, and then as much again."""
    exchange.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    await exchange.head(content_type="text/event-stream")
    piece = b"".join([sse(chunk({"content": "word " * 800}))] * 16)
    while True:
        await exchange.chunk(piece)


@pytest.mark.case("C3")
async def test_who_does_not_read_holds_little_memory_is_cut_after_a_while_and_pays(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[Http] = []

    class Noted(Http):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # The kernel would take megabytes for each before anybody notices that nothing is read.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            connections.append(self)

    file = tmp_path / "bourse.yaml"
    settings = configuration(upstream.base_url, upstream.base_url)
    file.write_text(yaml.safe_dump(settings | {"rate_limits": UNLIMITED}))
    upstream.script(floods)
    body = orjson.dumps({**PLAIN, "stream": True, "max_tokens": 200_000})
    request = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    async with open_gateway(file, tmp_path, sqlite_database_url, http=Noted) as rig:
        loop, callers = asyncio.get_running_loop(), []
        where = urlsplit(rig.url)
        for _ in range(READERS):
            caller = socket.socket()
            callers.append(caller)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.setblocking(False)
            await loop.sock_connect(caller, (where.hostname, where.port))
            await loop.sock_sendall(caller, request.encode() + body)
        async with asyncio.timeout(60):
            while len(connections) < READERS or not all(one.flow.write_paused for one in connections):
                await asyncio.sleep(0.05)
        going_out = [one.transport.get_write_buffer_size() for one in connections]
        coming_in = [one._answer._queued for one in rig.runtime.gateway._http._all if one._answer is not None]
        assert len(coming_in) == READERS
        assert max(going_out) + max(coming_in) <= MOST_BUFFERED
        # From here on a second without reading is too long.
        monkeypatch.setattr(watch_module, "STALL_SECONDS", 1.0)
        await asyncio.wait_for(asyncio.gather(*(request.hung_up.wait() for request in upstream.requests)), 60)
        async with asyncio.timeout(60):
            while len(rows := await rig.rows()) < READERS or any(not one.transport.is_closing() for one in connections):
                await asyncio.sleep(0.05)
        assert {row["outcome"] for row in rows} == {"client_closed"}
        assert all(row["output_tokens"] > 0 and row["charged_nano"] > 0 for row in rows)
        assert not any(one.transport.get_write_buffer_size() for one in connections)
        for caller in callers:
            caller.close()
