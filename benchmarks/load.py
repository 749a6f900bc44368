"""The load generator: closed-loop callers over raw sockets, light enough to share a core with the upstream.

Closed loop: a connection sends its next call when the last answer is complete, so latency at many connections is queueing
plus work, the same for every peer. Bounded in calls and in seconds. Every answer is checked: status 200, the exact number of
witness words, `[DONE]` at the end of a stream.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

import httptools

from benchmarks.wire import WITNESS

GRACE_SECONDS = 30.0  # how long calls already under way may take after the time is up


@dataclass(frozen=True, slots=True)
class Load:
    """One stretch of load on one peer."""

    port: int
    request: bytes
    connections: int
    calls: int  # at most
    seconds: float  # no call starts later
    pieces: int  # witness words that a right answer carries
    stream: bool = False
    spread: float = 0.0  # seconds over which connections start, so that streams are not in step


@dataclass(slots=True)
class Outcome:
    """What came of a load. Times in seconds."""

    started: int = 0
    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""
    seconds: float = 0.0

    @property
    def completed(self) -> int:
        return len(self.latencies)

    def fail(self, reason: str) -> None:
        """Count a wrong answer; the first one is kept in words."""
        self.errors += 1
        self.first_error = self.first_error or reason[:300]


class _Caller(asyncio.Protocol):
    """One connection's loop of calls."""

    def __init__(self, load: Load, outcome: Outcome, until: float) -> None:
        self._load, self._outcome, self._until = load, outcome, until
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._sent = 0.0
        self._waiting = self._seen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, same methods
        self._call()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._outcome.fail(f"connection lost during a call: {exc}")
        self.close()

    def close(self) -> None:
        """Hang up and let the waiter go on."""
        self._waiting = False
        self._transport.abort()
        if not self.finished.done():
            self.finished.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._outcome.fail(f"not HTTP: {error}")
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body += body
        if self._load.stream and not self._seen and WITNESS in self._body:
            self._seen = True
            self._outcome.first_tokens.append(time.perf_counter() - self._sent)

    def on_message_complete(self) -> None:
        took = time.perf_counter() - self._sent
        self._waiting = False
        wrong = check_answer(self._parser.get_status_code(), bytes(self._body), self._load)
        if wrong:
            self._outcome.fail(wrong)
        else:
            self._outcome.latencies.append(took)
        if self._parser.should_keep_alive():
            self._call()
        else:
            self.close()

    def _call(self) -> None:
        if self._outcome.started >= self._load.calls or time.perf_counter() >= self._until:
            self.close()
            return
        self._outcome.started += 1
        self._body.clear()
        self._waiting, self._seen = True, False
        self._sent = time.perf_counter()
        self._transport.write(self._load.request)


def check_answer(status: int, body: bytes, load: Load) -> str:
    """Why an answer is wrong, or "" when it is right."""
    if status != 200:
        return f"status {status}: {body[:200].decode(errors='replace')}"
    words = body.count(WITNESS)
    if words != load.pieces:
        return f"{words} of {load.pieces} pieces: {body[-200:].decode(errors='replace')}"
    if load.stream and b"[DONE]" not in body[-40:]:
        return f"no [DONE]: {body[-200:].decode(errors='replace')}"
    if not load.stream and b'"total_tokens"' not in body:
        return f"no usage: {body[-200:].decode(errors='replace')}"
    return ""


async def run(load: Load) -> Outcome:
    """Apply one load and return what came of it."""
    outcome = Outcome()
    began = time.perf_counter()
    until = began + load.seconds

    async def connection(number: int) -> None:
        await asyncio.sleep(load.spread * number / load.connections)
        # A server may close a connection after a number of calls: connect again, which is part of what it costs.
        while outcome.started < load.calls and time.perf_counter() < until:
            _, caller = await asyncio.get_running_loop().create_connection(lambda: _Caller(load, outcome, until), "127.0.0.1", load.port)
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.perf_counter() + GRACE_SECONDS):
                    await caller.finished
            except TimeoutError:
                outcome.fail(f"no answer within {GRACE_SECONDS:.0f} s after the load ended")
                caller.close()

    async with asyncio.TaskGroup() as group:
        for number in range(load.connections):
            group.create_task(connection(number))
    outcome.seconds = time.perf_counter() - began
    return outcome


class OpenStreams:
    """Streams held open, each past its first token, to weigh what one costs in memory."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.outcome = Outcome()
        self._callers: list[_Caller] = []

    async def __aenter__(self) -> "OpenStreams":
        loop = asyncio.get_running_loop()
        until = time.perf_counter() + self._load.seconds
        for number in range(self._load.connections):
            _, caller = await loop.create_connection(lambda: _Caller(self._load, self.outcome, until), "127.0.0.1", self._load.port)
            self._callers.append(caller)
            while len(self.outcome.first_tokens) <= number - 32 and not self.outcome.errors and time.perf_counter() < until:
                await asyncio.sleep(0.01)  # at most 32 streams are being opened at a time
        while len(self.outcome.first_tokens) < self._load.connections and not self.outcome.errors and time.perf_counter() < until:
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        for caller in self._callers:
            caller.close()
