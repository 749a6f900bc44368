"""Settling in the ledger's transaction: once per call, whatever is replayed, and in the old journals' form too."""

import asyncio
from pathlib import Path

import orjson
import pytest

from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.kernel.ids import new_id
from backend.metering import repository, writer
from backend.metering.record import CALL_FIELDS, CallRecord, final_line, open_line
from backend.metering.service import MeteringService
from backend.observability.metrics import Metrics
from backend.settings import Settings
from tests.budgets.till import Payer, open_till
from tests.budgets.witness import Truth, Witness

USD = 1_000_000_000


def dead_journal(root: Path, *lines: bytes, fields: tuple[str, ...] = CALL_FIELDS) -> Path:
    """What a process leaves that was killed."""
    folder = root / "journal" / new_id("run")
    folder.mkdir(parents=True)
    header = orjson.dumps(["journal", 1, fields, ["number", "provider", "model"]]) + b"\n"
    (folder / "000001.jsonl").write_bytes(header + b"".join(lines) + b"\0" * 100)
    return folder


async def replay(url: str, data_dir: Path) -> None:
    events = EventBus()
    db = Database.open(url, events)
    settings = Settings.model_validate({"data_dir": data_dir, "database_url": url})
    metering = MeteringService(db, SystemClock(), events, settings, Metrics())
    await metering.start()
    assert metering._writer is not None
    await metering._writer.replay()
    await metering.stop()
    await db.close()


def a_call(payer: Payer, budget: str, lease: str, amount: int, charged: int = 0) -> CallRecord:
    record = CallRecord(new_id("event"), new_id("request"), payer.tenant_id, payer.user_id, payer.key_id, "chat.completions", 0)
    record.charged_nano = charged
    record.reservations = ((lease, budget, SystemClock().now().date().toordinal(), amount),)
    return record


@pytest.mark.case("D1", "B3")
async def test_a_journal_that_is_replayed_three_times_charges_once(witness: Witness, database_url: str, tmp_path: Path) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 100 * USD)
    finished, cut = a_call(payer, budget, "lse_1", 3 * USD, charged=3 * USD), a_call(payer, budget, "lse_1", 5 * USD)
    for _ in range(3):
        folder = dead_journal(tmp_path, open_line(finished), open_line(cut), final_line(finished, []))
        holder, now = folder.name, witness._stamp()
        witness.run("INSERT INTO budget_holder (id, started_at, expires_at) VALUES (:id, :now, :now)", id=holder, now=now)
        witness.run(
            "INSERT INTO budget_lease (id, budget_id, day, holder_id, amount_nano, answered) VALUES ('lse_1', :budget, :day, :id, :sum, 0)",
            id=holder,
            budget=budget,
            day=SystemClock().now().date().isoformat() if witness.engine.dialect.name == "sqlite" else SystemClock().now().date(),
            sum=20 * USD,
        )
        await replay(database_url, tmp_path)
        assert witness.truth(budget) == Truth(spent=3 * USD, leased=0, ledger=3 * USD, calls=2)
    assert witness.run("SELECT COUNT(*) FROM budget_holder")[0][0] == 0
    assert not folder.exists()


async def test_a_charge_for_a_slice_that_is_gone_still_counts(witness: Witness, database_url: str, tmp_path: Path) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 100 * USD)
    dead_journal(tmp_path, final_line(a_call(payer, budget, "lse_gone", 3 * USD, charged=3 * USD), []))
    await replay(database_url, tmp_path)
    assert witness.truth(budget) == Truth(spent=3 * USD, leased=0, ledger=3 * USD, calls=1)


async def test_a_journal_from_before_budgets_is_read(witness: Witness, database_url: str, tmp_path: Path) -> None:
    payer = witness.tenant()
    old = tuple(name for name in CALL_FIELDS if name != "reservations")
    record = a_call(payer, "bud", "lse", 0, charged=USD)
    row = [getattr(record, name) for name in old]
    dead_journal(tmp_path, orjson.dumps(["final", record.id, row, []]) + b"\n", fields=old)
    await replay(database_url, tmp_path)
    assert witness.run("SELECT charged_nano, budget_day FROM call")[0] == (USD, None)


async def test_a_row_that_is_written_twice_at_the_same_time_settles_once(postgres_database: Database, postgres_witness: Witness) -> None:
    payer = postgres_witness.tenant()
    record = a_call(payer, "bud", "lse", USD, charged=USD)
    final = ([getattr(record, name) for name in CALL_FIELDS], ())
    async with postgres_database.write() as early:
        assert await repository.insert_finals(early.session, [final]) == [final]

        async def write_too() -> None:
            async with postgres_database.write() as late:
                await repository.insert_finals(late.session, [final])

        # It sees no row yet, and waits in its insert for what `early` is going to do.
        late = asyncio.create_task(write_too())
        waits = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        async with asyncio.timeout(30):
            while not postgres_witness.run(waits)[0][0]:
                await asyncio.sleep(0.02)
    with pytest.raises(repository.WrittenMeanwhile):
        await late
    async with postgres_database.write() as again:
        assert await repository.insert_finals(again.session, [final]) == []


@pytest.mark.case("B3")
async def test_a_process_that_goes_on_replays_its_dead_neighbours_journal(
    witness: Witness, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "REPLAY_SECONDS", 0.1)
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 100 * USD)
    async with open_till(database_url, tmp_path) as till:
        await till.call(payer, USD, USD)
        dead_journal(tmp_path, final_line(a_call(payer, budget, "lse_gone", 3 * USD, charged=3 * USD), []))
        async with asyncio.timeout(30):
            while witness.truth(budget).calls < 2:
                await asyncio.sleep(0.02)
    assert witness.truth(budget) == Truth(spent=4 * USD, leased=0, ledger=4 * USD, calls=2)


@pytest.mark.case("D1")
async def test_a_process_that_stops_leaves_no_lease_and_no_journal(witness: Witness, database_url: str, tmp_path: Path) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "key", 1_000 * USD)
    async with open_till(database_url, tmp_path) as till:
        await till.call(payer, USD, USD // 2)
        assert till.keeper.try_reserve(payer, 0) is not None
    assert witness.truth(budget) == Truth(spent=USD // 2, leased=0, ledger=USD // 2, calls=1)
    assert witness.run("SELECT COUNT(*) FROM budget_holder")[0][0] == 0
    assert list((tmp_path / "journal").iterdir()) == []
