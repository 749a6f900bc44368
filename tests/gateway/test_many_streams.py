"""Many streams that hardly say anything, beside calls that want an answer now."""

import asyncio
import statistics
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import Figures
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, answer, chunk, sse
from tests.gateway.conftest import KEY, PLAIN, Rig, configuration, open_gateway

STREAMS = 500
CALLS = 300
BEARER = {"authorization": f"Bearer {KEY}"}
KEEP_ALIVE_SECONDS = 20.0


async def slowly(exchange: Exchange) -> None:
    """A token each ten seconds, or each 25; all of it for those who do not want a stream."""
    if not exchange.seen.body.get("stream"):
        await answer()(exchange)
        return
    await exchange.head(content_type="text/event-stream")
    while True:
        await exchange.chunk(sse(chunk({"content": "a "})))
        await asyncio.sleep(25 if exchange.seen.connection % 2 else 10)


async def times_of(rig: Rig, count: int) -> list[float]:
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        assert (await rig.post(PLAIN)).status_code == 200
        found.append(time.perf_counter() - begun)
    return sorted(found)


@pytest.mark.soak
@pytest.mark.case("U8")
async def test_five_hundred_slow_streams_do_not_slow_the_others(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, figures: Figures
) -> None:
    upstream.script(slowly)
    no_limits = {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}
    settings = configuration(upstream.base_url, upstream.base_url) | {"rate_limits": {"default": no_limits}}
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(settings))
    async with open_gateway(tmp_path / "bourse.yaml", tmp_path, sqlite_database_url) as gateway:
        figures(**await measured(gateway))


async def measured(gateway: Rig) -> dict[str, float]:
    await times_of(gateway, 50)
    alone = await times_of(gateway, CALLS)
    silence: list[float] = []
    async with httpx.AsyncClient(base_url=gateway.url, timeout=120, limits=httpx.Limits(max_connections=None), verify=False) as http:

        async def listen() -> None:
            body = {**PLAIN, "stream": True, "max_tokens": 50}
            async with http.stream("POST", "/v1/chat/completions", json=body, headers=BEARER) as response:
                heard = time.perf_counter()
                async for _ in response.aiter_raw():
                    silence.append(time.perf_counter() - heard)
                    heard = time.perf_counter()

        listening = [asyncio.create_task(listen()) for _ in range(STREAMS)]
        async with asyncio.timeout(120):
            while len(silence) < STREAMS:
                await asyncio.sleep(0.1)
        beside = await times_of(gateway, CALLS)
        await asyncio.sleep(25)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
    assert max(silence) <= KEEP_ALIVE_SECONDS
    assert statistics.median(beside) <= 1.5 * statistics.median(alone)
    p99 = int(CALLS * 0.99)
    return {
        "p50_ms_alone": round(statistics.median(alone) * 1e3, 1),
        "p50_ms_beside": round(statistics.median(beside) * 1e3, 1),
        "p99_ms_alone": round(alone[p99] * 1e3, 1),
        "p99_ms_beside": round(beside[p99] * 1e3, 1),
        "longest_silence_seconds": round(max(silence), 1),
    }
