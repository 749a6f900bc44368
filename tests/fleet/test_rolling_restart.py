"""Replicas behind a load balancer are told to end, one after another, while calls arrive: no caller of a whole answer notices."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from tests.budgets.witness import Witness
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import FOUR_WORKERS, ONE, USD, Shape, StartFleet, budget_of, settled, until
from tests.fleet.streams import CountingUpstream, Got, listen
from tests.rig.fleet import Fleet, Key, crowd, operator_of
from tests.rig.proxy import Proxy
from tests.rig.server import AppServer

RICH = 1_000_000 * USD
DELAY = {"BOURSE_SERVER__DRAIN_DELAY": "4s"}
LOOK_SECONDS = 0.25


@asynccontextmanager
async def balanced(fleet: Fleet) -> AsyncIterator[str]:
    """A load balancer that asks `/readyz` four times a second and sends connections only where it is 200; gives its URL."""
    everybody = [("127.0.0.1", server.port) for server in fleet.servers]
    async with Proxy(everybody) as proxy, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as session:

        async def is_ready(target: tuple[str, int]) -> bool:
            try:
                async with session.get(f"http://{target[0]}:{target[1]}/readyz") as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        async def look() -> None:
            while True:
                ready = await asyncio.gather(*map(is_ready, everybody))
                # Nobody at all: rather this balancer has not come round to asking than that all of them are gone.
                proxy.targets[:] = [target for target, good in zip(everybody, ready, strict=True) if good] or proxy.targets
                await asyncio.sleep(LOOK_SECONDS)

        looking = asyncio.create_task(look())
        try:
            yield f"http://127.0.0.1:{proxy.port}"
        finally:
            looking.cancel()


@dataclass
class Traffic:
    """`rate` whole calls a second, each on a connection of its own or all over kept ones, and streams on top."""

    fleet: Fleet
    key: Key
    kept: bool = False
    got: dict[str, Got] = field(default_factory=dict)
    streams: dict[str, Got] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self, session: aiohttp.ClientSession, rate: float, prefix: str) -> None:
        while True:
            name = f"{prefix}-{len(self.got)}"
            self.got[name] = Got()
            self._start(session, name, self.got[name], think=0.3, total=3)
            await asyncio.sleep(1 / rate)

    def stream(self, session: aiohttp.ClientSession, name: str, **plan: Any) -> None:
        self.streams[name] = Got()
        self._start(session, name, self.streams[name], **plan)

    def _start(self, session: aiohttp.ClientSession, name: str, got: Got, **plan: Any) -> None:
        self.tasks.append(asyncio.create_task(listen(session, self.fleet, self.key, name, 0, got, **plan)))

    @property
    def failed(self) -> dict[str, Any]:
        return {name: (got.status, got.error) for name, got in self.got.items() if not got.done}


@pytest.fixture
def witnesses() -> Iterator[list[Witness]]:
    opened: list[Witness] = []
    yield opened
    for witness in opened:
        witness.close()


async def ends(server: AppServer) -> int:
    """Tell it to end and wait for its exit code, as long as its patience with running calls may be."""
    return await asyncio.to_thread(server.server.stop, sign=signal.SIGTERM, seconds=60)


def rows(witness: Witness) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for name, outcome in witness.run("SELECT end_user, outcome FROM call WHERE end_user IS NOT NULL"):
        found.setdefault(name, Counter())[outcome] += 1
    return found


@pytest.mark.case("D2")
@pytest.mark.parametrize(
    "shape", [pytest.param(ONE, id="one process"), pytest.param(FOUR_WORKERS, id="four workers", marks=pytest.mark.soak)]
)
async def test_a_process_that_is_told_to_end_takes_calls_for_a_while_and_finishes_what_it_has(
    start_fleet: StartFleet, upstream: OpenAIUpstream, witnesses: list[Witness], shape: Shape
) -> None:
    fleet = start_fleet(shape, env=DELAY)
    [server] = fleet.servers
    witness = Witness(fleet.database_url)
    witnesses.append(witness)
    CountingUpstream(upstream, list)
    async with operator_of(fleet.database_url) as operator, crowd() as session:
        key = await operator.key(await operator.tenant(budget=RICH), budget=RICH)
        await fleet.knows(key)
        traffic = Traffic(fleet, key)
        for number in range(8):
            traffic.got[f"before-{number}"] = Got()
            traffic._start(session, f"before-{number}", traffic.got[f"before-{number}"], think=2, total=3)
            traffic.stream(session, f"stream-{number}", burst=1, gap=0.1, total=30)
        await asyncio.gather(*(got.first.wait() for got in traffic.streams.values()))
        ending = asyncio.create_task(ends(server))
        await until(lambda: server.status("/readyz"), lambda status: status == 503)
        assert server.status("/livez") == 200
        async with fleet.call(session, key, {"model": "dear", "messages": [], "max_tokens": 1}, 0) as refused:
            assert (refused.status, refused.headers["connection"]) == (400, "close")
        for number in range(8):
            traffic.got[f"during-{number}"] = Got()
            traffic._start(session, f"during-{number}", traffic.got[f"during-{number}"], think=0.1, total=3)
        await asyncio.gather(*traffic.tasks)
        assert await ending == 0
        assert traffic.failed == {}
        assert all(got.done and got.tokens == 30 for got in traffic.streams.values())
        truth = await settled(witness, budget_of(witness, key.id))
    assert truth.spent == truth.ledger == (16 * 3 + 8 * 30) * USD // 1000
    assert rows(witness) == {name: Counter(completed=1) for name in (*traffic.got, *traffic.streams)}
    assert list((server.data_dir / "journal").iterdir()) == []


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.case("D2")
@pytest.mark.parametrize("rounds", [3])
async def test_three_replicas_restart_one_after_another_under_50_calls_a_second(
    start_fleet: StartFleet, upstream: OpenAIUpstream, witnesses: list[Witness], rounds: int
) -> None:
    fleet = start_fleet(Shape(replicas=3), env=DELAY)
    witness = Witness(fleet.database_url)
    witnesses.append(witness)
    counting = CountingUpstream(upstream, list)
    async with operator_of(fleet.database_url) as operator, crowd() as fresh, aiohttp.ClientSession() as kept, balanced(fleet) as url:
        key = await operator.key(await operator.tenant(budget=RICH), budget=RICH)
        await fleet.knows(key)
        through = Fleet(fleet.servers, fleet.database_url, urls=[url])
        traffic = Traffic(through, key)
        load = [asyncio.create_task(traffic.run(fresh, 25, "fresh")), asyncio.create_task(traffic.run(kept, 25, "kept"))]
        codes = []
        for number in range(rounds):
            for place, server in enumerate(fleet.servers):
                for stream in range(10):
                    traffic.stream(fresh, f"short-{number}-{place}-{stream}", burst=1, gap=0.1, total=40)
                    traffic.stream(fresh, f"long-{number}-{place}-{stream}", burst=1, gap=0.5, total=200)
                await asyncio.gather(*(got.first.wait() for got in traffic.streams.values()))
                codes.append(await ends(server))
                await asyncio.to_thread(server.restart)
                await asyncio.sleep(1)
        for task in load:
            task.cancel()
        await asyncio.gather(*traffic.tasks)
        for server in fleet.servers:
            codes.append(await ends(server))
        truth = await settled(witness, budget_of(witness, key.id))
    assert traffic.failed == {}
    assert set(codes) == {0}
    short = {name: got for name, got in traffic.streams.items() if name.startswith("short")}
    assert all(got.done for got in short.values())
    ended = [got for got in traffic.streams.values() if not got.done]
    assert all(b"restarting" in got.error for got in ended)
    found = rows(witness)
    everybody = {*traffic.got, *traffic.streams}
    assert set(found) == everybody == set(counting.calls)
    assert all(count.total() == 1 for count in found.values())
    assert sum(count["interrupted"] for count in found.values()) == len(ended)
    assert truth.spent == truth.ledger
    sys.stdout.write(
        f"\n{rounds} rounds of 3 replicas: {len(traffic.got)} whole calls, {len(traffic.failed)} failed; {len(traffic.streams)} streams,"
        f" {len(ended)} ended by the restart with an error event; {len(found)} rows, none missing, none twice\n"
    )
