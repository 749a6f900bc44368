"""What may happen while a round waits for the database: each of these once overspent a budget or refused for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from backend.budgets import repository
from backend.kernel.errors import StorageUnavailable
from backend.kernel.ids import new_id
from backend.metering import repository as ledger
from backend.metering import writer
from backend.metering.record import CallRecord
from tests.budgets.till import Payer, Till, open_till
from tests.budgets.witness import Witness

USD = 1_000_000_000


@pytest.fixture
async def till(sqlite_database_url: str, tmp_path: Path) -> AsyncIterator[Till]:
    async with open_till(sqlite_database_url, tmp_path) as till:
        yield till


@pytest.fixture
def payer(sqlite_witness: Witness) -> Payer:
    return sqlite_witness.tenant()


class Gate:
    """Holds the next round where it has read what is committed and has decided nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        read = repository.committed

        async def held(*arguments: Any) -> Any:
            answer = await read(*arguments)
            self.reached.set()
            await self.open.wait()
            return answer

        monkeypatch.setattr(repository, "committed", held)


@pytest.mark.case("B1")
async def test_a_slice_that_a_round_takes_up_again_is_not_dropped(
    till: Till, payer: Payer, sqlite_witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = sqlite_witness.budget(payer, "key", USD)
    desk = till.keeper._desk
    (await till.reserve(payer, USD)).release()
    *_, beat = desk._tasks
    beat.cancel()
    [part] = [part for part in till.keeper._books.slices.values() if part.budget_id == budget]
    await desk._give_back([part], {})
    part.ends = float("-inf")
    gate = Gate(monkeypatch)
    asking = asyncio.create_task(till.reserve(payer, USD))
    await gate.reached.wait()
    dropping = asyncio.create_task(desk._drop_empty())
    await asyncio.sleep(0)
    gate.open.set()
    reservation = await asking
    await dropping
    await desk._renew_and_compare()
    assert sqlite_witness.truth(budget).leased == USD, "the call that runs is covered"
    reservation.release()


async def test_a_budget_that_is_set_while_calls_are_decided_binds_its_key_and_refuses_nobody_else(
    till: Till, payer: Payer, sqlite_witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite_witness.tenant()
    for one in (payer, other):
        (await till.reserve(one, 1)).release()
    gate = Gate(monkeypatch)
    budget = sqlite_witness.budget(payer, "key", 1_000 * USD)
    asking = [asyncio.create_task(till.reserve(one, 90 * USD)) for one in (payer, other)]
    await gate.reached.wait()
    await till.keeper.load()
    gate.open.set()
    for task in asking:
        (await task).release()
    assert sqlite_witness.truth(budget).leased >= 90 * USD


async def test_what_the_database_holds_for_us_beyond_our_books_is_found_before_a_call_is_refused(
    till: Till, payer: Payer, sqlite_witness: Witness
) -> None:
    """A commit that nobody saw succeed; compared only every 20 s otherwise."""
    budget = sqlite_witness.budget(payer, "key", USD)
    (await till.reserve(payer, USD)).release()
    [part] = [part for part in till.keeper._books.slices.values() if part.budget_id == budget]
    part.available = 0
    (await till.reserve(payer, USD)).release()
    assert sqlite_witness.truth(budget).leased == USD


@pytest.mark.case("B1")
async def test_a_charge_is_told_once_although_its_part_of_the_journal_is_written_again(
    till: Till, payer: Payer, sqlite_witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More calls than one transaction takes, of which the first is committed and the second is not, three times."""
    budget = sqlite_witness.budget(payer, "key", USD)
    monkeypatch.setattr(writer, "BATCH_CALLS", 10)
    running = await till.reserve(payer, USD // 2)
    charged = []
    for _ in range(10):
        reservation = await till.reserve(payer, USD // 100)
        charged.append((*till.open_call(payer, reservation), reservation))
    failures = 0
    insert = ledger.insert_finals

    async def failing(session: Any, finals: Any, **options: Any) -> Any:
        nonlocal failures
        if failures < 3 and not any(row[ledger.CHARGED] for row, _ in finals):
            failures += 1
            raise StorageUnavailable("The database went away between two transactions.")
        return await insert(session, finals, **options)

    monkeypatch.setattr(ledger, "insert_finals", failing)
    async with till.metering._writer._draining:
        for call in charged:
            till.close_call(*call, USD // 100)
        for _ in range(10):
            refused = CallRecord(new_id("event"), "r", payer.tenant_id, None, payer.key_id, "chat.completions", 0, outcome="refused")
            till.metering.record(refused, [])
    while failures < 3:
        with suppress(StorageUnavailable):
            await till.metering.flush()
    await till.metering.flush()
    await till.keeper._desk._renew_and_compare()
    truth = sqlite_witness.truth(budget)
    assert truth.spent == USD // 10
    assert truth.leased >= USD // 2, "the call that runs is covered"
    running.release()
