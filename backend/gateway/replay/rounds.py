"""Calls that come together share a transaction: each pays a statement, and one of them the rest."""

import asyncio
from typing import NamedTuple

from backend.gateway.replay import repository
from backend.gateway.replay.repository import Granted, Wish
from backend.kernel.db import CALLERS_PATIENCE, Database, patience
from backend.kernel.errors import StorageUnavailable

MOST_AT_ONCE = 200


class _Ask(NamedTuple):
    wish: Wish
    future: "asyncio.Future[Granted]"


class Rounds:
    """One transaction at a time, with all that was asked while the one before ran."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._asks: list[_Ask] = []
        self._serving: asyncio.Task[None] | None = None

    async def grant(self, wish: Wish) -> Granted:
        """What became of it, committed.

        Raises:
            StorageUnavailable: the database is silent; it may be committed all the same.
        """
        ask = _Ask(wish, asyncio.get_running_loop().create_future())
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
            # Who has not waited is not asked for.
            waiting = [ask for ask in self._asks if not ask.future.done()]
            asks, self._asks = sorted(waiting[:MOST_AT_ONCE], key=lambda ask: ask.wish.id), waiting[MOST_AT_ONCE:]
            if not asks:
                continue
            try:
                async with self._db.write() as unit:
                    granted = await repository.grant(unit.session, [ask.wish for ask in asks])
            except Exception as error:
                for ask in asks:
                    if not ask.future.done():
                        ask.future.set_exception(error)
            else:
                for ask, one in zip(asks, granted, strict=True):
                    if not ask.future.done():
                        ask.future.set_result(one)
