"""Where the database's schema stands and how it is brought up to date. Runs in a thread: Alembic is synchronous."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from alembic import command
from backend.kernel.db import is_sqlite, sync_url

SCRIPTS = Path(__file__).resolve().parents[2] / "alembic"


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["url"] = sync_url(url)
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`; safe when several processes start at once."""
    if is_sqlite(url):
        path = sa.make_url(sync_url(url)).database
        if path and path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    command.upgrade(alembic_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    command.downgrade(alembic_config(url), revision)


def head() -> str:
    """The newest revision that this code knows."""
    revision = ScriptDirectory(str(SCRIPTS)).get_current_head()
    if revision is None:
        raise RuntimeError("there are no migrations")
    return revision


def current(url: str) -> str | None:
    """The revision that the database is at; None for an empty one."""
    engine = sa.create_engine(sync_url(url), connect_args=_connect_args(url))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _connect_args(url: str) -> dict[str, Any]:
    return {} if is_sqlite(url) else {"connect_timeout": 2}
