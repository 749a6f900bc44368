"""The desk: everything that a process says to the database about budgets, one transaction at a time.

Rounds serve the calls that slices in memory could not: all that wait, together. A beat, five times a second and whenever PostgreSQL
tells of a recall, answers recalls by others, gives back what is idle or of a day that is over, keeps the process's row alive, and
compares what the database holds for us with our own books. Where the outcome of a transaction is unknown, memory takes the smaller of
both truths and that comparison heals the rest.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets import repository
from backend.budgets.accounts import NO_SLICE, Account
from backend.budgets.alerting import report
from backend.budgets.asks import SILENCE_SECONDS, Ask
from backend.budgets.books import Books
from backend.budgets.events import Settled
from backend.budgets.rounds import Round
from backend.budgets.slices import Slice
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import BourseError, StorageUnavailable
from backend.kernel.notices import PostgresNotices
from backend.kernel.tasks import end_tasks
from backend.observability.metrics import Metrics
from backend.settings import DefaultBudget

log = structlog.get_logger(__name__)

HOLDER_SECONDS = 60.0
"""How long a process's row lives without being renewed; longer than that away, an operator may release what it holds."""
MARGIN_SECONDS = 10.0
"""So much earlier the process stops admitting by itself."""
BEAT_SECONDS = 0.2
BREATH_SECONDS = 0.02
"""Between two beats, however many recalls are heard of."""
ROUND_SECONDS = 8.0
IDLE_SECONDS = 5.0
PAUSE_SECONDS = 0.01
"""After a round in which nobody got anything."""

TimeOf = Callable[[AsyncSession], Awaitable[datetime]]


class Desk:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        default: DefaultBudget,
        books: Books,
        holder: Callable[[], str | None],
        time_of: TimeOf,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._clock = clock
        self._default = default
        self._books = books
        self._holder = holder
        self._time_of = time_of
        self.recalls = metrics.budget_recalls
        self._asks: list[Ask] = []
        self._refills: set[Account] = set()
        self._wake = asyncio.Event()
        self._recalled = asyncio.Event()
        self._notices = (
            PostgresNotices(db.url, self._recalled.set, channel=repository.RECALL_CHANNEL) if db.dialect == "postgresql" else None
        )
        self._has_peers = db.dialect == "postgresql"
        self._one_at_a_time = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None] | None = None
        self._stopping = False
        self._failing = False
        self._fruitful = True
        self._in_doubt = False
        self._budgets_changed = True
        self._released = False
        self._below: set[str] = set()
        self._idle: dict[str, tuple[int, float]] = {}
        self.registered_as = ""
        self.holders = 1
        self.renewed_at = float("-inf")
        self.admits_until = float("-inf")

    # For the keeper ----------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._serve(), name="budget-desk"),
            asyncio.create_task(self._beat(), name="budget-beat"),
        ]
        if self._notices is not None:
            self._notices.start()

    async def stop(self) -> None:
        self._stopping = True
        self.admits_until = float("-inf")
        if self._notices is not None:
            await self._notices.stop()
        await end_tasks(self._listening, *self._tasks)
        self._tasks = []
        for ask in self._asks:
            ask.fail(StorageUnavailable("Bourse is stopping.", retry_after=1))
        self._asks = []
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await self._give_back([part for part in self._books.slices.values() if part.available > 0], {})
        except Exception as error:
            log.warning("budgets.slices_left_for_replay", error=type(error).__name__)

    @property
    def waiting(self) -> int:
        """How many calls have no answer yet."""
        return sum(not ask.future.done() for ask in self._asks)

    def ask(self, ask: Ask) -> None:
        """Serve a call as soon as possible; its future gets the reservation or the reason why there is none."""
        if self._stopping or not self._tasks:
            ask.fail(StorageUnavailable("Bourse is not serving.", retry_after=1))
            return
        ask.keep_time(self._listen)
        self._asks.append(ask)
        self._wake.set()

    def ask_again(self, asks: Iterable[Ask], seconds: float) -> None:
        """A transaction has not decided these calls; serve them in the next round, or in one after so many seconds."""
        due = asyncio.get_running_loop().time() + seconds
        for ask in asks:
            ask.due, ask.silence = due, 0
        self._wake.set()

    def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._hear(), name="budget-listen")

    async def _hear(self) -> None:
        with contextlib.suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._db.ping()
            for ask in self._asks:
                ask.silence = 0

    def refill(self, account: Account) -> None:
        """Lease more in the background before it runs out."""
        account.slice.low = -1
        self._refills.add(account)
        self._wake.set()

    def settled(self, settled: Iterable[Settled]) -> None:
        """The ledger has counted these charges."""
        for one in settled:
            part = self._books.slices.get(one.lease_id)
            if part is not None:
                part.written(one.covered)
            account = self._books.by_id.get(one.budget_id)
            if account is not None:
                account.spent_nano += one.charged
                account.stale = True

    # Rounds ------------------------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            now = loop.time()
            self._asks = [ask for ask in self._asks if not ask.future.done()]
            due = [ask for ask in self._asks if ask.due <= now]
            refills, self._refills = self._refills, set()
            if due or refills:
                await self._serve_together(due, refills)
                if not self._fruitful:
                    # Somebody whose money is used up asks again and again: let more of it come together.
                    await asyncio.sleep(PAUSE_SECONDS)
            waiting = [ask.due for ask in self._asks if not ask.future.done()]
            if waiting:
                loop.call_later(max(0.0, min(waiting) - loop.time()), self._wake.set)

    async def _serve_together(self, asks: list[Ask], refills: set[Account]) -> None:
        for last_try in (False, True):
            try:
                await self._round(asks, refills)
            except (SQLAlchemyError, TimeoutError, OSError) as error:
                self._in_doubt = True
                # A connection that died while it was idle costs one try; more than that is the database's absence.
                if isinstance(error, DBAPIError) and error.connection_invalidated and not last_try:
                    continue
                self._say_failure(error)
                for ask in asks:
                    ask.fail(StorageUnavailable("The database cannot be asked about the budget right now.", retry_after=2))
            except BourseError as error:
                for ask in asks:
                    ask.fail(error)
            except Exception as error:
                log.exception("budgets.round_failed")
                for ask in asks:
                    ask.fail(StorageUnavailable("The budget could not be decided.", retry_after=2))
                self._in_doubt = isinstance(error, asyncio.TimeoutError) or self._in_doubt
            else:
                self._failing = False
            return

    async def _round(self, asks: Sequence[Ask], refills: set[Account]) -> None:
        async with self._one_at_a_time, asyncio.timeout(ROUND_SECONDS):
            self._fruitful = await Round(self, self._db, self._books, self._default, asks, refills).run()

    # The beat ----------------------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BREATH_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS - BREATH_SECONDS):
                    await self._recalled.wait()
            self._recalled.clear()
            try:
                await self.beat()
            except Exception as error:
                self._in_doubt = True
                self._say_failure(error)

    async def beat(self) -> None:
        """One beat; for tests and for whoever cannot wait for the next."""
        slices = self._books.slices
        now = self._clock.monotonic()
        overdue = now - self.renewed_at >= HOLDER_SECONDS / 3
        if not self._in_doubt and not (overdue and self._has_peers) and not any(part.held for part in slices.values()):
            await self._drop_empty()
            return
        async with asyncio.timeout(ROUND_SECONDS):
            if not self.registered_as and not self._has_peers:
                return
            if self._in_doubt or overdue:
                await self._renew_and_compare()
            recalled = await self._recalled_leases()
            unneeded = [part for part in slices.values() if part.lease_id in recalled or self._is_unneeded(part, now)]
            if unneeded or recalled:
                await self._give_back(unneeded, recalled)
            await self._drop_empty()
            await self._refresh()
        self._failing = False

    async def _recalled_leases(self) -> dict[str, int]:
        """Where nobody else takes part, only a change of a budget recalls, and the change feed tells of it."""
        if not self._has_peers and not self._budgets_changed:
            return {}
        self._budgets_changed = False
        try:
            async with self._db.read() as session:
                return dict(await repository.recalled_leases(session, self.registered_as))
        except BaseException:
            self._budgets_changed = True
            raise

    def _is_unneeded(self, part: Slice, now: float) -> bool:
        if part.available <= 0:
            return False
        if part.ends <= now or not part.current:
            return True
        before, since = self._idle.get(part.lease_id, (-1, now))
        if before != part.available or part.reserved:
            self._idle[part.lease_id] = (part.available, now)
            return False
        return now - since >= IDLE_SECONDS

    async def _give_back(self, parts: Sequence[Slice], recalled: dict[str, int]) -> None:
        """Return what is available in the slices, and say that recalls were answered."""
        async with self._one_at_a_time:
            amounts = {part.lease_id: -part.give_back() for part in parts if part.available > 0}
            if not amounts and not recalled:
                return
            try:
                async with self._db.write() as unit:
                    await repository.change_leases(unit.session, amounts, recalled)
                self.recalls.labels("answered").inc(len(recalled))
            except BaseException:
                self._in_doubt = True
                raise

    async def _drop_empty(self) -> None:
        """Forget slices of which nothing is left and from which nothing will be admitted any more."""
        if not self._empty():
            return
        async with self._one_at_a_time:
            # Once more: while we waited a round may have taken one of them up again.
            empty = self._empty()
            async with self._db.write() as unit:
                await repository.delete_empty_leases(unit.session, sorted(part.lease_id for part in empty))
            for part in empty:
                self._books.drop(part)
                self._idle.pop(part.lease_id, None)

    def _empty(self) -> list[Slice]:
        now = self._clock.monotonic()
        return [part for part in self._books.slices.values() if part.held == 0 and (part.ends <= now or not part.current)]

    async def _refresh(self) -> None:
        """Learn what others have spent, and report thresholds that are reached."""
        stale = [account for account in self._books.accounts.values() if account.stale and account.slice is not NO_SLICE]
        if not stale:
            return
        for account in stale:
            account.stale = False
        try:
            await report(self._db, self._time_of, stale)
        except BaseException:
            for account in stale:
                account.stale = True
            raise

    async def _renew_and_compare(self) -> None:
        """Keep the process's row alive, and bring memory and database together: what the database holds beyond our books is free.

        Read under the rows' lock, so the ledger cannot take anything from them meanwhile; what it took just before is at most not yet
        known here, and then less is returned. A lease that is gone was released by an operator: nothing is admitted from it any more.
        """
        async with self._one_at_a_time:
            before = self.monotonic()
            slices = self._books.slices
            surplus: dict[str, int] = {}
            below: set[str] = set()
            async with self._db.write() as unit:
                session = unit.session
                if await self.renew(session, await self._time_of(session)):
                    # A process more, so shares of limits are smaller: everybody counts again.
                    await unit.mark_changed()
                held = await repository.lock_leases_of(session, self.registered_as)
                for lease_id, amount in held.items():
                    part = slices.get(lease_id)
                    known = part.held if part is not None else 0
                    # Below for a moment is the ledger's commit on its way to us; below for long would be an error of ours.
                    if amount > known:
                        surplus[lease_id] = known - amount
                    elif amount < known:
                        below.add(lease_id)
                gone = [part for lease_id, part in slices.items() if lease_id not in held]
                await repository.change_leases(session, surplus)
            self.renewed(before)
            for part in gone:
                self._books.void(part)
            if below & self._below:
                log.error("budgets.leases_below_books", leases=sorted(below & self._below))
            self._below = below
            if surplus:
                log.info("budgets.surplus_returned", nano=-sum(surplus.values()))
            self._in_doubt = False

    async def register(self) -> None:
        """Be counted among the processes before the first call; a single process on SQLite has nobody to be counted by."""
        if self._has_peers:
            await self._renew_and_compare()

    async def count_peers(self, session: AsyncSession) -> None:
        """Learn how many processes there are now."""
        if self._has_peers:
            self.holders = await repository.count_holders(session, await self._time_of(session))

    async def renew(self, session: AsyncSession, now: datetime) -> bool:
        """Inside a transaction: this process lives on. `renewed` must follow the commit.

        Returns:
            Whether nobody knew of it until now.

        Raises:
            StorageUnavailable: the journal is not writable, so nobody could settle what would be spent.
        """
        holder = self._holder()
        if holder is None:
            raise StorageUnavailable("The journal is not writable right now.", retry_after=5)
        expires_at = now + timedelta(seconds=HOLDER_SECONDS)
        known = await repository.renew_holder(session, holder, expires_at)
        if not known:
            self._released = True
            await repository.add_holder(session, holder, now, expires_at)
        self.holders = await repository.count_holders(session, now)
        self.registered_as = holder
        return not known

    def renewed(self, since: float) -> None:
        """The transaction with `renew` in it was begun at `since` and has been committed."""
        if self._released:
            # Our row was gone: an operator has released all that we held, so none of it may be spent.
            for part in self._books.slices.values():
                self._books.void(part)
            self._released = False
        if not self._stopping:
            self.renewed_at = since
            self.admits_until = since + HOLDER_SECONDS - MARGIN_SECONDS

    def budgets_changed(self) -> None:
        """They were read again: a limit may be lower, and what is held beyond it recalled."""
        self._budgets_changed = True

    def doubt(self) -> None:
        """The database holds more for us than we know of: bring both together with the next beat."""
        self._in_doubt = True
        self._recalled.set()

    async def time_of(self, session: AsyncSession) -> datetime:
        return await self._time_of(session)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def _say_failure(self, error: BaseException) -> None:
        if not self._failing:
            log.warning("budgets.database_away", error=type(error).__name__)
        self._failing = True
