"""Providers that refuse everything for a while: they are not asked more than callers ask, and callers do not wait for them."""

import asyncio
import json
import math
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.budgets.witness import Witness
from tests.conftest import Figures
from tests.fakes.openai_upstream import Exchange
from tests.faults.provider import Asked, Provider, Providers, Step, healthy, refusing
from tests.faults.stage import KEY
from tests.gateway.conftest import open_gateway
from tests.rig.fleet import crowd
from tests.rig.server import AppServer

PER_SECOND = 50
UNAVAILABLE = refusing(503)
LIMITED = refusing(429, "rate_limit_exceeded", "slow down", kind="rate_limit_error")
LIMITED_FOR_A_SECOND = refusing(429, "rate_limit_exceeded", "slow down", "retry-after: 1", kind="rate_limit_error")
LIMITED_FOR_AGES = refusing(429, "rate_limit_exceeded", "slow down", "retry-after: 1000000000", kind="rate_limit_error")
TENTH = 0.1
"""Of the usual times, for the breakers of the quick tests."""


def either(*steps: Step) -> Step:
    chance = random.Random(5)

    async def step(exchange: Exchange, asked: Asked) -> None:
        await chance.choice(steps)(exchange, asked)

    return step


def slowly(step: Step, seconds: float) -> Step:
    async def late(exchange: Exchange, asked: Asked) -> None:
        await asyncio.sleep(seconds)
        await step(exchange, asked)

    return late


STORMS: dict[str, list[Step]] = {
    "the-first": [either(UNAVAILABLE, LIMITED), healthy()],
    "all": [either(UNAVAILABLE, LIMITED), either(UNAVAILABLE, LIMITED)],
    "all-slow": [slowly(UNAVAILABLE, 0.3), slowly(LIMITED, 0.3)],
    "limited": [LIMITED_FOR_A_SECOND],
    "limited-for-ages": [LIMITED_FOR_AGES, LIMITED_FOR_AGES],
    "half-of-them": [either(UNAVAILABLE, healthy())],
}
"""What the candidates of a route do."""
SURVIVES = {"the-first"}
"""Storms that no caller is to notice."""
OPENS = {"all", "all-slow"}
"""Storms after which every breaker is open."""


@dataclass
class Answer:
    status: int
    code: str | None
    retry_after: str | None
    seconds: float


@dataclass
class Storm:
    """One route in its storm."""

    name: str
    providers: list[Provider]
    answers: list[Answer] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return sum(len(provider.asked) for provider in self.providers)

    async def rages(self, url: str, seconds: float) -> None:
        """So many calls a second, whether earlier ones are answered or not."""
        async with crowd() as session, asyncio.TaskGroup() as group:
            started = time.monotonic()
            for number in range(round(seconds * PER_SECOND)):
                group.create_task(self._one(session, url))
                await asyncio.sleep(max(0.0, started + number / PER_SECOND - time.monotonic()))

    async def is_asked(self, url: str, *, callers: int, times: int) -> None:
        """Each caller asks again once it has its answer: as hard a storm on any machine."""

        async def one_after_another(session: aiohttp.ClientSession) -> None:
            for _ in range(times):
                await self._one(session, url)

        async with crowd() as session:
            await asyncio.gather(*(one_after_another(session) for _ in range(callers)))

    async def _one(self, session: aiohttp.ClientSession, url: str) -> None:
        body = {"model": self.name, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 60, "stream": len(self.answers) % 2 == 0}
        begun = time.monotonic()
        async with session.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}) as answer:
            text = await answer.text()
            code = None if answer.status == 200 else json.loads(text)["error"]["code"]
            self.answers.append(Answer(answer.status, code, answer.headers.get("retry-after"), time.monotonic() - begun))


def configuration(storms: list[Storm], factor: float) -> str:
    known: dict[str, Any] = {}
    routes = []
    for storm in storms:
        for provider in storm.providers:
            known[provider.name] = {"protocol": "openai", "base_url": provider.url}
        price = {"input": 0, "output": 1}
        breaker = {"failures": 3, "open": f"{300 * factor:g}s", "probe_interval": f"{10 * factor:g}s"}
        candidates = [{"provider": provider.name, "model": "m", "price": price} for provider in storm.providers]
        routes.append({"alias": storm.name, "strategy": "ordered", "candidates": candidates, "breaker": breaker})
    limits = {"default": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}}
    return yaml.safe_dump({"providers": known, "models": routes, "rate_limits": limits})


async def brewed(providers: Providers, *names: str) -> list[Storm]:
    return [Storm(name, [await providers.open(f"{name}-{number}", step) for number, step in enumerate(STORMS[name])]) for name in names]


@asynccontextmanager
async def a_quick_gateway(folder: Path, database_url: str, *names: str) -> AsyncIterator[tuple[list[Storm], str]]:
    async with Providers() as providers:
        storms = await brewed(providers, *names)
        file = folder / "bourse.yaml"
        # Providers and callers share the gateway's loop here, and would make it shed calls.
        file.write_text(configuration(storms, TENTH) + yaml.safe_dump({"overload": {"high": "30s", "degraded": "60s"}}))
        async with open_gateway(file, folder, database_url) as gateway:
            yield storms, gateway.url


def judge(storm: Storm) -> None:
    calls = len(storm.answers)
    assert storm.asked <= 1.2 * calls, f"{storm.name}: {storm.asked} attempts for {calls} calls"
    statuses = Counter(answer.status for answer in storm.answers)
    codes = Counter(answer.code for answer in storm.answers)
    if storm.name in SURVIVES:
        assert codes == {None: calls}
    assert set(statuses) <= {200, 429, 502, 503}, f"{storm.name}: {codes}"
    for answer in storm.answers:
        assert answer.status not in (429, 503) or answer.retry_after is not None
        assert answer.retry_after is None or 0 < float(answer.retry_after) <= 3600


@pytest.mark.case("U5")
@pytest.mark.case("U10")
async def test_in_a_storm_providers_are_hardly_asked_more_than_callers_ask(tmp_path: Path, sqlite_database_url: str) -> None:
    """All of them at once, each on a route of its own."""
    async with a_quick_gateway(tmp_path, sqlite_database_url, *STORMS) as (storms, url):
        await asyncio.gather(*(storm.is_asked(url, callers=4, times=25) for storm in storms))
        for storm in storms:
            judge(storm)


@pytest.mark.case("U10")
async def test_when_every_breaker_is_open_nobody_is_asked_and_nothing_stays_reserved(tmp_path: Path, sqlite_database_url: str) -> None:
    async with a_quick_gateway(tmp_path, sqlite_database_url, "all") as (storms, url):
        (storm,) = storms
        await storm.is_asked(url, callers=4, times=6)
        asked, seen, begun = storm.asked, len(storm.answers), time.monotonic()
        await storm.is_asked(url, callers=4, times=6)
        refused = storm.answers[seen:]
        # One call in each interval of a second is a probe of each.
        probes = 2 * (1 + math.ceil((time.monotonic() - begun) / (10 * TENTH)))
        assert storm.asked - asked <= probes
        assert sum(answer.status == 503 and answer.code == "no_available_provider" for answer in refused) >= len(refused) - probes
    witness = Witness(sqlite_database_url)
    assert witness.run("SELECT COALESCE(SUM(amount_nano), 0) FROM budget_lease")[0][0] == 0
    assert witness.run("SELECT COALESCE(SUM(spent_nano), 0) FROM budget_day")[0][0] == 0
    witness.close()


@pytest.mark.soak
@pytest.mark.case("U5")
@pytest.mark.case("U10")
@pytest.mark.parametrize("name", STORMS)
async def test_a_storm_of_a_minute(app_server: Callable[..., AppServer], figures: Figures, name: str) -> None:
    seconds = min(60.0, float(os.environ.get("SOAK_SECONDS", "600")))
    async with Providers() as providers:
        (storm,) = await brewed(providers, name)
        server = await asyncio.to_thread(app_server, configuration=configuration([storm], 1.0))
        await storm.rages(server.url, seconds)
        judge(storm)
        raged, asked = list(storm.answers), storm.asked
        told: list[float] = []
        if name in OPENS:
            # One at a time: what is measured is the gateway, not this process under its own storm.
            await storm.is_asked(server.url, callers=1, times=200)
            told = sorted(one.seconds for one in storm.answers[len(raged) :] if one.code == "no_available_provider")
        figures(
            calls=len(raged),
            attempts=asked,
            attempts_a_call=round(asked / len(raged), 3),
            answers=dict(Counter(f"{answer.status} {answer.code or ''}".strip() for answer in raged)),
            **({"refused_in_ms": [round(1000 * told[place], 1) for place in (len(told) // 2, -3, -1)]} if told else {}),
        )
        if name in OPENS:
            assert len(told) >= 195, "one call in each ten seconds is a probe"
            assert told[len(told) // 2] <= 0.05
            # Those that open the breakers, with as many as are on their way meanwhile; then one each ten seconds.
            assert asked <= len(storm.providers) * (3 + 1.0 * PER_SECOND + seconds / 10)
