"""Ending tasks of the event loop."""

import asyncio
from typing import Any

AGAIN_SECONDS = 5.0
"""Longer than what tasks have to do at their end."""


async def end_tasks(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel them, and return when they are over; what they raised is of no interest any more.

    One that goes on is told again: libraries now and then answer a cancellation with an error of their own, which a task that tries again
    after every error takes for one of those.
    """
    given = [task for task in tasks if task is not None]
    running = {task for task in given if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_SECONDS)
    await asyncio.gather(*given, return_exceptions=True)
