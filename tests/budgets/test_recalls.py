"""Processes that ask each other for money, and how they know of each other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.budgets import asks
from backend.kernel.errors import BudgetExceeded, StorageUnavailable
from tests.budgets.till import Payer, Till, open_till
from tests.budgets.witness import Witness

CENT = 10_000_000


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Several processes: PostgreSQL."""
    return postgres_url


@pytest.fixture
async def tills(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Till, Till]]:
    async with open_till(database_url, tmp_path / "here") as here, open_till(database_url, tmp_path / "there") as there:
        yield here, there


async def stop_beating(till: Till) -> None:
    """From now on it hears no recall; its own calls are served as ever."""
    *_, beat = till.keeper._desk._tasks
    beat.cancel()
    await asyncio.gather(beat, return_exceptions=True)


async def hold_in_advance(till: Till, witness: Witness, budget: str, payer: Payer) -> None:
    """After a call the process has more than it needs."""
    await till.call(payer, CENT, CENT)
    await till.metering.flush()
    assert witness.truth(budget).leased > 0


def have_patience(monkeypatch: pytest.MonkeyPatch, *, silence: float = 60.0) -> None:
    """Where nothing is to be given up: on a busy machine the database may be silent for longer than callers should wait."""
    monkeypatch.setattr(asks, "SILENCE_SECONDS", silence)
    monkeypatch.setattr(asks, "PEERS_SECONDS", 3600.0)


async def test_a_process_whose_own_calls_wait_gives_back_in_their_transaction(
    tills: tuple[Till, Till], witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_patience(monkeypatch)
    here, there = tills
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 1_000 * CENT)
    await hold_in_advance(there, witness, budget, payer)
    await stop_beating(there)
    waiting = asyncio.create_task(here.reserve(payer, 999 * CENT))
    while not witness.run("SELECT recall FROM budget WHERE id = :id", id=budget)[0][0]:
        await asyncio.sleep(0.01)
    # Too large for what is there, so it goes to the desk; refused or not, its round hands over the rest.
    with pytest.raises(BudgetExceeded):
        await there.reserve(payer, 2_000 * CENT)
    (await waiting).release()
    assert not any(part.available for part in there.keeper._books.slices.values() if part.budget_id == budget)


async def test_a_call_waits_for_a_process_that_is_slow(tills: tuple[Till, Till], witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database answers all the time, so nothing is wrong but that somebody is busy."""
    have_patience(monkeypatch, silence=2.0)
    here, there = tills
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 1_000 * CENT)
    await hold_in_advance(there, witness, budget, payer)
    await stop_beating(there)
    waiting = asyncio.create_task(here.reserve(payer, 999 * CENT))
    while not here.keeper._desk._asks or here.keeper._desk._asks[0].waited < 30:
        await asyncio.sleep(0.05)
    await there.keeper._desk.beat()
    (await waiting).release()


async def test_a_call_that_needs_what_a_silent_process_holds_is_refused_for_now(
    tills: tuple[Till, Till], witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks, "PEERS_SECONDS", 0.5)
    here, there = tills
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 1_000 * CENT)
    await hold_in_advance(there, witness, budget, payer)
    await stop_beating(there)
    with pytest.raises(StorageUnavailable) as refused:
        await here.reserve(payer, 999 * CENT)
    assert refused.value.retry_after
    have_patience(monkeypatch)
    (await here.reserve(payer, CENT)).release()


@pytest.mark.case("L1")
async def test_processes_count_each_other_before_any_of_them_has_spent_anything(
    database_url: str, tmp_path: Path, witness: Witness
) -> None:
    async with open_till(database_url, tmp_path / "one") as one:
        await one.keeper.register()
        assert one.keeper.known_processes == 1
        before = witness.run("SELECT version FROM change")[0][0]
        async with open_till(database_url, tmp_path / "two") as two:
            await two.keeper.register()
            assert two.keeper.known_processes == 2
            assert witness.run("SELECT version FROM change")[0][0] > before, "the change feed tells the others"
            await one.keeper.load()
            assert one.keeper.known_processes == 2
            # Without a single call its row is renewed all the same.
            witness.run("UPDATE budget_holder SET expires_at = now()")
            for till in (one, two):
                till.keeper._desk.renewed_at = float("-inf")
                await till.keeper._desk.beat()
            await one.keeper.load()
            assert one.keeper.known_processes == 2
        await one.keeper.load()
        assert one.keeper.known_processes == 1


async def test_a_call_behind_others_at_its_budgets_row_is_decided_when_its_turn_comes(
    tills: tuple[Till, Till], witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is locked for long is no silence of the database: it answers everything else."""
    have_patience(monkeypatch, silence=2.0)
    here, _ = tills
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 1_000 * CENT)
    with witness.engine.begin() as ahead:
        ahead.execute(sa.text("SELECT * FROM budget WHERE id = :id FOR UPDATE"), {"id": budget})
        waiting = asyncio.create_task(here.reserve(payer, CENT))
        while not here.keeper._desk._asks or here.keeper._desk._asks[0].waited < 30:
            await asyncio.sleep(0.05)
        assert not waiting.done()
    (await waiting).release()
