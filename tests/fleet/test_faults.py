"""What goes wrong around three gateways: providers that fail, callers that leave, processes that are killed, connections that die."""

import asyncio
import os
import random
import time
from collections import Counter
from typing import Any

import psycopg
import pytest

from tests.budgets.witness import Witness
from tests.conftest import Figures
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, events, reset, status
from tests.fleet.conftest import (
    FOUR_WORKERS,
    TEN,
    THREE,
    THREE_WITH_REDIS,
    USD,
    Shape,
    StartFleet,
    budget_of,
    fleets,
    settled,
    until,
    using,
)
from tests.fleet.test_one_budget import drain
from tests.fleet.test_twins import a_hundred_twins
from tests.rig.fleet import OPERATOR, Fleet, Operator, operator_of


def troubled(chance: random.Random) -> Any:
    """Three of ten calls meet a failure, a reset, silence, or a stream that breaks; the others use less than they may."""
    good = using(lambda cap: chance.randint(1, cap), seconds=lambda: chance.uniform(0, 0.2))
    broken = events({"choices": [{"index": 0, "delta": {"content": "w"}, "finish_reason": None}]}, end="reset")
    bad = [status(500), status(429), reset(), broken, _silent]

    async def step(exchange: Exchange) -> None:
        await (chance.choice(bad) if chance.random() < 0.3 else good)(exchange)

    return step


async def _silent(exchange: Exchange) -> None:
    await exchange.until_hang_up()


@pytest.mark.soak
@pytest.mark.case("B3")
@pytest.mark.parametrize("shape", [THREE, FOUR_WORKERS], ids=["replicas", "workers"])
async def test_failures_hang_ups_and_killed_processes_overspend_nothing_and_lose_nothing(
    start_fleet: StartFleet, upstream: OpenAIUpstream, figures: Figures, shape: Shape
) -> None:
    fleet = start_fleet(shape)
    witness = Witness(fleet.database_url)
    chance = random.Random(3)
    ends = time.monotonic() + min(120.0, float(os.environ.get("SOAK_SECONDS", "600")))
    rounds, slowest = 0, 0.0
    answered: Counter[str] = Counter()
    async with operator_of(fleet.database_url) as operator:
        while not rounds or time.monotonic() < ends:
            rounds += 1
            key = await operator.key(budget=USD)
            await fleet.knows(key)
            upstream.script(troubled(chance))
            storm = asyncio.create_task(fleet.storm(key, TEN, 300, patience=lambda: chance.choice([0.3, 3.0, 10.0])))
            await asyncio.sleep(chance.uniform(0.3, 1.5))
            victim = chance.choice(fleet.servers)
            if shape.workers > 1:
                os.kill(chance.choice(victim.worker_pids), 9)
            else:
                victim.kill()
            answered += await storm
            held = await asyncio.to_thread(witness.truth, budget_of(witness, key.id))
            assert held.spent + held.leased <= USD
            killed = time.monotonic()
            if shape.workers == 1:
                await asyncio.to_thread(victim.restart)
            await until(lambda victim=victim: len(victim.worker_pids) in (0, shape.workers))
            truth = await settled(witness, budget_of(witness, key.id), seconds=120)
            slowest = max(slowest, time.monotonic() - killed)
            assert truth.spent == truth.ledger <= USD
            await fleet.knows(key)
            await drain(fleet, key, upstream)
            truth = await settled(witness, budget_of(witness, key.id))
            assert (truth.spent, truth.ledger) == (USD, USD)
            upstream.requests.clear()
    witness.close()
    figures(rounds=rounds, answered=dict(answered), most_seconds_until_all_was_settled=round(slowest, 1))


@pytest.mark.case("B3")
@fleets(THREE)
async def test_failures_and_hang_ups_leave_the_budget_whole(
    fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream
) -> None:
    key = await operator.key(budget=USD // 2)
    await fleet.knows(key)
    chance = random.Random(3)
    upstream.script(troubled(chance))
    await fleet.storm(key, TEN, 80, patience=lambda: chance.choice([0.3, 1.0]))
    truth = await settled(witness, budget_of(witness, key.id))
    assert truth.spent == truth.ledger <= USD // 2
    await drain(fleet, key, upstream)
    truth = await settled(witness, budget_of(witness, key.id))
    assert (truth.spent, truth.leased, truth.ledger) == (USD // 2, 0, USD // 2)


@pytest.mark.case("D7")
@fleets(THREE, FOUR_WORKERS)
async def test_connections_that_died_while_they_were_idle_cost_nobody_a_call(
    fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream
) -> None:
    """As a restarted PgBouncer or a firewall does it; new keys, so that every call needs the database."""
    keys = [await operator.key(budget=USD) for _ in range(6)]
    await fleet.knows(*keys)
    with psycopg.connect(fleet.database_url, autocommit=True) as connection:
        killed = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        ).fetchone()
    assert killed is not None
    assert killed[0] >= 3
    assert await fleet.storm(lambda number: keys[number], TEN, len(keys)) == {"200": len(keys)}


@pytest.mark.case("A1")
@fleets(THREE, THREE_WITH_REDIS)
async def test_a_key_that_was_revoked_is_refused_by_every_replica_within_five_seconds(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream
) -> None:
    """By another process than theirs, as the command line does it."""
    revoked, of_suspended = await operator.key(), await operator.key()
    await fleet.knows(revoked, of_suspended)
    assert await fleet.storm(revoked, TEN, 3) == {"200": 3}
    started = time.monotonic()
    await operator.keys.revoke(OPERATOR, revoked.tenant_id, revoked.id)
    await operator.tenants.set_status(OPERATOR, of_suspended.tenant_id, "suspended")
    await fleet.knows(revoked, status=401)
    await fleet.knows(of_suspended, status=403)
    assert time.monotonic() - started < 20, "5 s, and a busy machine is not the product's slowness; the long test measures it"
    assert await fleet.storm(revoked, TEN, 3) == {"401 invalid_api_key": 3}


@pytest.mark.soak
@pytest.mark.case("A1")
@fleets(THREE, THREE_WITH_REDIS)
async def test_how_soon_a_revoked_key_is_refused_everywhere(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream, figures: Figures
) -> None:
    took = []
    for _ in range(20):
        key = await operator.key()
        await fleet.knows(key)
        started = time.monotonic()
        await operator.keys.revoke(OPERATOR, key.tenant_id, key.id)
        await fleet.knows(key, status=401)
        took.append(time.monotonic() - started)
    figures(median=f"{sorted(took)[10]:.2f} s", slowest=f"{max(took):.2f} s")
    assert max(took) <= 5


@pytest.mark.case("I1")
@fleets(THREE_WITH_REDIS)
async def test_a_hundred_twins_at_three_replicas_are_one_call(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream, witness: Witness
) -> None:
    await a_hundred_twins(fleet, operator, upstream, witness, {**TEN, "stream": True})
