"""Twins behind a load balancer: one call however many processes they reach, also when the one that makes it is killed or told to end."""

import asyncio
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest

from tests.budgets.witness import Witness
from tests.conftest import Figures
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step, answer, canonical_chunks, sse
from tests.fleet.conftest import FOUR_WORKERS, TEN, THREE, THREE_WITH_REDIS, Shape, StartFleet, configuration, fleets
from tests.rig.fleet import Fleet, Key, Operator, crowd, operator_of

LEASE_SECONDS = 2
STREAM = {**TEN, "stream": True}


async def ask(session: aiohttp.ClientSession, fleet: Fleet, key: Key, name: str, number: int, body: Any) -> tuple[int, bytes]:
    """The status and the body of one request, at the replica whose turn it is."""
    headers = {"authorization": f"Bearer {key.text}", "idempotency-key": name}
    url = f"{fleet.urls[number % len(fleet.urls)]}/v1/chat/completions"
    async with session.post(url, json=body, headers=headers) as response:
        return response.status, await response.read()


async def until_answered(session: aiohttp.ClientSession, fleet: Fleet, key: Key, name: str, number: int, body: Any) -> bytes:
    """As an SDK does that comes back after a 409."""
    while True:
        status, said = await ask(session, fleet, key, name, number, body)
        if status == 200:
            return said
        assert status == 409, said
        await asyncio.sleep(0.1)


def when(go_on: asyncio.Event) -> Step:
    async def step(exchange: Exchange) -> None:
        await go_on.wait()
        await answer()(exchange)

    return step


async def a_hundred_twins(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream, witness: Witness, body: dict[str, Any]
) -> Counter[int]:
    """At all processes at once, and again after the answer: how many were told what at first."""
    key = await operator.key()
    await fleet.knows(key)
    go_on = asyncio.Event()
    upstream.script(when(go_on))
    async with crowd() as session:
        first = [asyncio.create_task(ask(session, fleet, key, "order-17", number, body)) for number in range(100)]
        while not upstream.requests or sum(task.done() for task in first) < 10:
            await asyncio.sleep(0.02)
        go_on.set()
        told = await asyncio.gather(*first)
        assert {status for status, _ in told} == {200, 409}
        said = await asyncio.gather(*(until_answered(session, fleet, key, "order-17", number, body) for number in range(100)))
    assert len({one for status, one in told if status == 200} | set(said)) == 1
    assert len(upstream.requests) == 1
    while not (rows := witness.run("SELECT outcome FROM call WHERE key_id = :id", id=key.id)):
        await asyncio.sleep(0.1)
    assert [tuple(row) for row in rows] == [("completed",)]
    return Counter(status for status, _ in told)


@pytest.mark.soak
@pytest.mark.case("I1")
@fleets(THREE, THREE_WITH_REDIS, FOUR_WORKERS)
@pytest.mark.parametrize("body", [TEN, STREAM], ids=["whole", "streamed"])
async def test_a_hundred_twins_at_all_processes_are_one_call(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream, witness: Witness, figures: Figures, body: dict[str, Any]
) -> None:
    told = await a_hundred_twins(fleet, operator, upstream, witness, body)
    figures(read_along=told[200], told_to_come_back=told[409])


def never_ends() -> Step:
    async def step(exchange: Exchange) -> None:
        if exchange.seen.body.get("stream"):
            await exchange.head(content_type="text/event-stream")
            for value in canonical_chunks()[:4]:
                await exchange.chunk(sse(value))
        await exchange.until_hang_up()

    return step


@pytest.mark.soak
@pytest.mark.case("I4")
@pytest.mark.case("D2")
@pytest.mark.parametrize("end", ["kill", "terminate"])
@pytest.mark.parametrize("body", [TEN, STREAM], ids=["whole", "streamed"])
async def test_the_key_of_a_process_that_ends_is_free_again(
    start_fleet: StartFleet, upstream_port: int, upstream: OpenAIUpstream, figures: Figures, end: str, body: dict[str, Any]
) -> None:
    """With a lease of two seconds. Killed, the key is free when that is over; told to end, as soon as the call was cut."""
    fleet = start_fleet(Shape(replicas=2), configuration=configuration(upstream_port, replay={"lease": LEASE_SECONDS}))
    async with operator_of(fleet.database_url) as operator, crowd() as session:
        key = await operator.key()
        await fleet.knows(key)
        upstream.script(never_ends(), answer())
        first = asyncio.create_task(ask(session, fleet, key, "order-17", 0, body))
        while not upstream.requests:
            await asyncio.sleep(0.02)
        assert (await ask(session, fleet, key, "order-17", 1, body))[0] == 409
        holder = fleet.servers[0]
        began = time.monotonic()
        if end == "kill":
            holder.server.kill()
        else:
            holder.server.process.terminate()
        said = await until_answered(session, fleet, key, "order-17", 1, body)
        figures(end=end, free_after=f"{time.monotonic() - began:.1f} s")
        told = (await asyncio.gather(first, return_exceptions=True))[0]
        assert isinstance(told, aiohttp.ClientError) or (told[0] == 503 if body is TEN else b"[DONE]" not in told[1])
        assert await until_answered(session, fleet, key, "order-17", 1, body) == said
        assert len(upstream.requests) == 2
