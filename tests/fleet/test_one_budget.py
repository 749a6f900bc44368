"""One budget, more calls than it holds, all at once: through the gateway, in all the ways in which it is run."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis

from tests.budgets.witness import Truth, Witness
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import (
    CALL,
    FOUR_WORKERS,
    ONE,
    TEN,
    THREE,
    THREE_WITH_REDIS,
    USD,
    StartFleet,
    budget_of,
    fleets,
    honours_the_cap,
    settled,
    using,
)
from tests.rig.fleet import OPERATOR, Fleet, Key, Operator, operator_of
from tests.rig.redis import RedisServer

EVERY_WAY = (ONE, FOUR_WORKERS, THREE, THREE_WITH_REDIS)
ONE_TOKEN = {**TEN, "max_tokens": 1}
EXACT = {"200": 100, "403 budget_exceeded": 400}


async def spend_a_dollar(fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream, key: Key | None = None) -> None:
    """500 calls of a cent each for one dollar."""
    key = key or await operator.key(budget=USD)
    await fleet.knows(key)
    asked = len(upstream.requests)
    assert await fleet.storm(key, TEN, 500) == EXACT
    assert len(upstream.requests) - asked == 100
    assert await settled(witness, budget_of(witness, key.id)) == Truth(spent=USD, leased=0, ledger=USD, calls=100)


@pytest.mark.case("B1")
@fleets(*EVERY_WAY)
async def test_exactly_100_of_500_are_admitted(fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream) -> None:
    await spend_a_dollar(fleet, operator, witness, upstream)


@pytest.mark.soak
@pytest.mark.case("B1")
@fleets(*EVERY_WAY)
async def test_exactly_100_of_500_are_admitted_20_times_of_20(
    fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream
) -> None:
    for _ in range(20):
        await spend_a_dollar(fleet, operator, witness, upstream)


async def drain(fleet: Fleet, key: Key, upstream: OpenAIUpstream) -> int:
    """Spend what is left, one call after another, until even one of a single token is refused; how many there were."""
    upstream.script(honours_the_cap)
    count = 0
    for body in (TEN, ONE_TOKEN):
        while (answered := await fleet.storm(key, body, 1)) == {"200": 1}:
            count += 1
        assert answered == {"403 budget_exceeded": 1}
    return count


@pytest.mark.case("B2")
@fleets(THREE_WITH_REDIS)
async def test_what_calls_did_not_use_is_usable_to_the_last_token(
    fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream
) -> None:
    """A tenth to all of the reservation is used; then the rest of the budget is drained, wherever it lies."""
    key = await operator.key(budget=USD)
    await fleet.knows(key)
    chance = random.Random(2)
    upstream.script(using(lambda cap: chance.randint(max(1, cap // 10), cap), seconds=lambda: chance.uniform(0, 0.1)))
    answered = await fleet.storm(key, TEN, 300)
    assert set(answered) <= {"200", "403 budget_exceeded"}
    assert answered["200"] >= 100
    rest = await drain(fleet, key, upstream)
    truth = await settled(witness, budget_of(witness, key.id))
    assert truth == Truth(spent=USD, leased=0, ledger=USD, calls=answered["200"] + rest)
    assert sum(seen.body["max_tokens"] > 0 for seen in upstream.requests) == truth.calls


@pytest.mark.case("B6")
@fleets(THREE)
async def test_of_fifty_first_calls_of_a_key_nobody_has_met_one_fits(
    fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream
) -> None:
    key = await operator.key(budget=CALL)
    await fleet.knows(key)
    assert await fleet.storm(key, TEN, 50) == {"200": 1, "403 budget_exceeded": 49}
    assert len(upstream.requests) == 1


# ── what must change nothing ─────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def edits(operator: Operator, tenant_id: str) -> AsyncIterator[None]:
    """Somebody changes the tenant's settings some forty times a second: its name, its models, its budget, its limits."""

    async def edit() -> None:
        for number in range(10**9):
            await operator.tenants.rename(OPERATOR, tenant_id, f"Tenant {number}")
            await operator.tenants.set_models(OPERATOR, tenant_id, ["dear", f"m{number % 7}"])
            await operator.budgets.set(OPERATOR, tenant_id, "tenant", tenant_id, limit_nano=(1000 + number % 9) * USD)
            await operator.limits.set(OPERATOR, tenant_id, "tenant", tenant_id, {"requests_per_minute": 10**6 + number % 5})
            await asyncio.sleep(0.08)

    editing = asyncio.create_task(edit())
    try:
        yield
        assert not editing.done(), editing.exception()
    finally:
        editing.cancel()
        await asyncio.gather(editing, return_exceptions=True)


@pytest.mark.case("B7")
@fleets(THREE_WITH_REDIS)
async def test_edits_and_an_emptied_redis_change_nothing(
    fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream, redis_server: RedisServer
) -> None:
    key = await operator.key(budget=USD)
    await fleet.knows(key)

    async def flush() -> None:
        with redis.Redis.from_url(redis_server.url) as client:
            while True:
                client.flushall()
                await asyncio.sleep(0.05)

    upstream.script(using(lambda cap: cap, seconds=lambda: random.uniform(0, 0.3)))
    flushing = asyncio.create_task(flush())
    async with edits(operator, key.tenant_id):
        await spend_a_dollar(fleet, operator, witness, upstream, key)
    flushing.cancel()


@pytest.mark.soak
@pytest.mark.case("B7")
async def test_cold_replicas_and_a_redis_with_old_news_change_nothing(start_fleet: StartFleet, upstream: OpenAIUpstream) -> None:
    """Redis is restarted from what it had saved a call before; then all replicas begin anew, and all calls come at once."""
    server = RedisServer()
    try:
        fleet = start_fleet(THREE, redis_url=server.url)
        witness = Witness(fleet.database_url)
        async with operator_of(fleet.database_url) as operator:
            warm, cold = [await operator.key(budget=USD) for _ in range(2)]
            await fleet.knows(warm, cold)
            assert await fleet.storm(warm, TEN, 10) == {"200": 10}
            server.save()
            assert await fleet.storm(warm, TEN, 10) == {"200": 10}
            storm = asyncio.create_task(fleet.storm(warm, TEN, 480))
            await asyncio.to_thread(server.restart)
            assert await storm == {"200": 80, "403 budget_exceeded": 400}
            for replica in fleet.servers:
                replica.restart(wait=False)
            for replica in fleet.servers:
                replica.wait_until_ready()
            assert await fleet.storm(cold, TEN, 500) == EXACT
            for key in (warm, cold):
                assert await settled(witness, budget_of(witness, key.id)) == Truth(spent=USD, leased=0, ledger=USD, calls=100)
        witness.close()
    finally:
        server.close()
