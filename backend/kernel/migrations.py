"""Where the database's schema stands and how it is brought up to date. Synchronous: call it in a thread.

Alembic is only imported when there is something to migrate: it would stay in the memory of every serving process.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from backend.kernel.db import is_sqlite, sync_url

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS = Path(__file__).resolve().parents[2] / "alembic"


def alembic_config(url: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["url"] = sync_url(url)
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`; safe when several processes start at once."""
    from alembic import command

    if is_sqlite(url):
        path = sa.make_url(sync_url(url)).database
        if path and path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    command.upgrade(alembic_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    from alembic import command

    command.downgrade(alembic_config(url), revision)


def head() -> str:
    """The newest revision that this code knows: our files are named after their number, and one number follows another."""
    return max(file.name.partition("_")[0] for file in (SCRIPTS / "versions").glob("[0-9]*_*.py"))


def current(url: str) -> str | None:
    """The revision that the database is at; None for an empty one. Creates nothing."""
    if is_sqlite(url):
        path = sa.make_url(sync_url(url)).database
        if path and path != ":memory:" and not Path(path).exists():
            return None
    engine = sa.create_engine(sync_url(url), connect_args={} if is_sqlite(url) else {"connect_timeout": 2})
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()


class NotMigrated(Exception):
    """The PostgreSQL schema is not the one that this version needs."""


def prepare(url: str) -> None:
    """Make sure that the schema is the one this version needs: SQLite is brought there, PostgreSQL is only checked.

    Raises:
        NotMigrated: a PostgreSQL schema is at another revision; an operator decides when to change it.
    """
    found, wanted = current(url), head()
    if found == wanted:
        return
    if not is_sqlite(url):
        raise NotMigrated(f"the database is at revision {found or 'none'}, this version needs {wanted}: run `make migrate`")
    upgrade(url)
