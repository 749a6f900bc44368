"""SIGTERM, between the moment it comes and the moment the server hears of it."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from backend.draining import drained


@pytest.fixture
def heard() -> Iterator[asyncio.Event]:
    """Set when the server's own handler is called; `drained` finds that one in place."""
    event = asyncio.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    yield event
    signal.signal(signal.SIGTERM, before)


@pytest.mark.case("D2")
async def test_the_process_is_told_at_once_and_the_server_after_the_delay_however_often_the_signal_comes(heard: asyncio.Event) -> None:
    begun: list[bool] = []
    with drained(0.2, lambda: begun.append(heard.is_set())):
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), 20)
    assert begun == [False]


async def test_afterwards_the_signal_is_the_servers_again(heard: asyncio.Event) -> None:
    with drained(60, lambda: None):
        pass
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(heard.wait(), 20)


async def test_where_nobody_listens_for_the_signal_it_stays_as_it_is() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with drained(0, lambda: None):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_another_thread_than_the_main_one_leaves_signals_alone(heard: asyncio.Event) -> None:
    def in_thread() -> None:
        async def lifespan() -> None:
            with drained(0, lambda: None):
                pass

        asyncio.run(lifespan())

    await asyncio.to_thread(in_thread)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(heard.wait(), 20)
