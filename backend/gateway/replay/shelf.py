"""Where answers are kept and who may make them: the database is the authority, Redis a copy that may vanish.

A claim is a row that this process holds by a lease, which is renewed for all running calls together. Whoever loses it, because it was
frozen or cut off for longer than the lease, cannot store any more. What could not be stored or given up, because the database was
silent, is tried again until it answers.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import structlog

from backend.gateway.replay import repository
from backend.gateway.replay.answer import Answer, seal, unseal
from backend.gateway.replay.asked import Asked
from backend.kernel.clock import Clock
from backend.kernel.db import CALLERS_PATIENCE, Database, patience
from backend.kernel.errors import IdempotencyInProgress, IdempotencyMismatch, StorageUnavailable
from backend.kernel.ids import new_id
from backend.settings import ReplaySettings

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 4
SWEEP_SECONDS = 300.0
SWEPT_AT_ONCE = 500
MOST_SWEEPS = 200
"""A round deletes 100,000 rows at the most, and takes a breath after every 500."""
BREATH_SECONDS = 0.05
IN_THREAD_BYTES = 256 * 1024
"""Sealing more than this would hold up other calls for milliseconds."""

Fate = Literal["stored", "later", "lost"]


@dataclass(slots=True, eq=False)
class Claim:
    """The right to make one call. `holder` is new with each claim."""

    asked: Asked
    holder: str = field(default_factory=lambda: new_id("lease"))
    sealed: bytes | None = field(default=None, repr=False)

    def row(self) -> dict[str, str]:
        asked = self.asked
        return {
            "id": asked.id,
            "tenant_id": asked.tenant_id,
            "key_id": asked.key_id,
            "fingerprint": asked.fingerprint,
            "holder": self.holder,
        }


class Shelf:
    """Claims and answers of one process, and its background task."""

    def __init__(self, db: Database, clock: Clock, settings: ReplaySettings) -> None:
        self._db = db
        self._clock = clock
        self._lease = settings.lease
        self._keep = settings.keep
        self._held: dict[str, Claim] = {}
        self._unstored: dict[str, Claim] = {}
        self._unfreed: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._tend(), name="replay-tend")

    async def stop(self) -> None:
        """Give up what is still held; whatever cannot be given up is free when its lease ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._unfreed |= {holder: claim.asked.id for holder, claim in self._held.items()}
        try:
            await self._store_the_rest()
            await self._free_the_rest()
        except StorageUnavailable:
            log.warning("replay.claims_left", claims=len(self._unfreed) + len(self._unstored))

    async def claim(self, asked: Asked) -> Claim | Answer:
        """The right to make this call, or the answer that it had.

        Raises:
            IdempotencyInProgress: another process makes it now.
            IdempotencyMismatch: the key was used for another request.
            StorageUnavailable: nobody knows; the call must not be made.
        """
        claim = Claim(asked)
        try:
            with _callers_patience():
                async with self._db.write() as unit:
                    found = await repository.claim(unit.session, claim.row(), now=self._clock.now(), lease=self._lease)
        except BaseException:
            # It may be committed all the same.
            self._unfreed[claim.holder] = asked.id
            raise
        if found is None:
            self._held[claim.holder] = claim
            return claim
        fingerprint, sealed = found
        if fingerprint != asked.fingerprint:
            raise mismatch()
        if sealed is None:
            raise in_progress()
        return await asyncio.to_thread(unseal, sealed, asked) if len(sealed) > IN_THREAD_BYTES else unseal(sealed, asked)

    async def store(self, claim: Claim, answer: Answer) -> Fate:
        """Keep the one answer of a claim. "later": the database is silent. "lost": the lease was, and somebody else has the key."""
        if len(answer.body) > IN_THREAD_BYTES:
            claim.sealed = await asyncio.to_thread(seal, answer, claim.asked)
        else:
            claim.sealed = seal(answer, claim.asked)
        try:
            with _callers_patience():
                return await self._store(claim)
        except StorageUnavailable:
            self._unstored[claim.holder] = claim
            return "later"
        finally:
            self._held.pop(claim.holder, None)

    async def free(self, claim: Claim) -> None:
        """The call came to nothing that is kept: the key is as if it had never been used."""
        self._held.pop(claim.holder, None)
        self._unfreed[claim.holder] = claim.asked.id
        try:
            with _callers_patience():
                await self._free_the_rest()
        except StorageUnavailable:
            log.warning("replay.not_freed", consequence="the key is in progress until the lease ends, or the database is back")

    async def _store(self, claim: Claim) -> Fate:
        async with self._db.write() as unit:
            row = {**claim.row(), "answer": claim.sealed}
            return "stored" if await repository.keep(unit.session, row, now=self._clock.now(), span=self._keep) else "lost"

    # In the background -------------------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + SWEEP_SECONDS
        while True:
            await asyncio.sleep(self._lease.total_seconds() / RENEWALS_PER_LEASE)
            try:
                await self._renew()
                await self._store_the_rest()
                await self._free_the_rest()
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
            with _callers_patience():
                fate = await self._store(claim)
            del self._unstored[claim.holder]
            log.info("replay.stored_late", fate=fate)

    async def _free_the_rest(self) -> None:
        if not self._unfreed:
            return
        holders = dict(self._unfreed)
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
