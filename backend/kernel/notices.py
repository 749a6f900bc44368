"""Notices between processes that something changed, so that the change feed need not wait for its next look.

PostgreSQL's own NOTIFY goes out with the transaction that made the change (`UnitOfWork.mark_changed`), whoever made it, the command line
too. Redis serves where LISTEN cannot, as behind a connection pooler. A notice has no content, and losing one costs half a second:
connections are made again in the background, and nothing waits for them.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from backend.kernel.db import CHANGE_CHANNEL, is_sqlite
from backend.kernel.tasks import end_tasks

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 2
TELL_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


def notices_for(database_url: str, redis_url: str | None, wake: Callable[[], None]) -> "tuple[Notices, ...]":
    """What this installation can use; nothing on SQLite, where one process serves."""
    if is_sqlite(database_url):
        return ()
    listening: list[Notices] = [PostgresNotices(database_url, wake)]
    if redis_url is not None:
        listening.append(RedisNotices(redis_url, wake))
    return tuple(listening)


class Notices(ABC):
    """One way in which notices come. `wake` is called for each, and after every new connection, because one may have been missed."""

    name: str

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pause = FIRST_PAUSE_SECONDS
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_listening(), name=f"notices-{self.name}")

    async def stop(self) -> None:
        await end_tasks(self._task)
        self._task = None

    def tell(self) -> None:
        """Let the others know, after the commit; nothing where the transaction has told them already."""
        return

    @abstractmethod
    async def _listen(self) -> None:
        """Connect, call `_heard` then and with each notice, and return or raise when the connection is gone."""

    def _heard(self) -> None:
        self.connected = True
        self._pause = FIRST_PAUSE_SECONDS
        self._wake()

    async def _keep_listening(self) -> None:
        while True:
            error: Exception | None = None
            try:
                await self._listen()
            except Exception as caught:
                error = caught
            if self.connected or self._pause == FIRST_PAUSE_SECONDS:
                log.warning("notices.lost", channel=self.name, error=type(error).__name__)
            self.connected = False
            await asyncio.sleep(self._pause * random.uniform(0.5, 1))
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)


class PostgresNotices(Notices):
    """LISTEN on a connection of its own, outside of the pool."""

    name = "postgresql"

    def __init__(self, url: str, wake: Callable[[], None], *, channel: str = CHANGE_CHANNEL) -> None:
        super().__init__(wake)
        self._url = "postgresql:" + url.partition(":")[2]
        self._channel = channel

    async def _listen(self) -> None:
        from psycopg import AsyncConnection, sql

        # Keep-alives end a connection whose other side vanished without a word; nothing is ever sent on it.
        options: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        connection = await AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="bourse notices", **options
        )
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._heard()
            async for _ in connection.notifies():
                self._heard()


class RedisNotices(Notices):
    """A channel in Redis. The general client is only imported where there is a Redis: it takes 4 MB."""

    name = "redis"

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self._url = url
        self._client: Any = None
        self._telling: set[asyncio.Task[None]] = set()

    def tell(self) -> None:
        task = asyncio.get_running_loop().create_task(self._publish())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def stop(self) -> None:
        await super().stop()
        await end_tasks(*self._telling)

    async def _publish(self) -> None:
        # Whatever happens to it, the others look by themselves.
        with suppress(Exception):
            async with asyncio.timeout(TELL_SECONDS):
                await self._client.publish(CHANGE_CHANNEL, b"")

    async def _listen(self) -> None:
        from redis.asyncio import Redis

        client = Redis.from_url(self._url, socket_connect_timeout=CONNECT_SECONDS, socket_keepalive=True)
        # The URL may say how long an answer may take. A notice is none: hours may lie between two.
        client.connection_pool.connection_kwargs["socket_timeout"] = None
        self._client = client
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(CHANGE_CHANNEL)
                self._heard()
                async for _ in channel.listen():
                    self._heard()
        finally:
            await client.aclose()
