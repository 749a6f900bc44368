"""Replay: requests with the same `Idempotency-Key` are one call, and everybody gets its one answer.

In one process twins read along while the call runs; other processes say 409 until it is over. Then the answer is given again from memory
or from the shelf, for as long as it is kept. It wraps an endpoint from outside and knows nothing of what the endpoint does, but that an
answer below 300 whose body came to its end is a success.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from backend.gateway.operations.form import without_boundary
from backend.gateway.pipeline import ENTERED
from backend.gateway.replay.answer import Answer
from backend.gateway.replay.asked import Asked, asked_by, check_idempotency_key
from backend.gateway.replay.recording import Reader, Recording, Room, TooSlow
from backend.gateway.replay.remembered import Remembered
from backend.gateway.replay.shelf import Claim, Shelf, in_progress, mismatch
from backend.gateway.watch import STALL_SECONDS
from backend.identity.snapshot import KeyRecord
from backend.kernel.body import MAX_BODY_BYTES, ClientDisconnected, read_body
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import BourseError, IdempotencyInProgress, IdempotencyMismatch, InternalError, Restarting
from backend.kernel.request import GONE, App, Message, Receive, Scope, Send, header
from backend.observability.metrics import Metrics
from backend.settings import Settings

log = structlog.get_logger(__name__)

ROOM_BYTES = 64 * 1024 * 1024
"""What running and remembered answers may take in memory together; beyond it answers are passed on and not kept."""
REMEMBERED_BYTES = 8 * 1024 * 1024
"""Of finished answers."""
TENANTS_SHARE = 4
"""One tenant has no more than this part of either."""
LAST_WORD_SECONDS = 0.5
WIND_DOWN_SECONDS = 2.0
"""How long a new request waits for a call to end that everybody else has given up."""


class Replays:
    """Args:
    enter: whose request it is, once it is his turn; raises what the endpoint would raise.
    """

    def __init__(
        self, db: Database, clock: Clock, settings: Settings, metrics: Metrics, enter: Callable[[Scope], Awaitable[KeyRecord]]
    ) -> None:
        self._most_bytes = settings.replay.max_bytes
        self._enter = enter
        self._count = metrics.replays
        self._shelf = Shelf(db, clock, settings)
        self._room = Room(ROOM_BYTES, ROOM_BYTES // TENANTS_SHARE)
        self._running: dict[str, Recording] = {}
        seconds = settings.replay.keep.total_seconds()
        self._remembered = Remembered(clock, seconds=seconds, most_bytes=REMEMBERED_BYTES, most_of_one=REMEMBERED_BYTES // TENANTS_SHARE)

    async def start(self) -> None:
        await self._shelf.start()

    async def stop(self) -> None:
        """End what runs, and give up its claims."""
        running = list(self._running.values())
        for recording in running:
            recording.interrupt()
        tasks = {recording.task for recording in running if recording.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=WIND_DOWN_SECONDS)
        await self._shelf.stop()

    async def answer(
        self, endpoint: App, idempotency_key: str, scope: Scope, receive: Receive, send: Send, *, max_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """Answer a request that came with an Idempotency-Key as the endpoint does, once.

        Raises:
            BadRequest, IdempotencyInProgress, IdempotencyMismatch, StorageUnavailable, and what the endpoint raises.
        """
        key = await self._enter(scope)
        scope[ENTERED] = key
        check_idempotency_key(idempotency_key)
        try:
            body = await read_body(scope, receive, max_bytes=max_bytes)
        except (BourseError, ClientDisconnected) as error:
            # No request to compare with another: the endpoint says so as ever, and has its row in the ledger.
            await endpoint(scope, _raising(error), send)
            return
        asked = asked_by(key, idempotency_key, scope, without_boundary(header(scope, b"content-type") or "", body))
        try:
            recording, reader = await self._join(asked, endpoint, scope, body)
            await self._hand_out(recording, reader, scope, receive, send)
        except (IdempotencyMismatch, IdempotencyInProgress) as error:
            self._count.labels(error.code).inc()
            raise

    # Who makes the call ------------------------------------------------------------------------------------------------------------

    async def _join(self, asked: Asked, endpoint: App, scope: Scope, body: bytes) -> tuple[Recording, Reader]:
        """The recording of this request, made now if there is none, and a reader at its beginning."""
        while True:
            recording = self._running.get(asked.id) or self._remembered.get(asked.id)
            if recording is None:
                return self._begin(asked, endpoint, scope, body)
            if recording.fingerprint != asked.fingerprint:
                raise mismatch()
            if recording.joinable:
                return recording, recording.join(made_it=False)
            task = recording.task
            if not recording.abandoned or task is None:
                raise in_progress()
            done, _ = await asyncio.wait({task}, timeout=WIND_DOWN_SECONDS)
            if not done:
                raise in_progress()

    def _begin(self, asked: Asked, endpoint: App, scope: Scope, body: bytes) -> tuple[Recording, Reader]:
        recording = Recording(
            asked.fingerprint, scope["bourse"].request_id, self._room, most_bytes=self._most_bytes, tenant_id=asked.tenant_id
        )
        reader = recording.join(made_it=True)
        self._running[asked.id] = recording
        recording.task = asyncio.create_task(self._run(asked, recording, endpoint, _with_body(scope, body)), name="replay-call")
        return recording, reader

    async def _run(self, asked: Asked, recording: Recording, endpoint: App, scope: Scope) -> None:
        """Make the call if nobody has, see to what becomes of its answer, then let the last of it out."""
        claim: Claim | None = None
        error: BaseException | None = None
        try:
            found = await self._shelf.claim(asked)
            if isinstance(found, Answer):
                recording.load(found)
            else:
                claim = found
                if not recording.abandoned:
                    scope[GONE] = recording.is_abandoned
                    await endpoint(scope, recording.hang_up, recording.take)
        except asyncio.CancelledError:
            error = Restarting(retry_after=1)
        except Exception as caught:
            error = caught
        recording.interruptible = False
        try:
            await self._conclude(asked, recording, claim, error)
        finally:
            self._running.pop(asked.id, None)
            if not recording.over:
                recording.end(InternalError())

    async def _conclude(self, asked: Asked, recording: Recording, claim: Claim | None, error: BaseException | None) -> None:
        fate = "stored"
        if claim is not None and error is None and recording.complete and recording.whole:
            fate = await self._shelf.store(claim, recording.answer())
            self._count.labels(fate).inc()
        elif claim is not None:
            self._count.labels("too_large" if recording.complete else "not_kept").inc()
            if isinstance(error, Restarting):
                # Callers have little time left to hear of it.
                self._running.pop(asked.id, None)
                recording.end(error)
            await self._shelf.free(claim)
        self._running.pop(asked.id, None)
        if fate == "lost":
            # Another process was given the key because this one was silent for too long; only its answer counts.
            recording.refuse(in_progress())
        elif not recording.over:
            recording.end(error, kept=claim is not None and self._remember(asked, recording))

    def _remember(self, asked: Asked, recording: Recording) -> bool:
        """Keep it in memory for twins to come, if it is a success."""
        return recording.complete and recording.whole and self._remembered.put(asked.id, asked.tenant_id, recording)

    # One caller --------------------------------------------------------------------------------------------------------------------

    async def _hand_out(self, recording: Recording, reader: Reader, scope: Scope, receive: Receive, send: Send) -> None:
        listening = None if recording.over else asyncio.create_task(_listen(recording, reader, receive))
        try:
            await self._deliver(recording, reader, send)
        except asyncio.CancelledError:
            # The server's patience is over: so is the call, and whoever has begun to read hears its last words.
            recording.interrupt()
            if reader.started:
                with suppress(TimeoutError, Exception):
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await self._deliver(recording, reader, send)
            raise
        except TooSlow:
            log.warning("replay.reader_too_slow", requestId=scope["bourse"].request_id)
        finally:
            recording.leave(reader)
            if listening is not None:
                listening.cancel()
        if not reader.made_it:
            self._count.labels("replayed").inc()
            log.info("replay.served", requestId=scope["bourse"].request_id, replayOf=recording.request_id)

    @staticmethod
    async def _deliver(recording: Recording, reader: Reader, send: Send) -> None:
        is_last = False
        while not is_last:
            data, is_last = await recording.portion(reader)
            if reader.gone:
                return
            try:
                # A caller who does not read for a minute is taken for gone.
                async with asyncio.timeout(STALL_SECONDS):
                    if not reader.started:
                        await send(recording.start(reader))
                        reader.started = True
                    await send({"type": "http.response.body", "body": data, "more_body": not is_last})
            except TimeoutError:
                raise TooSlow from None
            recording.advance(reader, len(data))


async def _listen(recording: Recording, reader: Reader, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    recording.hung_up(reader)


def _with_body(scope: Scope, body: bytes) -> Scope:
    """The request with its body at hand, decoded."""
    headers = [header for header in scope["headers"] if header[0] not in (b"content-encoding", b"content-length")]
    return {**scope, "headers": headers, "bourse.body": body}


def _raising(error: Exception) -> Receive:
    async def receive() -> Message:
        raise error

    return receive
