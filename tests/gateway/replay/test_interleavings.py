"""Twins at two replicas, in any order: who hangs up, what fails, which lease runs out. One success, and everybody has its bytes."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from backend.gateway.replay.service import Replays
from backend.gateway.responses import CUT
from backend.identity.snapshot import KeyRecord
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import BourseError, IdempotencyInProgress, UpstreamError
from backend.kernel.request import Message, Receive, Scope, Send
from backend.observability.metrics import Metrics
from backend.settings import Settings

KEY = KeyRecord("key_1", "demo", "", "ten_1", "demo", None, None, None, (), False, None, None)
BODY = json.dumps({"model": "any"}).encode()


async def enter(_: Scope) -> KeyRecord:
    return KEY


class Endpoint:
    """Answers each call in its own words: well, badly, or not to the end, and stops when its caller is gone."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.calls = 0
        self.successes: list[bytes] = []
        self.well = False

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        answer = asyncio.create_task(self._answer(self.calls, send))
        gone = asyncio.create_task(_until_gone(receive))
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (answer, gone):
            task.cancel()
        results = await asyncio.gather(answer, gone, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _answer(self, number: int, send: Send) -> None:
        how = "well" if self.well else self.chance.choice(["well", "well", "well", "refused", "raises", "cut", "breaks off"])
        await self._pause()
        if how == "raises":
            raise UpstreamError("The provider failed.")
        await send({"type": "http.response.start", "status": 502 if how == "refused" else 200, "headers": []})
        for piece in range(self.chance.randrange(4)):
            await send({"type": "http.response.body", "body": b"%d.%d " % (number, piece), "more_body": True})
            await self._pause()
        if how == "breaks off":
            raise RuntimeError("nobody foresaw it")
        await send({"type": "http.response.body", "body": b"%d" % number, CUT: how == "cut"})
        if how == "well":
            self.successes.append(b"%d" % number)

    async def _pause(self) -> None:
        await asyncio.sleep(self.chance.choice([0, 0, 0.001, 0.004]))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Caller:
    """`whole` is the body of a complete answer of 200; None for everything else."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._gone = asyncio.Event()
        self._asked = False
        self._status = 0
        self._pieces: list[bytes] = []
        self.whole: bytes | None = None
        self.failed: BaseException | None = None

    async def ask(self, replica: Replays) -> None:
        scope: dict[str, Any] = {
            "method": "POST",
            "path": "/v1/any",
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer sk-demo.secret")],
            "bourse.body": BODY,
            "bourse": SimpleNamespace(request_id="req_0123456789"),
        }
        try:
            await replica.answer(self._endpoint, self.name, scope, self._receive, self._send)
        except (BourseError, RuntimeError, ConnectionError) as error:
            self.failed = error

    name = "the-key"

    def hang_up(self) -> None:
        self._gone.set()

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            return
        self._pieces.append(message["body"])
        # An endpoint's last word is its number alone; without it the answer was cut, whatever the framing says.
        if not message.get("more_body", False) and self._status == 200:
            self.whole = b"".join(self._pieces)


@pytest.fixture
async def replicas(database: Database) -> AsyncIterator[tuple[Replays, Replays]]:
    pair = tuple(Replays(database, SystemClock(), Settings(), Metrics(), enter) for _ in range(2))
    for one in pair:
        await one.start()
    yield pair[0], pair[1]
    for one in pair:
        await one.stop()


async def run_out(database: Database) -> None:
    """Every lease is over, as if its holder had stood still for a minute."""
    past: Any = datetime(2020, 1, 1, tzinfo=UTC)
    async with database.write() as unit:
        await unit.session.execute(
            sa.text("UPDATE replay SET held_until = :past WHERE answer IS NULL"),
            {"past": past.isoformat(" ") if database.dialect == "sqlite" else past},
        )


@pytest.mark.case("I4")
@pytest.mark.parametrize("seeds", [range(15), pytest.param(range(15, 500), marks=pytest.mark.soak)], ids=["short", "long"])
async def test_there_is_one_success_and_everybody_reads_its_bytes(
    replicas: tuple[Replays, Replays], database: Database, seeds: range
) -> None:
    for seed in seeds:
        chance = random.Random(seed)
        endpoint = Endpoint(chance)
        callers: list[Caller] = []
        running: list[asyncio.Task[None]] = []
        for _ in range(chance.randrange(2, 9)):
            caller = Caller(endpoint)
            caller.name = f"key-{database.dialect}-{seed}"
            callers.append(caller)
            running.append(asyncio.create_task(caller.ask(chance.choice(replicas))))
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
            if chance.random() < 0.3:
                chance.choice(callers).hang_up()
            if chance.random() < 0.1:
                await run_out(database)
        await asyncio.wait(running)
        endpoint.well = True
        for replica in replicas:
            last = Caller(endpoint)
            last.name = f"key-{database.dialect}-{seed}"
            while last.whole is None:
                last.failed = None
                await last.ask(replica)
                assert last.failed is None or isinstance(last.failed, IdempotencyInProgress), (seed, last.failed)
            callers.append(last)
        wholes = {caller.whole for caller in callers if caller.whole is not None and _is_success(caller.whole, endpoint)}
        assert len(wholes) == 1, (seed, wholes)
        calls = endpoint.calls
        again = Caller(endpoint)
        again.name = f"key-{database.dialect}-{seed}"
        await again.ask(chance.choice(replicas))
        assert {again.whole} == wholes, seed
        assert endpoint.calls == calls, seed


def _is_success(whole: bytes, endpoint: Endpoint) -> bool:
    """Whether it is one of the answers that came to their end; an answer that was cut has the same framing."""
    return whole.rpartition(b" ")[2] in endpoint.successes
