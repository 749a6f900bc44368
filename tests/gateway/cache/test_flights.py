"""Equal calls at the same time: one of them asks, and whatever becomes of it, nobody is left waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.fakes.openai_upstream import Exchange, Step, answer, canonical_chunks, chunk, completion, events, hang, sse, status, whole
from tests.gateway.cache.conftest import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

HIT, MISS = "hit", "miss"


def held_back(step: Step, go: asyncio.Event) -> Step:
    """Nothing is said before `go`."""

    async def later(exchange: Exchange) -> None:
        await go.wait()
        await step(exchange)

    return later


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def waiting(stage: Stage) -> int:
    """How many calls wait for another's answer."""
    return sum(len(flight._waiting) for flight in stage.rig.runtime.gateway.cache._flights.values())


@asynccontextmanager
async def a_call_that_asks(stage: Stage, **body: object) -> AsyncIterator["asyncio.Task[httpx.Response]"]:
    """The first call, once the provider has it."""
    task = asyncio.create_task(stage.ask(**body))
    await until(lambda: stage.asked == 1)
    yield task
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_twenty_equal_calls_at_once_are_one_call_of_the_provider(stage: Stage, stream: bool) -> None:
    go = asyncio.Event()
    stage.upstream.script(held_back(answer(), go))
    async with a_call_that_asks(stage, stream=stream) as first:
        others = [asyncio.create_task(stage.ask(stream=number % 2 == 0)) for number in range(19)]
        await until(lambda: waiting(stage) == 19)
        go.set()
        responses = await asyncio.gather(first, *others)
    assert stage.asked == 1
    assert [response.headers["x-bourse-cache"] for response in responses] == [MISS] + [HIT] * 19
    assert all(response.status_code == 200 for response in responses)
    assert (
        len({response.text.split('"bourse"')[0] for response in responses if response.headers["content-type"] == "application/json"}) <= 2
    )
    rows = await stage.rows()
    assert sorted(row["outcome"] for row in rows) == ["cached"] * 19 + ["completed"]
    joined = stage.rig.runtime.metrics.registry.get_sample_value("bourse_cache_lookups_total", {"result": "hit", "source": "joined"})
    assert joined is not None
    assert joined >= 19


async def test_where_the_first_fails_the_next_asks_for_all_who_wait(stage: Stage) -> None:
    go = asyncio.Event()
    stage.upstream.script(held_back(status(400, {"error": {"message": "no"}}), go), answer())
    async with a_call_that_asks(stage) as first:
        others = [asyncio.create_task(stage.ask()) for _ in range(3)]
        await until(lambda: waiting(stage) == 3)
        go.set()
        assert (await first).status_code == 400
        responses = await asyncio.gather(*others)
    assert sorted(response.headers["x-bourse-cache"] for response in responses) == [HIT] * 2 + [MISS]
    assert stage.asked == 2


async def test_who_waits_for_what_is_too_large_to_be_kept_asks_before_it_has_ended(stage: Stage) -> None:
    go = asyncio.Event()

    async def long(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        await go.wait()
        for _ in range(40):
            await exchange.chunk(sse(chunk({"content": "x" * 1000})))
        await exchange.until_hang_up()

    stage.upstream.script(long, answer())
    async with a_call_that_asks(stage, stream=True, max_tokens=100_000):
        other = asyncio.create_task(stage.ask(stream=True, max_tokens=100_000))
        await until(lambda: waiting(stage) == 1)
        go.set()
        assert (await asyncio.wait_for(other, 10)).headers["x-bourse-cache"] == MISS
    assert stage.asked == 2
    async with asyncio.timeout(20):
        while len(await stage.rows()) < 2:
            await asyncio.sleep(0.02)


async def test_where_the_first_gets_what_is_not_kept_the_others_ask_for_themselves(stage: Stage) -> None:
    go = asyncio.Event()
    stage.upstream.script(held_back(whole(completion("", finish="content_filter")), go), answer())
    async with a_call_that_asks(stage):
        other = asyncio.create_task(stage.ask())
        await until(lambda: waiting(stage) == 1)
        go.set()
        assert (await other).headers["x-bourse-cache"] == MISS
    assert stage.asked == 2


async def test_where_the_first_hangs_up_one_of_the_others_asks_and_all_are_answered(stage: Stage) -> None:
    stage.upstream.script(hang(), answer())
    async with a_call_that_asks(stage) as first:
        others = [asyncio.create_task(stage.ask()) for _ in range(5)]
        await until(lambda: waiting(stage) == 5)
        first.cancel()
        responses = await asyncio.gather(*others)
    assert [response.status_code for response in responses] == [200] * 5
    assert sorted(response.headers["x-bourse-cache"] for response in responses) == [HIT] * 4 + [MISS]
    assert stage.asked == 2
    assert sorted(row["outcome"] for row in await stage.rows()) == ["cached"] * 4 + ["client_closed", "completed"]


async def test_a_stream_that_is_left_halfway_hands_the_turn_on(stage: Stage) -> None:
    stage.upstream.script(events(*canonical_chunks()[:4], end="hang"), answer())
    body = {"model": "kept", "messages": [{"role": "user", "content": stage.prompt}], "stream": True}
    headers = {"authorization": f"Bearer {stage.rig.client.api_key}"}
    async with stage.rig.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
        await anext(response.aiter_lines())
        other = asyncio.create_task(stage.ask())
        await until(lambda: waiting(stage) == 1)
    assert (await other).headers["x-bourse-cache"] == MISS
    assert stage.asked == 2


async def test_who_waits_longer_than_is_usual_for_the_route_asks_for_himself(stage: Stage) -> None:
    """The first one's stream has begun and does not go on; the second waits for all of it, but not for ever."""
    stage.upstream.script(events(*canonical_chunks()[:3], end="hang"), answer())
    async with a_call_that_asks(stage, model="impatient", stream=True):
        second = await stage.ask(model="impatient")
        assert (second.status_code, second.headers["x-bourse-cache"]) == (200, MISS)
    assert stage.asked == 2
    row = next(row for row in await stage.rows() if not row["stream"])
    assert row["latency_ms"] >= 1000
    assert row["overhead_us"] < row["latency_ms"] * 1000 - 900_000, "what was waited for another's answer is no time of ours"


async def test_who_hangs_up_while_waiting_is_gone_at_once_and_the_others_are_not(stage: Stage) -> None:
    go = asyncio.Event()
    stage.upstream.script(held_back(answer(), go))
    async with a_call_that_asks(stage) as first:
        impatient, patient = asyncio.create_task(stage.ask()), asyncio.create_task(stage.ask())
        await until(lambda: waiting(stage) == 2)
        impatient.cancel()
        await until(lambda: waiting(stage) == 1)
        go.set()
        assert [(await task).headers["x-bourse-cache"] for task in (first, patient)] == [MISS, HIT]
    assert sorted(row["outcome"] for row in await stage.rows()) == ["cached", "client_closed", "completed"]
    assert stage.asked == 1


async def test_nothing_is_left_of_flights_that_are_over(stage: Stage) -> None:
    assert stage.rig.runtime.gateway.cache._flights == {}
