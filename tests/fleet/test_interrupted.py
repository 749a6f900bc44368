"""kill -9 with calls running: every one of them ends as exactly one row that says what the provider was heard to deliver."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from backend.metering.journal import lines_of
from backend.metering.record import CALL_FIELDS
from tests.budgets.witness import Truth, Witness
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import FOUR_WORKERS, ONE, USD, Shape, StartFleet, budget_of, until
from tests.fleet.streams import PROMPT_TOKENS, CountingUpstream, Got, listen
from tests.rig.fleet import Fleet, Key, crowd, operator_of
from tests.rig.server import AppServer

TOKEN = USD // 1000
"""What a token of an answer costs; prompts are free."""
RICH = 1_000_000 * USD
CHECKPOINT_TOKENS = 64
LONG = 100_000.0
_NAME = CALL_FIELDS.index("end_user")


def journals(server: AppServer) -> list[Path]:
    return [path for path in server.data_dir.glob("journal/*") if path.is_dir()]


def said(server: AppServer) -> dict[str, dict[str, Any]]:
    """What the journal's last progress line says of each call."""
    names: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    for journal in journals(server):
        for line in lines_of(journal):
            kind, call_id, *rest = orjson.loads(line)
            if kind == "open":
                names[call_id] = rest[0][_NAME]
            elif kind == "progress":
                found[names[call_id]] = rest[0]
    return found


@dataclass
class Rows:
    """The ledger by the name that the caller gave, checked for there being one row of each."""

    rows: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, witness: Witness, names: set[str]) -> "Rows":
        found = witness.run(
            "SELECT end_user, outcome, status, stream, input_tokens, output_tokens, usage_source, charged_nano, provider_cost_nano, overrun"
            " FROM call WHERE end_user IS NOT NULL"
        )
        assert len({row.end_user for row in found}) == len(found), "two rows of one call"
        return cls({row.end_user: row for row in found if row.end_user in names})


@dataclass
class Crowd:
    """Callers of one fleet, and what each got."""

    fleet: Fleet
    session: aiohttp.ClientSession
    key: Key
    got: dict[str, Got] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def call(self, name: str, **plan: Any) -> Got:
        self.got[name] = Got()
        self.tasks.append(asyncio.create_task(listen(self.session, self.fleet, self.key, name, len(self.got), self.got[name], **plan)))
        return self.got[name]


@pytest.fixture
def witnesses() -> Iterator[list[Witness]]:
    opened: list[Witness] = []
    yield opened
    for witness in opened:
        witness.close()


def check_interrupted(row: Any, got: Got, sent: int) -> None:
    """Never more than was sent, and at most a checkpoint less than the caller got."""
    assert (row.outcome, row.usage_source, bool(row.overrun)) == ("interrupted", "estimated", False)
    assert row.input_tokens == PROMPT_TOKENS
    assert got.tokens - CHECKPOINT_TOKENS < row.output_tokens <= sent
    assert row.charged_nano == row.provider_cost_nano == row.output_tokens * TOKEN


@pytest.mark.case("D1")
async def test_calls_that_a_kill_interrupted_are_charged_what_they_had_come_to(
    start_fleet: StartFleet, upstream: OpenAIUpstream, witnesses: list[Witness]
) -> None:
    fleet = start_fleet(ONE)
    [server] = fleet.servers
    witness = Witness(fleet.database_url)
    witnesses.append(witness)
    counting = CountingUpstream(upstream, lambda: journals(server))
    async with operator_of(fleet.database_url) as operator, crowd() as session:
        key = await operator.key(await operator.tenant(budget=RICH), budget=RICH)
        await fleet.knows(key)
        calls = Crowd(fleet, session, key)
        whole = {f"whole-{number}": calls.call(f"whole-{number}", think=0, total=7) for number in range(4)}
        complete = {f"complete-{number}": calls.call(f"complete-{number}", burst=10, gap=0, total=10) for number in range(4)}
        await asyncio.gather(*calls.tasks)
        assert all(got.done for got in calls.got.values())
        waiting = {f"waiting-{number}": calls.call(f"waiting-{number}", think=LONG, total=1) for number in range(4)}
        silent = {f"silent-{number}": calls.call(f"silent-{number}", burst=3, gap=LONG, total=4) for number in range(16)}
        await until(lambda: set(said(server)), lambda names: names >= {*waiting, *silent})
        lively = {f"lively-{number}": calls.call(f"lively-{number}", burst=1, gap=0.004, total=20_000) for number in range(16)}
        async with asyncio.timeout(60):
            while min(got.tokens for got in lively.values()) < 100:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(server.kill)
        await asyncio.gather(*calls.tasks)
        assert all(told.opened_before for told in counting.calls.values())
        await asyncio.to_thread(server.restart)
        names = set(calls.got)
        found = (await until(lambda: Rows.of(witness, names), lambda found: set(found.rows) == names)).rows
    for name in (*whole, *complete):
        tokens = counting.calls[name].sent
        assert (found[name].outcome, found[name].usage_source, found[name].charged_nano) == ("completed", "provider", tokens * TOKEN)
    for name in waiting:
        check_interrupted(found[name], calls.got[name], 0)
    for name in silent:
        check_interrupted(found[name], calls.got[name], 3)
        assert found[name].output_tokens == 3, "half a second of silence is enough"
    for name in lively:
        check_interrupted(found[name], calls.got[name], counting.calls[name].sent)
    total = sum(row.charged_nano for row in found.values())
    assert witness.truth(budget_of(witness, key.id)) == Truth(total, 0, total, len(names))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.case("D1")
@pytest.mark.parametrize(
    ("shape", "rounds"),
    [pytest.param(ONE, 20, id="sqlite"), pytest.param(Shape(), 5, id="postgresql"), pytest.param(FOUR_WORKERS, 5, id="four workers")],
)
async def test_200_streams_and_a_kill_many_times(
    start_fleet: StartFleet, upstream: OpenAIUpstream, witnesses: list[Witness], shape: Shape, rounds: int
) -> None:
    """Of four workers the parent is killed as well, so that nobody is left to replay until the restart."""
    fleet = start_fleet(shape)
    [server] = fleet.servers
    witness = Witness(fleet.database_url)
    witnesses.append(witness)
    counting = CountingUpstream(upstream, lambda: journals(server))
    chance = random.Random(1)
    missing: list[int] = []
    late: list[float] = []
    replayed: list[float] = []
    async with operator_of(fleet.database_url) as operator, crowd() as session:
        key = await operator.key(await operator.tenant(budget=RICH), budget=RICH)
        await fleet.knows(key)
        everything: set[str] = set()
        for number in range(rounds):
            calls = Crowd(fleet, session, key)
            streams = {}
            for stream in range(200):
                name = f"r{number}-s{stream}"
                gap, burst = chance.choice(((0.1, 1), (0.2, 20), (0.3, 100), (0.02 if stream < 20 else 0.4, 1)))
                streams[name] = calls.call(name, burst=burst, gap=gap, total=20_000 if stream % 10 else 30)
            whole = {f"r{number}-w{call}": calls.call(f"r{number}-w{call}", think=chance.uniform(0.1, 4), total=9) for call in range(20)}
            await asyncio.wait_for(asyncio.gather(*(got.first.wait() for got in streams.values())), 120)
            await asyncio.sleep(chance.uniform(0, 2))
            await asyncio.to_thread(server.kill)
            killed = asyncio.get_running_loop().time()
            await asyncio.gather(*calls.tasks)
            names = set(calls.got)
            everything |= names
            assert all(counting.calls[name].opened_before for name in names)
            await asyncio.to_thread(server.restart)
            ready = time.monotonic()
            found = (await until(lambda names=names: Rows.of(witness, names), lambda rows, names=names: set(rows.rows) == names)).rows
            replayed.append(time.monotonic() - ready)
            for name, got in streams.items():
                row, sent = found[name], counting.calls[name].sent
                if row.outcome == "completed":
                    assert (row.usage_source, row.charged_nano) == ("provider", sent * TOKEN)
                    continue
                assert not got.done
                check_interrupted(row, got, sent)
                missing.append(got.tokens - row.output_tokens)
                late.append(killed - got.at[row.output_tokens] if got.tokens > row.output_tokens else 0.0)
            for name in whole:
                row = found[name]
                assert row.outcome in ("completed", "interrupted")
                assert row.charged_nano == (counting.calls[name].sent * TOKEN if row.outcome == "completed" else 0)
            truth = witness.truth(budget_of(witness, key.id))
            assert (truth.spent, truth.leased, truth.calls) == (truth.ledger, 0, len(everything))
    sys.stdout.write(
        f"\n{rounds} rounds, {len(everything)} calls, {len(missing)} interrupted streams: tokens that the caller got and the ledger lacks"
        f" mean {sum(missing) / len(missing):.2f}, most {max(missing)}; the first of them came at most {max(late):.2f} s before the kill;"
        f" rows complete {max(replayed):.2f} s after the restart at the latest\n"
    )


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.case("D1")
async def test_one_of_four_workers_is_killed_and_the_others_go_on(
    start_fleet: StartFleet, upstream: OpenAIUpstream, witnesses: list[Witness]
) -> None:
    """The parent starts another one in its place, which finds the journal that was left behind."""
    fleet = start_fleet(FOUR_WORKERS)
    [server] = fleet.servers
    witness = Witness(fleet.database_url)
    witnesses.append(witness)
    counting = CountingUpstream(upstream, lambda: journals(server))
    async with operator_of(fleet.database_url) as operator, crowd() as session:
        key = await operator.key(await operator.tenant(budget=RICH), budget=RICH)
        await fleet.knows(key)
        broken = 0
        everything: set[str] = set()
        for number in range(5):
            counting.enough.clear()
            calls = Crowd(fleet, session, key)
            for stream in range(80):
                calls.call(f"r{number}-{stream}", burst=1, gap=0.1, total=20_000)
            await asyncio.gather(*(got.first.wait() for got in calls.got.values()))
            await asyncio.sleep(0.7)
            before = set(journals(server))
            victim = server.worker_pids[number % 4]
            os.kill(victim, signal.SIGKILL)
            await until(lambda victim=victim: len(pids := server.worker_pids) == 4 and victim not in pids)
            await until(lambda before=before: len(now := set(journals(server))) == 4 and now != before)
            counting.enough.set()
            await asyncio.gather(*calls.tasks)
            names = set(calls.got)
            everything |= names
            found = (await until(lambda names=names: Rows.of(witness, names), lambda rows, names=names: set(rows.rows) == names)).rows
            for name, got in calls.got.items():
                if got.done:
                    assert (found[name].outcome, found[name].charged_nano) == ("completed", counting.calls[name].sent * TOKEN)
                else:
                    broken += 1
                    check_interrupted(found[name], got, counting.calls[name].sent)
        assert broken >= 5
        assert await asyncio.to_thread(server.stop) == 0
        truth = witness.truth(budget_of(witness, key.id))
    assert (truth.spent, truth.leased, truth.calls) == (truth.ledger, 0, len(everything))
    sys.stdout.write(f"\n5 workers killed, one after another: {broken} of {len(everything)} streams interrupted, the others completed\n")
