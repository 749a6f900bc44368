"""The keeper in one process, on both databases: admission, refusal, hierarchy, alerts, headroom, days."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.budgets.events import BudgetThresholdReached
from backend.kernel.clock import FixedClock
from backend.kernel.errors import BudgetExceeded, response_headers
from backend.kernel.events import Event, EventBus
from tests.budgets.till import Payer, Tally, Till, open_till
from tests.budgets.witness import Truth, Witness

USD = 1_000_000_000
MICRO = 1_000


class SteppingClock(FixedClock):
    """Somebody sets the wall clock; the monotonic one goes on as it was."""

    def step(self, by: timedelta) -> None:
        self._now += by


@pytest.fixture
async def till(database_url: str, tmp_path: Path) -> AsyncIterator[Till]:
    async with open_till(database_url, tmp_path, budgets={"default": {"limit_usd": 100}}) as opened:
        yield opened


async def storm(till: Till, payer: Payer, count: int, amount: int, *, least: float = 1.0) -> Tally:
    chance, tally = random.Random(1), Tally()
    charges = [int(amount * chance.uniform(least, 1.0)) for _ in range(count)]
    for one in await asyncio.gather(*(till.call(payer, amount, charged) for charged in charges)):
        tally.add(one)
    return tally


@pytest.mark.case("B1")
@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.soak)])
async def test_one_worker_admits_exactly_what_the_budget_holds(witness: Witness, till: Till, times: int) -> None:
    for _ in range(times):
        payer = witness.tenant()
        budget = witness.budget(payer, "key", 1_000_000 * MICRO)
        tally = await storm(till, payer, 500, 10_000 * MICRO)
        await till.metering.flush()
        assert (tally.admitted, tally.refused) == (100, 400)
        assert witness.truth(budget) == Truth(spent=USD, leased=0, ledger=USD, calls=100)


@pytest.mark.case("B2")
async def test_money_that_calls_did_not_need_is_usable_again(witness: Witness, database_url: str, tmp_path: Path) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD)
    async with open_till(database_url, tmp_path) as till:
        tally = await storm(till, payer, 500, 10_000 * MICRO, least=0.1)
        while not (one := await till.call(payer, 10_000 * MICRO, 3_000 * MICRO)).refused:
            tally.add(one)
    truth = witness.truth(budget)
    assert truth == Truth(spent=tally.charged, leased=0, ledger=tally.charged, calls=tally.admitted)
    assert 0 <= USD - truth.spent < 10_000 * MICRO, "more than 99 % was usable, and nothing beyond"


async def run_b5(witness: Witness, one: Till, two: Till, seed: int) -> None:
    """200 calls at once by eight keys of three people in one tenant, through two processes' worth of keepers, random limits everywhere."""
    chance = random.Random(seed)
    tenant = witness.tenant()
    payers = [Payer(f"key_{seed}_{number}", tenant.tenant_id, f"usr_{number % 3}") for number in range(8)]
    limits = {witness.budget(tenant, "tenant", 300_000 * MICRO): 300_000 * MICRO}
    for user in range(3):
        limit = chance.randrange(50_000, 200_000) * MICRO
        limits[witness.budget(payers[user], "user", limit)] = limit
    for payer in payers:
        limit = chance.randrange(10_000, 90_000) * MICRO
        limits[witness.budget(payer, "key", limit)] = limit
    work = []
    for number in range(200):
        amount = chance.randrange(1_000, 5_000) * MICRO
        work.append((one, two)[number % 2].call(chance.choice(payers), amount, int(amount * chance.uniform(0.1, 1.0))))
    tally = Tally()
    for done in await asyncio.gather(*work):
        tally.add(done)
    assert tally.admitted + tally.refused == 200
    assert tally.refused > 0
    for till in (one, two):
        await till.metering.flush()
    for budget, limit in limits.items():
        truth = witness.truth(budget)
        assert truth.spent == truth.ledger
        assert truth.spent + truth.leased <= limit
    if witness.engine.dialect.name == "postgresql":
        assert witness.run("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0] == 0


@pytest.mark.case("B5")
async def test_no_level_is_exceeded_and_nobody_waits_in_a_circle(witness: Witness, database_url: str, tmp_path: Path) -> None:
    async with open_till(database_url, tmp_path / "one") as one, _second_till(database_url, tmp_path / "two", one) as two:
        await run_b5(witness, one, two, seed=5)
    assert witness.run("SELECT COALESCE(SUM(amount_nano), 0) FROM budget_lease")[0][0] == 0


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.case("B5")
async def test_no_level_is_exceeded_and_nobody_waits_in_a_circle_for_long(witness: Witness, database_url: str, tmp_path: Path) -> None:
    ends = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "600")) / 2
    seed = 0
    async with open_till(database_url, tmp_path / "one") as one, _second_till(database_url, tmp_path / "two", one) as two:
        while time.monotonic() < ends:
            seed += 1
            await run_b5(witness, one, two, seed)
    assert witness.run("SELECT COALESCE(SUM(amount_nano), 0) FROM budget_lease")[0][0] == 0


def _second_till(url: str, data_dir: Path, first: Till) -> AbstractAsyncContextManager[Till]:
    """SQLite has one serving process, so there both are the same."""
    return nullcontext(first) if url.startswith("sqlite") else open_till(url, data_dir)


@pytest.mark.case("B6")
async def test_fifty_first_calls_of_an_unknown_tenant_share_one_default_budget(witness: Witness, database_url: str, tmp_path: Path) -> None:
    async with open_till(database_url, tmp_path, budgets={"default": {"limit_usd": "0.01"}}) as till:
        payer = witness.tenant()
        tally = await storm(till, payer, 50, 10_000 * MICRO)
    assert (tally.admitted, tally.refused) == (1, 49)
    assert witness.run("SELECT COUNT(*), MAX(limit_nano) FROM budget")[0] == (1, 10_000 * MICRO)


async def test_a_refusal_says_what_it_lacks_and_asks_not_to_be_tried_again(witness: Witness, till: Till) -> None:
    payer = witness.tenant()
    witness.budget(payer, "key", 5 * USD)
    await till.call(payer, 4 * USD, 4 * USD)
    with pytest.raises(BudgetExceeded, match=r"The key's budget of \$5.00 \(calendar_month\).*up to \$2.00.*\$1.00 is left") as refused:
        await till.reserve(payer, 2 * USD)
    headers = response_headers(refused.value)
    assert headers["x-should-retry"] == "false"
    assert headers.pop("x-budget-resets-at")
    assert {name: value for name, value in headers.items() if name.startswith("x-budget")} == {
        "x-budget-scope": "key",
        "x-budget-limit": "5.000000000",
        "x-budget-used": "4.000000000",
        "x-budget-remaining": "1.000000000",
        "x-budget-warning": "true",
        "x-budget-exceeded": "true",
    }


async def test_near_the_end_a_call_takes_what_is_left_if_it_is_content_with_that(witness: Witness, till: Till) -> None:
    payer = witness.tenant()
    witness.budget(payer, "key", USD)
    await till.call(payer, 700 * MICRO * 1000, 700 * MICRO * 1000)
    reservation = await till.reserve(payer, USD, at_least=USD // 10)
    assert reservation.amount == 300 * MICRO * 1000
    reservation.release()
    with pytest.raises(BudgetExceeded):
        await till.reserve(payer, USD, at_least=USD // 2)


async def test_a_charge_beyond_the_reservation_is_charged_and_leaves_less(witness: Witness, till: Till) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD)
    reservation = await till.reserve(payer, USD // 2)
    record, ticket = till.open_call(payer, reservation)
    till.close_call(record, ticket, reservation, USD * 3 // 4)
    await till.metering.flush()
    assert record.overrun
    assert witness.truth(budget).spent == USD * 3 // 4
    with pytest.raises(BudgetExceeded):
        await till.reserve(payer, USD // 2)
    (await till.reserve(payer, USD // 4)).release()


async def test_a_caller_who_leaves_while_waiting_leaves_nothing_reserved(witness: Witness, till: Till) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD)
    waiting = [asyncio.create_task(till.reserve(payer, USD // 10)) for _ in range(10)]
    for number, task in enumerate(waiting):
        await asyncio.sleep(0)
        if number % 2:
            task.cancel()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        if not isinstance(result, BaseException):
            result.release()
    (await till.reserve(payer, USD)).release()
    assert witness.truth(budget).spent == 0


async def test_warning_and_exceeded_are_told_once_a_period(witness: Witness, database_url: str, tmp_path: Path) -> None:
    told: list[Event] = []
    events = EventBus()
    events.subscribe(BudgetThresholdReached, told.append)
    payer = witness.tenant()
    witness.budget(payer, "key", USD, warn_at="[0.5, 0.8]")
    async with open_till(database_url, tmp_path, events=events) as till:
        for _ in range(10):
            await till.call(payer, USD // 10, USD // 10)
            await till.metering.flush()
            await till.keeper._desk.beat()
        for _ in range(3):
            with pytest.raises(BudgetExceeded):
                await till.reserve(payer, USD // 10)
    seen = [(event.threshold, event.spent_nano) for event in told if isinstance(event, BudgetThresholdReached)]
    assert seen == [(0.5, USD // 2), (0.8, USD * 8 // 10), (1.0, USD)]


async def test_headroom_is_that_of_the_tightest_budget(witness: Witness, till: Till) -> None:
    payer = witness.tenant()
    witness.budget(payer, "tenant", 100 * USD)
    witness.budget(payer, "user", 3 * USD)
    witness.budget(payer, "key", 10 * USD)
    assert till.keeper.headroom(payer) is None
    await till.call(payer, USD, USD)
    headroom = till.keeper.headroom(payer)
    assert headroom is not None
    assert (headroom.scope, headroom.limit_nano, headroom.used_nano, headroom.remaining_nano) == ("user", 3 * USD, USD, 2 * USD)
    assert (headroom.warning, headroom.exceeded) == (False, False)


@pytest.mark.case("B8")
async def test_a_new_day_has_a_budget_of_its_own_and_the_old_one_keeps_its_charges(
    sqlite_witness: Witness, sqlite_database_url: str, tmp_path: Path
) -> None:
    witness = sqlite_witness
    clock = FixedClock(datetime(2026, 3, 29, 21, 59, 50, tzinfo=UTC))  # ten seconds before midnight in Berlin, on a day of 23 hours
    payer = witness.tenant(zone="Europe/Berlin")
    budget = witness.budget(payer, "key", USD, window="calendar_day")
    async with open_till(sqlite_database_url, tmp_path, clock=clock) as till:
        over_midnight = await till.reserve(payer, USD)
        record, ticket = till.open_call(payer, over_midnight)
        with pytest.raises(BudgetExceeded):
            await till.reserve(payer, 1)
        spent = till.keeper.headroom(payer)
        assert spent is not None
        assert spent.resets_at == datetime(2026, 3, 29, 22, tzinfo=UTC)
        clock.advance(timedelta(seconds=11))
        assert till.keeper.headroom(payer) is None, "nothing is known of the new day yet"
        await till.call(payer, USD, USD // 4)
        fresh = till.keeper.headroom(payer)
        assert fresh is not None
        assert (fresh.used_nano, fresh.resets_at) == (USD // 4, datetime(2026, 3, 30, 22, tzinfo=UTC))
        till.close_call(record, ticket, over_midnight, USD // 2)
    days = witness.run("SELECT day, spent_nano FROM budget_day WHERE budget_id = :id ORDER BY day", id=budget)
    assert [(str(day), amount) for day, amount in days] == [("2026-03-29", USD // 2), ("2026-03-30", USD // 4)]
    assert witness.truth(budget) == Truth(spent=USD * 3 // 4, leased=0, ledger=USD * 3 // 4, calls=2)


@pytest.mark.case("B8")
@pytest.mark.parametrize(("before", "after"), [("Pacific/Auckland", "America/Los_Angeles"), ("America/Los_Angeles", "Pacific/Auckland")])
async def test_another_time_zone_gives_nobody_a_day_twice(
    sqlite_witness: Witness, sqlite_database_url: str, tmp_path: Path, before: str, after: str
) -> None:
    """21 hours lie between these zones: at noon in UTC it is tomorrow in one of them."""
    clock = FixedClock(datetime(2026, 3, 3, 11, tzinfo=UTC))
    payer = sqlite_witness.tenant(zone=before)
    budget = sqlite_witness.budget(payer, "key", USD, window="calendar_day")
    async with open_till(sqlite_database_url, tmp_path, clock=clock) as till:
        await till.call(payer, USD // 2, USD // 2)
        sqlite_witness.run("UPDATE tenant SET timezone = :zone WHERE id = :id", zone=after, id=payer.tenant_id)
        await till.keeper.load()
        tallies = [await till.call(payer, USD // 2, USD // 2) for _ in range(4)]
        admitted = sum(tally.admitted for tally in tallies)
    days = sqlite_witness.run("SELECT day, spent_nano FROM budget_day WHERE budget_id = :id ORDER BY day", id=budget)
    assert all(amount <= USD for _, amount in days)
    # Westwards the day that has begun goes on; eastwards the next one has begun already.
    assert (admitted, len(days)) == ((1, 1) if before == "Pacific/Auckland" else (2, 2))


@pytest.mark.case("B8")
async def test_a_rolling_window_frees_a_day_when_it_drops_out(sqlite_witness: Witness, sqlite_database_url: str, tmp_path: Path) -> None:
    witness = sqlite_witness
    clock = FixedClock(datetime(2026, 7, 1, 12, tzinfo=UTC))
    payer = witness.tenant()
    witness.budget(payer, "key", 3 * USD, window="rolling_3d")
    async with open_till(sqlite_database_url, tmp_path, clock=clock) as till:
        for _ in range(3):
            assert (await till.call(payer, USD, USD)).admitted
            await till.metering.flush()
            clock.advance(timedelta(days=1))
        # The fourth day: the first has dropped out, and with it one dollar.
        assert (await till.call(payer, USD, USD)).admitted
        assert (await till.call(payer, USD, USD)).refused


@pytest.mark.case("D8")
async def test_a_clock_that_steps_back_an_hour_over_midnight_gives_no_money_twice(
    sqlite_witness: Witness, sqlite_database_url: str, tmp_path: Path
) -> None:
    witness = sqlite_witness
    clock = SteppingClock(datetime(2026, 7, 2, 0, 30, tzinfo=UTC))
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD, window="rolling_1d")
    async with open_till(sqlite_database_url, tmp_path, clock=clock) as till:
        assert (await till.call(payer, USD // 2, USD // 2)).admitted
        clock.step(timedelta(hours=-1))
        await till.metering.flush()
        assert (await till.call(payer, USD // 2, USD // 2)).admitted
        assert (await till.call(payer, USD // 2, USD // 2)).refused
    assert [str(row[0]) for row in witness.run("SELECT DISTINCT day FROM budget_day")] == ["2026-07-02"]
    assert witness.truth(budget).spent == USD


async def test_a_key_made_with_its_budget_never_spends_without_it(witness: Witness, till: Till) -> None:
    """The keeper's snapshot is older than the key: its first call looks in the database."""
    payer = witness.tenant()
    await till.keeper.load()
    witness.budget(payer, "key", USD)
    assert (await till.call(payer, 2 * USD, USD)).refused


async def test_a_budget_that_was_deleted_binds_no_more_and_a_tenant_has_the_default_again(witness: Witness, till: Till) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "tenant", USD)
    await till.call(payer, USD, USD // 2)
    witness.run("DELETE FROM budget_lease WHERE budget_id = :id", id=budget)
    witness.run("DELETE FROM budget WHERE id = :id", id=budget)
    assert (await till.call(payer, 50 * USD, USD)).admitted
    assert witness.run("SELECT limit_nano, is_default FROM budget")[0][0] == 100 * USD


@pytest.mark.case("D8")
async def test_replicas_whose_clocks_are_wrong_agree_on_the_day_and_the_limit(
    postgres_witness: Witness, postgres_url: str, tmp_path: Path
) -> None:
    """At -90 s, 0 and +90 s, one of them stepping back an hour: the database's clock decides, so it makes no difference."""
    witness = postgres_witness
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD, window="calendar_day")
    now = datetime.now(UTC)
    clocks = [SteppingClock(now + timedelta(seconds=offset)) for offset in (-90, 0, 90)]
    async with (
        open_till(postgres_url, tmp_path / "slow", clock=clocks[0]) as slow,
        open_till(postgres_url, tmp_path / "right", clock=clocks[1]) as right,
        open_till(postgres_url, tmp_path / "fast", clock=clocks[2]) as fast,
    ):
        first = await asyncio.gather(*(storm(till, payer, 20, 10_000 * MICRO) for till in (slow, right, fast)))
        clocks[2].step(timedelta(hours=-1))
        second = await asyncio.gather(*(storm(till, payer, 60, 10_000 * MICRO) for till in (slow, right, fast)))
    assert sum(tally.admitted for tally in (*first, *second)) == 100
    assert witness.truth(budget) == Truth(spent=USD, leased=0, ledger=USD, calls=100)
    assert len(witness.run("SELECT day FROM budget_day WHERE budget_id = :id", id=budget)) == 1


async def test_news_of_other_budgets_sends_no_call_to_the_database(witness: Witness, till: Till) -> None:
    payer = witness.tenant()
    witness.budget(payer, "key", 1_000 * USD)
    await till.call(payer, USD, USD)
    witness.budget(witness.tenant(), "tenant", USD)
    await till.keeper.load()
    reservation = till.keeper.try_reserve(payer, USD)
    assert reservation is not None
    reservation.release()
    witness.budget(payer, "user", USD // 2)
    await till.keeper.load()
    assert till.keeper.try_reserve(payer, USD) is None, "a new budget of its own does"
    assert (await till.call(payer, USD, USD)).refused
