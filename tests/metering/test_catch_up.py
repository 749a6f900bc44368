"""Readers who want what was recorded a moment ago share one flush, and never see less than what was recorded before they asked."""

import asyncio
import time

import pytest

from backend.metering.catch_up import SPACING_SECONDS, CatchUp


class Ledger:
    """What was recorded, what of it is written, and a gate that a flush waits at after it has looked."""

    def __init__(self) -> None:
        self.recorded = self.written = self.flushes = 0
        self.began = asyncio.Event()
        self.gate = asyncio.Event()

    async def flush(self) -> None:
        self.flushes += 1
        due = self.recorded
        self.began.set()
        await self.gate.wait()
        self.written = due


async def test_many_readers_cost_one_flush_and_who_comes_while_it_runs_waits_for_the_next() -> None:
    ledger = Ledger()
    catch_up = CatchUp(ledger.flush)

    async def read() -> bool:
        ledger.recorded += 1
        mine = ledger.recorded
        await catch_up.wait()
        return ledger.written >= mine

    first = [asyncio.create_task(read()) for _ in range(100)]
    await ledger.began.wait()
    second = [asyncio.create_task(read()) for _ in range(100)]
    await asyncio.sleep(0)
    assert ledger.flushes == 1
    ledger.gate.set()
    assert all(await asyncio.gather(*first, *second))
    assert ledger.flushes == 2


async def test_flushes_keep_their_distance_however_often_somebody_asks() -> None:
    ledger = Ledger()
    ledger.gate.set()
    catch_up = CatchUp(ledger.flush)
    began = time.monotonic()
    for _ in range(3):
        await catch_up.wait()
    assert ledger.flushes == 3
    assert time.monotonic() - began >= 2 * SPACING_SECONDS - 0.01


async def test_a_flush_that_fails_is_told_to_all_who_waited_and_the_next_is_a_new_one() -> None:
    failing = True
    flushes = 0

    async def flush() -> None:
        nonlocal flushes
        flushes += 1
        if failing:
            raise ConnectionError("the database is away")

    catch_up = CatchUp(flush)
    answers = await asyncio.gather(*(catch_up.wait() for _ in range(10)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 10
    failing = False
    await catch_up.wait()
    assert flushes == 2


async def test_a_reader_who_gives_up_takes_nothing_from_the_others() -> None:
    ledger = Ledger()
    catch_up = CatchUp(ledger.flush)
    hasty, patient = asyncio.create_task(catch_up.wait()), asyncio.create_task(catch_up.wait())
    await ledger.began.wait()
    hasty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    ledger.gate.set()
    await patient
    assert ledger.flushes == 1


async def test_stopping_ends_what_is_waiting() -> None:
    ledger = Ledger()
    catch_up = CatchUp(ledger.flush)
    reader = asyncio.create_task(catch_up.wait())
    await ledger.began.wait()
    await catch_up.stop()
    with pytest.raises(asyncio.CancelledError):
        await reader
