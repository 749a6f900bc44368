"""What a call leaves behind: nothing that only the garbage collector would find, which so has next to nothing to do."""

import asyncio
import gc
from typing import Any

import pytest

from backend.gateway.call import Call
from backend.gateway.responses import EventWriter
from backend.gateway.watch import Watch
from tests.gateway.conftest import PLAIN, Rig

OF_A_CALL = (Call, Watch, EventWriter)


def left() -> list[Any]:
    return [found for found in gc.get_objects() if type(found) in OF_A_CALL]


@pytest.mark.parametrize("kind", ["whole", "stream", "refused"])
async def test_a_call_is_freed_without_the_garbage_collector(gateway: Rig, kind: str) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            body = {**PLAIN, "stream": kind == "stream", "max_tokens": 0 if kind == "refused" else 9}
            answer = await gateway.post(body)
            assert answer.status_code == (400 if kind == "refused" else 200)
        async with asyncio.timeout(10):
            while left():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"still there: {[type(found).__name__ for found in left()]}", pytrace=False)
    finally:
        gc.enable()
