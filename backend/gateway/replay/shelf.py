"""Where answers are kept and who may make them: the database is the authority, Redis a copy that may vanish.

A claim is a row that this process holds by a lease, which is renewed for all running calls together. Whoever loses it, because it was
frozen or cut off for longer than the lease, cannot store any more. What could not be stored or given up, because the database was
silent, is tried again until it answers.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import structlog

from backend.gateway.replay import repository
from backend.gateway.replay.answer import Answer, packed, unpacked
from backend.gateway.replay.asked import Asked
from backend.gateway.rounds import Rounds
from backend.kernel.clock import Clock
from backend.kernel.db import CALLERS_PATIENCE, Database, patience
from backend.kernel.errors import IdempotencyInProgress, IdempotencyMismatch, InternalError, StorageUnavailable
from backend.kernel.ids import new_id
from backend.kernel.sealing import MOST_COMPRESSED, seal, unsealed
from backend.kernel.tasks import end_tasks
from backend.limits.kept_values import KeptValues
from backend.settings import Settings

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 4
LOOK_SECONDS = 1.0
"""How soon after the database is back what could not be stored or given up is."""
SWEEP_SECONDS = 300.0
SWEPT_AT_ONCE = 500
FREED_AT_ONCE = 500
MOST_SWEEPS = 200
"""A round deletes 100,000 rows at the most, and takes a breath after every 500."""
BREATH_SECONDS = 0.05
_FINGERPRINT = 64
MOST_IN_REDIS = 1024 * 1024

Fate = Literal["stored", "later", "lost"]


@dataclass(slots=True, eq=False)
class Claim:
    """The right to make one call. `holder` is new with each claim."""

    asked: Asked
    holder: str = field(default_factory=lambda: new_id("lease"))
    sealed: bytes = field(default=b"", repr=False)
    """The answer, once it is there."""

    def row(self) -> repository.Row:
        asked = self.asked
        return repository.Row(asked.id, asked.tenant_id, asked.key_id, asked.fingerprint, self.holder)


class Shelf:
    """Claims and answers of one process, and its background task."""

    def __init__(self, db: Database, clock: Clock, settings: Settings) -> None:
        self._db = db
        self._rounds: Rounds[repository.Wish, repository.Granted] = Rounds(self._grant)
        self._clock = clock
        self._lease = settings.replay.lease
        self._keep = settings.replay.keep
        self._redis: KeptValues | None = None
        if settings.redis_url is not None:
            self._redis = KeptValues(settings.redis_url, "replay", "answers are given again from the database alone", lambda _: None)
        self._held: dict[str, Claim] = {}
        self._unstored: dict[str, Claim] = {}
        self._unfreed: dict[str, tuple[str, float]] = {}
        """Holder of the claim → id of the row, and since when."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._redis is not None:
            await self._redis.start()
        self._task = asyncio.create_task(self._tend(), name="replay-tend")

    async def stop(self) -> None:
        """Give up what is still held; whatever cannot be given up is free when its lease ends."""
        await end_tasks(self._task)
        for claim in self._held.values():
            self._to_be_freed(claim)
        try:
            await self._store_the_rest()
            await self._free_the_rest()
        except StorageUnavailable:
            log.warning("replay.claims_left", claims=len(self._unfreed) + len(self._unstored))
        if self._redis is not None:
            await self._redis.stop()

    async def claim(self, asked: Asked) -> Claim | Answer:
        """The right to make this call, or the answer that it had.

        Raises:
            IdempotencyInProgress: another process makes it now.
            IdempotencyMismatch: the key was used for another request.
            StorageUnavailable: nobody knows; the call must not be made.
        """
        if self._redis is not None and (kept := await self._redis.get(asked.id.encode())) is not None:
            # What is there was in the database first.
            answer = await _opened(asked, kept[:_FINGERPRINT].decode("latin-1"), kept[_FINGERPRINT:])
            if answer is not None:
                return answer
        claim = Claim(asked)
        try:
            granted = None
            while granted is None:
                wish = repository.claiming(self._db.dialect, claim.row(), now=self._clock.now(), lease=self._lease)
                # It may be committed after its caller has gone.
                granted = await self._rounds.grant(wish, unheard=lambda: self._to_be_freed(claim))
        except BaseException:
            self._to_be_freed(claim)
            raise
        statement, found = granted
        if statement == 0:
            self._held[claim.holder] = claim
            return claim
        fingerprint, sealed = found
        if sealed is None and fingerprint == asked.fingerprint:
            raise in_progress()
        answer = await _opened(asked, fingerprint, sealed or b"")
        if answer is None:
            raise InternalError("The answer that was kept for this Idempotency-Key cannot be read.")
        return answer

    async def store(self, claim: Claim, answer: Answer) -> Fate:
        """Keep the one answer of a claim. "later": the database is silent. "lost": the lease was, and somebody else has the key."""
        data = packed(answer)
        if len(data) > MOST_COMPRESSED:
            claim.sealed = await asyncio.to_thread(seal, claim.asked.secret, data, compress=True)
        else:
            claim.sealed = seal(claim.asked.secret, data)
        try:
            return await self._store(claim)
        except StorageUnavailable:
            self._unstored[claim.holder] = claim
            return "later"
        finally:
            self._held.pop(claim.holder, None)

    async def free(self, claim: Claim) -> None:
        """The call came to nothing that is kept: the key is as if it had never been used."""
        self._held.pop(claim.holder, None)
        self._to_be_freed(claim)
        try:
            await self._rounds.grant(repository.freeing(claim.row()))
            self._unfreed.pop(claim.holder, None)
        except StorageUnavailable:
            log.warning("replay.not_freed", consequence="the key is in progress until the lease ends, or the database is back")

    async def _grant(self, wishes: Sequence[repository.Wish]) -> list[repository.Granted]:
        return await repository.grant(self._db, wishes)

    def _to_be_freed(self, claim: Claim) -> None:
        self._unfreed[claim.holder] = (claim.asked.id, self._clock.monotonic())

    async def _store(self, claim: Claim) -> Fate:
        wish = repository.keeping(self._db.dialect, claim.row(), claim.sealed, now=self._clock.now(), span=self._keep)
        kept = await self._rounds.grant(wish) is not None
        if kept and self._redis is not None and len(claim.sealed) <= MOST_IN_REDIS:
            asked = claim.asked
            self._redis.put(asked.id.encode(), asked.fingerprint.encode() + claim.sealed, self._keep.total_seconds())
        return "stored" if kept else "lost"

    # In the background -------------------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        every = self._lease.total_seconds() / RENEWALS_PER_LEASE
        renew_at, sweep_at = loop.time() + every, loop.time() + SWEEP_SECONDS
        while True:
            await asyncio.sleep(min(every, LOOK_SECONDS))
            try:
                await self._store_the_rest()
                await self._free_the_rest()
                if loop.time() >= renew_at:
                    renew_at = loop.time() + every
                    await self._renew()
                if loop.time() >= sweep_at:
                    sweep_at = loop.time() + SWEEP_SECONDS
                    await self.sweep()
            except StorageUnavailable:
                continue
            except Exception:
                log.exception("replay.tend_failed")

    async def _renew(self) -> None:
        holders = {holder: claim.asked.id for holder, claim in {**self._held, **self._unstored}.items()}
        if not holders:
            return
        with _callers_patience():
            async with self._db.write() as unit:
                await repository.renew(unit.session, holders, now=self._clock.now(), lease=self._lease)

    async def _store_the_rest(self) -> None:
        for claim in list(self._unstored.values()):
            fate = await self._store(claim)
            del self._unstored[claim.holder]
            log.info("replay.stored_late", fate=fate)

    async def _free_the_rest(self) -> None:
        over = self._clock.monotonic() - self._lease.total_seconds()
        for holder in [holder for holder, (_, since) in self._unfreed.items() if since < over]:
            del self._unfreed[holder]  # it is free without us
        while self._unfreed:
            holders = {holder: asked_id for holder, (asked_id, _) in islice(self._unfreed.items(), FREED_AT_ONCE)}
            with _callers_patience():
                async with self._db.write() as unit:
                    await repository.free(unit.session, holders)
            for holder in holders:
                self._unfreed.pop(holder, None)

    async def sweep(self) -> int:
        """Delete what is not kept any longer; how many rows."""
        swept = 0
        for _ in range(MOST_SWEEPS):
            async with self._db.write() as unit:
                count = await repository.sweep(unit.session, now=self._clock.now(), most=SWEPT_AT_ONCE)
            swept += count
            if count < SWEPT_AT_ONCE:
                break
            await asyncio.sleep(BREATH_SECONDS)
        return swept


async def _opened(asked: Asked, fingerprint: str, sealed: bytes) -> Answer | None:
    """The answer to this request; None for what cannot be read.

    Raises:
        IdempotencyMismatch: it is the answer to another one.
    """
    if fingerprint != asked.fingerprint:
        raise mismatch()
    data = await asyncio.to_thread(unsealed, asked.secret, sealed) if len(sealed) > MOST_COMPRESSED else unsealed(asked.secret, sealed)
    return unpacked(data) if data is not None else None


def in_progress() -> IdempotencyInProgress:
    return IdempotencyInProgress("A request with this Idempotency-Key is being answered. Ask again in a second.", retry_after=1)


def mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch(
        "This Idempotency-Key was used for another request: the method, path, query and body must be the same, byte for byte.",
        param="Idempotency-Key",
    )


@contextmanager
def _callers_patience() -> Iterator[None]:
    token = patience.set(CALLERS_PATIENCE)
    try:
        yield
    finally:
        patience.reset(token)
