"""One round at the desk: the transaction in which waiting calls get their slices, or their refusal.

Why no interleaving overspends: the budget's row is locked from before anything is read until the grant is committed, so grants of one
budget follow each other, everywhere. Whatever else changes meanwhile only settles (spent grows by what the lease shrinks by) or gives
back (a lease shrinks). Leases and spending are read at one instant: a charge that moves from one to the other is in one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from backend.budgets import repository
from backend.budgets.accounts import NO_SLICE, Account, limit_at, places_of
from backend.budgets.alerting import remember
from backend.budgets.books import Books
from backend.budgets.end_users import Crowded, make_room, open_accounts
from backend.budgets.opening import open_default_budget
from backend.budgets.repository import LeaseRow
from backend.budgets.sharing import Answer, Pot, Verdict, Wish, share_out
from backend.budgets.slices import Reservation, Slice
from backend.budgets.tables import Budget
from backend.budgets.windows import Period, period_of
from backend.kernel.days import day_of, start_of
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BudgetExceeded
from backend.kernel.ids import new_id
from backend.kernel.money import format_usd
from backend.settings import DefaultBudget

if TYPE_CHECKING:
    from backend.budgets.asks import Ask
    from backend.budgets.desk import Desk

RENEW_AFTER_SECONDS = 20.0
FIRST_APPETITE_CALLS = 16
QUICKLY_SECONDS = 1.0
ASK_AGAIN_SECONDS = 0.03
SLOWLY_SECONDS = 0.25
"""The longest pause between two rounds for a call that waits for other processes: they may be slow because all are busy asking."""
_DAY = timedelta(days=1)


@dataclass(slots=True)
class Standing:
    """A locked budget: its period, what counts in it, and the leases of its window."""

    account: Account
    row: Budget
    day: date
    period: Period
    spent: int
    leases: list[LeaseRow]
    ends_in: float
    """Seconds until what is granted now may not be spent any more: the day is over, or the raise that it was granted under."""
    lease: LeaseRow | None = None
    """Our own one of that day."""
    grant: int = 0
    advance: int = 0
    answers_recall: bool = False
    lease_id: str = ""
    unknown: int = 0
    """What the database holds for us beyond our books: free, but not before both were compared."""


@dataclass(slots=True)
class Outcome:
    """What a committed round means for memory."""

    standings: dict[str, Standing] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    gone: list[Account] = field(default_factory=list)
    recalls: dict[str, int] = field(default_factory=dict)
    now: datetime | None = None


class Round:
    def __init__(
        self, desk: "Desk", db: Database, books: Books, default: DefaultBudget, asks: Sequence["Ask"], refills: set[Account]
    ) -> None:
        self._desk = desk
        self._db = db
        self._books = books
        self._default = default
        self._asks = asks
        self._refills = refills
        self._returned: dict[str, int] = {}
        self._chains: dict[Ask, tuple[Account, ...]] = {}
        """Which budgets each call was decided by. The books may learn of others while the database is asked."""
        self._crowded: dict[Ask, Crowded] = {}

    async def run(self) -> bool:
        """Whether anything came of it but refusals."""
        began = self._desk.monotonic()
        renews = began >= self._desk.renewed_at + RENEW_AFTER_SECONDS
        async with self._db.write() as unit:
            outcome = await self._decide(unit, renews)
        if renews:
            self._desk.renewed(began)
        fruitful = self._conclude(outcome, began)
        await self._make_room()
        return fruitful

    def _conclude(self, outcome: Outcome, began: float) -> bool:
        self._books.forget(outcome.gone)
        if outcome.gone:
            self._desk.ask_again(self._asks, 0.0)
            return True
        if outcome.recalls:
            self._desk.recalls.labels("asked").inc(len(outcome.recalls))
        if answered := sum(standing.answers_recall for standing in outcome.standings.values()):
            self._desk.recalls.labels("answered").inc(answered)
        for standing in outcome.standings.values():
            self._take_over(standing, began)
        decided = list(zip(self._asks, outcome.answers, strict=True))
        lapsed = any(ask.future.done() and answer.verdict is Verdict.ADMITTED for ask, answer in decided)
        for ask, answer in decided:
            if lapsed and answer.verdict is Verdict.REFUSED:
                # What was meant for somebody who has gone meanwhile may be enough for this one.
                self._desk.ask_again([ask], 0.0)
            else:
                self._tell(ask, answer, outcome)
        return bool(self._refills) or any(answer.verdict is Verdict.ADMITTED for answer in outcome.answers)

    # In the transaction ------------------------------------------------------------------------------------------------------------

    async def _decide(self, unit: UnitOfWork, renews: bool) -> Outcome:
        session = unit.session
        now = await self._desk.time_of(session)
        if renews:
            await self._desk.renew(session, now)
        await self._look_up(unit, now)
        self._chains = {ask: self._books.chain(ask.payer) for ask in self._asks}
        accounts = {account.budget_id: account for chain in self._chains.values() for account in chain}
        accounts |= {account.budget_id: account for account in self._refills if account.budget_id}
        locked = await repository.lock_budgets(session, accounts)
        gone = [account for budget_id, account in accounts.items() if budget_id not in locked]
        if gone:
            return Outcome(gone=gone)
        standings = await self._read(unit, accounts, locked, now)
        pots = {budget_id: self._pot(standing, now) for budget_id, standing in standings.items()}
        answers = share_out([self._wish(ask, standings, now) for ask in self._asks], pots)
        recalls = self._recalls(answers, standings)
        for budget_id, standing in standings.items():
            self._plan(standing, pots[budget_id])
        await self._write(unit, standings)
        if recalls:
            await repository.tell_of_recall(session)
        refused = {budget_id for answer in answers if answer.verdict is Verdict.REFUSED for budget_id in answer.short}
        for budget_id in sorted(refused):
            standing = standings[budget_id]
            remember(unit, standing.row, standing.period, standing.spent, now, refused=True)
        return Outcome(standings, answers, recalls=recalls, now=now)

    async def _look_up(self, unit: UnitOfWork, now: datetime) -> None:
        """The budgets of payers that are met for the first time; a tenant without any gets the default, an end user what his key says."""
        new = [ask.payer for ask in self._asks if ask.payer.payer_id not in self._books.known]
        tenants = {ask.payer.tenant_id for ask in self._asks}
        missing = {tenant for tenant in tenants if not self._books.account_at((tenant, "tenant", tenant)).budget_id}
        if not new and not missing:
            return
        places = {place for payer in new for place in places_of(payer)} | {(tenant, "tenant", tenant) for tenant in missing}
        for tenant in sorted(missing):
            await open_default_budget(unit.session, tenant, self._default, now=now)
        for row, zone in await repository.budgets_at(unit.session, sorted(places)):
            self._books.learn(row, zone)
        turned_away = await open_accounts(unit.session, self._books, new, now)
        for ask in self._asks:
            reason = turned_away.get(ask.payer.payer_id)
            if isinstance(reason, Crowded):
                self._crowded[ask] = reason
            elif reason is not None:
                ask.fail(reason)
        self._asks = [ask for ask in self._asks if ask.payer.payer_id not in turned_away]
        self._books.known.update(payer.payer_id for payer in new if payer.payer_id not in turned_away)

    async def _read(
        self, unit: UnitOfWork, accounts: dict[str, Account], locked: dict[str, tuple[Budget, str]], now: datetime
    ) -> dict[str, Standing]:
        days: dict[str, date] = {}
        for row, zone in locked.values():
            day = _day_never_before(row.latest_day, day_of(now, ZoneInfo(zone)))
            days[row.tenant_id] = max(day, days.get(row.tenant_id, day))
        periods = {budget_id: period_of(row.window, days[row.tenant_id], ZoneInfo(zone)) for budget_id, (row, zone) in locked.items()}
        self._returned = self._give_back_past(locked, days)
        leases, spent = await repository.committed(
            unit.session, [(budget_id, period.first, period.last) for budget_id, period in sorted(periods.items())]
        )
        standings = {}
        for budget_id, (row, zone) in locked.items():
            day, period = days[row.tenant_id], periods[budget_id]
            if row.latest_day != day:
                row.latest_day = day
            own = [lease for lease in leases if lease.budget_id == budget_id and period.first <= lease.day <= period.last]
            accounts[budget_id].learn(row, zone)
            standings[budget_id] = Standing(
                account=accounts[budget_id],
                row=row,
                day=day,
                period=period,
                spent=spent.get(budget_id, 0),
                leases=own,
                ends_in=_seconds_good(row, start_of(day + _DAY, ZoneInfo(zone)), now),
                lease=next((lease for lease in own if lease.holder_id == self._desk.registered_as and lease.day == day), None),
            )
        return standings

    def _give_back_past(self, locked: dict[str, tuple[Budget, str]], days: dict[str, date]) -> dict[str, int]:
        """What may not be spent any more is free before anybody is refused: of earlier days, which count in the same month or rolling
        window, and of a raise that is over."""
        now = self._desk.monotonic()
        return {
            part.lease_id: part.give_back()
            for part in self._books.slices.values()
            if part.available > 0
            and part.budget_id in locked
            and (not part.current or part.ends <= now or part.day != days[locked[part.budget_id][0].tenant_id].toordinal())
        }

    def _pot(self, standing: Standing, now: datetime) -> Pot:
        row, account, lease = standing.row, standing.account, standing.lease
        limit = limit_at(row.limit_nano, row.raise_nano, row.raise_until, now)
        if account.slice.lease_id and (lease is None or lease.id != account.slice.lease_id):
            if account.slice.day == standing.day.toordinal():
                self._books.void(account.slice)
            else:
                # Of an earlier day: what calls give back to it is returned by the beat.
                account.use(NO_SLICE)
        available = account.slice.available if lease is not None and lease.id == account.slice.lease_id else 0
        leased = sum(lease.amount_nano - self._returned.get(lease.id, 0) for lease in standing.leases)
        standing.unknown = sum(self._unknown(lease) for lease in standing.leases if lease.holder_id == self._desk.registered_as)
        if standing.unknown:
            self._desk.doubt()
        return Pot(limit - standing.spent - leased, available)

    def _unknown(self, lease: LeaseRow) -> int:
        part = self._books.slices.get(lease.id)
        known = part.held if part is not None else 0
        return max(0, lease.amount_nano - self._returned.get(lease.id, 0) - known)

    def _wish(self, ask: "Ask", standings: dict[str, Standing], now: datetime) -> Wish:
        budgets = [account.budget_id for account in self._chains[ask]]
        coming = {}
        for budget_id in budgets:
            asked = ask.recalls.get(budget_id)
            coming[budget_id] = standings[budget_id].unknown + sum(
                lease.amount_nano
                for lease in standings[budget_id].leases
                if lease.holder_id != self._desk.registered_as and lease.expires_at > now and (asked is None or lease.answered < asked)
            )
        return Wish(budgets, ask.amount, ask.at_least, coming)

    def _recalls(self, answers: Sequence[Answer], standings: dict[str, Standing]) -> dict[str, int]:
        """Ask everybody else to give back, once for all calls of this round that need it."""
        recalls: dict[str, int] = {}
        for ask, answer in zip(self._asks, answers, strict=True):
            if answer.verdict is Verdict.OPEN:
                for budget_id in answer.short:
                    if budget_id not in ask.recalls and budget_id not in recalls:
                        row = standings[budget_id].row
                        row.recall += 1
                        recalls[budget_id] = row.recall
        return recalls

    def _plan(self, standing: Standing, pot: Pot) -> None:
        account, lease = standing.account, standing.lease
        standing.answers_recall = lease is not None and lease.answered < standing.row.recall
        if standing.answers_recall:
            # Others wait for money: what our own calls do not need goes back in this very transaction.
            self._return(account.slice, max(0, pot.available - pot.taken))
            standing.grant = pot.needed
            return
        if pot.largest:
            account.typical = pot.largest
            quickly = self._desk.monotonic() - account.filled_at < QUICKLY_SECONDS
            account.appetite = max(FIRST_APPETITE_CALLS * pot.largest, account.appetite * 2 if quickly else account.appetite // 2)
        elif account in self._refills:
            pot.largest = account.typical
            account.appetite *= 2
        standing.advance = pot.advance(account.appetite, self._desk.holders) if pot.needed or account in self._refills else 0
        standing.grant = pot.needed + standing.advance

    def _return(self, part: Slice, amount: int) -> None:
        """Out of memory first, so that nothing is admitted from what the database may have back already."""
        if amount:
            part.available -= amount
            self._returned[part.lease_id] = self._returned.get(part.lease_id, 0) + amount

    async def _write(self, unit: UnitOfWork, standings: dict[str, Standing]) -> None:
        new = []
        changes = {lease_id: -amount for lease_id, amount in self._returned.items()}
        for standing in standings.values():
            if standing.lease is not None:
                standing.lease_id = standing.lease.id
                if standing.grant:
                    changes[standing.lease_id] = changes.get(standing.lease_id, 0) + standing.grant
                continue
            standing.lease_id = new_id("lease")
            new.append(
                {
                    "id": standing.lease_id,
                    "budget_id": standing.row.id,
                    "day": standing.day,
                    "holder_id": self._desk.registered_as,
                    "amount_nano": standing.grant,
                    "answered": standing.row.recall,
                }
            )
        answered = {standing.lease_id: standing.row.recall for standing in standings.values() if standing.answers_recall}
        await unit.session.flush()
        await repository.add_leases(unit.session, new)
        await repository.change_leases(unit.session, changes, answered)

    # After the commit --------------------------------------------------------------------------------------------------------------

    def _take_over(self, standing: Standing, began: float) -> None:
        account = standing.account
        part = self._books.slices.get(standing.lease_id)
        if part is None:
            part = Slice(standing.lease_id, standing.row.id, standing.day.toordinal(), 0.0)
            self._books.slices[standing.lease_id] = part
        # Where the account was forgotten meanwhile, what was granted goes back with the next round.
        part.current = self._books.by_id.get(standing.row.id) is account
        part.ends = began + standing.ends_in
        part.grant(standing.grant)
        if standing.grant:
            account.filled_at = began
            part.low = part.available // 4 if standing.advance else -1
        account.use(part)
        account.spent_nano = standing.spent
        account.resets_at = standing.period.ends
        account.stale = True

    async def _make_room(self) -> None:
        for key_id, tenant_id in sorted({(ask.payer.key_id, ask.payer.tenant_id) for ask in self._crowded}):
            async with self._db.write() as unit:
                made = await make_room(unit.session, key_id, tenant_id, await self._desk.time_of(unit.session))
            for ask, reason in self._crowded.items():
                if ask.payer.key_id == key_id and made:
                    self._desk.ask_again([ask], 0.0)
                elif ask.payer.key_id == key_id:
                    ask.fail(reason)

    def _tell(self, ask: "Ask", answer: Answer, outcome: Outcome) -> None:
        if ask.future.done():
            return
        if answer.verdict is Verdict.ADMITTED:
            chain = self._books.chain(ask.payer)
            slices = [account.slice for account in chain]
            # Another call may have taken, without waiting, what this one was counted against, or there are other budgets: then once more.
            if chain == self._chains[ask] and all(part.available >= answer.amount for part in slices):
                ask.future.set_result(Reservation(slices, answer.amount))
            else:
                self._desk.ask_again([ask], 0.0)
        elif answer.verdict is Verdict.OPEN:
            for budget_id in answer.short:
                ask.recalls.setdefault(budget_id, outcome.recalls.get(budget_id, 0))
            ask.rounds += 1
            self._desk.ask_again([ask], min(ASK_AGAIN_SECONDS * 2 ** (ask.rounds - 1), SLOWLY_SECONDS))
        else:
            ask.future.set_exception(_refusal(ask, outcome.standings[answer.short[0]], outcome))


def _refusal(ask: "Ask", standing: Standing, outcome: Outcome) -> BudgetExceeded:
    assert outcome.now is not None
    headroom = standing.account.headroom(outcome.now)
    whose = headroom.scope.replace("_", " ")
    left = format_usd(headroom.remaining_nano)
    resets = f" until {headroom.resets_at:%Y-%m-%d %H:%M} UTC" if headroom.resets_at is not None else ""
    return BudgetExceeded(
        f"The {whose}'s budget of {format_usd(headroom.limit_nano)} ({headroom.window}) does not cover this call{resets}: "
        f"it may cost up to {format_usd(ask.at_least)}, and {left} is left, part of which running calls may hold.",
        headers=headroom.headers() | {"x-budget-exceeded": "true"},
    )


def _seconds_good(row: Budget, day_ends: datetime, now: datetime) -> float:
    raised = row.raise_nano > 0 and row.raise_until is not None and now < row.raise_until
    ends = min(day_ends, row.raise_until) if raised and row.raise_until is not None else day_ends
    return (ends - now).total_seconds()


def _day_never_before(latest: date | None, today: date) -> date:
    """A clock that steps back over midnight does not take a budget back to yesterday. One that was a day or more ahead is not believed."""
    return latest if latest is not None and today < latest <= today + _DAY else today
