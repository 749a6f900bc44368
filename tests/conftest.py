"""Fixtures for every room: databases, Redis, settings, a runtime, a server. Each test gets its own; nothing outside is touched.

`database` and `database_url` run the test twice, on SQLite and on PostgreSQL. Servers are real, on loopback, and made once per process.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from tests.rig.postgres import Postgres
from tests.rig.redis import RedisServer
from tests.rig.schema import make_sqlite_template, migrate, sqlite_url

START = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
"""Where `clock` begins: a Wednesday noon in the middle of a month, far from every window's edge."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests share one built app and one Chromium, so xdist keeps them in one worker."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own BOURSE_ variables must not change what a test sees."""
    import os

    for name in [name for name in os.environ if name.startswith("BOURSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


# ── databases ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL cluster of this test process."""
    cluster = Postgres()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def _postgres_template(postgres: Postgres) -> str:
    migrate(postgres.create(name="migrated"))
    return "migrated"


@pytest.fixture
def postgres_url(postgres: Postgres, _postgres_template: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of this test."""
    url = postgres.create(template=_postgres_template)
    yield url
    postgres.drop(url)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sqlite_template(tmp_path_factory.mktemp("template") / "bourse.db")


@pytest.fixture
def sqlite_database_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """The URL of a migrated SQLite database of this test."""
    return sqlite_url(Path(shutil.copy(_sqlite_template, tmp_path / "bourse.db")))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database of this test, once on each database."""
    return str(request.getfixturevalue("sqlite_database_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table, once on each database."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "empty.db")
        return
    cluster: Postgres = request.getfixturevalue("postgres")
    url = cluster.create()
    yield url
    cluster.drop(url)


@pytest.fixture
def events() -> EventBus:
    return EventBus()


@pytest.fixture
async def database(database_url: str, events: EventBus) -> AsyncIterator[Database]:
    """An open, migrated, empty database, once on each database."""
    opened = Database.open(database_url, events)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_database(sqlite_database_url: str, events: EventBus) -> AsyncIterator[Database]:
    """An open, migrated, empty SQLite database, for what is only true there."""
    opened = Database.open(sqlite_database_url, events)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_database(postgres_url: str, events: EventBus) -> AsyncIterator[Database]:
    """An open, migrated, empty PostgreSQL database, for what is only true there."""
    opened = Database.open(postgres_url, events)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this test process."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    redis_server.flush()
    return redis_server.url
