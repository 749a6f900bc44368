"""The unit of work on both databases: all or nothing, events after the commit, and no "database is locked"."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.identity.tables import Membership, SystemSetting, Tenant
from backend.kernel.db import Database, UnitOfWork, async_url, is_sqlite, patience, sync_url
from backend.kernel.errors import StorageUnavailable
from backend.kernel.events import Event, EventBus
from tests.rig.server import ROOT

NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Counted(Event):
    number: int


def tenant(slug: str) -> Tenant:
    return Tenant(id=f"ten_{slug}", slug=slug, name=slug, created_at=NOON)


async def slugs(database: Database) -> list[str]:
    async with database.read() as session:
        return list((await session.execute(sa.select(Tenant.slug).order_by(Tenant.slug))).scalars())  # type: ignore[call-overload]


async def test_what_was_written_is_there_after_the_commit(database: Database) -> None:
    async with database.write() as unit:
        unit.session.add(tenant("acme"))
    assert await slugs(database) == ["acme"]


async def test_an_exception_takes_everything_back_and_tells_nobody(database: Database, events: EventBus) -> None:
    heard: list[Counted] = []
    events.subscribe(Counted, heard.append)
    with pytest.raises(RuntimeError):
        await _write_and_fail(database)
    assert await slugs(database) == []
    assert heard == []


async def _write_and_fail(database: Database) -> None:
    async with database.write() as unit:
        unit.session.add(tenant("acme"))
        await unit.session.flush()
        unit.emit(Counted(1))
        raise RuntimeError("something went wrong after the insert")


async def test_events_are_published_only_after_the_commit(database: Database, events: EventBus) -> None:
    heard: list[Counted] = []
    events.subscribe(Counted, heard.append)
    async with database.write() as unit:
        unit.session.add(tenant("acme"))
        unit.emit(Counted(1))
        await unit.session.flush()
        assert heard == []
    assert heard == [Counted(1)]


async def test_a_commit_that_fails_publishes_nothing(database: Database, events: EventBus) -> None:
    heard: list[Counted] = []
    events.subscribe(Counted, heard.append)
    async with database.write() as unit:
        unit.session.add(tenant("acme"))
    with pytest.raises(sa.exc.IntegrityError):
        async with database.write() as unit:
            unit.session.add(Tenant(id="ten_other", slug="acme", name="twin", created_at=NOON))
            unit.emit(Counted(1))
    assert heard == []


async def test_a_failed_unit_of_work_leaves_the_next_one_free_to_work(database: Database) -> None:
    with pytest.raises(RuntimeError):
        await _write_and_fail(database)
    async with database.write() as unit:
        unit.session.add(tenant("later"))
    assert await slugs(database) == ["later"]


async def test_a_cancelled_unit_of_work_is_taken_back_and_blocks_nobody(database: Database) -> None:
    inside = asyncio.Event()

    async def write_for_ever() -> None:
        async with database.write() as unit:
            unit.session.add(tenant("cancelled"))
            await unit.session.flush()
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_for_ever())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.write() as unit:
        unit.session.add(tenant("next"))
    assert await slugs(database) == ["next"]


async def test_a_cancellation_that_the_driver_broke_over_is_none_the_less_one(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As psycopg does, of some hundred times once, where many rows are on their way in a pipeline. Its connection is used no more."""
    under_way = asyncio.Event()

    async def executemany(cursor: psycopg.AsyncCursor[Any], *_: object, **__: object) -> None:
        pids.append(cursor.connection.info.backend_pid)
        under_way.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise AssertionError from None

    async def write_many() -> None:
        async with postgres_database.write() as unit:
            await unit.session.execute(sa.text("UPDATE change SET version = version + :by"), [{"by": 1}, {"by": 2}])

    pids: list[int] = []
    before = await postgres_database.change_version()
    with monkeypatch.context() as patched:
        patched.setattr(psycopg.AsyncCursor, "executemany", executemany)
        task = asyncio.create_task(write_many())
        await under_way.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        under_way.clear()
        patience.set(0.05)
        with pytest.raises(StorageUnavailable):
            await write_many()
        patience.set(None)
    await write_many()
    assert await postgres_database.change_version() == before + 3
    async with postgres_database.read() as session:
        pid = (await session.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
    assert len({*pids, pid}) == 3


async def test_a_reader_never_changes_anything(database: Database) -> None:
    async with database.read() as session:
        session.add(tenant("acme"))
        await session.flush()
    assert await slugs(database) == []


async def test_the_change_version_moves_with_the_transaction_that_moved_it(database: Database) -> None:
    before = await database.change_version()
    async with database.write() as unit:
        await unit.mark_changed()
        await unit.mark_changed()
    assert await database.change_version() == before + 2
    with pytest.raises(RuntimeError):
        await _mark_and_fail(database)
    assert await database.change_version() == before + 2


async def _mark_and_fail(database: Database) -> None:
    async with database.write() as unit:
        await unit.mark_changed()
        raise RuntimeError("not after all")


async def test_instants_come_back_aware_and_in_utc(database: Database) -> None:
    elsewhere = datetime(2026, 7, 15, 17, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    async with database.write() as unit:
        unit.session.add(SystemSetting(name="probe", value={"a": [1, None]}, updated_at=elsewhere))
    async with database.read() as session:
        row = (await session.execute(sa.select(SystemSetting))).scalar_one()
    assert row.updated_at == NOON + timedelta(microseconds=123456)
    assert row.updated_at.utcoffset() == timedelta(0)
    assert row.value == {"a": [1, None]}


async def test_a_naive_instant_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="naive datetime"):
        async with database.write() as unit:
            unit.session.add(SystemSetting(name="probe", value={}, updated_at=NOON.replace(tzinfo=None)))


async def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        async with database.write() as unit:
            unit.session.add(Membership(tenant_id="ten_nobody", user_id="usr_nobody", role="owner", created_at=NOON))


async def _count_up(database: Database, times: int) -> None:
    for _ in range(times):
        async with database.write() as unit:
            await _increment(unit)


async def _increment(unit: UnitOfWork) -> None:
    row = (await unit.session.execute(sa.select(SystemSetting).where(SystemSetting.name == "count").with_for_update())).scalar_one()  # type: ignore[arg-type]
    row.value = {"count": row.value["count"] + 1}
    unit.session.add(row)


async def _read_until(database: Database, done: asyncio.Event) -> int:
    reads = 0
    while not done.is_set():
        async with database.read() as session:
            await session.execute(sa.select(SystemSetting))
        reads += 1
    return reads


async def _contend(database: Database, *, writers: int, times: int) -> int:
    """`writers` tasks read, change and write one row `times` times each, beside readers; returns the final count."""
    async with database.write() as unit:
        unit.session.add(SystemSetting(name="count", value={"count": 0}, updated_at=NOON))
    done = asyncio.Event()
    readers = [asyncio.create_task(_read_until(database, done)) for _ in range(2)]
    try:
        await asyncio.gather(*(_count_up(database, times) for _ in range(writers)))
    finally:
        done.set()
        await asyncio.gather(*readers)
    async with database.read() as session:
        return int((await session.execute(sa.select(SystemSetting))).scalar_one().value["count"])


@pytest.mark.case("D5")
async def test_fifty_concurrent_writers_on_sqlite_lose_nothing_and_never_meet_a_lock(sqlite_database: Database) -> None:
    assert await _contend(sqlite_database, writers=50, times=6) == 300


async def test_concurrent_writers_on_postgresql_lose_nothing(postgres_database: Database) -> None:
    assert await _contend(postgres_database, writers=10, times=10) == 100


@pytest.mark.case("D5")
async def test_a_second_process_writing_to_the_same_file_is_waited_for(sqlite_database: Database) -> None:
    """A command such as `make seed` may run beside the server: its lock is waited for, not reported."""
    path = sa.make_url(sqlite_database.url).database
    assert path
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(_write(sqlite_database, "waits"))
    await asyncio.wait({writing}, timeout=0.2)
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    await writing
    assert await slugs(sqlite_database) == ["waits"]


async def _write(database: Database, slug: str) -> None:
    async with database.write() as unit:
        unit.session.add(tenant(slug))


@pytest.mark.soak
@pytest.mark.case("D5")
async def test_soak_fifty_writers_for_ten_minutes_and_the_file_is_whole(sqlite_database: Database) -> None:
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    async with sqlite_database.write() as unit:
        unit.session.add(SystemSetting(name="count", value={"count": 0}, updated_at=NOON))
    deadline = time.monotonic() + seconds
    written = 0

    async def write_until_the_end() -> None:
        nonlocal written
        while time.monotonic() < deadline:
            await _count_up(sqlite_database, 1)
            written += 1

    await asyncio.gather(*(write_until_the_end() for _ in range(50)))
    async with sqlite_database.read() as session:
        row = (await session.execute(sa.select(SystemSetting))).scalar_one()
        assert row.value["count"] == written
        assert (await session.execute(sa.text("PRAGMA integrity_check"))).scalar_one() == "ok"


@pytest.mark.parametrize(
    ("url", "asynchronous", "synchronous"),
    [
        ("sqlite+aiosqlite:////data/b.db", "sqlite+aiosqlite:////data/b.db", "sqlite:////data/b.db"),
        ("sqlite:///b.db", "sqlite+aiosqlite:///b.db", "sqlite:///b.db"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u:p@h:5432/d?sslmode=require", "postgresql+psycopg://u:p@h:5432/d?sslmode=require",
         "postgresql+psycopg://u:p@h:5432/d?sslmode=require"),
        ("postgresql+asyncpg://u@h/d", "postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)  # fmt: skip
def test_the_usual_spellings_of_database_urls_are_understood(url: str, asynchronous: str, synchronous: str) -> None:
    assert async_url(url) == asynchronous
    assert sync_url(url) == synchronous
    assert is_sqlite(url) == url.startswith("sqlite")


async def test_a_database_that_is_away_is_unavailable_and_says_when_to_try_again() -> None:
    away = Database.open("postgresql://nobody@127.0.0.1:1/nothing", EventBus())
    for attempt in (away.ping(), away.change_version(), _write(away, "never")):
        with pytest.raises(StorageUnavailable) as refusal:
            await attempt
        assert refusal.value.retry_after == 2
    await away.close()


async def test_a_mistake_of_ours_is_not_called_unavailable(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        async with database.read() as session:
            await session.execute(sa.text("SELECT * FROM no_such_table"))


async def test_a_connection_that_was_cut_is_replaced_before_the_next_request(postgres_database: Database) -> None:
    await postgres_database.ping()
    async with postgres_database.read() as session:
        await session.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL")
        )
    await asyncio.gather(*(postgres_database.ping() for _ in range(3)))


@pytest.mark.case("D5")
async def test_a_full_disk_is_unavailable_and_corrupts_nothing(sqlite_database: Database) -> None:
    await _write(sqlite_database, "before")
    await _limit_pages(sqlite_database, 1)
    with pytest.raises(StorageUnavailable):
        await _write_much(sqlite_database)
    assert await slugs(sqlite_database) == ["before"]
    async with sqlite_database.read() as session:
        assert (await session.execute(sa.text("PRAGMA integrity_check"))).scalar_one() == "ok"
    await _limit_pages(sqlite_database, 1_000_000)
    await _write(sqlite_database, "room again")
    assert await slugs(sqlite_database) == ["before", "room again"]


async def _limit_pages(database: Database, pages: int) -> None:
    """SQLite's own limit answers exactly as a disk without room does; it never goes below what the file has."""
    async with database.write() as unit:
        await unit.session.execute(sa.text(f"PRAGMA max_page_count={pages}"))


async def _write_much(database: Database) -> None:
    async with database.write() as unit:
        for number in range(200):
            unit.session.add(SystemSetting(name=f"filler-{number}", value={"text": "x" * 4000}, updated_at=NOON))
        await unit.session.flush()


WRITER = """
import asyncio, sys
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from datetime import UTC, datetime
from backend.identity.tables import SystemSetting
from backend.kernel.db import Database
from backend.kernel.events import EventBus

async def main():
    database = Database.open(sys.argv[1], EventBus())
    number = 0
    while True:
        async with database.write() as unit:
            for part in ("a", "b"):
                unit.session.add(SystemSetting(name=f"{number}-{part}", value={"text": "x" * 500}, updated_at=datetime.now(UTC)))
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


@pytest.mark.case("D5")
async def test_kill_minus_nine_and_a_copy_of_the_files_lose_no_commit_and_keep_no_half(sqlite_database_url: str, tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, sqlite_database_url], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(60)]
    writer.kill()
    acknowledged += writer.stdout.readlines()
    writer.wait()
    (tmp_path / "copy").mkdir()
    for name in ("bourse.db", "bourse.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    with sqlite3.connect(tmp_path / "copy" / "bourse.db") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = {row[0] for row in copy.execute("SELECT name FROM system_setting")}
    committed = {name.partition("-")[0] for name in names}
    assert {line.strip() for line in acknowledged if line.endswith("\n")} <= committed
    assert len(names) == 2 * len(committed)


async def test_an_error_of_the_database_names_no_value(database: Database) -> None:
    async with database.write() as unit:
        unit.session.add(tenant("acme"))
    with pytest.raises(sa.exc.IntegrityError) as refused:
        async with database.write() as unit:
            await unit.session.execute(sa.insert(Tenant), {"id": "ten_acme", "slug": "the-secret-slug", "name": "x", "created_at": NOON})
    assert "the-secret-slug" not in str(refused.value)


async def test_a_transaction_without_a_session_is_all_or_nothing(database: Database) -> None:
    moved = "UPDATE change SET version = version + 1 WHERE id = 1"

    async def there(connection: AsyncConnection) -> int:
        return (await connection.exec_driver_sql(moved)).rowcount

    assert await database.transact(lambda connection: connection.execute(moved).rowcount, there) == 1
    assert await database.change_version() == 2

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute(moved)
        connection.execute("SELECT nothing")

    async def broken_there(connection: AsyncConnection) -> None:
        await connection.exec_driver_sql(moved)
        await connection.exec_driver_sql("SELECT nothing")

    with pytest.raises(sa.exc.DBAPIError):
        await database.transact(broken, broken_there)
    assert await database.change_version() == 2
    async with database.write() as unit:
        await unit.mark_changed()
    assert await database.change_version() == 3


async def test_looking_takes_no_session(database: Database) -> None:
    async def there(connection: AsyncConnection) -> int:
        return int((await connection.exec_driver_sql("SELECT version FROM change")).scalar_one())

    looked = await database.look(lambda connection: int(connection.execute("SELECT version FROM change").fetchone()[0]), there)
    assert looked == await database.change_version()


async def test_a_transaction_that_somebody_left_open_is_not_the_next_ones(sqlite_database: Database) -> None:
    async with sqlite_database._writer.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute("BEGIN IMMEDIATE")
        await driver.execute("UPDATE change SET version = 99")
    async with sqlite_database._writer.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        assert not driver.in_transaction
    assert await sqlite_database.change_version() == 1
