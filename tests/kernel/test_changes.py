"""The change feed: whoever subscribed reloads after a committed change, once; a failure is tried again, and does not stop the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.kernel.changes import LOST_SECONDS, ChangeFeed, Reload
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database

PATIENCE = 20


async def move(database: Database) -> None:
    async with database.write() as unit:
        await unit.mark_changed()


@asynccontextmanager
async def out_of_reach(database: Database) -> AsyncIterator[None]:
    """As long as this lasts, nobody can ask for the version."""
    for name, other in (("change", "elsewhere"), ("elsewhere", "change")):
        async with database.write() as unit:
            await unit.session.execute(sa.text(f"ALTER TABLE {name} RENAME TO {other}"))
        if name == "change":
            yield


@pytest.fixture
async def feed(database: Database, clock: FixedClock) -> ChangeFeed:
    """A feed that looks only when it is told to."""
    made = ChangeFeed(database, clock)
    await made.check()
    return made


@pytest.fixture
async def running(database: Database, clock: FixedClock) -> AsyncIterator[ChangeFeed]:
    """A feed that would look by itself once an hour."""
    made = ChangeFeed(database, clock, poll_seconds=3600)
    await made.start()
    yield made
    await made.stop()


async def test_a_change_reloads_every_subscriber_once(database: Database, feed: ChangeFeed) -> None:
    reloads: list[str] = []

    async def keys() -> None:
        reloads.append("keys")

    async def prices() -> None:
        reloads.append("prices")

    feed.subscribe(keys)
    feed.subscribe(prices)
    await feed.check()
    assert reloads == []
    await move(database)
    await move(database)
    await feed.check()
    await feed.check()
    assert reloads == ["keys", "prices"]


async def test_a_reload_that_fails_is_tried_again_alone(database: Database, feed: ChangeFeed) -> None:
    attempts: list[str] = []

    async def broken() -> None:
        attempts.append("broken")
        if len(attempts) == 1:
            raise RuntimeError("not this time")

    async def keys() -> None:
        attempts.append("keys")

    feed.subscribe(broken)
    feed.subscribe(keys)
    await move(database)
    await feed.check()
    assert not feed.healthy
    await feed.check()
    assert feed.healthy
    assert attempts == ["broken", "keys", "broken"]


async def test_a_rolled_back_change_is_none(database: Database, feed: ChangeFeed) -> None:
    reloads: list[int] = []

    async def reload() -> None:
        reloads.append(1)

    feed.subscribe(reload)
    with pytest.raises(RuntimeError):
        async with database.write() as unit:
            await unit.mark_changed()
            raise RuntimeError("no")
    await feed.check()
    assert reloads == []


async def test_a_change_by_this_process_is_seen_without_waiting_for_the_next_look(database: Database, running: ChangeFeed) -> None:
    reloaded = asyncio.Event()

    async def reload() -> None:
        reloaded.set()

    running.subscribe(reload)
    await move(database)
    await asyncio.wait_for(reloaded.wait(), PATIENCE)


async def test_the_feed_is_lost_only_after_its_time_and_found_again(database: Database, feed: ChangeFeed, clock: FixedClock) -> None:
    async with out_of_reach(database):
        await feed.check()
        assert not feed.healthy
        clock.advance(timedelta(seconds=LOST_SECONDS))
        await feed.check()
        assert (feed.lost, feed.age) == (False, LOST_SECONDS)
        clock.advance(timedelta(seconds=1))
        assert feed.lost
    await feed.check()
    assert feed.healthy
    assert not feed.lost


async def test_only_vital_reloads_that_fail_make_the_feed_lost(database: Database, feed: ChangeFeed, clock: FixedClock) -> None:
    broken = {"prices", "keys"}

    def subscriber(name: str) -> Reload:
        async def reload() -> None:
            if name in broken:
                raise RuntimeError(name)

        return reload

    feed.subscribe(subscriber("prices"))
    feed.subscribe(subscriber("keys"), vital=True)
    await move(database)
    await feed.check()
    clock.advance(timedelta(seconds=LOST_SECONDS + 1))
    await feed.check()
    assert feed.lost
    broken.remove("keys")
    await feed.check()
    assert not feed.lost
    assert not feed.healthy
