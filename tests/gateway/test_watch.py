"""One timer for all limits of a call. Times here are real and short; what is asserted is what happened, not how long it took."""

import asyncio
from typing import Any

import pytest

from backend.gateway import watch as module
from backend.gateway.responses import EventWriter
from backend.gateway.watch import Reason, Watch
from backend.kernel.header_lines import EXTENSION


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def reason_of(watch: Watch) -> Reason | None:
    """Wait until the watch ends the wait."""
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 20)
    except asyncio.CancelledError:
        return watch.expired()
    finally:
        watch.stop()
    return None


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)


async def test_the_nearest_limit_ends_the_wait_and_the_task_lives_on() -> None:
    for limit, total, expected in ((0.05, 10, "attempt"), (10, 0.05, "total")):
        watch = Watch(never, total=total)
        watch.limit(limit, "attempt")
        assert await reason_of(watch) == expected
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()


async def test_silence_ends_the_wait_and_signs_of_life_put_it_off() -> None:
    watch = Watch(never, total=10)
    watch.limit(10, "first_token")
    watch.limit_idle(1.0)
    for _ in range(8):
        await asyncio.sleep(0.15)
        watch.last = asyncio.get_running_loop().time()
    assert watch.reason is None
    assert await reason_of(watch) == "idle"


async def test_a_caller_that_does_not_read_is_not_the_providers_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.2)
    watch = Watch(never, total=10)
    watch.limit(10, "first_token")
    watch.limit_idle(0.05)
    watch.waiting = False
    assert await reason_of(watch) == "stalled"


async def test_a_hang_up_ends_the_wait() -> None:
    watch = Watch(gone, total=10)
    watch.limit(10, "attempt")
    assert await reason_of(watch) == "client_closed"


async def test_somebody_elses_cancellation_is_not_ours() -> None:
    async def waiting() -> None:
        watch = Watch(never, total=10)
        watch.limit(10, "attempt")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            assert watch.expired() is None
            raise
        finally:
            watch.stop()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stopped_watch_leaves_no_task_and_no_timer_behind() -> None:
    before = len(asyncio.all_tasks())
    watch = Watch(never, total=10)
    watch.limit(10, "attempt")
    await asyncio.sleep(0.1)
    watch.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


@pytest.mark.case("U8")
async def test_comments_are_sent_only_while_the_provider_is_silent_and_start_the_answer() -> None:
    sent: list[dict[str, Any]] = []
    began = asyncio.get_running_loop().time()

    async def send(message: Any) -> None:
        sent.append(dict(message))
        if len(sent) == 4:
            watch.limit(0.05, "first_token")

    watch = Watch(never, total=30, keep_alive_after=0.1)
    writer = EventWriter(send, watch, lambda: [(b"x-bourse-provider: acme\r\n", 1)])
    watch.limit(20, "first_token")
    assert await reason_of(watch) == "first_token"
    assert sent[0]["type"] == "http.response.start"
    assert (b"x-bourse-provider: acme\r\n", 1) in sent[0][EXTENSION]
    comments = [message["body"] for message in sent[1:]]
    assert set(comments) == {b": keep-alive\n\n"}
    assert 3 <= len(comments) <= (asyncio.get_running_loop().time() - began) / 0.1
    assert writer.started


async def test_who_has_waited_already_is_told_sooner() -> None:
    signs: list[str] = []
    for silent_for in (0.0, 14.99):
        watch = Watch(never, total=10, silent_for=silent_for)
        watch.keep_alive = lambda: signs.append("comment")
        watch.limit(1.0, "first_token")
        assert await reason_of(watch) == "first_token"
    assert signs == ["comment"]
