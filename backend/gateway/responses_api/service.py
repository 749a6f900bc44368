"""Which responses are kept, for whom, and for how long.

A response is its tenant's, whichever of the tenant's keys made it. What goes on from it keeps it for as long as itself. Where the database
is silent the answer is given all the same and says `store: false`: it is paid for.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.service import AuditService
from backend.credentials.master import MasterKeys
from backend.gateway.responses_api import repository
from backend.gateway.responses_api.kept import Item, Kept, Unreadable, packed, unpacked, written
from backend.gateway.responses_api.response import is_response_id, response_of
from backend.gateway.rounds import LATER, Later, Rounds
from backend.identity.principal import Principal
from backend.identity.snapshot import KeyRecord
from backend.kernel.body import MAX_BODY_BYTES
from backend.kernel.clock import Clock
from backend.kernel.db import CALLERS_PATIENCE, Database
from backend.kernel.errors import BadRequest, NotFound, RateLimited, StorageUnavailable, UnsupportedParameter
from backend.kernel.request import RequestContext
from backend.kernel.tasks import end_tasks
from backend.observability.metrics import Metrics
from backend.settings import ResponsesSettings

log = structlog.get_logger(__name__)

MOST_TURNS = 1000
"""Of one conversation."""
READ_AT_ONCE = 32
"""Conversations, in one round, of which there is one at a time: calls need the database's connections more."""
READ_GATHER_SECONDS = 0.01
MOST_OF_A_TENANT = 256
"""Requests of one tenant that may wait for what is kept."""
MOST_OF_A_ROUND = 16 * 1024 * 1024
"""Bytes that are written in one transaction, unless a single response has more."""
SLACK = 16
"""A tenant that has so much, as a part of its share, beyond it keeps nothing until its oldest are deleted."""
SWEEP_SECONDS = 300.0
SWEPT_AT_ONCE = 200
MOST_SWEEPS = 200
BREATH_SECONDS = 0.05
GATHER_SECONDS = 0.02
"""From one transaction to the next, at the least, so that answers that end together share one: it costs as much as a call."""
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
        self._reading: Rounds[repository.Wanted, repository.Found] = Rounds(self._read_round, most=READ_AT_ONCE, gather=READ_GATHER_SECONDS)
        self._writing: Rounds[repository.Row, bool] = Rounds(self._write_round, gather=GATHER_SECONDS)
        self._waiting: Counter[str] = Counter()
        """By tenant, as all of these."""
        self._deleting: dict[str, asyncio.Lock] = {}
        self._trimming: dict[str, asyncio.Task[None]] = {}
        self._full: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._tend(), name="responses-tend")

    async def stop(self) -> None:
        await end_tasks(self._task, *self._trimming.values())

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
        found = await self._read(key, [response_id], MOST_TURNS)
        links = found.links
        if found.size > MAX_BODY_BYTES or len(links) == MOST_TURNS:
            raise BadRequest("The conversation is too long to be built on: send what matters of it.", param="previous_response_id")
        missing = response_id if not links else links[0].previous_id
        if missing is not None:
            raise _no_previous(missing)
        earlier = Earlier(ids=[link.id for link in links], kept_until=min(link.kept_until for link in links))
        for one in earlier.ids:
            try:
                turn = await unpacked(found.bodies[one], self._masters, key.tenant_id, one)
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
        if not ids:
            return {}
        found = await self._read(key, ids) if len(ids) <= MOST_TURNS else None
        if found is None or found.size > MAX_BODY_BYTES:
            raise BadRequest("The items are in responses that are too large together: send them themselves.", param="input")
        items: dict[str, Item] = {}
        for response_id, body in found.bodies.items():
            try:
                turn = await unpacked(body, self._masters, key.tenant_id, response_id)
            except Unreadable:
                continue
            items |= {item["id"]: item for item in (*turn.input, *turn.output) if item.get("id") in wanted}
        return items

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
            if not await self._writing.grant(row, line=key.tenant_id):
                return "full"
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
        found = await self._read(key, [response_id])
        try:
            return await unpacked(found.bodies[response_id], self._masters, key.tenant_id, response_id)
        except (KeyError, Unreadable):
            raise _not_found(response_id) from None

    async def delete(self, key: KeyRecord, response_id: str, context: RequestContext) -> None:
        """Raises:
        NotFound, StorageUnavailable
        """
        principal = Principal(kind="key", id=key.key_id, tenant_id=key.tenant_id, address=context.address, request_id=context.request_id)
        with self._place(key):
            lock = self._deleting.setdefault(key.tenant_id, asyncio.Lock())
            try:
                async with asyncio.timeout(CALLERS_PATIENCE), lock, self._db.write() as unit:
                    if not is_response_id(response_id) or not await repository.remove(
                        unit.session, key.tenant_id, response_id, now=self._clock.now()
                    ):
                        raise _not_found(response_id)
                    await self._audit.record(unit, principal, "response.delete", response_id)
            except TimeoutError:
                raise StorageUnavailable(retry_after=2) from None

    async def sweep(self) -> int:
        """Delete what is not kept any longer, and the oldest of tenants that have too much; how many rows."""
        swept = await self._in_portions(lambda session: repository.sweep(session, now=self._clock.now(), most=SWEPT_AT_ONCE))
        async with self._db.read() as session:
            crowded = await repository.crowded(session, self._settings.max_tenant_bytes)
        for tenant_id in crowded:
            swept += await self._trim(tenant_id)
        return swept

    async def _trim(self, tenant_id: str) -> int:
        most_bytes = self._settings.max_tenant_bytes
        return await self._in_portions(partial(repository.trim, tenant_id=tenant_id, most_bytes=most_bytes, most=SWEPT_AT_ONCE))

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

    async def _read(self, key: KeyRecord, ids: Sequence[str], most: int = 1) -> repository.Found:
        known = tuple([one for one in ids if is_response_id(one)])
        if not known:
            return repository.Found([], {})
        with self._place(key):
            return await self._reading.grant(repository.Wanted(key.tenant_id, known, most), line=key.tenant_id)

    async def _read_round(self, wanted: Sequence[repository.Wanted]) -> list[repository.Found | Later]:
        return await repository.read(self._db, wanted, now=self._clock.now(), most_bytes=MAX_BODY_BYTES)

    async def _write_round(self, rows: Sequence[repository.Row]) -> list[bool | Later]:
        """Whether each was written: not where its tenant has too much and the oldest are still being deleted."""
        fates: list[bool | Later] = []
        chosen: list[repository.Row] = []
        left = MOST_OF_A_ROUND
        for row in rows:
            if row.tenant_id in self._full:
                fates.append(False)
            elif chosen and row.size > left:
                fates.append(LATER)
            else:
                fates.append(True)
                chosen.append(row)
                left -= row.size
        if chosen:
            for tenant_id, kept in (await repository.keep(self._db, chosen)).items():
                if kept > self._settings.max_tenant_bytes:
                    self._let_go(tenant_id, kept)
        return fates

    def _let_go(self, tenant_id: str, kept: int) -> None:
        """Begin to delete what a tenant keeps beyond its share."""
        most = self._settings.max_tenant_bytes
        if kept > most + most // SLACK:
            self._full.add(tenant_id)
        if tenant_id not in self._trimming:
            self._trimming[tenant_id] = asyncio.create_task(self._trim_for_writers(tenant_id), name="responses-trim")

    async def _trim_for_writers(self, tenant_id: str) -> None:
        try:
            await self._trim(tenant_id)
        except StorageUnavailable:
            pass  # whoever writes next begins anew
        except Exception:
            log.exception("responses.trim_failed", tenant_id=tenant_id)
        finally:
            self._full.discard(tenant_id)
            del self._trimming[tenant_id]

    @contextmanager
    def _place(self, key: KeyRecord) -> Iterator[None]:
        """Among the tenant's requests that wait for what is kept."""
        tenant_id = key.tenant_id
        if self._waiting[tenant_id] >= MOST_OF_A_TENANT:
            raise RateLimited(f"{MOST_OF_A_TENANT} requests of yours wait for kept responses already.", retry_after=1)
        self._waiting[tenant_id] += 1
        try:
            yield
        finally:
            self._waiting[tenant_id] -= 1
            if not self._waiting[tenant_id]:
                del self._waiting[tenant_id]
                self._deleting.pop(tenant_id, None)


def _no_previous(response_id: str) -> BadRequest:
    return BadRequest(
        f"Previous response with id {response_id[:80]!r} not found.", param="previous_response_id", code="previous_response_not_found"
    )


def _not_found(response_id: str) -> NotFound:
    return NotFound(f"Response with id {response_id[:80]!r} not found.")
