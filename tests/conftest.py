"""Fixtures for every room: databases, Redis, settings, a runtime, a server. Each test gets its own; nothing outside is touched.

`database` and `database_url` run the test twice, on SQLite and on PostgreSQL. Servers are real, on loopback, and made once per process.
"""

import gc
import os
import shutil
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog
import yaml
from xdist.scheduler import LoadScopeScheduling

from backend.configuration import load_settings
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.settings import Settings
from tests.budgets.witness import Witness
from tests.rig.catalog import SANDBOX, read_catalog_once
from tests.rig.postgres import Postgres
from tests.rig.redis import RedisServer
from tests.rig.schema import make_sqlite_template, migrate, sqlite_url
from tests.rig.server import AppServer, What
from tests.rig.statements import share_compiled_statements

if TYPE_CHECKING:
    from backend.runtime import Runtime

# How long one example takes says how busy the machine is.
hypothesis.settings.register_profile("bourse", deadline=None)
hypothesis.settings.load_profile("bourse")

share_compiled_statements()
# Written by the C library: many tests begin with a configuration, and writing it is a third of some.
yaml.SafeDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

START = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
"""Where `clock` begins: a Wednesday noon in the middle of a month, far from every window's edge."""


BROWSER_SECONDS = 600
"""The first browser test may have to build the pages."""


LONG = (
    "ui/",
    "fleet/",
    "toolchain/",
    "sdks/",
    "gateway/test_process",
    "identity/test_revocation",
    "providers/litellm/",
    "architecture/",
    "budgets/",
    "faults/",
    "docs/",
    "identity/test_cli",
    "catalog/",
    "state/",
    "gateway/test_errors",
    "gateway/fan_out/",
    "gateway/test_last_words",
    "gateway/test_attempts",
    "gateway/test_money",
    "gateway/test_provider_keys",
    "gateway/test_live_providers",
    "identity/",
    "pricing/",
)
"""Tests that take longest come first, so that at the end of a run no process is left alone with one of them."""
TOGETHER = (
    ("tests/fleet/",),
    ("tests/ui/",),
    ("tests/sdks/",),
    ("tests/providers/litellm/",),
    ("tests/architecture/",),
    ("tests/state/test_playground", "tests/state/test_private_store", "tests/state/test_sockets"),
)
"""Rooms whose files share what takes long to make: a server, litellm imported, our own files read. One process runs all of each."""


def _begins_early(item: pytest.Item) -> int:
    path = item.nodeid.removeprefix("tests/")
    return next((place for place, long in enumerate(LONG) if path.startswith(long)), len(LONG))


class OneProcessPerFile(LoadScopeScheduling):
    """As pytest-xdist's `loadfile`, in the order of collection, and with some rooms kept together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((rooms[0] for rooms in TOGETHER if nodeid.startswith(rooms)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    config.option.loadscopereorder = False
    return OneProcessPerFile(config, log) if config.option.dist == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing of what is collected is ever garbage, and looking through all of it again and again is a tenth of what tests cost."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()
    return collected


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """What a file leaves behind, libraries above all, stays. A process that has imported a few of them would otherwise stand still for two
    seconds now and then, in the midst of tests of time limits."""
    yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_begins_early)
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.timeout(BROWSER_SECONDS))


Figures = Callable[..., None]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """`figures(calls=1000, refused=12)`: what a long test has measured, told at the end of the run."""

    def tell(**values: object) -> None:
        request.node.user_properties.extend(values.items())

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    measured = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call" and report.user_properties
    ]
    if measured:
        terminalreporter.section("figures")
    for report in measured:
        told = ", ".join(f"{name} {value}" for name, value in report.user_properties)
        terminalreporter.write_line(f"{report.nodeid} ({report.duration:.0f} s): {told}")


@pytest.fixture(autouse=True, scope="session")
def loggers_follow_standard_output() -> Iterator[None]:
    """A logger that keeps the output of the test that used it first writes, in a later test, to a file that is closed."""
    configure = structlog.configure

    def uncached(**options: Any) -> None:
        configure(**{**options, "cache_logger_on_first_use": False})

    structlog.configure = uncached
    # Where nothing else is configured, an exception is drawn with everything that was in its frames, which takes seconds.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    uncached(processors=[*structlog.get_config()["processors"][:-1], plain])
    yield
    structlog.configure = configure


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own BOURSE_ variables must not change what a test sees."""
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
    url = postgres.lend(_postgres_template)
    yield url
    postgres.take_back(url, _postgres_template)


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
def witness(database_url: str) -> Iterator[Witness]:
    """Reads this test's database past the code under test."""
    opened = Witness(database_url)
    yield opened
    opened.close()


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


# ── the catalog, and Bourse as a process ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def catalog_file() -> Path:
    """A SQLite file with the whole catalog in it, read once for all test processes. Copy it, never open it."""
    return read_catalog_once()


@pytest.fixture(scope="session")
def sandbox_file(catalog_file: Path) -> Path:
    """The same with the sandbox's models alone, for servers whose other models are in their configuration. Copy it, never open it."""
    return catalog_file.with_name(SANDBOX)


@pytest.fixture(scope="session")
def served_catalog(sandbox_file: Path) -> Path:
    """What runtimes and servers start with; where the whole catalog matters, a room or file overrides it with `catalog_file`."""
    return sandbox_file


@pytest.fixture
def catalog_database_url(served_catalog: Path, tmp_path: Path) -> str:
    """The URL of a SQLite database of this test that holds a catalog."""
    return sqlite_url(Path(shutil.copy(served_catalog, tmp_path / "bourse.db")))


@pytest.fixture
def configuration() -> str:
    """The text of bourse.yaml for `settings` and `runtime`; a test that needs another one overrides this fixture."""
    return "{}\n"


@pytest.fixture
def settings(configuration: str, tmp_path: Path, catalog_database_url: str) -> Settings:
    """Settings from `configuration`, with data in the test's own folder and a catalog in its database."""
    file = tmp_path / "bourse.yaml"
    file.write_text(configuration)
    return load_settings({"BOURSE_CONFIG": str(file), "BOURSE_DATA_DIR": str(tmp_path), "BOURSE_DATABASE_URL": catalog_database_url})


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator["Runtime"]:
    """A started runtime in this process, on SQLite with a catalog."""
    from backend.runtime import open_runtime

    async with open_runtime(settings) as opened:
        assert opened.readiness.missing is None, opened.readiness.missing
        yield opened


@pytest.fixture
def app_server(served_catalog: Path, tmp_path: Path) -> Iterator[Callable[..., AppServer]]:
    """Starts Bourse as a process: `app_server("gateway", configuration="…yaml…", env={…})`. Ready when it returns, ended after the test.

    It serves a copy of `served_catalog` from SQLite unless `env` names another database.
    """
    yield from _servers(served_catalog, tmp_path)


@pytest.fixture(scope="module")
def module_app_server(served_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., AppServer]]:
    """As `app_server`, for the tests of one file that only read or only add."""
    yield from _servers(served_catalog, tmp_path_factory.mktemp("module"))


def _servers(served_catalog: Path, folder: Path) -> Iterator[Callable[..., AppServer]]:
    started: list[AppServer] = []

    def start(what: What = "gateway", **options: Any) -> AppServer:
        data_dir = folder / f"server-{len(started) + 1}"
        data_dir.mkdir()
        shutil.copy(served_catalog, data_dir / "bourse.db")
        started.append(AppServer(what, data_dir, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()
