"""What journals in this `data_dir` have and the ledger has not yet. Reads files only; running processes are not disturbed."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.metering.replay import Replay
from backend.metering.repository import CHARGED

REFUSED = "refused.jsonl"


@dataclass(frozen=True, slots=True)
class JournalFolder:
    """A process's journal as it was read: charges by the ids of calls that ended, and the ids of those that had not."""

    process: str
    alive: bool
    ended: dict[str, int]
    running: list[str]


def journals_in(root: Path) -> Iterator[JournalFolder]:
    """Every journal below `data_dir/journal`."""
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        if directory.is_dir():
            alive = _is_locked(directory / "lock")
            replay = Replay(directory, alive=alive)
            ended = {row[0]: row[CHARGED] for row, _ in replay.finished()}
            yield JournalFolder(directory.name, alive, ended, [row[0] for row, _ in replay.interrupted()])


def refused_rows(root: Path) -> int:
    """How many calls the database would not take as they were: of these the ledger has whose they were and what they were charged."""
    try:
        with (root / REFUSED).open("rb") as file:
            return sum(1 for line in file if line.strip())
    except FileNotFoundError:
        return 0


def _is_locked(path: Path) -> bool:
    """Whether the process that made the folder lives."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
