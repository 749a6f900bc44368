"""SQLite after the worst: killed in the middle of writing, and a power cut that takes what no disk had been asked to keep."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.metering.journal import Journal
from backend.metering.record import final_line, open_line
from backend.metering.writer import LedgerWriter
from tests.metering.conftest import a_call, completed, open_metering, rows
from tests.rig.schema import sqlite_url

ROOT = Path(__file__).parents[2]
BUSY = """
import asyncio, sys
from pathlib import Path
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from tests.metering.conftest import a_call, completed, open_metering, rows

async def main():
    database = Database.open(sys.argv[1], EventBus())
    async with open_metering(database, Path(sys.argv[2]), SystemClock()) as service:
        for number in range(10**9):
            call = a_call()
            ticket = service.open_call(call)
            print(call.id, flush=True)
            if number % 7:
                service.record(*completed(call), ticket)
            if number % 50 == 0:
                await asyncio.sleep(0.01)

asyncio.run(main())
"""


@pytest.mark.case("D5")
@pytest.mark.parametrize("round_number", [0, *(pytest.param(number, marks=pytest.mark.soak) for number in range(1, 20))])
async def test_a_database_whose_writer_was_killed_is_whole_and_has_every_call_once_replayed(
    tmp_path: Path, sqlite_database_url: str, clock: Clock, round_number: int
) -> None:
    """What is opened again is a copy of database and write-ahead log, as a backup of a crashed machine would be."""
    command = [sys.executable, "-c", BUSY, sqlite_database_url, str(tmp_path)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    written = [child.stdout.readline().strip() for _ in range(2000 + random.Random(round_number).randrange(3000))]
    child.send_signal(signal.SIGKILL)
    written += child.stdout.read().split()
    child.wait()
    child.stdout.close()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("bourse.db", "bourse.db-wal"):
        shutil.copy(tmp_path / name, copy / name)
    with sqlite3.connect(copy / "bourse.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM call").fetchone()[0] > 0
    database = Database.open(sqlite_url(copy / "bourse.db"), EventBus())
    async with open_metering(database, tmp_path, clock) as service:
        assert service._writer is not None
        await service._writer.replay()
    found = [row["id"] for row in await rows(database)]
    await database.close()
    assert len(found) == len(set(found))
    # The last name may have been cut off by the kill.
    assert set(written[:-1]) <= set(found)


@pytest.mark.case("D5")
async def test_a_power_cut_loses_no_call_whose_journal_was_let_go(
    tmp_path: Path, sqlite_database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is sure of nothing but what was there when it was last asked to keep it, and of the journal's files."""
    sure = tmp_path / "sure"
    shutil.copytree(tmp_path, sure, ignore=lambda _, names: [name for name in names if not name.startswith("bourse.db")])
    real = os.fdatasync

    def keep(fd: int) -> None:
        real(fd)
        if os.readlink(f"/proc/self/fd/{fd}").endswith("-wal"):
            for name in ("bourse.db", "bourse.db-wal"):
                shutil.copy(tmp_path / name, sure / name)

    monkeypatch.setattr(os, "fdatasync", keep)
    database = Database.open(sqlite_database_url, EventBus())
    journal = Journal(tmp_path / "journal", segment_bytes=64 * 1024)
    journal.open()
    writer = LedgerWriter(database, journal, tmp_path / "journal", clock)
    calls = [a_call() for _ in range(600)]
    for number, call in enumerate(calls):
        journal.close_call(final_line(*completed(call)), journal.open_call(open_line(call)))
        if number % 100 == 99:
            await writer.drain()
    assert not (journal.directory / "000001.jsonl").exists(), "some of the journal was let go"
    await database.close()
    journal.close(keep=True)
    after = Database.open(sqlite_url(sure / "bourse.db"), EventBus())
    async with open_metering(after, tmp_path, clock) as service:
        assert service._writer is not None
        await service._writer.replay()
    assert {row["id"] for row in await rows(after)} == {call.id for call in calls}
    await after.close()
