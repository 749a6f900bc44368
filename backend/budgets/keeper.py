"""The keeper of budgets in one process: reserves what a call may cost, from slices in memory when they suffice.

    reservation = keeper.try_reserve(key, amount) or await keeper.reserve(key, amount)
    ... the call ...
    record.reservations = reservation.settle(charged)     # or reservation.release()

Everything that asks the database is the desk's (`desk.py`). What applies to whom comes from a snapshot that follows the change feed;
limits themselves are the database's word, given under its lock whenever a slice is granted.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from backend.budgets import repository
from backend.budgets.accounts import Headroom, Payer
from backend.budgets.asks import Ask
from backend.budgets.books import Books
from backend.budgets.desk import Desk, TimeOf
from backend.budgets.events import ChargesSettled
from backend.budgets.slices import Reservation
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import StorageUnavailable
from backend.kernel.events import EventBus
from backend.kernel.money import NANO_PER_USD
from backend.observability.metrics import Metrics
from backend.settings import Settings


class BudgetKeeper:
    """Reservations for the calls of one process.

    Args:
        holder: the id of this process's journal, or None while it has none; slices belong to it, and its replay returns them.
        time_of: the clock that decides which day it is, asked within a transaction; the database's own where several processes share it.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        events: EventBus,
        settings: Settings,
        holder: Callable[[], str | None],
        *,
        time_of: TimeOf | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._monotonic = clock.monotonic
        self._books = Books()
        self._metrics = metrics or Metrics()
        self._desk = Desk(db, clock, settings.budgets.default, self._books, holder, time_of or _clock_of(db, clock), self._metrics)
        self._chains = self._books.chains
        self._unsubscribe = events.subscribe(ChargesSettled, self._on_settled)
        self._loaded = False

    async def load(self) -> None:
        """Read which budgets there are. Subscribe this to the change feed, before the keys: a key must not be known before its budget."""
        async with self._db.read() as session:
            self._books.replace(await repository.all_budgets(session))
            await self._desk.count_peers(session)
        self._desk.budgets_changed()
        self._loaded = True

    async def register(self) -> None:
        """Let the other processes count this one, before it takes its first call: limits that are not counted together are shared.

        Raises:
            StorageUnavailable: the journal is not writable, so this process takes no calls.
        """
        await self._desk.register()

    async def start(self) -> None:
        """Begin to serve; needs no database."""
        self._desk.start()

    async def stop(self) -> None:
        """Admit nothing any more and give back what is available. What calls have not settled returns with the journal's end."""
        self._unsubscribe()
        await self._desk.stop()

    def try_reserve(self, payer: Payer, amount: int) -> Reservation | None:
        """A reservation from what this process holds already, or None: then `reserve` asks the database. No I/O, no waiting.

        Args:
            amount: the most that the call may cost, in nano-dollars; not negative.
        """
        chain = self._chains.get(payer.payer_id) or self._books.known_chain(payer)
        if chain is None:
            return None
        now = self._monotonic()
        if now >= self._desk.admits_until:
            return None
        slices = []
        day = chain[0].slice.day
        for account in chain:
            part = account.slice
            if part.available < amount or part.ends <= now or part.day != day:
                return None
            slices.append(part)
        reservation = Reservation(slices, amount)
        for account in chain:
            if account.slice.available < account.slice.low:
                self._desk.refill(account)
        return reservation

    async def reserve(self, payer: Payer, amount: int, *, at_least: int | None = None) -> Reservation:
        """A reservation of `amount`, or where the budgets have less left of what is left, but no less than `at_least`.

        Calls wait together: one transaction serves all that came meanwhile, in their order.

        Raises:
            BudgetExceeded: the database says that a budget has less left than `at_least`, and nobody holds money that may come back.
            StorageUnavailable: the database does not answer, or nobody's answer came within a second.
        """
        if amount < 0 or (at_least is not None and not 0 <= at_least <= amount):
            raise ValueError("a reservation is not negative, and `at_least` is not more than it")
        if not self._loaded:
            raise StorageUnavailable("The budgets were not read yet.", retry_after=2)
        self._metrics.budget_waits.inc()
        ask = Ask(payer, amount, amount if at_least is None else at_least, asyncio.get_running_loop().create_future())
        self._desk.ask(ask)
        try:
            return await ask.future
        except asyncio.CancelledError:
            # The answer may have come in the same breath as the cancellation.
            if ask.future.done() and not ask.future.cancelled() and ask.future.exception() is None:
                ask.future.result().release()
            raise

    @property
    def known_processes(self) -> int:
        """How many processes are alive, as of the last change or the last 20 seconds; 1 before this one has registered."""
        return max(1, self._desk.holders)

    @property
    def leases(self) -> int:
        """How many slices this process holds."""
        return len(self._books.slices)

    @property
    def waiting(self) -> int:
        """How many calls wait for the database's answer."""
        return self._desk.waiting

    def held_usd(self, state: Literal["available", "reserved", "unsettled"]) -> float:
        """What this process holds in that state, in USD, added up over budgets; for a gauge."""
        nano: int = sum(getattr(part, state) for part in self._books.slices.values())
        return nano / NANO_PER_USD

    def headroom(self, payer: Payer) -> Headroom | None:
        """How the tightest of the payer's budgets stands, for `X-Budget-*`; None before his first call in its window. No I/O."""
        chain = self._books.known_chain(payer)
        if chain is None:
            return None
        now = self._clock.now()
        tightest = chain[0]
        if len(chain) > 1:
            least = tightest.tightness(now)
            for account in chain[1:]:
                tightness = account.tightness(now)
                if tightness < least:
                    tightest, least = account, tightness
        if tightest.resets_at is not None and tightest.resets_at <= now:
            return None
        return tightest.headroom(now)

    def _on_settled(self, event: ChargesSettled) -> None:
        self._desk.settled(event.settled)


def _clock_of(db: Database, clock: Clock) -> TimeOf:
    if db.dialect == "postgresql":
        return repository.database_time

    async def own(_session: object) -> object:
        return clock.now()

    return own  # type: ignore[return-value]
