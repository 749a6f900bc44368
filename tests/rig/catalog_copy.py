"""The whole catalog in PostgreSQL: copied row by row from the SQLite file, since reading its sources anew takes ten times as long."""

import sqlite3
from pathlib import Path

import psycopg
from psycopg import sql

from backend.schema import metadata


def copy_catalog(file: Path, url: str) -> None:
    """Fill the migrated, empty PostgreSQL database `url` with everything that the SQLite `file` holds."""
    source = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        with psycopg.connect(url, options="-c timezone=utc") as connection, connection.cursor() as cursor:
            for table in metadata.sorted_tables:
                names = [column.name for column in table.columns]
                if table.name == "change":
                    continue
                listed = ", ".join(f'"{name}"' for name in names)
                rows = source.execute(f'SELECT {listed} FROM "{table.name}"')
                columns = sql.SQL(", ").join(map(sql.Identifier, names))
                with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)) as copy:
                    for row in rows:
                        copy.write_row(row)
    finally:
        source.close()
