"""Ledger, budgets, rollups and attempts agree to the nano-dollar while calls go on; a micro-dollar put in anywhere is found and named."""

import asyncio
import fcntl
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from backend.audit.service import AuditService
from backend.budgets.slices import Reservation
from backend.identity.principal import ANONYMOUS, system
from backend.kernel.clock import SystemClock
from backend.kernel.errors import PermissionDenied, StorageUnavailable
from backend.metering.reconcile.compare import LEDGER_CHANGED
from backend.metering.reconcile.schemas import Reconciliation
from backend.metering.reconcile.service import ReconcileService
from backend.metering.reconcile.waiting import journals_in
from backend.metering.record import AttemptRecord, CallRecord, final_line, open_line
from backend.metering.rollups import series
from tests.budgets.till import Payer, Till, open_till
from tests.budgets.witness import Witness
from tests.metering.conftest import a_call

USD = 1_000_000_000
MICRO = 1_000
OPERATOR = system("test")


@dataclass
class Shop:
    """A tenant with a key and three budgets, and a process that takes its calls."""

    till: Till
    payer: Payer
    witness: Witness
    service: ReconcileService
    data_dir: Path

    async def call(self, charged: int, *, model: str = "gpt-fake", now_us: int | None = None) -> None:
        now_us = now_us or int(SystemClock().now().timestamp() * 1_000_000)
        with await self.reserve(charged + USD) as reservation:
            record = record_of(self.payer, charged, now_us, model)
            record.reservations = reservation.held
            ticket = self.till.metering.open_call(record)
            record.reservations = reservation.settle(charged)
            self.till.metering.record(record, [attempt_of(charged)], ticket)

    async def reserve(self, amount: int) -> Reservation:
        """Tried again on 503, as the SDKs do."""
        while True:
            with suppress(StorageUnavailable):
                return await self.till.reserve(self.payer, amount)

    async def reconcile(self, **options: object) -> Reconciliation:
        await self.till.metering.flush()
        return await self.service.run(OPERATOR, **options)  # type: ignore[arg-type]


def record_of(payer: Payer, charged: int, now_us: int, model: str = "gpt-fake") -> CallRecord:
    record = a_call(tenant_id=payer.tenant_id, key_id=payer.key_id, user_id=payer.user_id, created_us=now_us, model=model)
    record.outcome, record.status, record.attempts, record.price_state = "completed", 200, 1, "priced"
    record.charged_nano = record.provider_cost_nano = charged
    record.input_tokens, record.output_tokens, record.latency_ms, record.first_token_ms = 7, 5, 120, 40
    record.unit, record.quantity = [(None, 0.0), ("second", charged % 100_000 / 1000), ("image", 2.0)][charged % 3]
    return record


def attempt_of(cost: int) -> AttemptRecord:
    return AttemptRecord(1, "acme", "gpt-fake", outcome="completed", status=200, provider_cost_nano=cost)


@asynccontextmanager
async def open_shop(url: str, data_dir: Path) -> AsyncIterator[Shop]:
    witness, clock = Witness(url), SystemClock()
    payer = witness.tenant(zone="Asia/Kathmandu")
    for scope in ("tenant", "user", "key"):
        witness.budget(payer, scope, 1_000_000 * USD)
    async with open_till(url, data_dir) as till:
        yield Shop(till, payer, witness, ReconcileService(till.db, clock, AuditService(clock), data_dir), data_dir)
    witness.close()


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def sqlite_shop(sqlite_database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """For what is no matter of the database."""
    async with open_shop(sqlite_database_url, tmp_path) as opened:
        yield opened


async def some_calls(shop: Shop, number: int = 40) -> int:
    """Their charges, of every size down to a nano-dollar."""
    chance = random.Random(number)
    charges = [chance.choice([1, 999, 12_345, 7_000_001, 3 * USD]) + chance.randrange(1000) for _ in range(number)]
    for charge in charges:
        await shop.call(charge, model=chance.choice(["gpt-fake", "other"]))
    return sum(charges)


@pytest.mark.case("B12")
async def test_what_was_called_agrees_everywhere(shop: Shop) -> None:
    charged = await some_calls(shop)
    found = await shop.reconcile()
    assert found.differences == ()
    assert found.agrees
    assert (found.calls, found.charged_nano, found.provider_cost_nano) == (40, charged, charged)
    assert (found.tenants, found.refused_rows) == (1, 0)


@pytest.mark.case("B12")
async def test_the_last_microsecond_of_an_hour_is_of_that_hour_everywhere(shop: Shop) -> None:
    """Databases that round moments to milliseconds would count it in the next."""
    hour_us = 3_600_000_000
    this_hour = int(SystemClock().now().timestamp() * 1_000_000) // hour_us * hour_us
    for before in (1, 400, 501):
        await shop.call(MICRO, now_us=this_hour - before)
    await shop.call(MICRO, now_us=this_hour)
    found = await shop.reconcile()
    assert (found.differences, found.calls) == ((), 4)


@pytest.mark.case("B12")
async def test_it_agrees_at_every_moment_while_calls_go_on(shop: Shop) -> None:
    stop = asyncio.Event()

    async def call_on() -> None:
        while not stop.is_set():
            await some_calls(shop, 10)
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        group.create_task(call_on())
        seen = set()
        for _ in range(12):
            found = await shop.service.run(OPERATOR)
            assert found.differences == ()
            seen.add(found.calls)
            await asyncio.sleep(0.05)
        stop.set()
    assert len(seen) > 1, "nothing was called meanwhile"
    assert (await shop.reconcile()).agrees


@pytest.mark.case("B12")
async def test_a_micro_dollar_in_a_budgets_counter_is_found_and_named(shop: Shop) -> None:
    await some_calls(shop)
    await shop.till.metering.flush()
    [[budget, day]] = shop.witness.run("SELECT budget_id, day FROM budget_day ORDER BY budget_id LIMIT 1")
    shop.witness.run("UPDATE budget_day SET spent_nano = spent_nano + :by WHERE budget_id = :id", by=MICRO, id=budget)
    [one] = (await shop.reconcile()).differences
    assert (one.kind, one.measure, one.difference, one.tenant_id) == ("budget", "spent_nano", MICRO, shop.payer.tenant_id)
    assert budget in one.place
    assert str(day) in one.place
    assert "counter" in one.reason


@pytest.mark.case("B12")
@pytest.mark.parametrize(("span", "name"), [(60, "minute"), (3_600, "hour"), (86_400, "day")])
async def test_a_micro_dollar_in_a_rollup_is_found_named_and_repaired(shop: Shop, span: int, name: str) -> None:
    await some_calls(shop)
    await shop.till.metering.flush()
    series = "SELECT id FROM rollup_series WHERE key_id <> '*' AND model <> '*'"
    [[key, starts]] = shop.witness.run(
        f"SELECT series_id, starts FROM rollup WHERE span = :span AND series_id IN ({series}) LIMIT 1", span=span
    )
    change = "UPDATE rollup SET charged_nano = charged_nano - :by WHERE series_id = :key AND span = :span AND starts = :starts"
    shop.witness.run(change, by=MICRO, key=bytes(key), span=span, starts=starts)
    [one] = (await shop.reconcile()).differences
    assert (one.kind, one.measure, one.difference) == ("rollup", "charged_nano", -MICRO)
    assert one.place.startswith(f"{name} ")
    assert f"key {shop.payer.key_id}" in one.place
    assert "model " in one.place
    assert "--repair" in one.reason
    repaired = await shop.reconcile(repair=True)
    assert (repaired.agrees, repaired.repaired) == (True, 1)
    await some_calls(shop, 5)
    assert (await shop.reconcile()).agrees
    [[target, facts]] = shop.witness.run("SELECT target, CAST(facts AS TEXT) FROM audit_entry WHERE action = 'rollup.repair'")
    assert target == shop.payer.tenant_id
    assert "0.000001" in facts


async def test_rollups_of_all_tenants_together_are_compared_and_repaired_by_those_of_each(shop: Shop) -> None:
    await some_calls(shop, 10)
    await shop.till.metering.flush()
    together = "(SELECT id FROM rollup_series WHERE tenant_id = '*')"
    shop.witness.run(f"UPDATE rollup SET charged_nano = charged_nano + 7 WHERE span = 3600 AND series_id IN {together}")
    found = await shop.reconcile()
    assert {(one.tenant_id, one.measure, one.difference % 7) for one in found.differences} == {(None, "charged_nano", 0)}
    assert all("all tenants" in one.place for one in found.differences)
    assert (await shop.reconcile(tenant_id=shop.payer.tenant_id)).agrees
    assert (await shop.reconcile(repair=True)).agrees
    await some_calls(shop, 3)
    assert (await shop.reconcile()).agrees


@pytest.mark.case("B12")
async def test_a_micro_dollar_in_the_ledger_is_found_and_not_repaired_away(shop: Shop) -> None:
    await some_calls(shop)
    await shop.till.metering.flush()
    [[call]] = shop.witness.run("SELECT id FROM call ORDER BY id LIMIT 1")
    shop.witness.run("UPDATE call SET charged_nano = charged_nano + :by WHERE id = :id", by=MICRO, id=call)
    found = await shop.reconcile(repair=True)
    assert {one.difference for one in found.differences} == {-MICRO}
    assert {one.reason for one in found.differences} == {LEDGER_CHANGED}
    assert sorted(one.kind for one in found.differences) == ["budget"] * 3 + ["rollup"] * 10
    assert found.repaired == 0


async def test_a_micro_dollar_in_an_attempt_is_found_with_its_call(sqlite_shop: Shop) -> None:
    await some_calls(sqlite_shop, 5)
    await sqlite_shop.till.metering.flush()
    [[call]] = sqlite_shop.witness.run("SELECT id FROM call ORDER BY id LIMIT 1")
    sqlite_shop.witness.run("UPDATE call_attempt SET provider_cost_nano = provider_cost_nano + :by WHERE call_id = :id", by=MICRO, id=call)
    [one] = (await sqlite_shop.reconcile()).differences
    assert (one.kind, one.place, one.difference) == ("attempts", f"call {call}", MICRO)


async def test_lost_rollups_are_rebuilt_with_their_histograms(shop: Shop) -> None:
    await some_calls(shop, 30)
    await shop.till.metering.flush()
    table = "SELECT series_id, span, starts, latency, first_token, calls FROM rollup ORDER BY 1, 2, 3"
    before = shop.witness.run(table)
    shop.witness.run("DELETE FROM rollup")
    found = await shop.reconcile(repair=True)
    assert found.agrees
    assert found.repaired == len(before)
    assert shop.witness.run(table) == before


async def test_a_row_that_was_counted_twice_and_a_budget_nobody_has_are_found(sqlite_shop: Shop) -> None:
    await some_calls(sqlite_shop, 3)
    await sqlite_shop.till.metering.flush()
    sqlite_shop.witness.run("INSERT INTO budget_day (budget_id, day, spent_nano) SELECT 'bud_nobodys', day, 5 FROM budget_day LIMIT 1")
    sqlite_shop.witness.run("UPDATE rollup SET calls = calls * 2, latency = '[56, 6]' WHERE span = 86400 AND starts > 0")
    found = await sqlite_shop.reconcile()
    assert {(one.kind, one.measure) for one in found.differences} >= {("rollup", "calls"), ("budget", "spent_nano")}
    assert [one.tenant_id for one in found.differences if one.kind == "budget"] == [None]


async def test_names_beyond_what_charts_keep_apart_still_agree(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_NAMES", 2)
    for number in range(12):
        await sqlite_shop.call(MICRO, model=f"model-{number}")
    assert (await sqlite_shop.reconcile()).differences == ()
    sqlite_shop.witness.run("UPDATE rollup SET charged_nano = charged_nano + 1 WHERE span = 3600")
    found = await sqlite_shop.reconcile()
    assert {one.measure for one in found.differences} == {"charged_nano"}
    assert (await sqlite_shop.reconcile(repair=True)).agrees


async def test_since_and_tenant_leave_the_rest_out(sqlite_shop: Shop) -> None:
    await some_calls(sqlite_shop, 3)
    await sqlite_shop.till.metering.flush()
    sqlite_shop.witness.run("UPDATE budget_day SET spent_nano = spent_nano + 1")
    sqlite_shop.witness.run("UPDATE rollup SET calls = calls + 1 WHERE span = 3600")
    today = SystemClock().now().date()
    assert (await sqlite_shop.reconcile(since=today + timedelta(days=3))).agrees
    assert (await sqlite_shop.reconcile(tenant_id="ten_other")).agrees
    assert not (await sqlite_shop.reconcile(tenant_id=sqlite_shop.payer.tenant_id, since=today - timedelta(days=1))).agrees


async def test_what_is_in_flight_is_told_and_is_no_difference(sqlite_shop: Shop) -> None:
    await some_calls(sqlite_shop, 3)
    await sqlite_shop.till.metering.flush()
    running = record_of(sqlite_shop.payer, 0, 1_784_116_800_000_000)
    ticket = sqlite_shop.till.metering.open_call(running)
    dead = sqlite_shop.data_dir / "journal" / "run_dead"
    dead.mkdir()
    ended, cut = (record_of(sqlite_shop.payer, MICRO, 1_784_116_800_000_000) for _ in range(2))
    segment = next(sqlite_shop.data_dir.glob("journal/run_*/000001.jsonl"))
    header = segment.read_bytes().split(b"\n")[0] + b"\n"
    (dead / "000001.jsonl").write_bytes(header + open_line(ended) + open_line(cut) + final_line(ended, [attempt_of(MICRO)]))
    found = await sqlite_shop.service.run(OPERATOR)
    assert found.agrees
    [holder] = found.leases
    assert (holder.alive, holder.leases) == (True, 3)
    assert holder.held_nano > 0
    told = {one.process: one for one in found.journals}
    mine = told[sqlite_shop.till.metering.process_id or ""]
    assert (mine.alive, mine.ended, mine.running) == (True, 0, 1)
    assert told["run_dead"].alive is False
    assert (told["run_dead"].ended, told["run_dead"].charged_nano, told["run_dead"].running) == (1, MICRO, 1)
    sqlite_shop.till.metering.record(running, [], ticket)


def test_half_a_line_is_something_to_say_only_where_nobody_is_writing_it(tmp_path: Path) -> None:
    folder = tmp_path / "run_writing"
    folder.mkdir()
    (folder / "000001.jsonl").write_bytes(b'["open","call_1",["hal' + bytes(1000))
    with (folder / "lock").open("w") as lock, capture_logs() as logs:
        fcntl.flock(lock, fcntl.LOCK_EX)
        [journal] = journals_in(tmp_path)
        assert (journal.alive, journal.ended, journal.running, logs) == (True, {}, [], [])
        fcntl.flock(lock, fcntl.LOCK_UN)
        [journal] = journals_in(tmp_path)
        assert (journal.alive, [line["event"] for line in logs]) == (False, ["ledger.journal_line_unreadable"])


async def test_a_row_that_was_refused_is_told_and_counted_everywhere(sqlite_shop: Shop) -> None:
    """The database takes no row without a cost; its charge is in the ledger all the same."""
    await some_calls(sqlite_shop, 3)
    with await sqlite_shop.reserve(USD) as reservation:
        bad = record_of(sqlite_shop.payer, MICRO, int(SystemClock().now().timestamp() * 1_000_000))
        bad.provider_cost_nano = None  # type: ignore[assignment]
        bad.reservations = reservation.held
        ticket = sqlite_shop.till.metering.open_call(bad)
        bad.reservations = reservation.settle(MICRO)
        sqlite_shop.till.metering.record(bad, [], ticket)
    found = await sqlite_shop.reconcile()
    assert found.refused_rows == 1
    assert found.differences == ()


async def test_only_a_super_admin_reconciles(sqlite_shop: Shop) -> None:
    with pytest.raises(PermissionDenied):
        await sqlite_shop.service.run(ANONYMOUS)
