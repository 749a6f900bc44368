"""One tenant floods a gateway from other processes; another one measures what it notices."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Figures
from tests.fleet.conftest import ONE, USD, StartFleet, configuration
from tests.rig.fleet import Key, operator_of
from tests.rig.processes import Server, free_port
from tests.rig.server import ROOT

CONNECTIONS = 300
RATE = 40.0
ROUND_SECONDS = 6.0
ROUNDS = 5
PROVIDER_SECONDS = 0.05
"""Fewer than any model takes, so that what the gateway adds is a large part of the whole."""
BODY = {"model": "dear", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}


@asynccontextmanager
async def flooded(url: str, key: Key, folder: Path) -> AsyncIterator[None]:
    """Hundreds of connections, each of which asks again as soon as it is answered; left when they have ended."""
    script = folder / "flood.lua"
    headers = f'wrk.headers["Authorization"] = "Bearer {key.text}"\nwrk.headers["Content-Type"] = "application/json"\n'
    script.write_text(f"wrk.method = \"POST\"\n{headers}wrk.body = '{json.dumps(BODY)}'\n")
    log = folder / "wrk.log"
    seconds = f"{ROUND_SECONDS + 2:g}s"
    command = ["wrk", "-c", str(CONNECTIONS), "-t", "1", "-d", seconds, "--timeout", "60s", "-s", str(script), f"{url}/v1/chat/completions"]
    flood = Server(command, log=log)
    try:
        await asyncio.sleep(1.5)
        yield
    finally:
        await asyncio.to_thread(flood.process.wait, 90)


async def modest(url: str, key: Key) -> tuple[list[float], Counter[int]]:
    """A call now and then, for a round; how long each took, in seconds, and the statuses."""
    took: list[float] = []
    statuses: Counter[int] = Counter()

    async def call(session: aiohttp.ClientSession) -> None:
        begun = time.perf_counter()
        async with session.post(f"{url}/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {key.text}"}) as answer:
            await answer.read()
            statuses[answer.status] += 1
        took.append(time.perf_counter() - begun)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as calls:
        for _ in range(round(ROUND_SECONDS * RATE)):
            calls.create_task(call(session))
            await asyncio.sleep(1 / RATE)
    return sorted(took), statuses


def percentile(sorted_values: list[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.case("L6")
async def test_a_flood_over_300_connections_at_most_doubles_what_another_tenant_waits(
    start_fleet: StartFleet, tmp_path: Path, figures: Figures
) -> None:
    """Rounds alone and rounds under the flood take turns, because the machine is never the same for long; the middle one of the ratios
    counts."""
    port = free_port()
    provider = Server(
        [sys.executable, str(ROOT / "tests" / "fleet" / "quick_provider.py"), str(port), str(PROVIDER_SECONDS)], log=tmp_path / "up.log"
    )
    fleet = start_fleet(ONE, configuration=configuration(port))
    [server] = fleet.servers
    ratios, alone_all, flooded_all, statuses = [], [], [], Counter[int]()
    try:
        async with operator_of(fleet.database_url) as operator:
            flood, other = [await operator.key(await operator.tenant(budget=1_000_000 * USD)) for _ in range(2)]
            await fleet.knows(flood, other)
            await modest(server.url, other)
            for _ in range(ROUNDS):
                alone, good = await modest(server.url, other)
                async with flooded(server.url, flood, tmp_path):
                    under, told = await modest(server.url, other)
                statuses += good + told
                alone_all.append(percentile(alone, 0.99))
                flooded_all.append(percentile(under, 0.99))
                ratios.append(flooded_all[-1] / alone_all[-1])
    finally:
        provider.stop()
    shown = {name: [round(1000 * value, 1) for value in values] for name, values in (("alone", alone_all), ("flooded", flooded_all))}
    figures(p99_ms_alone=shown["alone"], p99_ms_flooded=shown["flooded"], ratios=[round(ratio, 2) for ratio in ratios])
    assert set(statuses) == {200}
    assert sorted(ratios)[ROUNDS // 2] <= 2.0
