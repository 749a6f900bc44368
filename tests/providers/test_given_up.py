"""Calls that are given up at any moment leave no connection and no file open."""

import asyncio
import os
import random
from contextlib import suppress

import pytest

from backend.providers.http import BrokenOff
from tests.fakes.byte_server import HEAD, Call, ask, client, serving


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def _slowly(call: Call) -> None:
    """An answer in pieces, so that a call may be given up anywhere in it."""
    await asyncio.sleep(0)
    await call.send(HEAD + b"content-length: 4\r\n")
    await asyncio.sleep(0.001)
    await call.send(b"\r\nab")
    await asyncio.sleep(0.001)
    await call.send(b"cd")


async def given_up(count: int, at_once: int) -> None:
    chance = random.Random(9)
    async with serving(_slowly) as (_, url), client() as http:
        assert await ask(http, url) == b"abcd"
        before = open_files()

        async def one() -> None:
            call = asyncio.create_task(ask(http, url))
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.random() * 0.005)
            call.cancel()
            with suppress(asyncio.CancelledError, BrokenOff):
                await call

        for _ in range(count // at_once):
            await asyncio.gather(*(one() for _ in range(at_once)))
        async with asyncio.timeout(30):
            # Those that are kept for the next call are the only ones left, and each has two ends in this process.
            while len(http._all) != sum(map(len, http._idle.values())) or open_files() > before + 2 * (len(http._all) - 1):
                await asyncio.sleep(0.01)
        assert len(http._all) <= at_once
        assert await asyncio.gather(*(ask(http, url) for _ in range(at_once))) == [b"abcd"] * at_once


@pytest.mark.case("U9")
async def test_hundreds_of_calls_that_are_given_up_leave_nothing_open() -> None:
    await given_up(600, 30)


@pytest.mark.soak
@pytest.mark.case("U9")
async def test_ten_thousand_calls_that_are_given_up_leave_nothing_open() -> None:
    await given_up(10_000, 50)
