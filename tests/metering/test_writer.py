"""From the journal to the database: exactly once, however often, and after the worst."""

import asyncio
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.budgets.events import ChargesSettled
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.metering.journal import Journal, lines_of
from backend.metering.record import final_line, open_line
from backend.metering.service import MeteringService
from backend.metering.writer import LedgerWriter
from tests.metering.conftest import a_call, completed, open_metering, rows

ROOT = Path(__file__).parents[2]


async def test_a_call_becomes_one_row_and_its_attempts_theirs(metering: MeteringService, database: Database) -> None:
    call = a_call(end_user="eve", stream=True)
    ticket = metering.open_call(call)
    metering.record(*completed(call), ticket)
    await metering.flush()
    [row] = await rows(database)
    assert row["id"] == call.id
    assert (row["outcome"], row["status"], row["end_user"], bool(row["stream"])) == ("completed", 200, "eve", True)
    assert (row["input_tokens"], row["output_tokens"], row["charged_nano"]) == (10, 5, 20_000)
    [attempt] = await rows(database, "call_attempt")
    assert (attempt["call_id"], attempt["number"], attempt["outcome"]) == (call.id, 1, "completed")


async def test_what_was_written_reads_back_through_the_tables_own_types(metering: MeteringService, database: Database) -> None:
    from backend.metering.tables import Call, CallAttempt

    call = a_call()
    metering.record(*completed(call), metering.open_call(call))
    await metering.flush()
    async with database.read() as session:
        row = (await session.execute(sa.select(Call))).scalar_one()
        attempt = (await session.execute(sa.select(CallAttempt))).scalar_one()
    assert row.created_at == datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
    assert row.tags == ["team-a"]
    assert row.price_ids == ["prc_1"]
    assert attempt.usage == {"input": 10, "output": 5}


async def test_rows_arrive_without_being_asked_for(metering: MeteringService, database: Database) -> None:
    metering.record(*completed(a_call()), None)
    async with asyncio.timeout(10):
        while not await rows(database):
            await asyncio.sleep(0.05)


async def test_the_same_journal_twice_changes_nothing(database: Database, tmp_path: Path, clock: Clock) -> None:
    call, attempts = completed(a_call())
    for _ in range(2):
        journal = Journal(tmp_path / "journal")
        journal.open()
        journal.append(final_line(call, attempts))
        journal.append(final_line(call, attempts))
        journal.close()
        async with open_metering(database, tmp_path, clock) as service:
            await _replayed(service)
    assert len(await rows(database)) == 1
    assert len(await rows(database, "call_attempt")) == 1


async def test_a_thousand_calls_in_several_batches_all_arrive(metering: MeteringService, database: Database) -> None:
    calls = [a_call() for _ in range(1200)]
    for call in calls:
        metering.record(*completed(call), metering.open_call(call))
    await metering.flush()
    assert {row["id"] for row in await rows(database)} == {call.id for call in calls}


async def test_a_flush_ends_although_calls_keep_coming(metering: MeteringService, database: Database) -> None:
    asked = [a_call() for _ in range(3)]
    later: list[str] = []

    def one_more(_: ChargesSettled) -> None:
        later.append(a_call().id)
        metering.record(*completed(a_call(id=later[-1])), None)

    unsubscribe = database.events.subscribe(ChargesSettled, one_more)
    for call in asked:
        metering.record(*completed(call), None)
    async with asyncio.timeout(20):
        await metering.flush()
    unsubscribe()
    assert {call.id for call in asked} <= {row["id"] for row in await rows(database)}
    assert later


async def test_a_row_that_the_database_refuses_is_put_aside_and_the_others_go_on(
    metering: MeteringService, database: Database, tmp_path: Path
) -> None:
    good, bad = a_call(), a_call(created_us=NEVER, error_code=None)
    bad.provider_cost_nano = None  # type: ignore[assignment]
    bad.charged_nano = 7
    for call in (good, bad):
        metering.record(call, [])
    await metering.flush()
    # What it was charged is in the ledger all the same: budgets count what the ledger says.
    assert {row["id"]: row["charged_nano"] for row in await rows(database)} == {good.id: good.charged_nano, bad.id: 7}
    assert bad.id in (tmp_path / "journal" / "refused.jsonl").read_text()


NEVER = 1_784_116_800_000_000


async def test_while_the_database_is_away_rows_wait_in_the_journal(tmp_path: Path, sqlite_database_url: str, clock: Clock) -> None:
    file = tmp_path / "bourse.db"
    away = tmp_path / "away.db"
    file.rename(away)
    file.mkdir()  # opening a folder as a database fails
    service = _service(sqlite_database_url, tmp_path, clock)
    await service.start()
    call = a_call()
    metering_error: Exception | None = None
    service.record(*completed(call), service.open_call(call))
    try:
        await service.flush()
    except Exception as error:
        metering_error = error
    assert metering_error is not None
    file.rmdir()
    away.rename(file)
    database = Database.open(sqlite_database_url, EventBus())
    async with asyncio.timeout(20):
        while not await rows(database):
            await asyncio.sleep(0.05)
    await service.stop()
    await database.close()


@pytest.mark.case("D1")
async def test_after_kill_9_finished_calls_are_exact_and_open_ones_interrupted(database: Database, tmp_path: Path, clock: Clock) -> None:
    """The child writes 30 finished and 20 unfinished calls and is killed; whether its own writer had started does not matter."""
    script = """
import asyncio, sys
from pathlib import Path
from backend.metering.journal import Journal
from backend.metering.record import open_line, final_line
from tests.metering.conftest import a_call, completed
journal = Journal(Path(sys.argv[1]) / "journal")
journal.open()
for number in range(50):
    call = a_call(request_id=f"request-{number:02}")
    ticket = journal.open_call(open_line(call))
    if number < 30:
        journal.close_call(final_line(*completed(call)), ticket)
print("ready", flush=True)
import time; time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    for _ in range(2):  # a second start finds nothing to do
        async with open_metering(database, tmp_path, clock) as service:
            await _replayed(service)
        found = {row["request_id"]: row for row in await rows(database)}
        assert len(found) == 50
        for number in range(50):
            row = found[f"request-{number:02}"]
            assert row["outcome"] == ("completed" if number < 30 else "interrupted")
            assert row["charged_nano"] == (20_000 if number < 30 else 0)
        attempts = await rows(database, "call_attempt")
        assert sorted(attempt["outcome"] for attempt in attempts) == ["completed"] * 30 + ["interrupted"] * 20
    assert [path.name for path in (tmp_path / "journal").iterdir()] == []


async def test_a_line_that_a_power_cut_left_half_written_is_skipped(database: Database, tmp_path: Path, clock: Clock) -> None:
    journal = Journal(tmp_path / "journal")
    journal.open()
    call, attempts = completed(a_call())
    journal.append(final_line(call, attempts))
    journal.append(final_line(*completed(a_call())))
    journal.close()
    [segment] = (tmp_path / "journal").glob("*/*.jsonl")
    data = segment.read_bytes()
    segment.write_bytes(data[:-40] + b"\x00" * 40)
    async with open_metering(database, tmp_path, clock) as service:
        await _replayed(service)
    assert [row["id"] for row in await rows(database)] == [call.id]


async def test_an_older_journal_without_newer_columns_is_read(database: Database, tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "journal" / "run_old"
    directory.mkdir(parents=True)
    names = '["id","request_id","tenant_id","user_id","key_id","endpoint","created_us","outcome","status","a_column_of_the_past"]'
    row = '["evt_old","req_old","ten_1",null,"key_1","chat.completions",1784116800000000,"completed",200,"gone"]'
    header = f'["journal",1,{names},["number","provider","model"]]'
    (directory / "000001.jsonl").write_text(f'{header}\n["final","evt_old",{row},[[1,"acme","m"]]]\n')
    async with open_metering(database, tmp_path, clock) as service:
        await _replayed(service)
    [found] = await rows(database)
    assert (found["id"], found["outcome"], found["input_tokens"], found["price_state"]) == ("evt_old", "completed", 0, "unpriced")


@pytest.mark.case("D5")
async def test_fifty_writers_at_once_meet_no_locked_database(tmp_path: Path, sqlite_database_url: str, clock: Clock) -> None:
    database = Database.open(sqlite_database_url, EventBus())

    async def one(number: int) -> None:
        for _ in range(10):
            call = a_call(tenant_id=f"ten_{number}")
            metering.record(*completed(call), metering.open_call(call))
            async with database.write() as unit:
                await unit.mark_changed()

    async with open_metering(database, tmp_path, clock) as metering:
        await asyncio.gather(*(one(number) for number in range(50)))
        await metering.flush()
        assert len(await rows(database)) == 500
    await database.close()


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
import sqlalchemy as sa
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import StorageUnavailable
from backend.kernel.events import EventBus
from tests.metering.conftest import a_call, completed, open_metering, rows

async def main():
    database = Database.open(sys.argv[1], EventBus())
    async with open_metering(database, Path(sys.argv[2]), SystemClock()) as service:
        before = a_call()
        service.record(*completed(before), service.open_call(before))
        await service.flush()
        running = [a_call() for _ in range(40)]
        tickets = [service.open_call(call) for call in running]
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))  # from here on the disk takes nothing
        refused = None
        while refused is None:
            try:
                service.record(*completed(call := a_call()), service.open_call(call))
                running.append(call)
            except StorageUnavailable as error:
                refused = error
        assert (refused.status, refused.code) == (503, "storage_unavailable")
        for call, ticket in zip(running, tickets):
            service.record(*completed(call), ticket)
        try:
            await service.flush()
        except Exception:
            pass
        else:
            raise AssertionError("the database could be written")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))  # somebody made room
        service.record(*completed(after := a_call()), service.open_call(after))
        await service.flush()
        found = sorted(row["id"] for row in await rows(database))
        assert found == sorted(call.id for call in (before, *running, after)), (len(found), len(running))
        async with database.read() as session:
            assert (await session.execute(sa.text("PRAGMA integrity_check"))).scalar_one() == "ok"
    await database.close()

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main())
print("held")
"""


@pytest.mark.case("D5")
def test_on_a_disk_that_is_full_calls_get_503_and_nothing_is_lost_or_corrupted(tmp_path: Path, sqlite_database_url: str) -> None:
    """In a child, because the kernel's limit on file sizes, which stands for the full disk of journal and database, binds a process."""
    command = [sys.executable, "-c", FULL_DISK, sqlite_database_url, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1:] == ["held"], run.stdout[-2000:] + run.stderr[-3000:]


def _service(url: str, data_dir: Path, clock: Clock) -> MeteringService:
    from backend.observability.metrics import Metrics
    from backend.settings import Settings

    return MeteringService(Database.open(url, EventBus()), clock, EventBus(), Settings(data_dir=data_dir), Metrics())


async def _replayed(service: MeteringService) -> None:
    assert service._writer is not None
    await service._writer.replay()


async def test_a_process_without_a_journal_says_why_until_it_can_be_written(database: Database, tmp_path: Path, clock: Clock) -> None:
    in_the_way = tmp_path / "journal"
    in_the_way.write_text("a file where a folder should be")
    async with open_metering(database, tmp_path, clock) as service:
        assert "no call is let in" in (service.journal_trouble() or "")
        in_the_way.unlink()
        assert service.journal_trouble() is None
        assert service.process_id is not None


async def test_a_journal_that_cannot_be_replayed_holds_up_neither_the_others_nor_our_own(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "journal" / "aaa" / "000001.jsonl").mkdir(parents=True)  # a folder where a file should be cannot be read
    left = Journal(tmp_path / "journal")
    left.open()
    theirs, ours = a_call(), a_call()
    left.append(final_line(*completed(theirs)))
    left.close()
    async with open_metering(database, tmp_path, clock) as service, asyncio.timeout(20):
        service.record(*completed(ours), None)
        while {row["id"] for row in await rows(database)} != {theirs.id, ours.id}:
            await asyncio.sleep(0.05)
    assert (tmp_path / "journal" / "aaa").exists()


async def test_an_open_line_that_outlived_its_final_line_changes_nothing_when_replayed(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    """A long call pins the segment of both open lines; the final line of the short one is in a later segment that is gone already."""
    journal = Journal(tmp_path / "journal", segment_bytes=64 * 1024)
    journal.open()
    short, long = a_call(), a_call()
    journal.open_call(open_line(long))
    ticket = journal.open_call(open_line(short))
    finals = [final_line(*completed(a_call())) for _ in range(400)]
    for line in finals[:200]:
        journal.append(line)
    journal.close_call(final_line(*completed(short)), ticket)
    for line in finals[200:]:
        journal.append(line)
    writer = LedgerWriter(database, journal, tmp_path / "journal", clock)
    await writer.drain()
    assert not any(short.id.encode() in line and line.startswith(b'["final"') for line in lines_of(journal.directory))
    journal.close()
    async with open_metering(database, tmp_path, clock) as service:
        await _replayed(service)
    found = {row["id"]: row for row in await rows(database)}
    assert len(found) == 402
    assert (found[short.id]["outcome"], found[short.id]["charged_nano"]) == ("completed", 20_000)
    assert found[long.id]["outcome"] == "interrupted"
    outcomes = {row["call_id"]: row["outcome"] for row in await rows(database, "call_attempt")}
    assert (outcomes[short.id], outcomes[long.id]) == ("completed", "interrupted")
