"""Key within user within tenant, random limits, everybody at once: no level is exceeded, and nobody waits in a circle."""

import asyncio
import os
import random
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.budgets.witness import Witness
from tests.conftest import Figures
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import THREE, THREE_WITH_REDIS, USD, budget_of, fleets, settled, using
from tests.rig.fleet import Fleet, Key, Operator

TOKEN = USD // 1000
AT_ONCE = 200


@dataclass
class Family:
    """A tenant, its people and their keys; `limits` by the id of key, user or tenant."""

    keys: list[Key]
    limits: dict[str, int]


async def family(operator: Operator, chance: random.Random) -> Family:
    limits: dict[str, int] = {}
    tenant_id = await operator.tenant(chance.randint(200, 700) * TOKEN)
    limits[tenant_id] = 0
    keys = []
    for _ in range(3):
        user_id = await operator.user(tenant_id, chance.randint(60, 400) * TOKEN)
        limits[user_id] = 0
        for _ in range(2):
            keys.append(await operator.key(tenant_id, owner=user_id, budget=chance.randint(30, 250) * TOKEN))
            limits[keys[-1].id] = 0
    return Family(keys, limits)


async def run_dry(fleet: Fleet, operator: Operator, witness: Witness, chance: random.Random) -> Counter[str]:
    """200 callers with all keys until nothing fits any more; then every level is looked at."""
    one = await family(operator, chance)
    await fleet.knows(*one.keys)
    answered: Counter[str] = Counter()
    while True:
        body = {"model": "dear", "messages": [{"role": "user", "content": "hi"}], "max_tokens": chance.randint(5, 20)}
        round_of_it = await fleet.storm(lambda _: chance.choice(one.keys), body, AT_ONCE)
        answered += round_of_it
        if not round_of_it["200"]:
            break
    truths = {}
    for scope_id in one.limits:
        budget = budget_of(witness, scope_id)
        limit = int(witness.run("SELECT limit_nano FROM budget WHERE id = :id", id=budget)[0][0])
        truths[scope_id] = truth = await settled(witness, budget)
        assert truth.spent == truth.ledger <= limit, scope_id
    assert sum(truths[key.id].spent for key in one.keys) == truths[one.keys[0].tenant_id].spent
    assert set(answered) <= {"200", "403 budget_exceeded"}
    return answered


def deadlocks(witness: Witness) -> int:
    return int(witness.run("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0])


async def dry_runs(fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream, *, seconds: float) -> Counter[str]:
    chance = random.Random(5)
    upstream.script(using(lambda cap: chance.randint(1, cap), seconds=lambda: chance.uniform(0, 0.1)))
    before, ends = deadlocks(witness), time.monotonic() + seconds
    answered: Counter[str] = Counter()
    while not answered or time.monotonic() < ends:
        answered += await run_dry(fleet, operator, witness, chance)
        upstream.requests.clear()
    # PostgreSQL tells its statistics a second late.
    await asyncio.sleep(1.5)
    assert deadlocks(witness) == before
    return answered


@pytest.mark.case("B5")
@fleets(THREE)
async def test_no_level_is_exceeded(fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream) -> None:
    await dry_runs(fleet, operator, witness, upstream, seconds=0)


@pytest.mark.soak
@pytest.mark.case("B5")
@fleets(THREE_WITH_REDIS)
async def test_no_level_is_exceeded_for_long(
    fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream, figures: Figures
) -> None:
    answered = await dry_runs(fleet, operator, witness, upstream, seconds=float(os.environ.get("SOAK_SECONDS", "600")))
    figures(calls=sum(answered.values()), answered=dict(answered))
