"""A fake server in a loop of its own, for tests that are no coroutines: commands run in a loop, too."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.openai_upstream import OpenAIUpstream


@contextmanager
def in_own_loop(server: OpenAIUpstream) -> Iterator[OpenAIUpstream]:
    """The server, listening until the block ends."""
    ready, loop, ended = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        if not ready.wait(20):
            raise TimeoutError("the server does not listen")
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        loop.close()
