"""Databases with the schema in force, made once and copied for each test."""

import sqlite3
from pathlib import Path

from backend.kernel.migrations import upgrade as migrate


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def make_sqlite_template(path: Path) -> Path:
    """A migrated SQLite file that may be copied."""
    migrate(sqlite_url(path))
    settle(path)
    return path


def settle(path: Path) -> None:
    """Move the write-ahead log into the file, so that copying the one file copies the database."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
