"""How Alembic reaches the database: the URL in the configuration's attributes, or that of the settings."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alembic import context
from backend.configuration import load_settings
from backend.kernel.db import Json, UtcDateTime, is_sqlite, sync_url
from backend.schema import metadata

LOCK_ID = 0x626F757273  # any constant that all replicas share


def _render(kind: str, item: Any, autogen_context: Any) -> str | bool:
    """Our own column types as plain SQLAlchemy ones, so that a migration does not change when they do."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and type(item) is type(Json) and item._variant_mapping:
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    if kind == "type" and type(item).__module__.startswith("sqlmodel"):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """SQLite has no advisory lock: a file beside the database is one (a server and `make seed` may start together)."""
    path = sa.make_url(url).database if is_sqlite(url) else None
    if not path or path == ":memory:":
        yield
        return
    with Path(f"{path}.migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


url = context.config.attributes.get("url") or sync_url(load_settings().database)
engine = sa.create_engine(url, poolclass=sa.NullPool)
with _alone(url), engine.connect() as connection:
    if is_sqlite(url):
        connection.exec_driver_sql("PRAGMA busy_timeout=30000")
        # Set for good before anybody serves: switching later fails at once while another process writes.
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.commit()
    else:
        # Replicas that start together: one migrates, the others wait and find nothing to do.
        connection.execute(sa.text("SELECT pg_advisory_lock(:id)"), {"id": LOCK_ID})
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_item=_render,
        render_as_batch=is_sqlite(url),
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
