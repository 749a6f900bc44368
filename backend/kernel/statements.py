"""Statements in the driver's own words, for whoever writes many rows again and again: the way through SQLAlchemy costs as much once more.

On SQLite all of them make one trip to the connection's thread, where each would make three. It is not only their own time that trips
cost: on a busy gateway every one takes the interpreter from a call and back.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession


class Statement(NamedTuple):
    """`text` with `?` for each value of a row, run once for each of `rows`; without rows it is left out."""

    text: str
    rows: Sequence[Sequence[Any]]
    unless_all: type[Exception] | None = None
    """Raised unless as many rows of the table were changed as there are `rows`."""


async def execute_each(session: AsyncSession, statements: Iterable[Statement]) -> None:
    """Run them one after another in the session's transaction. Raises what SQLAlchemy raises, and `unless_all`."""
    due = [statement for statement in statements if statement.rows]
    connection = await session.connection()
    if connection.dialect.name == "sqlite":
        driver: Any = (await connection.get_raw_connection()).driver_connection
        # aiosqlite runs functions of its own in this way; it has no public name for it.
        await driver._execute(_execute_here, driver._conn, due)
        return
    for text, rows, unless_all in due:
        result = await connection.exec_driver_sql(text.replace("?", "%s"), [tuple(row) for row in rows])
        if unless_all is not None and result.rowcount != len(rows):
            raise unless_all


def _execute_here(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    for text, rows, unless_all in statements:
        try:
            changed = connection.executemany(*_without_nulls(text, rows)).rowcount
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True) from error
        if unless_all is not None and changed != len(rows):
            raise unless_all


def _without_nulls(text: str, rows: Sequence[Sequence[Any]]) -> tuple[str, Sequence[Sequence[Any]]]:
    """The same with NULL in the text for values that are None in every row: the driver asks each None twice how it wants to be adapted,
    which cost a fiftieth of a call."""
    first = rows[0]
    absent = [place for place, value in enumerate(first) if value is None and all([row[place] is None for row in rows])]
    kept = [place for place in range(len(first)) if place not in absent]
    if not absent or len(kept) < 2:
        return text, rows
    pieces = text.split("?")
    told = "".join([piece + ("NULL" if place in absent else "?") for place, piece in enumerate(pieces[:-1])]) + pieces[-1]
    take = itemgetter(*kept)
    return told, [take(row) for row in rows]
