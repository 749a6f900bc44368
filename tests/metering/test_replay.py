"""What a process that was killed is charged for: what it had last said of its calls."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.metering.journal import Journal, lines_of
from backend.metering.record import AttemptRecord, CallRecord, final_line, open_line, progress_line
from backend.metering.replay import Replay
from tests.metering.conftest import a_call, completed, open_metering, rows


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal", segment_bytes=64 * 1024)
    journal.open()
    return journal


def told(call: CallRecord, output: int, **more: Any) -> bytes:
    columns = {"input_tokens": 10, "output_tokens": output, "usage_source": "estimated", "charged_nano": 1000 * output, "status": 200}
    columns |= {"provider_cost_nano": 1000 * output, "price_ids": ("prc_1",), "price_state": "priced", **more}
    attempt = AttemptRecord(1, "acme", "gpt-fake", "acme/gpt-fake", "completed", 200)
    return progress_line(call.id, columns, {"input": 10, "output": output}, [attempt])


@pytest.mark.case("D1")
async def test_an_interrupted_call_is_charged_what_its_last_progress_line_says(
    database: Database, journal: Journal, tmp_path: Path, clock: Clock
) -> None:
    streamed, silent, ended = a_call(stream=True), a_call(), a_call()
    tickets = [journal.open_call(open_line(call)) for call in (streamed, silent, ended)]
    for output in (0, 64, 128):
        assert journal.progress(told(streamed, output), tickets[0])
        assert journal.progress(told(ended, output), tickets[2])
    journal.close_call(final_line(*completed(ended)), tickets[2])
    journal.close()
    async with open_metering(database, tmp_path, clock) as service:
        assert service._writer is not None
        await service._writer.replay()
    found = {row["id"]: row for row in await rows(database)}
    row = found[streamed.id]
    assert (row["outcome"], row["status"], row["usage_source"]) == ("interrupted", 200, "estimated")
    assert (row["input_tokens"], row["output_tokens"], row["charged_nano"], row["attempts"]) == (10, 128, 128_000, 1)
    assert (found[silent.id]["outcome"], found[silent.id]["charged_nano"], found[silent.id]["usage_source"]) == ("interrupted", 0, "none")
    assert (found[ended.id]["outcome"], found[ended.id]["charged_nano"]) == ("completed", 20_000)
    attempts = {row["call_id"]: row for row in await rows(database, "call_attempt")}
    assert (attempts[streamed.id]["outcome"], attempts[streamed.id]["provider_cost_nano"]) == ("interrupted", 128_000)
    usage = attempts[streamed.id]["usage"]
    assert (usage if isinstance(usage, dict) else orjson.loads(usage)) == {"input": 10, "output": 128}
    async with database.read() as session:
        assert (await session.execute(sa.text("SELECT count(*) FROM call_attempt"))).scalar_one() == 3


def test_earlier_attempts_keep_what_they_were(journal: Journal) -> None:
    call = a_call(stream=True)
    ticket = journal.open_call(open_line(call))
    tries = [AttemptRecord(1, "acme", "m", None, "failed", 500), AttemptRecord(2, "backup", "n", None, "completed", 200)]
    journal.progress(progress_line(call.id, {"provider": "backup", "model": "n", "charged_nano": 7}, {"output": 1}, tries), ticket)
    [(row, attempts)] = _interrupted(journal)
    assert row["provider"] == "backup"
    assert row["attempts"] == 2
    assert [(attempt[0], attempt[1], attempt[4]) for attempt in attempts] == [(1, "acme", "failed"), (2, "backup", "interrupted")]


def test_a_progress_line_that_was_cut_off_leaves_the_one_before(journal: Journal) -> None:
    call = a_call(stream=True)
    ticket = journal.open_call(open_line(call))
    journal.progress(told(call, 64), ticket)
    journal.progress(told(call, 128), ticket)
    journal.close()
    [segment] = journal.directory.glob("*.jsonl")
    data = segment.read_bytes()
    segment.write_bytes(data[:-60] + b"\x00" * 60)
    [(row, _)] = _interrupted(journal)
    assert row["output_tokens"] == 64


def test_the_last_progress_line_stays_as_long_as_its_call_runs_and_earlier_ones_do_not(journal: Journal) -> None:
    """A call that is silent for long keeps two segments at the most: that of its open line and that of its last progress line."""
    call = a_call(stream=True)
    ticket = journal.open_call(open_line(call))
    for output in range(1, 4):
        _fill_a_segment(journal)
        journal.progress(told(call, output), ticket)
    for _ in range(3):
        _fill_a_segment(journal)
    while (waiting := journal.untaken(1_000_000)) is not None:
        journal.take(waiting[0], len(waiting[1]))
    assert len(list(journal.directory.glob("*.jsonl"))) == 3
    assert [row["output_tokens"] for row, _ in _interrupted(journal)] == [3]
    journal.close_call(final_line(*completed(call)), ticket)
    waiting = journal.untaken(1_000_000)
    assert waiting is not None
    journal.take(waiting[0], len(waiting[1]))
    assert len(list(journal.directory.glob("*.jsonl"))) == 1


def test_progress_lines_never_take_the_room_of_final_ones(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=64 * 1024, max_bytes=1)
    journal.open()
    calls = [a_call() for _ in range(4)]
    tickets = [journal.open_call(open_line(call)) for call in calls]
    said = 0
    while journal.progress(told(calls[0], said), tickets[0]):
        said += 1
    assert said > 10
    for ticket in tickets:
        journal.close_call(b'["final","' + b"x" * 8170 + b'"]\n', ticket)
    assert sum(line.startswith(b'["final"') for line in lines_of(journal.directory)) == len(calls)


def _fill_a_segment(journal: Journal) -> None:
    before = journal._current
    while journal._current is before:
        journal.append(b'["final","' + b"x" * 4000 + b'"]\n')


def _interrupted(journal: Journal) -> list[tuple[dict[str, Any], Any]]:
    from backend.metering.record import CALL_FIELDS

    replay = Replay(journal.directory)
    for _ in replay.finished():
        pass
    return [(dict(zip(CALL_FIELDS, row, strict=True)), attempts) for row, attempts in replay.interrupted()]
