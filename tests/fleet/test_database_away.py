"""PostgreSQL restarts or freezes under a gateway that serves: what is leased goes on, the rest is refused quickly, nothing is lost."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from backend.kernel.migrations import upgrade as migrate
from tests.budgets.witness import Witness
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import USD, Shape, StartFleet, budget_of, settled
from tests.fleet.streams import CountingUpstream, Got, listen
from tests.rig.catalog_copy import copy_catalog
from tests.rig.fleet import Fleet, Key, crowd, operator_of
from tests.rig.postgres import Postgres
from tests.rig.processes import resident_mib

RICH = 1_000_000 * USD
BODY = {"model": "dear", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, "metadata": {"think": 0, "total": 10}}


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A PostgreSQL of its own, because this test stops it."""
    cluster = Postgres()
    yield cluster
    cluster.close()


@asynccontextmanager
async def away(cluster: Postgres, fault: str) -> AsyncIterator[None]:
    if fault == "freeze":
        cluster.freeze()
        yield
        cluster.freeze(thaw=True)
    else:
        await asyncio.to_thread(cluster.stop)
        yield
        cluster.start_again()


class Caller:
    """Calls one gateway and remembers the slowest answer, in seconds."""

    def __init__(self, fleet: Fleet, session: aiohttp.ClientSession) -> None:
        self._fleet = fleet
        self._session = session
        self._count = 0
        self.names: set[str] = set()
        self.slowest = 0.0

    async def chat(self, key: Key) -> tuple[int, Any]:
        self._count += 1
        name = f"call-{self._count}"
        began = time.monotonic()
        async with self._fleet.call(self._session, key, {**BODY, "user": name}, 0) as answer:
            await answer.read()
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.names.add(name)
            return answer.status, answer.headers.get("retry-after")

    async def get(self, path: str, key: Key) -> tuple[int, Any]:
        began = time.monotonic()
        async with self._session.get(self._fleet.urls[0] + path, headers={"authorization": f"Bearer {key.text}"}) as answer:
            await answer.read()
            self.slowest = max(self.slowest, time.monotonic() - began)
            return answer.status, answer.headers.get("retry-after")


@pytest.mark.case("D3")
@pytest.mark.parametrize(
    ("fault", "seconds", "patience"),  # how long it is away, and how long an answer may take: more where it need not be quick
    [
        pytest.param("freeze", 3, 10, id="freeze"),
        pytest.param("freeze", 20, 2, id="freeze 20 s", marks=pytest.mark.soak),
        pytest.param("restart", 5, 2, id="restart 5 s", marks=pytest.mark.soak),
    ],
)
async def test_while_the_database_is_away_streams_and_leases_go_on_and_all_else_is_refused_at_once(
    start_fleet: StartFleet, upstream: OpenAIUpstream, cluster: Postgres, sandbox_file: Path, fault: str, seconds: float, patience: float
) -> None:
    url = cluster.create()
    migrate(url)
    copy_catalog(sandbox_file, url)
    fleet = start_fleet(Shape(), database_url=url)
    [server] = fleet.servers
    counting = CountingUpstream(upstream, list)
    witness = Witness(url)
    async with operator_of(url) as operator, crowd() as session:
        key = await operator.key(await operator.tenant(budget=RICH), budget=RICH)
        strangers = [await operator.key(await operator.tenant(budget=RICH), budget=RICH) for _ in range(2)]
        await operator.db.close()
        await fleet.knows(key, *strangers)
        caller = Caller(fleet, session)
        for _ in range(3):
            assert (await caller.chat(key))[0] == 200
        streams = [Got() for _ in range(10)]
        running = [
            asyncio.create_task(listen(session, fleet, key, f"stream-{number}", 0, got, burst=1, gap=0.2, total=10_000))
            for number, got in enumerate(streams)
        ]
        await asyncio.gather(*(got.first.wait() for got in streams))
        memory = resident_mib(server.pid)
        caller.slowest = 0.0
        refused = admitted = 0
        async with away(cluster, fault):
            before = [got.tokens for got in streams]
            until = time.monotonic() + seconds
            while time.monotonic() < until or refused < 4:
                status, _ = await caller.chat(key)
                admitted += status == 200
                assert status == 200, "an unexpired lease admits"
                for answer in await asyncio.gather(
                    *map(caller.chat, strangers), caller.get("/v1/budget", key), caller.get("/v1/usage", key)
                ):
                    assert answer[0] == 503
                    assert 1 <= int(answer[1]) <= 5
                    refused += 1
                assert (await caller.get("/v1/models", key))[0] == 200
                assert (await caller.get("/healthz", key))[0] == 503
            assert all(got.tokens > tokens for got, tokens in zip(streams, before, strict=True))
        back = time.monotonic()
        async with asyncio.timeout(max(5, patience)):
            while not all(status == 200 for status, _ in await asyncio.gather(*map(caller.chat, strangers))):
                await asyncio.sleep(0.1)
        back = time.monotonic() - back
        counting.enough.set()
        await asyncio.gather(*running)
        assert all(got.done for got in streams)
        assert resident_mib(server.pid) - memory < 64
        truth = await settled(witness, budget_of(witness, key.id))
    assert caller.slowest < patience
    assert truth.spent == truth.ledger
    rows = witness.run("SELECT end_user, outcome, charged_nano FROM call WHERE end_user IS NOT NULL")
    assert len(rows) == len({row.end_user for row in rows})
    assert {row.end_user for row in rows} == {*caller.names, *(f"stream-{number}" for number in range(len(streams)))}
    assert {row.end_user: row.charged_nano for row in rows if row.outcome == "completed"} == {
        name: told.sent * USD // 1000 for name, told in counting.calls.items()
    }
    witness.close()
    sys.stdout.write(
        f"\n{fault} {seconds:g} s: {admitted} admitted, {refused} refused, slowest answer {caller.slowest:.2f} s, back after {back:.2f} s\n"
    )
