"""Twins that reach different replicas: one call, and never two successes, whoever dies, freezes or goes silent."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from openai import AsyncOpenAI

from backend.kernel.db import Database
from backend.kernel.events import EventBus
from tests.fakes.openai_upstream import TEXT, Exchange, OpenAIUpstream, Step, answer
from tests.gateway.conftest import KEY, PLAIN, Rig
from tests.gateway.errors import assert_error
from tests.gateway.replay.conftest import STREAM, under

pytestmark = pytest.mark.asyncio(loop_scope="module")
Replicas = tuple[Rig, Rig]
_names = (f"key-{number}" for number in itertools.count())


@pytest.fixture
def name() -> str:
    return next(_names)


def when(go_on: asyncio.Event, text: str = TEXT) -> Step:
    async def step(exchange: Exchange) -> None:
        await go_on.wait()
        await answer(text)(exchange)

    return step


async def asked(upstream: OpenAIUpstream, count: int = 1) -> None:
    while len(upstream.requests) < count:
        await asyncio.sleep(0.01)


async def on_shelf(rig: Rig) -> list[dict[str, Any]]:
    """The rows of claims that run, as the database sees them."""
    query = "SELECT holder, held_until FROM replay WHERE answer IS NULL"
    async with rig.runtime.db.read() as session:
        return [dict(row) for row in (await session.execute(sa.text(query))).mappings()]


@asynccontextmanager
async def silent(rig: Rig) -> AsyncIterator[None]:
    """Nobody gets an answer about replays from the database."""
    db = Database.open(rig.runtime.db.url, EventBus())
    async with db.write() as unit:
        await unit.session.execute(sa.text("LOCK TABLE replay IN ACCESS EXCLUSIVE MODE"))
        yield
    await db.close()


def freeze(rig: Rig) -> None:
    """The replica renews nothing any more, as a process that stands still."""
    task = rig.runtime.gateway._replays._shelf._task  # type: ignore[union-attr]
    assert task is not None
    task.cancel()


def thaw(rig: Rig) -> None:
    shelf = rig.runtime.gateway._replays._shelf  # type: ignore[union-attr]
    shelf._task = asyncio.create_task(shelf._tend())


@pytest.mark.case("I1")
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "streamed"])
async def test_a_twin_elsewhere_is_told_to_come_back_and_then_gets_the_answer(
    replicas: Replicas, upstream: OpenAIUpstream, name: str, body: dict[str, Any]
) -> None:
    one, other = replicas
    go_on = asyncio.Event()
    upstream.script(when(go_on))
    first = asyncio.create_task(one.post(body, headers=under(name)))
    await asked(upstream)
    refused = await other.post(body, headers=under(name))
    assert_error(refused, 409, "invalid_request_error", "idempotency_in_progress")
    assert refused.headers["retry-after"] == "1"
    assert_error(
        await other.post({**body, "n": 1}, headers=under(name)), 422, "invalid_request_error", "idempotency_mismatch", "Idempotency-Key"
    )
    go_on.set()
    made = await first
    replayed = await other.post(body, headers=under(name))
    assert replayed.content == made.content
    assert replayed.headers["content-type"] == made.headers["content-type"]
    assert replayed.headers["idempotency-replayed"] == "true"
    assert replayed.headers["x-bourse-replay-of"] == made.headers["x-request-id"]
    assert not [header for header in replayed.headers if header.startswith("x-budget")]
    assert len(upstream.requests) == 1
    assert [row["request_id"] for row in await one.rows()].count(made.headers["x-request-id"]) == 1
    assert replayed.headers["x-request-id"] not in [row["request_id"] for row in await other.rows()]


@pytest.mark.case("I1")
async def test_the_sdk_comes_back_by_itself(replicas: Replicas, upstream: OpenAIUpstream, name: str) -> None:
    one, other = replicas
    go_on = asyncio.Event()
    upstream.script(when(go_on))
    first = asyncio.create_task(one.post(PLAIN, headers=under(name)))
    await asked(upstream)

    async with AsyncOpenAI(base_url=f"{other.url}/v1", api_key=KEY, max_retries=2) as client:
        asking = asyncio.create_task(client.post("/chat/completions", cast_to=object, body=PLAIN, options={"headers": under(name)}))
        counted = other.runtime.metrics.replays.labels("idempotency_in_progress")._value
        before = counted.get()
        while counted.get() == before:
            await asyncio.sleep(0.01)
        go_on.set()
        assert (await asking)["choices"][0]["message"]["content"] == TEXT  # type: ignore[index]
    assert (await first).status_code == 200
    assert len(upstream.requests) == 1


@pytest.mark.case("I4")
async def test_a_running_call_is_held_for_longer_than_a_lease(replicas: Replicas, upstream: OpenAIUpstream, name: str) -> None:
    one, _ = replicas
    go_on = asyncio.Event()
    upstream.script(when(go_on))
    first = asyncio.create_task(one.post(PLAIN, headers=under(name)))
    await asked(upstream)
    (claim,) = await on_shelf(one)
    while (renewed := (await on_shelf(one))[0])["held_until"] == claim["held_until"]:
        await asyncio.sleep(0.05)
    assert renewed["holder"] == claim["holder"]
    go_on.set()
    assert (await first).status_code == 200
    assert await on_shelf(one) == []


@pytest.mark.case("I4")
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "streamed"])
async def test_who_lost_the_lease_has_no_success_any_more(
    replicas: Replicas, upstream: OpenAIUpstream, name: str, body: dict[str, Any]
) -> None:
    one, other = replicas
    go_on = asyncio.Event()
    upstream.script(when(go_on, "too late"), answer())
    freeze(one)
    first = asyncio.create_task(one.post(body, headers=under(name)))
    await asked(upstream)
    async with one.runtime.db.write() as unit:
        await unit.session.execute(sa.text("UPDATE replay SET held_until = clock_timestamp() WHERE answer IS NULL"))
    made = await other.post(body, headers=under(name))
    assert made.status_code == 200
    assert "idempotency-replayed" not in made.headers
    go_on.set()
    late = await first
    if body is PLAIN:
        assert_error(late, 409, "invalid_request_error", "idempotency_in_progress")
    else:
        assert "idempotency_in_progress" in late.text
        assert "[DONE]" not in late.text
    again = await one.post(body, headers=under(name))
    assert again.content == made.content
    assert len(upstream.requests) == 2
    thaw(one)


async def test_no_call_is_made_while_the_database_is_silent(replicas: Replicas, upstream: OpenAIUpstream, name: str) -> None:
    one, _ = replicas
    async with silent(one):
        assert (await one.post(PLAIN)).status_code == 200
        upstream.requests.clear()
        refused = await one.post(PLAIN, headers=under(name))
    assert_error(refused, 503, "api_error", "storage_unavailable")
    assert refused.headers["retry-after"] == "2"
    assert not upstream.requests
    # What was asked of the database at last may have been done all the same, and is taken back within a second.
    while (again := await one.post(PLAIN, headers=under(name))).status_code == 409:
        await asyncio.sleep(0.05)
    assert again.status_code == 200
    assert len(upstream.requests) == 1


async def test_an_answer_is_given_though_it_cannot_be_stored_and_is_stored_later(
    replicas: Replicas, upstream: OpenAIUpstream, name: str
) -> None:
    one, other = replicas
    go_on = asyncio.Event()
    upstream.script(when(go_on))
    first = asyncio.create_task(one.post(PLAIN, headers=under(name)))
    await asked(upstream)
    async with silent(one):
        go_on.set()
        made = await first
        assert (await one.post(PLAIN, headers=under(name))).content == made.content
    while (elsewhere := await other.post(PLAIN, headers=under(name))).status_code == 409:
        await asyncio.sleep(0.05)
    assert elsewhere.content == made.content
    assert len(upstream.requests) == 1
