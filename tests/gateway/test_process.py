"""The gateway as a process: killed in the middle, stopped in the middle, and with the prices of the real catalog."""

import asyncio
import gzip
import json
import signal
import sqlite3
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.fakes.openai_upstream import WORDS, OpenAIUpstream, answer, canonical_chunks, events, hang
from tests.gateway.conftest import KEY, configuration
from tests.rig.server import AppServer

Start = Callable[..., AppServer]
HEADERS = {"authorization": f"Bearer {KEY}"}


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "fast", "messages": [{"role": "user", "content": "hi"}], **changes}


def rows(server: AppServer) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{server.data_dir / 'bourse.db'}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute('SELECT * FROM "call" ORDER BY created_at')]
    finally:
        connection.close()


async def rows_when(server: AppServer, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while len(found := await asyncio.to_thread(rows, server)) < count:
            await asyncio.sleep(0.05)
    return found


async def until_streaming(client: httpx.AsyncClient, started: asyncio.Event) -> str:
    """Read a stream until the connection ends, however it ends; returns its last line."""
    last = ""
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body(stream=True), headers=HEADERS) as response:
            async for line in response.aiter_lines():
                if WORDS[2] in line:
                    started.set()
                last = line or last
    except httpx.HTTPError:
        pass
    return last


async def open_streams(client: httpx.AsyncClient, count: int) -> list[asyncio.Task[str]]:
    started = [asyncio.Event() for _ in range(count)]
    tasks = [asyncio.create_task(until_streaming(client, event)) for event in started]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in started)), 20)
    return tasks


@pytest.mark.case("D1")
async def test_after_kill_9_every_call_has_exactly_one_row(app_server: Start, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    server = app_server("gateway", configuration=yaml.safe_dump(configuration(upstream.base_url, other.base_url)))
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for _ in range(5):
            assert (await client.post("/v1/chat/completions", json=body(), headers=HEADERS)).status_code == 200
        upstream.script(events(*canonical_chunks()[:6], end="hang"))
        tasks = await open_streams(client, 10)
        server.kill()
        await asyncio.gather(*tasks)
        upstream.script(answer())
        await asyncio.to_thread(server.restart)
        assert (await client.post("/v1/chat/completions", json=body(), headers=HEADERS)).status_code == 200
        found = await rows_when(server, 16)
    assert sorted(row["outcome"] for row in found) == ["completed"] * 6 + ["interrupted"] * 10
    assert len({row["id"] for row in found}) == len(found) == len(upstream.requests)


@pytest.mark.case("D2")
async def test_a_server_that_is_told_to_stop_says_so_and_writes_what_its_streams_had_delivered(
    app_server: Start, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    server = app_server("gateway", configuration=yaml.safe_dump(configuration(upstream.base_url, other.base_url)))
    upstream.script(events(*canonical_chunks()[:6], end="hang"))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        tasks = await open_streams(client, 3)
        upstream.script(hang())
        whole = asyncio.create_task(client.post("/v1/chat/completions", json=body(), headers=HEADERS))
        async with asyncio.timeout(20):
            while len(upstream.requests) < 4:
                await asyncio.sleep(0.02)
        assert await asyncio.to_thread(server.stop, signal.SIGTERM) == 0
        last = await asyncio.gather(*tasks)
        refused = await whole
    assert [json.loads(line[6:])["error"]["message"] for line in last] == ["Bourse is restarting."] * 3
    assert (refused.status_code, refused.json()["error"]["code"], refused.headers["retry-after"]) == (503, "unavailable", "1")
    found = rows(server)
    assert [(row["outcome"], row["output_tokens"], row["status"]) for row in found[:3]] == [("interrupted", 5, 200)] * 3
    # The provider has taken the whole call, too, and is going to bill its prompt.
    assert [(row["outcome"], row["output_tokens"], row["status"], row["usage_source"]) for row in found[3:]] == [
        ("interrupted", 0, 503, "estimated")
    ]
    assert all(row["charged_nano"] == row["input_tokens"] * 1000 + row["output_tokens"] * 2000 > 0 for row in found)
    assert list((server.data_dir / "journal").iterdir()) == []


async def test_the_first_call_of_a_fresh_installation_is_priced_from_the_catalog(app_server: Start) -> None:
    server = app_server("gateway")
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        response = await client.post("/v1/chat/completions", json=body(model="sandbox/chat"), headers=HEADERS)
        answered = response.json()
        usage = answered["usage"]
        expected = usage["prompt_tokens"] * 500 + usage["completion_tokens"] * 1500
        assert answered["bourse"]["costUsd"] == expected / 1e9
        assert answered["bourse"]["simulated"] is True
        [row] = await rows_when(server, 1)
        assert (row["charged_nano"], row["price_state"]) == (expected, "priced")
        assert len(json.loads(row["price_ids"])) == 2
        listed = (await client.get("/v1/models", headers=HEADERS)).json()["data"]
    assert {"id": "sandbox/chat", "context": 128000} in [{"id": model["id"], "context": model["context"]} for model in listed]


@pytest.mark.case("C4")
async def test_hostile_bodies_cost_little_memory(app_server: Start) -> None:
    """Twice the limit without a length, a lie about the length, and a thousandfold compression."""
    server = app_server("gateway")
    megabyte = b" " * (1024 * 1024)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield megabyte

    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        assert (await client.post("/v1/chat/completions", json=body(model="sandbox/chat"), headers=HEADERS)).status_code == 200
        before = peak_memory(server.pid)
        for content, extra in (
            (endless(), {}),
            (megabyte * 21, {}),
            (gzip.compress(megabyte * 200), {"content-encoding": "gzip"}),
            (zlib.compress(megabyte * 200), {"content-encoding": "deflate"}),
        ):
            response = await client.post("/v1/chat/completions", content=content, headers={**HEADERS, **extra})
            assert response.status_code == 413
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 99999999999\r\n\r\n{{".encode()
    )
    assert b" 413 " in await reader.readline()
    writer.close()
    assert peak_memory(server.pid) - before <= 32 * 1024


def peak_memory(pid: int) -> int:
    """The most that a process ever held, in KiB."""
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
