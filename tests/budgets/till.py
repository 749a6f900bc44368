"""A process's whole chain of money: keeper, journal, ledger writer, on a database of a test. No gateway and no provider."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets.keeper import BudgetKeeper
from backend.budgets.slices import Reservation
from backend.kernel.clock import Clock, SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import BudgetExceeded, StorageUnavailable
from backend.kernel.events import Event, EventBus
from backend.kernel.ids import new_id
from backend.metering.record import CallRecord
from backend.metering.service import MeteringService
from backend.observability.metrics import Metrics
from backend.settings import Settings


@dataclass(frozen=True)
class Payer:
    key_id: str
    tenant_id: str
    user_id: str | None = None

    @property
    def payer_id(self) -> str:
        return self.key_id


@dataclass
class Tally:
    """What became of calls, and what those that were admitted were charged."""

    admitted: int = 0
    refused: int = 0
    unavailable: int = 0
    charged: int = 0

    def add(self, other: "Tally") -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class Till:
    db: Database
    events: EventBus
    metering: MeteringService
    keeper: BudgetKeeper
    told: list[Event] = field(default_factory=list)

    async def reserve(self, payer: Payer, amount: int, **options: Any) -> Reservation:
        return self.keeper.try_reserve(payer, amount) or await self.keeper.reserve(payer, amount, **options)

    def open_call(self, payer: Payer, reservation: Reservation) -> tuple[CallRecord, int]:
        """As the gateway does it before it calls the provider."""
        record = CallRecord(new_id("event"), new_id("request"), payer.tenant_id, payer.user_id, payer.key_id, "chat.completions", 0)
        record.reservations = reservation.held
        return record, self.metering.open_call(record)

    def close_call(self, record: CallRecord, ticket: int, reservation: Reservation, charged: int) -> None:
        record.outcome, record.status, record.charged_nano, record.price_state = "completed", 200, charged, "priced"
        record.reservations = reservation.settle(charged)
        record.overrun = reservation.overrun > 0
        self.metering.record(record, [], ticket)

    async def call(self, payer: Payer, amount: int, charged: int, *, busy: Callable[[], Awaitable[Any]] | None = None) -> Tally:
        """One call from reservation to settlement; tried again on 503, as the SDKs do."""
        tally = Tally()
        for _ in range(20):
            try:
                reservation = await self.reserve(payer, amount)
                break
            except BudgetExceeded:
                tally.refused += 1
                return tally
            except StorageUnavailable:
                tally.unavailable += 1
                await asyncio.sleep(0.1)
        else:
            return tally
        with reservation:
            record, ticket = self.open_call(payer, reservation)
            if busy is not None:
                await busy()
            self.close_call(record, ticket, reservation, charged)
        tally.admitted += 1
        tally.charged += charged
        return tally


@asynccontextmanager
async def open_till(
    url: str,
    data_dir: Path,
    *,
    clock: Clock | None = None,
    events: EventBus | None = None,
    time_of: Callable[[AsyncSession], Awaitable[datetime]] | None = None,
    **settings: Any,
) -> AsyncIterator[Till]:
    """Started in the order of the runtime, and stopped the same way."""
    clock, events = clock or SystemClock(), events or EventBus()
    wanted = Settings.model_validate({"data_dir": data_dir, "database_url": url, **settings})
    db = Database.open(url, events)
    metering = MeteringService(db, clock, events, wanted, Metrics())
    keeper = BudgetKeeper(db, clock, events, wanted, lambda: metering.process_id, time_of=time_of)
    till = Till(db, events, metering, keeper)
    await metering.start()
    await keeper.start()
    try:
        await keeper.load()
        yield till
    finally:
        await keeper.stop()
        await metering.stop()
        await db.close()
