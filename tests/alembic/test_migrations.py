"""Migrations on both databases: up, down and up again, never different from the tables, safe when several processes start at once."""

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from backend.kernel import migrations
from backend.kernel.db import is_sqlite, sync_url
from backend.schema import metadata
from tests.rig.forks import GATEWAY
from tests.rig.processes import Server
from tests.rig.server import ROOT, clean_environment


def tables(url: str) -> set[str]:
    engine = sa.create_engine(sync_url(url))
    try:
        return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def differences(url: str) -> list[object]:
    engine = sa.create_engine(sync_url(url))
    try:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))
    finally:
        engine.dispose()


def test_the_migrations_make_exactly_the_tables_of_the_code(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    assert tables(empty_database_url) == set(metadata.tables)
    assert differences(empty_database_url) == []


def test_every_step_goes_down_and_up_again(empty_database_url: str) -> None:
    script = ScriptDirectory(str(migrations.SCRIPTS))
    revisions = [revision.revision for revision in script.walk_revisions()][::-1]
    for revision in revisions:
        migrations.upgrade(empty_database_url, revision)
        assert migrations.current(empty_database_url) == revision
    for below in [*revisions[-2::-1], None]:
        migrations.downgrade(empty_database_url, below or "base")
        assert migrations.current(empty_database_url) == below
    assert tables(empty_database_url) == set()
    migrations.upgrade(empty_database_url)
    assert migrations.current(empty_database_url) == migrations.head()
    assert differences(empty_database_url) == []


def test_there_is_one_line_of_migrations() -> None:
    assert len(ScriptDirectory(str(migrations.SCRIPTS)).get_heads()) == 1


def test_an_empty_database_is_at_no_revision(empty_database_url: str) -> None:
    assert migrations.current(empty_database_url) is None


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    migrations.upgrade(database_url)
    assert migrations.current(database_url) == migrations.head()
    assert differences(database_url) == []


def test_processes_that_start_together_migrate_once(empty_database_url: str, tmp_path: Path) -> None:
    environment = clean_environment(tmp_path, BOURSE_DATABASE_URL=empty_database_url)
    command = [sys.executable, "-m", "backend", "migrate"]
    together = [Server(command, log=tmp_path / f"{number}.log", env=environment, cwd=ROOT, imported=GATEWAY) for number in range(3)]
    ended = [process.process.wait(60) for process in together]
    assert ended == [0, 0, 0], [process.tail() for process in together]
    assert migrations.current(empty_database_url) == migrations.head()


def test_the_change_feed_has_its_one_row_from_the_start(database_url: str) -> None:
    engine = sa.create_engine(sync_url(database_url))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM change")).scalar_one() == 1
    engine.dispose()


def test_a_migrated_sqlite_file_keeps_a_write_ahead_log(sqlite_database_url: str) -> None:
    engine = sa.create_engine(sync_url(sqlite_database_url))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()


def test_every_instant_is_aware_and_every_amount_is_a_whole_number() -> None:
    """Naive datetimes and floating money are the two mistakes that no later test would find."""
    columns = [column for table in metadata.tables.values() for column in table.columns]
    assert [str(column) for column in columns if isinstance(column.type, sa.DateTime) and not column.type.timezone] == []
    assert [str(column) for column in columns if "nano" in column.name and not isinstance(column.type, sa.BigInteger)] == []


def test_sqlite_is_brought_up_to_date_at_start_and_postgresql_is_only_checked(empty_database_url: str) -> None:
    if is_sqlite(empty_database_url):
        migrations.prepare(empty_database_url)
        assert migrations.current(empty_database_url) == migrations.head()
        return
    with pytest.raises(migrations.NotMigrated, match=r"revision none.*run `make migrate`"):
        migrations.prepare(empty_database_url)
    assert tables(empty_database_url) == set()
    migrations.upgrade(empty_database_url)
    migrations.prepare(empty_database_url)
