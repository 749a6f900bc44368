"""Three gateways on PostgreSQL and Redis, providers that fail at random, and books that must agree with what the providers know."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from tests.budgets.witness import Witness
from tests.conftest import Figures
from tests.fakes.openai_upstream import Exchange
from tests.faults.caller import Got, call, caller
from tests.faults.provider import (
    TEXT,
    TOKENS,
    Asked,
    Provider,
    Providers,
    Step,
    cut,
    garbled,
    healthy,
    late,
    refusing,
    resetting,
    silent,
    stalled,
    without_done,
)
from tests.fleet.conftest import THREE_WITH_REDIS, StartFleet, budget_of, settled, until
from tests.rig.fleet import Fleet, operator_of
from tests.rig.redis import RedisServer
from tests.rig.server import ROOT, clean_environment

TOKEN = 1_000_000
AT_ONCE = 18
TROUBLE = 0.4
"""Of the questions to the first two candidates."""
LIMITS = {"first_token": "2s", "attempt": "2s", "idle": "2s"}


def unsteady(seed: int) -> Step:
    """A different fault each time, or none."""
    chance = random.Random(seed)
    never = 3600.0

    async def step(exchange: Exchange, asked: Asked) -> None:
        faults = [
            refusing(429, "rate_limit_exceeded", "slow down", "retry-after: 1", kind="rate_limit_error"),
            refusing(500),
            refusing(503),
            resetting(),
            silent(never),
            late(never),
            cut(chance.randrange(TOKENS + 1)),
            cut(chance.randrange(TOKENS + 1), "end"),
            stalled(chance.randrange(TOKENS), never),
            garbled(chance.randrange(1, TOKENS), lost=False),
            without_done(),
        ]
        good = healthy(per_event=chance.choice([1, 2, 5]))
        await (chance.choice(faults) if chance.random() < TROUBLE else good)(exchange, asked)

    return step


def configuration(providers: list[Provider]) -> str:
    candidates = [{"provider": provider.name, "model": "m", "price": {"input": 0, "output": 1000}} for provider in providers]
    route = {"strategy": "ordered", "timeouts": LIMITS, "breaker": {"failures": 5, "open": "2s", "probe_interval": "500ms"}}
    return yaml.safe_dump(
        {
            "providers": {provider.name: {"protocol": "openai", "base_url": provider.url} for provider in providers},
            "models": [
                {"alias": "exact", "candidates": candidates, **route},
                {"alias": "prefill", "candidates": [{**one, "prefill": True} for one in candidates], **route},
            ],
            "budgets": {"default": {"limit_usd": 1_000_000}},
            "rate_limits": {"default": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}},
        }
    )


def fault_of(got: Got) -> str | None:
    """What is wrong with it; None if it is all of the answer, or a part of it (or nothing) and one clear error."""
    if got.error is None and got.raised is None:
        if (got.text, got.done) == (TEXT, True):
            return None
        return f"not the answer, and no error: {got}"
    if got.error is None:
        return f"no error but {got.raised}"
    if not TEXT.startswith(got.text) or (got.text and got.done):
        return f"an error after {got.text!r}"
    return None


@pytest.mark.soak
@pytest.mark.case("U3")
@pytest.mark.case("B10")
@pytest.mark.case("B12")
async def test_whatever_providers_do_answers_are_whole_and_books_agree(
    start_fleet: StartFleet, redis_server: RedisServer, figures: Figures
) -> None:
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    async with Providers() as cast:
        providers = [await cast.open("first", unsteady(1)), await cast.open("second", unsteady(2)), await cast.open("third", healthy())]
        fleet = await asyncio.to_thread(start_fleet, THREE_WITH_REDIS, redis_url=redis_server.url, configuration=configuration(providers))
        witness = Witness(fleet.database_url)
        async with operator_of(fleet.database_url) as operator:
            key = await operator.key(await operator.tenant(10**15), budget=10**15)
            await fleet.knows(key)
            answers = await _chaos(fleet, key.text, seconds)
            # What was refused binds no budget, so it may be written a moment after the rest.
            await until(lambda: len(rows_of(witness)), lambda count: count == len(answers))
            truth = await settled(witness, budget_of(witness, key.id), seconds=60)
    await _judge(answers, truth, witness, providers, fleet)
    outcomes = Counter((got.error or {}).get("code", "whole") if got.error else "whole" for got in answers)
    asked = sum(len(provider.asked) for provider in providers)
    recovered = sum(bool((got.bourse or {}).get("recovered")) for got in answers)
    figures(calls=len(answers), attempts=asked, answers=dict(outcomes), recovered=recovered)
    witness.close()


async def _chaos(fleet: Fleet, key: str, seconds: float) -> list[Got]:
    ends, answers, chance = time.monotonic() + seconds, list[Got](), random.Random(0)

    async def one_after_another(number: int) -> None:
        async with caller(fleet.urls[number % len(fleet.urls)], key) as client:
            while time.monotonic() < ends:
                answers.append(await call(client, chance.choice(["exact", "prefill"]), stream=chance.random() < 0.7))

    await asyncio.gather(*(one_after_another(number) for number in range(AT_ONCE)))
    return answers


def rows_of(witness: Witness) -> Sequence[Any]:
    return witness.run("SELECT outcome, charged_nano, output_tokens FROM call")


async def _judge(answers: list[Got], truth: object, witness: Witness, providers: list[Provider], fleet: Fleet) -> None:
    faults = [fault for got in answers if (fault := fault_of(got)) is not None]
    assert not faults, "\n".join(faults)
    rows = rows_of(witness)
    whole = [row for row in rows if row.outcome == "completed"]
    assert len(whole) == sum(got.error is None for got in answers)
    assert {row.charged_nano for row in whole} <= {TOKENS * TOKEN}
    for provider in providers:
        cost = witness.run("SELECT COALESCE(SUM(provider_cost_nano), 0) FROM call_attempt WHERE provider = :name", name=provider.name)
        assert (provider.name, int(cost[0][0])) == (provider.name, provider.generated * TOKEN)
    tries = int(witness.run("SELECT COUNT(*) FROM call_attempt")[0][0])
    # A kept connection that breaks before the first byte is replaced without telling.
    assert tries <= sum(len(provider.asked) for provider in providers)
    charged = sum(row.charged_nano for row in rows)
    assert truth == (charged, 0, charged, len(rows))
    environment = clean_environment(fleet.servers[0].data_dir, BOURSE_DATABASE_URL=fleet.database_url)
    command = [sys.executable, "-m", "backend", "reconcile"]
    run = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
