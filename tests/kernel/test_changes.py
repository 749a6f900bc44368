"""The change feed: whoever subscribed reloads after a committed change, once, and a failure is tried again."""

import pytest

from backend.kernel.changes import ChangeFeed
from backend.kernel.db import Database


async def move(database: Database) -> None:
    async with database.write() as unit:
        await unit.mark_changed()


@pytest.fixture
async def feed(database: Database):
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


async def test_a_reload_that_fails_is_tried_again_at_the_next_look(database: Database, feed: ChangeFeed) -> None:
    attempts: list[int] = []

    async def reload() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("not this time")

    feed.subscribe(reload)
    await move(database)
    await feed.check()
    assert not feed.healthy
    await feed.check()
    assert feed.healthy
    assert len(attempts) == 2
