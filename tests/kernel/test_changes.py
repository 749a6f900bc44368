"""The change feed: whoever subscribed reloads after a committed change, once; a failure is tried again, and does not stop the others."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from backend.kernel import changes
from backend.kernel.changes import ChangeFeed
from backend.kernel.db import Database

PATIENCE = 20


async def move(database: Database) -> None:
    async with database.write() as unit:
        await unit.mark_changed()


@pytest.fixture
async def feed(database: Database) -> ChangeFeed:
    """A feed that looks only when it is told to."""
    made = ChangeFeed(database)
    await made.check()
    return made


@pytest.fixture
async def running(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChangeFeed]:
    """A feed that would look by itself once an hour."""
    monkeypatch.setattr(changes, "POLL_SECONDS", 3600)
    made = ChangeFeed(database)
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


async def test_the_feed_is_lost_only_after_its_time_and_found_again(
    database: Database, feed: ChangeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LOST_SECONDS", 0.2)

    async def away() -> int:
        raise OSError("the database is away")

    with monkeypatch.context() as outage:
        outage.setattr(database, "change_version", away)
        await feed.check()
        assert not feed.healthy
        await asyncio.sleep(0.25)
        await feed.check()
        assert feed.lost
    await feed.check()
    assert feed.healthy
    assert not feed.lost


async def test_only_vital_reloads_that_fail_make_the_feed_lost(
    database: Database, feed: ChangeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LOST_SECONDS", 0.2)
    broken = {"prices", "keys"}

    def subscriber(name: str) -> changes.Reload:
        async def reload() -> None:
            if name in broken:
                raise RuntimeError(name)

        return reload

    feed.subscribe(subscriber("prices"))
    feed.subscribe(subscriber("keys"), vital=True)
    await move(database)
    await feed.check()
    await asyncio.sleep(0.25)
    await feed.check()
    assert feed.lost
    broken.remove("keys")
    await feed.check()
    assert not feed.lost
    assert not feed.healthy
