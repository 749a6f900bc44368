"""The whole catalog in one SQLite file: read from the bundled sources once, and again when code, sources or the day have changed.

Beside it one with the sandbox's models alone, which a server takes for whole: its start costs a third less.
"""

import fcntl
import hashlib
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.rig.schema import settle
from tests.rig.server import ROOT, clean_environment

KEPT = ROOT / ".build" / "test-catalog"
MAX_AGE_SECONDS = 86_400
KEPT_SECONDS = 3_600
_MADE_OF = (
    "tests/rig/catalog.py", "backend/catalog", "backend/pricing", "backend/benchmarks", "backend/kernel", "alembic", "requirements.txt",
)  # fmt: skip


def read_catalog_once() -> Path:
    """The file; the first process that asks makes it while the others wait."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home = KEPT / _fingerprint()
        file, done = home / "bourse.db", home / "done"
        if not done.exists() or time.time() - done.stat().st_mtime > MAX_AGE_SECONDS:
            done.unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            _forget_old()
            command = [sys.executable, "-m", "backend", "ingest"]
            run = subprocess.run(command, cwd=ROOT, env=clean_environment(home), capture_output=True, text=True, check=False)
            assert run.returncode == 0, f"reading the catalog failed:\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
            settle(file)
            keep_the_sandbox_alone(Path(shutil.copy(file, home / SANDBOX)))
            done.touch()
    return file


SANDBOX = "sandbox.db"


def keep_the_sandbox_alone(file: Path) -> None:
    """Delete every other model, with its offers and prices, and all benchmark results; what was read from which source, and when, stays."""
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM benchmark_result")
        for table, column in (
            ("price", "offer_id"),
            ("price_change", "offer_id"),
            ("offer", "model_id"),
            ("alias", "target"),
            ("model", "id"),
        ):
            database.execute(f"DELETE FROM {table} WHERE {column} NOT LIKE 'sandbox%'")
    database.execute("VACUUM")
    database.close()
    settle(file)


def _forget_old() -> None:
    """Only what no other test run can still be copying from."""
    for folder in KEPT.iterdir():
        if folder.is_dir() and time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder)


def _fingerprint() -> str:
    total = hashlib.sha256()
    for name in _MADE_OF:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(file.relative_to(ROOT).as_posix().encode())
                total.update(file.read_bytes())
    return total.hexdigest()[:16]
