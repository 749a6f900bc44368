"""A server that speaks OpenAI's chat completions on the wire, well or badly, as its script says, and logs what it was asked.

    async with OpenAIUpstream() as upstream:
        upstream.script(status(503), answer("hello"))      # first request, second; the last step repeats
        …  upstream.requests[0].body

It writes bytes itself instead of using an HTTP library, because half of its purpose is to send what no library would.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

MODEL = "gpt-fake-2026-01-01"
WORDS = ["The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", "."]
TEXT = "".join(WORDS)
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 12,
    "total_tokens": 32,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
}


@dataclass
class Seen:
    """One request. `hung_up` is set when the other side closed before the answer was finished."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: Any
    connection: int
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Exchange:
    seen: Seen
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keep_alive: bool = True

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(
        self, status: int = 200, content_type: str = "application/json", *, headers: Iterable[str] = (), length: int | None = None
    ) -> None:
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        lines = [f"HTTP/1.1 {status} Whatever", f"content-type: {content_type}", framing, *headers]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n" % len(data) + data + b"\r\n")

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def until_hang_up(self) -> None:
        """Say nothing until the other side closes."""
        while await self.reader.read(4096):
            pass
        self.seen.hung_up.set()
        self.keep_alive = False

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        import socket
        import struct

        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.keep_alive = False


Step = Callable[[Exchange], Awaitable[None]]


class OpenAIUpstream:
    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._steps: list[Step] = [answer()]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Seen] = []
        self.looks: list[Seen] = []
        """Requests for the list of models, which cost nothing and are no part of the script; `models` answers them."""
        self.models: Step = whole({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        self.connections = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *steps: Step) -> None:
        self._steps = list(steps)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=32 * 1024 * 1024)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            keep_alive = True
            while keep_alive and (seen := await _read_request(reader, number)) is not None:
                if seen.method == "GET":
                    self.looks.append(seen)
                    step = self.models
                else:
                    self.requests.append(seen)
                    step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
                exchange = Exchange(seen, reader, writer)
                try:
                    await step(exchange)
                except ConnectionError:
                    seen.hung_up.set()
                    return
                keep_alive = exchange.keep_alive
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            # The server is closing; streams would report a cancelled handler as an error.
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    # Forms and sound begin otherwise, and not every client names a type.
    return Seen(method, path, headers, raw, json.loads(raw) if raw[:1] in (b"{", b"[") else None, connection)


# ── what it can be told to do ────────────────────────────────────────────────────────────────────────────────────────


def completion(text: str = TEXT, *, usage: Any = USAGE, model: str = MODEL, finish: str = "stop", **extra: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    body: dict[str, Any] = {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if usage is not None:
        body["usage"] = usage
    return {**body, **extra}


def chunk(delta: dict[str, Any] | None, finish: str | None = None, *, index: int = 0, model: str = MODEL, **extra: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": model,
        "choices": choices,
        **extra,
    }


def canonical_chunks(*, usage: Any = USAGE, null_usage: bool = True) -> list[dict[str, Any]]:
    """What OpenAI sends when usage was asked for."""
    extra: dict[str, Any] = {"usage": None} if null_usage else {}
    chunks = [chunk({"role": "assistant", "content": ""}, **extra)]
    chunks += [chunk({"content": word}, **extra) for word in WORDS]
    chunks.append(chunk({}, "stop", **extra))
    if usage is not None:
        chunks.append(chunk(None, usage=usage))
    return chunks


def sse(value: Any) -> bytes:
    return b"data: " + (value.encode() if isinstance(value, str) else json.dumps(value, separators=(",", ":")).encode()) + b"\n\n"


def answer(text: str = TEXT, **overrides: Any) -> Step:
    """The good answer, whole or streamed as asked."""

    async def step(exchange: Exchange) -> None:
        if exchange.seen.body.get("stream"):
            await exchange.head(content_type="text/event-stream; charset=utf-8")
            for value in canonical_chunks():
                await exchange.chunk(sse(value))
            await exchange.chunk(sse("[DONE]"))
            await exchange.end()
        else:
            await _whole(exchange, 200, completion(text, **overrides))

    return step


def whole(body: Any, status: int = 200, content_type: str = "application/json") -> Step:
    async def step(exchange: Exchange) -> None:
        await _whole(exchange, status, body, content_type)

    return step


def status(code: int, body: Any = None, *headers: str) -> Step:
    """An error status with an OpenAI-shaped body unless another is given."""

    async def step(exchange: Exchange) -> None:
        default = {"error": {"message": f"upstream says {code}", "type": "whatever", "param": None, "code": None}}
        await _whole(exchange, code, default if body is None else body, headers=headers)

    return step


def events(*values: Any, end: str = "eof", gap: float = 0.0) -> Step:
    """These events (objects, texts, or bytes as they are), then `end`: done, eof, reset, hang."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        for value in values:
            await exchange.chunk(value if isinstance(value, bytes) else sse(value))
            if gap:
                await asyncio.sleep(gap)
        if end == "done":
            await exchange.chunk(sse("[DONE]"))
        if end in ("done", "eof"):
            await exchange.end()
        elif end == "reset":
            await asyncio.sleep(0.05)
            exchange.reset()
        elif end == "hang":
            await exchange.until_hang_up()

    return step


def hang() -> Step:
    """Accept, read, and say nothing."""

    async def step(exchange: Exchange) -> None:
        await exchange.until_hang_up()

    return step


def reset() -> Step:
    async def step(exchange: Exchange) -> None:
        exchange.reset()

    return step


def garbage(data: bytes) -> Step:
    """Bytes that are not HTTP."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.writer.close()
        exchange.keep_alive = False

    return step


async def _whole(exchange: Exchange, code: int, body: Any, content_type: str = "application/json", headers: Iterable[str] = ()) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    await exchange.head(code, content_type, headers=headers, length=len(data))
    await exchange.send(data)
