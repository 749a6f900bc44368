"""Calls that come together share a transaction: each pays a statement, and one of them the rest."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from backend.gateway.replay import repository
from backend.gateway.replay.repository import Granted, Wish
from backend.kernel.db import CALLERS_PATIENCE, Database, patience
from backend.kernel.errors import StorageUnavailable

MOST_AT_ONCE = 200


class _Ask(NamedTuple):
    wish: Wish
    future: "asyncio.Future[Granted]"
    unheard: Callable[[], None] | None


class Rounds:
    """One transaction at a time, with all that was asked while the one before ran.

    Args:
        gather: seconds that each waits for more to ask.
    """

    def __init__(self, db: Database, *, gather: float = 0.0) -> None:
        self._db = db
        self._gather = gather
        self._asks: list[_Ask] = []
        self._serving: asyncio.Task[None] | None = None

    async def grant(self, wish: Wish, unheard: Callable[[], None] | None = None) -> Granted:
        """What became of it, committed.

        Args:
            unheard: called after its round if whoever asked has not waited for it.

        Raises:
            StorageUnavailable: the database is silent; it may be committed all the same.
        """
        ask = _Ask(wish, asyncio.get_running_loop().create_future(), unheard)
        self._asks.append(ask)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve(), name="replay-rounds")
        try:
            async with asyncio.timeout(CALLERS_PATIENCE):
                return await ask.future
        except TimeoutError:
            raise StorageUnavailable(retry_after=2) from None

    async def _serve(self) -> None:
        patience.set(CALLERS_PATIENCE)
        while self._asks:
            if self._gather:
                await asyncio.sleep(self._gather)
            # Who has not waited is not asked for.
            waiting = [ask for ask in self._asks if not ask.future.done()]
            asks, self._asks = sorted(waiting[:MOST_AT_ONCE], key=lambda ask: ask.wish.id), waiting[MOST_AT_ONCE:]
            if not asks:
                continue
            try:
                await self._settle(asks)
            except StorageUnavailable as error:
                _fail(asks, error)
            except Exception as error:
                # It may be one that nobody can grant; the others have no part in that.
                await self._settle_each(asks, error)

    async def _settle(self, asks: list[_Ask]) -> None:
        async with self._db.write() as unit:
            granted = await repository.grant(unit.session, [ask.wish for ask in asks])
        for ask, one in zip(asks, granted, strict=True):
            if not ask.future.done():
                ask.future.set_result(one)
            elif ask.unheard is not None:
                ask.unheard()

    async def _settle_each(self, asks: list[_Ask], error: Exception) -> None:
        if len(asks) == 1:
            _fail(asks, error)
            return
        for ask in asks:
            try:
                await self._settle([ask])
            except Exception as own:
                _fail([ask], own)


def _fail(asks: list[_Ask], error: Exception) -> None:
    for ask in asks:
        if not ask.future.done():
            ask.future.set_exception(error)
        elif ask.unheard is not None:
            ask.unheard()
