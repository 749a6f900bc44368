"""The end of a process that is told to stop (SIGTERM), in an order that no caller notices.

First `/readyz` says 503 and answers ask for their connections to be closed, while calls are taken as ever: a load balancer has `delay`
to look elsewhere. Then the server stops listening and waits for what runs, as long as its own grace allows; then the lifespan ends.
SIGINT skips the delay: a person at the keyboard has no load balancer.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn


@contextmanager
def drained(delay: float, begin: Callable[[], None]) -> Iterator[None]:
    """Within the lifespan of a server: SIGTERM calls `begin` at once, and reaches the server `delay` seconds later.

    A second SIGTERM changes nothing: a service manager may send it to the whole group, and the parent of several workers sends its own.
    """
    ends_server = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(ends_server):
        # Nobody who serves listens for it, or it is not for us to listen.
        yield
        return
    loop = asyncio.get_running_loop()
    told = False

    def end() -> None:
        server = getattr(ends_server, "__self__", None)
        if isinstance(server, uvicorn.Server):
            # As its handler does, but for raising the signal again at the very end: an end in good order is exit code 0.
            server.should_exit = True
        else:
            ends_server(signal.SIGTERM, None)

    def start() -> None:
        begin()
        loop.call_later(delay, end)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            loop.call_soon_threadsafe(start)

    signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, ends_server)
