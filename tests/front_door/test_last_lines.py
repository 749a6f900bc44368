"""The log lines of requests that end when the process does."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backend import asgi
from backend.asgi import FrontDoor
from backend.observability.request_log import RequestLog
from backend.runtime import Runtime, open_runtime
from backend.settings import Settings


async def ask(door: FrontDoor, path: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: dict[str, Any]) -> None:
        pass

    await door({"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "client": None}, receive, send)


async def test_a_request_that_ends_with_the_runtime_or_after_it_has_its_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a timer here: the loop does not turn between a request's end and the look at what was written."""
    door, out = FrontDoor(settings), io.BytesIO()
    door._log = RequestLog(out)

    def paths() -> list[str]:
        return [json.loads(line)["path"] for line in out.getvalue().splitlines()]

    @asynccontextmanager
    async def ends_with_a_request(*arguments: Any, **named: Any) -> AsyncIterator[Runtime]:
        async with open_runtime(*arguments, **named) as runtime:
            yield runtime
        await ask(door, "/v1/cut")

    monkeypatch.setattr(asgi, "open_runtime", ends_with_a_request)
    async with door.open():
        await ask(door, "/v1/served")
    assert paths() == ["/v1/served", "/v1/cut"]
    await ask(door, "/v1/late")
    assert paths() == ["/v1/served", "/v1/cut", "/v1/late"]
