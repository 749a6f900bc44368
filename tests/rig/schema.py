"""Databases with the schema in force, made once and copied for each test."""

import sqlite3
from pathlib import Path

from backend.kernel.migrations import upgrade as migrate


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def make_sqlite_template(path: Path) -> Path:
    """A migrated SQLite file without a write-ahead log beside it, so that copying the one file copies the database."""
    migrate(sqlite_url(path))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path
