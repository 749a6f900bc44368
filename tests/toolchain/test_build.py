"""Copies of built pages: one per process that serves, gone with it."""

import os
import subprocess
import sys
from pathlib import Path

from app.build import forget_copies


def test_the_copies_of_ended_processes_go_and_those_of_running_ones_stay(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (str(os.getpid()), str(ended.pid), "999999999", "notes"):
        (tmp_path / name / "build").mkdir(parents=True)
    forget_copies(tmp_path, but="999999999")
    assert sorted(copy.name for copy in tmp_path.iterdir()) == sorted([str(os.getpid()), "999999999", "notes"])
    forget_copies(tmp_path / "absent", but="1")
