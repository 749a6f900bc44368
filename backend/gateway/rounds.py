"""Requests of callers that come together share a transaction: each pays a statement, and one of them the rest.

Who asks stands in a line, a tenant's own or one for all, and a round takes one of each line in turn. So a flood of one tenant's makes the
others wait for one round, and not for all of it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from backend.kernel.db import CALLERS_PATIENCE, patience
from backend.kernel.errors import StorageUnavailable

Wish = TypeVar("Wish")
Granted = TypeVar("Granted")
MOST_AT_ONCE = 200


class Later:
    """What became of a wish that had no room in its round: it is first in the next one."""


LATER = Later()


class _Ask(Generic[Wish, Granted]):
    __slots__ = ("future", "line", "unheard", "wish")

    def __init__(self, wish: Wish, line: str, future: "asyncio.Future[Granted]", unheard: Callable[[], None] | None) -> None:
        self.wish = wish
        self.line = line
        self.future = future
        self.unheard = unheard

    def settle(self, granted: Granted) -> None:
        if not self.future.done():
            self.future.set_result(granted)
        elif self.unheard is not None:
            self.unheard()

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)
        elif self.unheard is not None:
            self.unheard()


class Rounds(Generic[Wish, Granted]):
    """One transaction at a time, with what was asked while the one before ran.

    Args:
        work: grants wishes in one transaction; the first of them must not be `LATER`.
        most: wishes of a round.
        gather: seconds from the beginning of one round to that of the next: many share it, and who comes alone does not wait.
    """

    def __init__(
        self, work: Callable[[Sequence[Wish]], Awaitable[Sequence[Granted | Later]]], *, most: int = MOST_AT_ONCE, gather: float = 0.0
    ) -> None:
        self._work = work
        self._most = most
        self._gather = gather
        self._lines: dict[str, deque[_Ask[Wish, Granted]]] = {}
        """In the order in which their turns come."""
        self._serving: asyncio.Task[None] | None = None
        self._not_before = 0.0

    async def grant(self, wish: Wish, *, line: str = "", unheard: Callable[[], None] | None = None) -> Granted:
        """What became of it, committed.

        Args:
            unheard: called after its round if whoever asked has not waited for it.

        Raises:
            StorageUnavailable: the database is silent; it may be committed all the same.
        """
        future: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(line, deque()).append(_Ask(wish, line, future, unheard))
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve(), name="rounds")
        try:
            async with asyncio.timeout(CALLERS_PATIENCE):
                return await future
        except TimeoutError:
            raise StorageUnavailable(retry_after=2) from None

    async def _serve(self) -> None:
        patience.set(CALLERS_PATIENCE)
        loop = asyncio.get_running_loop()
        while self._lines:
            if self._not_before > loop.time():
                await asyncio.sleep(self._not_before - loop.time())
            self._not_before = loop.time() + self._gather
            asks = self._next_round()
            if not asks:
                continue
            try:
                await self._settle(asks)
            except StorageUnavailable as error:
                for ask in asks:
                    ask.fail(error)
            except Exception as error:
                # It may be one that nobody can grant; the others have no part in that.
                await self._settle_each(asks, error)

    def _next_round(self) -> list[_Ask[Wish, Granted]]:
        """One of each line in turn; whose turn it was goes to the end. Who has not waited is not asked for."""
        asks: list[_Ask[Wish, Granted]] = []
        while self._lines and len(asks) < self._most:
            name = next(iter(self._lines))
            line = self._lines.pop(name)
            while line:
                ask = line.popleft()
                if not ask.future.done():
                    asks.append(ask)
                    break
            if line:
                self._lines[name] = line
        return asks

    async def _settle(self, asks: Sequence[_Ask[Wish, Granted]]) -> None:
        granted = await self._work([ask.wish for ask in asks])
        later: list[_Ask[Wish, Granted]] = []
        for ask, one in zip(asks, granted, strict=True):
            if isinstance(one, Later):
                later.append(ask)
            else:
                ask.settle(one)
        if later:
            first: dict[str, deque[_Ask[Wish, Granted]]] = {}
            for ask in later:
                first.setdefault(ask.line, deque()).append(ask)
            for name, line in first.items():
                line.extend(self._lines.pop(name, ()))
            self._lines = first | self._lines

    async def _settle_each(self, asks: Sequence[_Ask[Wish, Granted]], error: Exception) -> None:
        if len(asks) == 1:
            asks[0].fail(error)
            return
        for ask in asks:
            try:
                await self._settle([ask])
            except Exception as own:
                ask.fail(own)
