"""The journal on a real disk: what is written survives, what does not fit is refused, nothing is half."""

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from backend.kernel.errors import StorageUnavailable
from backend.metering.journal import Journal, abandoned, lines_of
from backend.metering.record import CALL_FIELDS, MAX_LINE_BYTES, AttemptRecord, final_line
from tests.metering.conftest import a_call

ROOT = Path(__file__).parents[2]
LINE = b'["open","evt_1",[]]\n'
FINAL = b'["final","evt_1",[],[]]\n'


def line_of(size: int) -> bytes:
    return b'["final","' + b"x" * (size - 13) + b'"]\n'


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", segment_bytes=64 * 1024)


def test_lines_are_on_the_disk_the_moment_they_are_written_and_gone_once_taken(journal: Journal) -> None:
    journal.open()
    ticket = journal.open_call(LINE)
    journal.close_call(FINAL, ticket)
    assert list(lines_of(journal.directory))[1:] == [LINE.strip(), FINAL.strip()]
    waiting = journal.untaken(10_000)
    assert waiting is not None
    segment, data = waiting
    assert data == LINE + FINAL
    journal.take(segment, len(data))
    assert journal.untaken(10_000) is None
    journal.close()
    assert not journal.directory.exists()


def test_a_batch_ends_with_a_whole_line(journal: Journal) -> None:
    journal.open()
    for _ in range(10):
        journal.append(FINAL)
    waiting = journal.untaken(len(FINAL) * 3 + 5)
    assert waiting is not None
    assert waiting[1] == FINAL * 3


def test_full_segments_give_way_at_once_and_one_with_an_open_call_only_once_that_is_closed(journal: Journal) -> None:
    journal.open()
    ticket = journal.open_call(LINE)
    for _ in range(60):
        journal.append(line_of(4000))
    files = sorted(path.name for path in journal.directory.glob("*.jsonl"))
    assert len(files) >= 4
    while (waiting := journal.untaken(1_000_000)) is not None:
        journal.take(waiting[0], len(waiting[1]))
    assert sorted(path.name for path in journal.directory.glob("*.jsonl")) == [files[0], files[-1]]
    journal.close_call(FINAL, ticket)
    waiting = journal.untaken(1_000_000)
    assert waiting is not None
    journal.take(waiting[0], len(waiting[1]))
    assert sorted(path.name for path in journal.directory.glob("*.jsonl")) == files[-1:]


def test_a_journal_that_nobody_empties_stops_at_its_bound(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=64 * 1024, max_bytes=256 * 1024)
    journal.open()
    with pytest.raises(StorageUnavailable, match="behind"):
        for _ in range(1000):
            journal.append(line_of(4000))
    assert journal.size <= 512 * 1024


def test_the_room_for_the_end_of_every_open_call_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1024 * 1024, max_bytes=2 * 1024 * 1024)
    journal.open()
    tickets = []
    with pytest.raises(StorageUnavailable):
        while True:
            tickets.append(journal.open_call(LINE))
    assert len(tickets) > 100
    for ticket in tickets:
        journal.close_call(line_of(MAX_LINE_BYTES), ticket)
    assert sum(line.startswith(b'["final"') for line in lines_of(journal.directory)) == len(tickets)


def test_a_line_longer_than_its_room_is_refused_whole(journal: Journal) -> None:
    journal.open()
    ticket = journal.open_call(LINE)
    with pytest.raises(ValueError, match="longer"):
        journal.close_call(line_of(MAX_LINE_BYTES + 1), ticket)
    assert list(lines_of(journal.directory))[1:] == [LINE.strip()]


def test_a_journal_in_use_is_not_abandoned_and_one_of_a_closed_process_is(journal: Journal, tmp_path: Path) -> None:
    journal.open()
    journal.append(FINAL)
    script = (
        "import sys; from pathlib import Path; from backend.metering.journal import abandoned;"
        "print(len(list(abandoned(Path(sys.argv[1]), Path('/nowhere')))))"
    )

    def seen_by_another_process() -> str:
        command = [sys.executable, "-c", script, str(tmp_path / "journal")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    assert seen_by_another_process() == "0"
    journal.close()
    assert seen_by_another_process() == "1"
    [(directory, lock)] = abandoned(tmp_path / "journal", tmp_path)
    assert FINAL.strip() in list(lines_of(directory))
    os.close(lock)


def test_a_journal_opens_while_a_neighbour_clears_away_what_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that start together look into each other's folders before these are locked."""
    monkeypatch.setattr("backend.metering.journal.FSYNC_SECONDS", 0.0)
    ended = threading.Event()

    def clear_away() -> None:
        while not ended.is_set():
            for directory, lock in abandoned(tmp_path, tmp_path / "mine"):
                with suppress(OSError):
                    shutil.rmtree(directory)
                os.close(lock)

    neighbours = [threading.Thread(target=clear_away) for _ in range(2)]
    for neighbour in neighbours:
        neighbour.start()
    try:
        for _ in range(300):
            journal = Journal(tmp_path, segment_bytes=64 * 1024)
            journal.open()
            journal.append(FINAL)
            assert FINAL.strip() in list(lines_of(journal.directory))
            journal.close()
    finally:
        ended.set()
        for neighbour in neighbours:
            neighbour.join()


@pytest.mark.case("D5")
def test_a_disk_that_is_full_refuses_new_calls_and_takes_the_end_of_running_ones(tmp_path: Path) -> None:
    """The limit on file sizes is the kernel's own way to make allocation fail; run in a child, because it binds a whole process."""
    script = """
import resource, signal, sys
from pathlib import Path
from backend.kernel.errors import StorageUnavailable
from backend.metering.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))
journal = Journal(Path(sys.argv[1]), segment_bytes=64 * 1024)
journal.open()
tickets = []
try:
    while True:
        tickets.append(journal.open_call(b'["open","evt"]\\n'))
except StorageUnavailable as error:
    refusal = error
for ticket in tickets:
    journal.close_call(b'["final","' + b"x" * 8000 + b'"]\\n', ticket)
print(len(tickets), refusal.status, refusal.code)
import os; os._exit(9)
"""
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 9, run.stderr
    count, status, code = run.stdout.split()
    assert int(count) >= 5
    assert (status, code) == ("503", "storage_unavailable")
    [(directory, lock)] = abandoned(tmp_path, tmp_path / "mine")
    lines = list(lines_of(directory))
    assert sum(line.startswith(b'["final"') for line in lines) == int(count)
    for line in lines:
        orjson.loads(line)
    os.close(lock)


def test_a_final_line_always_fits_its_room_and_keeps_its_numbers() -> None:
    name = "\U0001f642" * 255
    call = a_call(requested_model=name, route=name, model=name, offer_id=name, end_user=name, tags=tuple("t" * 1000 for _ in range(50)))
    call.charged_nano = 123_456_789
    call.request_id = "r" * 128
    call.reservations = tuple((f"lse_{'l' * 26}", f"bud_{'b' * 26}", 740_000, 10**18) for _ in range(3))
    attempts = [AttemptRecord(number, "p" * 64, name, name, price_ids=(name,) * 4) for number in range(1, 30)]
    line = final_line(call, attempts)
    assert len(line) <= MAX_LINE_BYTES
    _, call_id, row, tries = orjson.loads(line)
    assert call_id == call.id
    assert dict(zip(CALL_FIELDS, row, strict=True))["charged_nano"] == 123_456_789
    assert dict(zip(CALL_FIELDS, row, strict=True))["request_id"] == "r" * 128
    assert dict(zip(CALL_FIELDS, row, strict=True))["reservations"] == [list(held) for held in call.reservations], "budgets depend on them"
    assert len(tries) == 12
