"""Providers that have all the calls that they may have, and the calls that wait for a place at one."""

import asyncio
from contextlib import suppress

from backend.kernel.errors import (
    NoAvailableProvider,
)
from backend.routing.bulkhead import Bulkhead
from backend.routing.route import Breaker, Retries
from tests.fakes.openai_upstream import Exchange, Step, answer, hang, status
from tests.gateway.asking import stage

OPENED = Breaker(failures=3, open=300, probe_interval=10)


def _held(gate: asyncio.Event) -> Step:
    async def step(exchange: Exchange) -> None:
        await gate.wait()
        await answer()(exchange)

    return step


async def test_a_full_provider_is_passed_over_and_waited_for_if_nobody_else_is_there() -> None:
    gate = asyncio.Event()
    async with stage("ab", limits={"a": Bulkhead(1, 1)}) as found:
        found.a.script(_held(gate), answer())
        first = asyncio.create_task(found.ask(found.route()))
        while not found.a.requests:
            await asyncio.sleep(0.001)
        assert (await found.ask(found.route())).asked == "b"
        alone = found.route("a", retries=Retries(max_wait=20))
        waiting = asyncio.create_task(found.ask(alone))
        bulkhead = found.upstreams.health.of(alone.candidates[0]).provider.bulkhead
        while not bulkhead.waiting:
            await asyncio.sleep(0.001)
        turned_away = await found.ask(alone)
        assert (turned_away.asked, type(turned_away.error)) == ("", NoAvailableProvider)
        gate.set()
        assert [(await task).asked for task in (first, waiting)] == ["a", "a"]
        assert (bulkhead.running, found.upstreams.health.of(alone.candidates[0]).circuit.failures) == (0, 0)


async def test_nobody_waits_longer_for_a_place_than_the_route_allows() -> None:
    gate = asyncio.Event()
    async with stage("a", limits={"a": Bulkhead(1, 5)}) as found:
        found.a.script(_held(gate), answer())
        first = asyncio.create_task(found.ask(found.route()))
        while not found.a.requests:
            await asyncio.sleep(0.001)
        impatient = found.route(retries=Retries(max_wait=0.02))
        assert type((await found.ask(impatient)).error) is NoAvailableProvider
        gate.set()
        assert (await first).asked == "a"


async def test_those_that_wait_for_a_place_see_that_the_breaker_has_opened_meanwhile() -> None:
    async with stage("a", limits={"a": Bulkhead(2, 100)}) as found:
        gate = asyncio.Event()

        async def failing(exchange: Exchange) -> None:
            await gate.wait()
            await status(500)(exchange)

        found.a.script(failing)
        route = found.route(breaker=OPENED, retries=Retries(per_candidate=0))
        calls = [asyncio.create_task(found.ask(route)) for _ in range(40)]
        bulkhead = found.upstreams.health.of(route.candidates[0]).provider.bulkhead
        while bulkhead.waiting < 38:
            await asyncio.sleep(0.001)
        gate.set()
        outcomes = await asyncio.gather(*calls)
        assert 3 <= sum(len(outcome.asked) for outcome in outcomes) <= 4
        assert {type(outcome.error) for outcome in outcomes if not outcome.asked} == {NoAvailableProvider}
        assert (bulkhead.running, bulkhead.waiting) == (0, 0)


async def test_nobody_waits_for_a_place_longer_than_until_somebody_else_may_be_asked() -> None:
    async with stage("ab", limits={"a": Bulkhead(1, 5)}) as found:
        found.a.script(hang())
        found.b.script(status(429, None, "retry-after: 0.05"), answer())
        first = asyncio.create_task(found.ask(found.route("a")))
        while not found.a.requests:
            await asyncio.sleep(0.001)
        outcome = await found.ask(found.route(retries=Retries(backoff=0.001, max_wait=25)))
        assert (outcome.asked, outcome.error) == ("bb", None)
        assert found.upstreams.health.of(found.route("a").candidates[0]).provider.bulkhead.waiting == 0
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
