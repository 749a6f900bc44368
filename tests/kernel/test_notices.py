"""Notices bring the next look forward; whatever happens to them, nothing but time is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest

from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.kernel.notices import PostgresNotices, RedisNotices, notices_for
from tests.rig.redis import RedisServer

PATIENCE = 20
Listening = Callable[..., Any]


async def move(database: Database) -> None:
    async with database.write() as unit:
        await unit.mark_changed()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


class Process:
    """What another serving process has: a database handle, and a feed that would look by itself once an hour."""

    def __init__(self, url: str, redis_url: str | None, listen_at: str | None) -> None:
        self.database = Database.open(url, EventBus())
        self.feed = ChangeFeed(self.database, SystemClock(), redis_url=redis_url, poll_seconds=3600)
        if listen_at is not None and redis_url is not None:
            self.feed.notices = (PostgresNotices(listen_at, self.feed.wake), RedisNotices(redis_url, self.feed.wake))
        self.reloads = 0
        self.feed.subscribe(self._reload)

    async def _reload(self) -> None:
        self.reloads += 1

    async def __aenter__(self) -> "Process":
        await self.feed.start()
        await until(lambda: self.feed.notices[-1].connected)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.feed.stop()
        await self.database.close()


@pytest.fixture
async def process(postgres_url: str) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(redis_url: str | None = None, listen_at: str | None = None) -> Process:
            return await stack.enter_async_context(Process(postgres_url, redis_url, listen_at))

        yield start


async def test_a_commit_by_another_process_is_heard_at_once(process: Listening, postgres_database: Database) -> None:
    here = await process()
    await move(postgres_database)
    await until(lambda: here.reloads == 1)


async def test_a_listener_that_was_cut_off_comes_back_and_looks(process: Listening, postgres_database: Database, postgres_url: str) -> None:
    here = await process()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bourse notices'")
    await until(lambda: not here.feed.notices[0].connected)
    await move(postgres_database)
    await until(lambda: here.reloads == 1)
    await until(lambda: here.feed.notices[0].connected)
    await move(postgres_database)
    await until(lambda: here.reloads == 2)


@pytest.fixture
def silent_address() -> Iterator[str]:
    """Where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/nothing"


async def test_redis_tells_where_postgresql_cannot(process: Listening, redis_url: str, silent_address: str) -> None:
    here, there = await process(redis_url, silent_address), await process(redis_url, silent_address)
    await move(there.database)
    await until(lambda: here.reloads == 1 and there.reloads == 1)
    assert not here.feed.notices[0].connected


async def test_a_notice_may_come_later_than_an_answer(process: Listening, redis_url: str, silent_address: str) -> None:
    url = f"{redis_url}?socket_timeout=0.2"
    here, there = await process(url, silent_address), await process(url, silent_address)
    for _ in range(100):
        await asyncio.sleep(0.01)
        assert here.feed.notices[-1].connected
    reloads = here.reloads
    await move(there.database)
    await until(lambda: here.reloads > reloads)


async def test_a_redis_that_is_gone_costs_nothing_but_its_notices(process: Listening, postgres_database: Database) -> None:
    server = RedisServer()
    try:
        here = await process(server.url)
        server.close()
        await until(lambda: not here.feed.notices[1].connected)
        await move(here.database)
        await until(lambda: here.reloads == 1)
        await move(postgres_database)
        await until(lambda: here.reloads == 2)
    finally:
        server.close()


def test_sqlite_has_no_notices(sqlite_database_url: str) -> None:
    assert notices_for(sqlite_database_url, "redis://127.0.0.1:1", lambda: None) == ()
