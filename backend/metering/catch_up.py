"""For readers who want what was recorded a moment ago: one early batch for all who ask, and no more than five a second."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

from backend.kernel.tasks import end_tasks

SPACING_SECONDS = 0.2


class CatchUp:
    """Calls `flush` once for everybody who began to wait before it began; never twice at a time, nor within 0.2 s of the last."""

    def __init__(self, flush: Callable[[], Awaitable[None]]) -> None:
        self._flush = flush
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._free_at = float("-inf")

    async def wait(self) -> None:
        """Return once everything recorded before is flushed. Raises what the flush raises, to all who waited for it."""
        if self._next is None:
            # In a context of its own: how long the first who asked may wait is nothing to the others.
            self._next = asyncio.create_task(self._flush_in_turn(), name="ledger-catch-up", context=Context())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._done)
        # One reader who gives up takes nothing from the others.
        await asyncio.shield(self._next)

    async def stop(self) -> None:
        await end_tasks(*self._tasks)

    async def _flush_in_turn(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._free_at - loop.time())
            # Whoever comes from here on may have recorded something that this flush does not see.
            self._next = None
            try:
                await self._flush()
            finally:
                self._free_at = loop.time() + SPACING_SECONDS

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._next is task:
            self._next = None
        if not task.cancelled():
            # Looked at, whether or not anybody still waits.
            task.exception()
