"""Which responses are kept, for whom, and for how long.

A response is its tenant's, whichever of the tenant's keys made it. What goes on from it keeps it for as long as itself. Where the database
is silent the answer is given all the same and says `store: false`: it is paid for.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.service import AuditService
from backend.credentials.master import MasterKeys
from backend.gateway.replay.rounds import Rounds
from backend.gateway.responses_api import repository
from backend.gateway.responses_api.kept import Item, Kept, Unreadable, packed, unpacked, written
from backend.gateway.responses_api.response import response_of
from backend.identity.principal import Principal
from backend.identity.snapshot import KeyRecord
from backend.kernel.body import MAX_BODY_BYTES
from backend.kernel.clock import Clock
from backend.kernel.db import CALLERS_PATIENCE, Database
from backend.kernel.errors import BadRequest, NotFound, RateLimited, StorageUnavailable, UnsupportedParameter
from backend.kernel.request import RequestContext
from backend.observability.metrics import Metrics
from backend.settings import ResponsesSettings

log = structlog.get_logger(__name__)

MOST_TURNS = 1000
"""Of one conversation."""
AT_ONCE = 4
"""Conversations that are read at the same time: calls need the database's connections more."""
MOST_OF_A_KEY = 64
"""Requests of one key that may wait for what is kept."""
SWEEP_SECONDS = 300.0
SWEPT_AT_ONCE = 200
MOST_SWEEPS = 200
BREATH_SECONDS = 0.05
GATHER_SECONDS = 0.02
"""An answer waits so long before it is kept, so that those that end together share a transaction, which costs more than a call."""
WORTH_EXTENDING = timedelta(days=1)


@dataclass(slots=True)
class Earlier:
    """What a request builds on."""

    items: list[Item] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    kept_until: datetime | None = None
    """Of the one that goes first."""


class ResponseStore:
    """Responses of one process's callers, and the background task that lets them go."""

    def __init__(self, db: Database, clock: Clock, settings: ResponsesSettings, masters: MasterKeys, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._masters = masters
        self._count = metrics.responses_kept
        self._audit = AuditService(clock)
        self._rounds = Rounds(db, gather=GATHER_SECONDS)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._tend(), name="responses-tend")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def keeps(self, wished: bool | None) -> bool:
        """Whether a response is to be kept whose request says so (None: nothing).

        Raises:
            UnsupportedParameter: it shall be, and nothing is kept here.
        """
        if wished and self._settings.store == "never":
            raise UnsupportedParameter("Responses are not kept here: send store: false.", param="store")
        return self._settings.store == "default" if wished is None else wished

    async def earlier(self, key: KeyRecord, response_id: str) -> Earlier:
        """The conversation that ends with that response.

        Raises:
            BadRequest: it is not there, or too long. StorageUnavailable
        """
        now = self._clock.now()
        async with self._reading(key), self._db.read() as session:
            links = await repository.chain(session, key.tenant_id, response_id, now=now, most=MOST_TURNS)
            if sum(link.size for link in links) > MAX_BODY_BYTES or len(links) == MOST_TURNS:
                raise BadRequest("The conversation is too long to be built on: send what matters of it.", param="previous_response_id")
            missing = response_id if not links else links[0].previous_id
            if missing is not None:
                raise _no_previous(missing)
            ids = [link.id for link in links]
            bodies = await repository.bodies(session, key.tenant_id, ids, now=now)
        earlier = Earlier(ids=ids, kept_until=min(link.kept_until for link in links))
        for one in ids:
            try:
                turn = await unpacked(bodies[one], self._masters, key.tenant_id, one)
            except (Unreadable, KeyError):
                raise _no_previous(one) from None
            earlier.items += [*turn.input, *turn.output]
        return earlier

    async def referred(self, key: KeyRecord, references: Sequence[str]) -> dict[str, Item]:
        """Items that kept responses hold, by their ids; those that are not there are left out.

        Raises:
            BadRequest: they are in too many responses. StorageUnavailable
        """
        wanted = set(references)
        ids = sorted({response_id for reference in wanted if (response_id := response_of(reference)) is not None})
        found: dict[str, Item] = {}
        if not ids:
            return found
        async with self._reading(key), self._db.read() as session:
            now = self._clock.now()
            if len(ids) > MOST_TURNS or await repository.size(session, key.tenant_id, ids, now=now) > MAX_BODY_BYTES:
                raise BadRequest("The items are in responses that are too large together: send them themselves.", param="input")
            bodies = await repository.bodies(session, key.tenant_id, ids, now=now)
        for response_id, body in bodies.items():
            try:
                turn = await unpacked(body, self._masters, key.tenant_id, response_id)
            except Unreadable:
                continue
            found |= {item["id"]: item for item in (*turn.input, *turn.output) if item.get("id") in wanted}
        return found

    async def keep(self, key: KeyRecord, kept: Kept, earlier: Earlier) -> bool:
        """Whether it is kept; never raises, because the answer goes out in any case."""
        event = await self._keep(key, kept, earlier)
        self._count.labels(event).inc()
        return event == "kept"

    async def _keep(self, key: KeyRecord, kept: Kept, earlier: Earlier) -> str:
        response_id, now = kept.response["id"], self._clock.now()
        data = written(kept)
        if len(data) > self._settings.max_bytes:
            log.info("responses.too_large", response=response_id, bytes=len(data))
            return "too_large"
        until = now + self._settings.keep
        row = repository.Row(
            id=response_id,
            tenant_id=key.tenant_id,
            key_id=key.key_id,
            previous_id=kept.response.get("previous_response_id"),
            created_at=now,
            kept_until=until,
            # Before it is compressed: what is read back is held in memory as a whole.
            size=len(data),
            body=await packed(data, self._masters, key.tenant_id, response_id),
        )
        try:
            await self._rounds.grant(repository.adding(self._db.dialect, row))
            if earlier.kept_until is not None and earlier.kept_until < until - WORTH_EXTENDING:
                async with asyncio.timeout(CALLERS_PATIENCE), self._db.write() as unit:
                    await repository.extend(unit.session, key.tenant_id, earlier.ids, until)
        except (StorageUnavailable, TimeoutError):
            log.warning("responses.not_kept", response=response_id, consequence="the answer says store: false")
            return "failed"
        except Exception:
            log.exception("responses.keep_failed", response=response_id)
            return "failed"
        return "kept"

    async def find(self, key: KeyRecord, response_id: str) -> Kept:
        """Raises:
        NotFound, StorageUnavailable
        """
        async with self._reading(key), self._db.read() as session:
            bodies = await repository.bodies(session, key.tenant_id, [response_id], now=self._clock.now())
        try:
            return await unpacked(bodies[response_id], self._masters, key.tenant_id, response_id)
        except (KeyError, Unreadable):
            raise _not_found(response_id) from None

    async def delete(self, key: KeyRecord, response_id: str, context: RequestContext) -> None:
        """Raises:
        NotFound, StorageUnavailable
        """
        principal = Principal(kind="key", id=key.key_id, tenant_id=key.tenant_id, address=context.address, request_id=context.request_id)
        async with self._reading(key), self._db.write() as unit:
            if not await repository.remove(unit.session, key.tenant_id, response_id, now=self._clock.now()):
                raise _not_found(response_id)
            await self._audit.record(unit, principal, "response.delete", response_id)

    async def sweep(self) -> int:
        """Delete what is not kept any longer, and the oldest of tenants that have too much; how many rows."""
        swept = await self._in_portions(lambda session: repository.sweep(session, now=self._clock.now(), most=SWEPT_AT_ONCE))
        most_bytes = self._settings.max_tenant_bytes
        async with self._db.read() as session:
            crowded = await repository.crowded(session, most_bytes)
        for tenant_id in crowded:
            trim = partial(repository.trim, tenant_id=tenant_id, most_bytes=most_bytes, most=SWEPT_AT_ONCE)
            swept += await self._in_portions(trim)
        return swept

    async def _in_portions(self, delete: Callable[[AsyncSession], Awaitable[int]]) -> int:
        swept = 0
        for _ in range(MOST_SWEEPS):
            async with self._db.write() as unit:
                count = await delete(unit.session)
            swept += count
            if count < SWEPT_AT_ONCE:
                break
            await asyncio.sleep(BREATH_SECONDS)
        return swept

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                swept = await self.sweep()
                if swept:
                    log.info("responses.swept", responses=swept)
            except StorageUnavailable:
                continue
            except Exception:
                log.exception("responses.sweep_failed")

    @asynccontextmanager
    async def _reading(self, key: KeyRecord) -> AsyncIterator[None]:
        """The key's turn at the database."""
        if self._waiting[key.key_id] >= MOST_OF_A_KEY:
            raise RateLimited(f"This key waits for {MOST_OF_A_KEY} kept responses already.", retry_after=1)
        self._waiting[key.key_id] += 1
        try:
            async with asyncio.timeout(CALLERS_PATIENCE), self._turns:
                yield
        except TimeoutError:
            raise StorageUnavailable(retry_after=2) from None
        finally:
            self._waiting[key.key_id] -= 1
            if not self._waiting[key.key_id]:
                del self._waiting[key.key_id]


def _no_previous(response_id: str) -> BadRequest:
    return BadRequest(
        f"Previous response with id {response_id[:80]!r} not found.", param="previous_response_id", code="previous_response_not_found"
    )


def _not_found(response_id: str) -> NotFound:
    return NotFound(f"Response with id {response_id[:80]!r} not found.")
