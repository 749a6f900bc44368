import asyncio
import importlib
import importlib.util
import sys

import pytest

from backend.kernel import memory
from backend.kernel.left_out import left_out


async def test_what_was_let_go_of_is_given_back_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    given = asyncio.Event()
    times: list[int] = []
    loop = asyncio.get_running_loop()

    def trim() -> None:
        times.append(1)
        loop.call_soon_threadsafe(given.set)

    monkeypatch.setattr(memory, "SOON_SECONDS", 0.0)
    monkeypatch.setattr(memory, "give_back", trim)
    memory.give_back_soon()
    memory.give_back_soon()
    await asyncio.wait_for(given.wait(), 5)
    assert times == [1]
    given.clear()
    memory.give_back_soon()
    await asyncio.wait_for(given.wait(), 5)
    assert times == [1, 1]


async def test_what_is_used_again_is_kept() -> None:
    rested: list[int] = []
    idle = memory.Idle(lambda: rested.append(1))
    idle.used()
    began = idle._used
    idle._used = began - memory.IDLE_SECONDS + 60
    idle._look()
    assert rested == [], "somebody used it since"
    idle._used = began - memory.IDLE_SECONDS
    idle._look()
    assert rested == [1]
    idle.used()
    assert idle._ending is not None, "it rests again after it was used again"


def test_what_is_left_out_is_not_there_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with left_out("this", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("this")
        assert importlib.import_module("json") is sys.modules["json"], "what is imported already stays"
    assert "this" not in sys.modules
    assert importlib.util.find_spec("this") is not None
