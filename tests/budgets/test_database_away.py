"""The database restarts or freezes: what was leased goes on, everything else is closed quickly, and all of it comes back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend.kernel.errors import StorageUnavailable
from backend.kernel.migrations import upgrade as migrate
from tests.budgets.till import Till, open_till
from tests.budgets.witness import Truth, Witness
from tests.rig.postgres import Postgres

USD = 1_000_000_000


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A PostgreSQL of its own, because this test stops it."""
    cluster = Postgres()
    yield cluster
    cluster.close()


@pytest.fixture
def database_url(cluster: Postgres) -> str:
    url = cluster.create()
    migrate(url)
    return url


@pytest.fixture
async def till(database_url: str, tmp_path: Path) -> AsyncIterator[Till]:
    async with open_till(database_url, tmp_path) as opened:
        yield opened


async def refused_at_once(till: Till, witness: Witness, strangers: list) -> None:  # type: ignore[type-arg]
    """Calls that need the database: 503 with Retry-After, once its silence is noticed; the fleet's long test measures the two seconds."""
    for stranger in strangers:
        async with asyncio.timeout(10):
            with pytest.raises(StorageUnavailable) as refused:
                await till.reserve(stranger, USD)
        assert refused.value.retry_after


async def answers_again(till: Till, payer: object) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                (await till.reserve(payer, USD)).release()  # type: ignore[arg-type]
                return
            except StorageUnavailable:
                await asyncio.sleep(0.1)


@pytest.mark.case("D3")
@pytest.mark.parametrize("fault", ["freeze", "restart"])
async def test_leases_go_on_and_everything_else_is_closed_while_the_database_is_away(
    till: Till, cluster: Postgres, database_url: str, fault: str
) -> None:
    witness = Witness(database_url)
    payer, stranger, another = witness.tenant(), witness.tenant(), witness.tenant()
    budget = witness.budget(payer, "key", 100_000 * USD)
    await till.call(payer, USD, USD)
    await till.metering.flush()
    leased = witness.truth(budget).leased
    assert leased >= 10 * USD, "some was taken in advance"

    if fault == "freeze":
        cluster.freeze()
    else:
        cluster.stop()
    for _ in range(5):
        assert till.keeper.try_reserve(payer, USD) is not None, "an unexpired lease admits"
    await refused_at_once(till, witness, [stranger, another, stranger])
    assert till.keeper.try_reserve(payer, USD) is not None

    if fault == "freeze":
        cluster.freeze(thaw=True)
    else:
        cluster.start_again()
    await answers_again(till, stranger)
    await answers_again(till, another)


@pytest.mark.case("D3")
async def test_a_process_stops_admitting_before_its_lease_ends(till: Till, database_url: str, cluster: Postgres) -> None:
    witness = Witness(database_url)
    payer = witness.tenant()
    witness.budget(payer, "key", 1_000 * USD)
    await till.call(payer, USD, USD)
    assert till.keeper.try_reserve(payer, USD) is not None
    ended = witness.run("SELECT EXTRACT(EPOCH FROM expires_at - clock_timestamp()) FROM budget_holder")[0][0]
    assert till.keeper._desk.admits_until - till.keeper._desk.monotonic() < float(ended) - 9
    till.keeper._desk.admits_until = till.keeper._desk.monotonic()
    assert till.keeper.try_reserve(payer, USD) is None


@pytest.mark.case("D7")
async def test_a_connection_that_was_killed_costs_nobody_a_call(till: Till, database_url: str) -> None:
    witness = Witness(database_url)
    payer, other = witness.tenant(), witness.tenant()
    await till.call(payer, USD, USD)
    witness.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
    assert (await till.call(other, USD, USD)).unavailable == 0


async def test_a_grant_whose_commit_was_not_seen_is_found_and_returned(till: Till, database_url: str) -> None:
    """The database holds more for us than our books say: the comparison gives it back."""
    witness = Witness(database_url)
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 100 * USD)
    reservation = await till.reserve(payer, 10 * USD)
    witness.run("UPDATE budget_lease SET amount_nano = amount_nano + :lost WHERE budget_id = :id", lost=20 * USD, id=budget)
    await till.keeper._desk._renew_and_compare()
    held = sum(part.held for part in till.keeper._books.slices.values() if part.budget_id == budget)
    assert witness.truth(budget) == Truth(spent=0, leased=held, ledger=0, calls=0)
    reservation.release()


async def test_a_slice_that_an_operator_released_admits_nothing_any_more(till: Till, database_url: str) -> None:
    witness = Witness(database_url)
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 1_000 * USD)
    reservation = await till.reserve(payer, USD)
    record, ticket = till.open_call(payer, reservation)
    witness.run("DELETE FROM budget_lease")
    witness.run("DELETE FROM budget_holder")
    await till.keeper._desk._renew_and_compare()
    assert till.keeper.try_reserve(payer, USD) is None
    # What runs is still charged, and the slice that comes next is not touched by it.
    again = await till.reserve(payer, USD)
    till.close_call(record, ticket, reservation, USD // 2)
    await till.metering.flush()
    held = sum(part.held for part in till.keeper._books.slices.values() if part.budget_id == budget and part.current)
    assert witness.truth(budget) == Truth(spent=USD // 2, leased=held, ledger=USD // 2, calls=1)
    again.release()


async def test_a_process_that_was_declared_dead_admits_nothing_from_any_slice_it_had(till: Till, database_url: str) -> None:
    """It comes back with a call of somebody else: that must not revive the slices of all the others."""
    witness = Witness(database_url)
    payer, other = witness.tenant(), witness.tenant()
    for one in (payer, other):
        witness.budget(one, "key", 1_000 * USD)
    await till.call(payer, USD, USD)
    assert till.keeper.try_reserve(payer, USD) is not None
    witness.run("DELETE FROM budget_lease")
    witness.run("DELETE FROM budget_holder")
    till.keeper._desk.renewed_at = till.keeper._desk.admits_until = float("-inf")
    await till.call(other, USD, USD)
    assert till.keeper.try_reserve(other, USD) is not None
    assert till.keeper.try_reserve(payer, USD) is None
