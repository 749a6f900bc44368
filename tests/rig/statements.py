"""Statements of ours, compiled once for all databases that a test process opens: each engine would compile every statement anew."""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGDialectAsync_psycopg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.util import LRUCache

OURS = (SQLiteDialect_aiosqlite, PGDialectAsync_psycopg, PGDialect_psycopg)
_COMPILED: LRUCache[Any, Any] = LRUCache(4_000)


def share_compiled_statements() -> None:
    """For every engine that connects from now on. A statement is looked up by its dialect, so dialects of one class are made equal."""
    for dialect in OURS:
        dialect.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign, assignment]
        dialect.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign, assignment]

    @event.listens_for(Engine, "engine_connect")
    def _share(connection: Connection) -> None:
        if isinstance(connection.dialect, OURS):
            connection.engine._compiled_cache = _COMPILED
