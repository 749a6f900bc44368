"""Writing answers to the caller: whole ones, errors, and event streams. Request ids and security headers are the front door's."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from backend.gateway.facts import header_value
from backend.gateway.watch import STALL_SECONDS, Watch
from backend.kernel.errors import BourseError, as_openai, response_headers
from backend.kernel.header_lines import EXTENSION, Header, Lines
from backend.kernel.json import dump_json
from backend.kernel.request import Send

KEEP_ALIVE = b": keep-alive\n\n"
CUT = "bourse.cut"
"""In the last message of a stream that is no whole answer: nobody may keep it as one."""
_JSON: Header = (b"content-type", b"application/json")
_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


def in_callers_words(error: dict[str, Any], own_name: Callable[[str], str]) -> dict[str, Any]:
    """An error that names a field of a chat body, for a caller of another API, who calls it something else."""
    param, message = error.get("param"), error.get("message")
    if not isinstance(param, str):
        return error
    own = own_name(param)
    return {**error, "param": own, "message": message.replace(f"'{param}'", f"'{own}'") if isinstance(message, str) else message}


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[Header] = (), lines: Iterable[Lines] = ()) -> None:
    framing = (_JSON, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": (*framing, *headers), EXTENSION: lines})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: BourseError, headers: Iterable[Header] = ()) -> None:
    """One error in OpenAI's shape, with `Retry-After` and `x-should-retry` where they apply."""
    extra = [(name.lower().encode("ascii"), header_value(value)) for name, value in response_headers(error).items()]
    await send_json(send, error.status, dump_json(as_openai(error)), (*extra, *headers))


class EventWriter:
    """The caller's side of a stream. The response starts with the first bytes; until then a real status and JSON are still possible."""

    __slots__ = ("_finished", "_head", "_pending", "_send", "_watch", "started")

    def __init__(self, send: Send, watch: Watch, head: Callable[[], list[Lines]]) -> None:
        self._send = send
        self._watch = watch
        self._head = head
        self._pending: asyncio.Task[None] | None = None
        self._finished = False
        self.started = False
        watch.keep_alive = self._keep_alive

    async def write(self, data: bytes) -> None:
        self._watch.signed()
        await self._comment_sent()
        if not self.started:
            await self._start()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes, *, seconds: float = STALL_SECONDS, cut: bool = False) -> None:
        """The last bytes; nothing follows. Given up when the caller does not take them within `seconds`: the watch has stopped by now."""
        self._finished = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._comment_sent()
                if not self.started:
                    await self._start()
                await self._send({"type": "http.response.body", "body": data, CUT: cut})

    async def fail(self, error: BourseError, *, seconds: float = STALL_SECONDS) -> None:
        """An error after the first byte: one event, then the end, and no [DONE]."""
        await self.finish(b"data: " + dump_json(as_openai(error)) + b"\n\n", seconds=seconds, cut=True)

    def close(self) -> None:
        """No comment any more, so that whoever answers in our place is the only one."""
        self._finished = True
        if self._pending is not None:
            self._pending.cancel()

    async def _start(self) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM, EXTENSION: self._head()})

    def _keep_alive(self) -> None:
        if self._pending is None or self._pending.done():
            self._pending = asyncio.get_running_loop().create_task(self._comment())

    async def _comment(self) -> None:
        if self._finished:
            return
        if not self.started:
            await self._start()
        await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})

    async def _comment_sent(self) -> None:
        """Messages must not overtake each other."""
        if self._pending is not None and not self._pending.done():
            await asyncio.wait((self._pending,))
