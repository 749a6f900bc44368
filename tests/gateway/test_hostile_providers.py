"""Providers that send far too much, or what is none of the caller's business."""

import asyncio
import json
import os
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.openai_upstream import TEXT, Exchange, OpenAIUpstream, Step, canonical_chunks, chunk, completion, events, sse, whole
from tests.gateway.conftest import PLAIN, Rig, configuration, gateway_in
from tests.gateway.test_streams import content

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _servers() -> AsyncIterator[tuple[OpenAIUpstream, OpenAIUpstream]]:
    async with OpenAIUpstream() as one, OpenAIUpstream() as two:
        yield one, two


@pytest.fixture
def upstream(_servers: tuple[OpenAIUpstream, OpenAIUpstream]) -> OpenAIUpstream:
    """With an empty log."""
    _servers[0].requests.clear()
    return _servers[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _servers: tuple[OpenAIUpstream, OpenAIUpstream]
) -> AsyncIterator[Rig]:
    """One for all tests of the file."""
    home = tmp_path_factory.mktemp("gateway")
    no_limits = {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}
    settings = configuration(_servers[0].base_url, _servers[1].base_url) | {"rate_limits": {"default": no_limits}}
    async with gateway_in(home, _sqlite_template, settings) as rig:
        yield rig


def resident() -> int:
    """Bytes of this process, gateway and provider together, in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


@asynccontextmanager
async def growing_by_no_more_than(limit: int) -> AsyncIterator[None]:
    """Looks again and again, because what was taken may have been given back by the end."""
    before, most = resident(), 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, resident())
            await asyncio.sleep(0.002)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
    assert most - before <= limit


def bomb(begin: bytes) -> bytes:
    """Ten GiB of zeros behind a beginning, in 10 MiB of gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands for itself, so one may be sent again and again.
    block = packer.compress(b"0" * (32 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * 320


def sends(data: bytes, content_type: str, *headers: str, pieces: int = 1) -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=content_type, headers=headers, length=len(data) * pieces)
        for _ in range(pieces):
            await exchange.send(data)

    return step


@pytest.mark.case("U7")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("packed", [True, False], ids=["bomb", "a gigabyte"])
async def test_an_answer_that_is_far_too_large_is_cut_and_takes_little_memory(
    gateway: Rig, upstream: OpenAIUpstream, stream: bool, packed: bool
) -> None:
    kind = "text/event-stream" if stream else "application/json"
    begin = b'data: {"choices": [{"delta": {"content": "' if stream else b'{"choices": [{"message": {"content": "'
    if packed:
        upstream.script(sends(bomb(begin), kind, "content-encoding: gzip"))
    else:
        upstream.script(sends(begin + b"0" * (MIB - len(begin)), kind, pieces=1024))
    await gateway.post({**PLAIN, "model": "off"})
    async with growing_by_no_more_than(64 * MIB):
        response = await gateway.post({**PLAIN, "model": "no-recovery", "stream": stream}, timeout=60)
    assert response.status_code in (502, 200)
    assert len(upstream.requests) == 1
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 30) if not packed else None
    # Somebody else has answered.
    call = (await gateway.last_row())["id"]
    assert [one["outcome"] for one in await gateway.rows("call_attempt") if one["call_id"] == call] == ["failed", "completed"]


@pytest.mark.case("U7")
async def test_an_error_that_is_far_too_large_is_not_read(gateway: Rig, upstream: OpenAIUpstream) -> None:
    async def step(exchange: Exchange) -> None:
        await exchange.head(500, length=1024 * MIB)
        while True:
            await exchange.send(b"0" * MIB)

    upstream.script(step)
    assert (await gateway.post(PLAIN)).status_code == 502
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 30)


@pytest.mark.case("U7")
@pytest.mark.parametrize("count", [100, 10_000])
async def test_headers_without_number_are_no_answer(gateway: Rig, upstream: OpenAIUpstream, count: int) -> None:
    upstream.script(sends(json.dumps(completion()).encode(), "application/json", *(f"x-{number}: a" for number in range(count))))
    assert (await gateway.post(PLAIN)).status_code == (200 if count == 100 else 502)


@pytest.mark.case("U7")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_nothing_of_a_providers_head_reaches_the_caller(gateway: Rig, upstream: OpenAIUpstream, stream: bool) -> None:
    own = ["set-cookie: a=b", "connection: keep-alive, x-one", "keep-alive: timeout=9", "proxy-authenticate: Basic", "trailer: x-late",
           "upgrade: h2c", "server: theirs", "x-one: 1", "openai-organization: them",
           "x-request-id: theirs", "location: http://10.0.0.1"]  # fmt: skip

    async def step(exchange: Exchange) -> None:
        if not stream:
            await sends(json.dumps(completion()).encode(), "application/json", *own)(exchange)
            return
        await exchange.head(content_type="text/event-stream", headers=own)
        for value in [*canonical_chunks(), "[DONE]"]:
            await exchange.chunk(sse(value))
        await exchange.end()

    upstream.script(step)
    response = await gateway.post({**PLAIN, "stream": stream})
    assert response.status_code == 200
    told = {name.partition(":")[0] for name in own} - {"x-request-id", "server", "connection"}
    assert told.isdisjoint(response.headers)
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers.get("server") != "theirs"
    assert "x-one" not in response.headers.get("connection", "")


def malformed(rig: Rig) -> float:
    found = re.search(rb'bourse_malformed_events_total{provider="acme"} (.+)', rig.runtime.metrics.render())
    return float(found[1]) if found else 0.0


@pytest.mark.case("U4")
@pytest.mark.parametrize("model", ["fast", "no-recovery"])
async def test_the_tenth_event_is_no_json_and_the_rest_arrives(gateway: Rig, upstream: OpenAIUpstream, model: str) -> None:
    chunks: list[object] = [*canonical_chunks()]
    upstream.script(events(*chunks[:9], '{"id": "chatcmpl-fake", "choices": [{"delta": {"cont', *chunks[9:], end="done"))
    before = malformed(gateway)
    _, values = await gateway.events(model=model)
    assert content(values) == TEXT
    assert values[-1] == "[DONE]"
    assert malformed(gateway) == before + 1


@pytest.mark.case("U4")
async def test_a_megabyte_in_one_event_arrives(gateway: Rig, upstream: OpenAIUpstream) -> None:
    text = "abcdefgh" * (MIB // 8)
    upstream.script(events(chunk({"content": text}), chunk({}, "stop"), end="done"))
    _, values = await gateway.events(max_tokens=100_000)
    assert content(values) == text


@pytest.mark.parametrize("empty", [chunk({"content": ""}), chunk({"content": "", "filler": "x" * 100_000})], ids=["many", "large"])
async def test_events_without_end_and_without_a_token_are_not_waited_for(
    gateway: Rig, upstream: OpenAIUpstream, empty: dict[str, Any]
) -> None:
    async def for_ever(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        while True:
            await exchange.chunk(sse(empty) * 20)

    upstream.script(for_ever)
    async with asyncio.timeout(25):
        response = await gateway.post({**PLAIN, "model": "fast", "stream": True})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
    assert "no token" in response.text


async def test_the_first_token_is_there_before_the_second_is_made(gateway: Rig, upstream: OpenAIUpstream) -> None:
    arrived = asyncio.Event()

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        await exchange.chunk(sse(chunk({"content": "one"})))
        await asyncio.wait_for(arrived.wait(), 30)
        for value in (chunk({"content": "two"}), chunk({}, "stop"), "[DONE]"):
            await exchange.chunk(sse(value))
        await exchange.end()

    upstream.script(step)
    text = ""
    async with gateway.http.stream(
        "POST", "/v1/chat/completions", json={**PLAIN, "stream": True}, headers={"authorization": "Bearer sk-demo.my-secret"}
    ) as response:
        async for piece in response.aiter_text():
            text += piece
            if "one" in text:
                arrived.set()
    assert "two" in text


async def test_a_whole_answer_that_is_large_and_honest_arrives(gateway: Rig, upstream: OpenAIUpstream) -> None:
    text = "abcdefgh" * (4 * MIB // 8)
    upstream.script(whole(completion(text)))
    assert (await gateway.post(PLAIN)).json()["choices"][0]["message"]["content"] == text
