"""Tasks that are told to end do, also where a library turns the first word into an error."""

import asyncio

import pytest

from backend.kernel import tasks
from backend.kernel.tasks import end_tasks


async def test_a_task_that_took_the_cancellation_for_a_failed_try_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    tries = 0

    async def try_for_ever() -> None:
        nonlocal tries
        while True:
            tries += 1
            try:
                await _broken_by_cancellation(tries)
            except Exception:
                continue

    task = asyncio.create_task(try_for_ever())
    await asyncio.sleep(0)
    await end_tasks(task)
    assert task.cancelled()
    assert tries == 3


async def _broken_by_cancellation(tries: int) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if tries < 3:
            raise AssertionError("in the midst of something") from None
        raise


async def test_what_they_did_at_their_end_is_waited_for_and_what_they_raised_is_not_raised() -> None:
    cleaned: list[str] = []

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("up")

    async def fail() -> None:
        raise RuntimeError("long ago")

    failed, cleaning = asyncio.create_task(fail()), asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    await end_tasks(failed, None, cleaning)
    assert cleaned == ["up"]
