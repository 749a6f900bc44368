"""Budgets across real processes: what one database holds together."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.audit.service import AuditService
from backend.budgets.service import BudgetService
from backend.identity.principal import system
from backend.kernel.clock import SystemClock
from backend.kernel.days import day_of, start_of
from backend.settings import Settings
from tests.budgets.holders import Holder
from tests.budgets.till import Payer, Tally, open_till
from tests.budgets.witness import Truth, Witness

USD = 1_000_000_000
MICRO = 1_000
StartHolders = Callable[..., list[Holder]]


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Several processes: PostgreSQL."""
    return postgres_url


def as_list(payer: Payer) -> list[str | None]:
    return [payer.key_id, payer.tenant_id, payer.user_id]


async def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.05)


def run_calls(holders: list[Holder], payer: Payer, count: int, **command: object) -> Tally:
    """The same number of calls in each process, all at once."""
    for number, holder in enumerate(holders):
        share = (count + number) // len(holders)
        holder.send(do="calls", payer=as_list(payer), count=share, seed=number, **command)
    tally = Tally()
    for holder in holders:
        tally.add(Tally(**holder.answer()))
    return tally


def run_b1(witness: Witness, start: StartHolders, url: str, processes: int, rounds: int, shared: Path | None = None) -> None:
    holders = start(url, processes, data_dirs=[shared] * processes if shared else None)
    for _ in range(rounds):
        payer = witness.tenant()
        budget = witness.budget(payer, "key", 1_000_000 * MICRO)
        tally = run_calls(holders, payer, 500, amount=10_000 * MICRO)
        for holder in holders:
            holder.ask(do="flush")
        assert (tally.admitted, tally.refused) == (100, 400)
        assert witness.truth(budget) == Truth(spent=USD, leased=0, ledger=USD, calls=100)


@pytest.mark.case("B1")
def test_four_workers_admit_exactly_what_the_budget_holds(
    witness: Witness, database_url: str, start_holders: StartHolders, tmp_path: Path
) -> None:
    run_b1(witness, start_holders, database_url, processes=4, rounds=1, shared=tmp_path / "shared")


@pytest.mark.case("B1")
def test_three_replicas_admit_exactly_what_the_budget_holds(witness: Witness, database_url: str, start_holders: StartHolders) -> None:
    run_b1(witness, start_holders, database_url, processes=3, rounds=1)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.case("B1")
@pytest.mark.parametrize("processes", [3, 4])
def test_replicas_admit_exactly_what_the_budget_holds_twenty_times(
    witness: Witness, database_url: str, start_holders: StartHolders, processes: int
) -> None:
    run_b1(witness, start_holders, database_url, processes=processes, rounds=20)


@pytest.mark.case("B2")
async def test_calls_that_cost_less_than_reserved_leave_the_rest_usable_to_everybody(
    witness: Witness, database_url: str, start_holders: StartHolders, tmp_path: Path
) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 1_000_000 * MICRO)
    holders = start_holders(database_url, 3)
    tally = run_calls(holders, payer, 300, amount=10_000 * MICRO, least=0.1, wait=0.05)
    async with open_till(database_url, tmp_path / "drain") as till:
        # One after the other until even the smallest call is refused: what others hold has to come back for it.
        while True:
            one = await till.call(payer, 10_000 * MICRO, 10_000 * MICRO)
            tally.add(one)
            if one.refused:
                break
    for holder in holders:
        holder.stop()
    truth = witness.truth(budget)
    assert truth.spent == truth.ledger == tally.charged <= USD
    assert USD - truth.spent < 10_000 * MICRO, "more than 99 % was usable"
    assert truth.leased == 0
    assert truth.calls == tally.admitted


@pytest.mark.case("B3")
async def test_what_a_killed_process_held_comes_back_with_its_journal(
    witness: Witness, database_url: str, start_holders: StartHolders, tmp_path: Path
) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD)
    victim, other = start_holders(database_url, 2)
    tally = run_calls([victim, other], payer, 60, amount=10_000 * MICRO, least=0.1, fail=0.3, wait=0.2)
    assert victim.ask(do="hold", payer=as_list(payer), count=5, amount=10_000 * MICRO) == {"held": 5}
    # Charged, journalled, and killed before the ledger's writer got to it.
    tally.add(Tally(**victim.ask(do="calls", payer=as_list(payer), count=10, amount=10_000 * MICRO, least=0.1, seed=9)))
    victim.kill()
    other.stop()
    before = witness.truth(budget)
    assert before.leased > 0, "a slice is never freed by the death of its process alone"
    assert before.spent + before.leased <= USD

    start_holders(database_url, 1, data_dirs=[tmp_path / "holder-0"])
    await until(lambda: witness.truth(budget).leased == 0)
    after = witness.truth(budget)
    assert after.spent == after.ledger == tally.charged
    assert after.leased == 0
    assert after.calls == tally.admitted + 5, "the calls that were cut have their rows too"


@pytest.mark.case("B3")
async def test_a_process_killed_amid_a_storm_overspends_nothing(
    witness: Witness, database_url: str, start_holders: StartHolders, tmp_path: Path
) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD)
    # One folder for all: what those that stop cannot write in time, on a busy machine, waits for the next start as the killed one's does.
    home = tmp_path / "home"
    holders = start_holders(database_url, 3, data_dirs=[home] * 3)
    for number, holder in enumerate(holders):
        holder.send(do="calls", payer=as_list(payer), count=100, amount=10_000 * MICRO, least=0.1, fail=0.3, wait=0.5, seed=number)
    await until(lambda: witness.truth(budget).leased > 0)
    holders[0].kill()
    held = witness.truth(budget)
    assert held.spent + held.leased <= USD
    # At once: calls of the others may need what the killed one holds, and without its journal they would wait a minute for it.
    start_holders(database_url, 1, data_dirs=[home])
    for holder in holders[1:]:
        holder.answer()
        holder.stop()
    held = witness.truth(budget)
    assert held.spent + held.leased <= USD
    await until(lambda: witness.truth(budget).leased == 0)
    truth = witness.truth(budget)
    assert truth.spent == truth.ledger <= USD
    assert truth.leased == 0


@pytest.mark.case("B7")
async def test_changes_of_settings_during_the_storm_change_nothing(
    witness: Witness, database_url: str, start_holders: StartHolders, tmp_path: Path
) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", USD)
    holders = start_holders(database_url, 3)
    async with open_till(database_url, tmp_path / "operator") as till:
        operator = BudgetService(till.db, SystemClock(), AuditService(SystemClock()), Settings())
        running = True

        async def patch() -> int:
            """The tenant's budget, fifty times a second; its key's limit stays, so the outcome must."""
            changes = 0
            while running:
                await operator.set(system("test"), payer.tenant_id, "tenant", payer.tenant_id, limit_nano=(100 + changes % 7) * USD)
                changes += 1
                await asyncio.sleep(0.02)
            return changes

        patches = asyncio.create_task(patch())
        tally = await asyncio.to_thread(run_calls, holders, payer, 500, amount=10_000 * MICRO)
        running = False
        assert await patches > 0
    for holder in holders:
        holder.stop()
    assert (tally.admitted, tally.refused) == (100, 400)
    assert witness.truth(budget) == Truth(spent=USD, leased=0, ledger=USD, calls=100)


@pytest.mark.case("B8", "D8")
async def test_calls_in_flight_over_midnight_count_in_exactly_one_day(
    witness: Witness, database_url: str, start_holders: StartHolders, tmp_path: Path
) -> None:
    payer = witness.tenant(zone="Pacific/Kiritimati")
    budget = witness.budget(payer, "key", USD, window="calendar_day")
    now = datetime.now(UTC)
    midnight = start_of(day_of(now, ZoneInfo("Pacific/Kiritimati")) + timedelta(days=1), ZoneInfo("Pacific/Kiritimati"))
    # The database's clock is put two seconds before midnight, the same for everybody; every process's own clock stays where it is.
    holders = start_holders(database_url, 2)
    for holder in holders:
        holder.ask(do="clock", offset=(midnight - datetime.now(UTC)).total_seconds() - 2)
    for number, holder in enumerate(holders):
        holder.send(do="paced", payer=as_list(payer), count=100, amount=1_000 * MICRO, least=0.3, over=4.0, seed=number)
    tally = Tally()
    for holder in holders:
        tally.add(Tally(**holder.answer()))
        holder.stop()
    days = witness.run("SELECT day, spent_nano FROM budget_day WHERE budget_id = :id ORDER BY day", id=budget)
    ledger = witness.run("SELECT budget_day, SUM(charged_nano) FROM call GROUP BY budget_day ORDER BY budget_day")
    assert tally.admitted == 200
    assert len(days) == 2, "the calls were meant to lie on both sides of midnight"
    assert [tuple(row) for row in days] == [(day, int(amount)) for day, amount in ledger]
    assert sum(amount for _, amount in days) == tally.charged
