"""Gateways as processes, in the four ways in which they are run, before a scripted upstream that is their witness."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.budgets.witness import Truth, Witness
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, _whole, completion
from tests.rig.catalog_copy import copy_catalog
from tests.rig.fleet import NO_LIMITS, Fleet, Operator, operator_of
from tests.rig.postgres import Postgres
from tests.rig.processes import free_port
from tests.rig.redis import RedisServer
from tests.rig.server import AppServer

HERE = Path(__file__).parent
USD = 1_000_000_000
CALL = USD // 100
"""Ten tokens of answer at $1,000 per million; prompts are free."""
TEN = {"model": "dear", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of a fleet waits for its start, which on a busy machine takes a while."""
    for item in items:
        if item.path.parent == HERE and not item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.timeout(600))


@dataclass(frozen=True)
class Shape:
    replicas: int = 1
    workers: int = 1
    postgres: bool = True
    redis: bool = False


ONE = Shape(postgres=False)
FOUR_WORKERS = Shape(workers=4)
THREE = Shape(replicas=3)
THREE_WITH_REDIS = Shape(replicas=3, redis=True)
NAMES = {
    ONE: "one process, SQLite",
    FOUR_WORKERS: "four workers, PostgreSQL",
    THREE: "three replicas, PostgreSQL",
    THREE_WITH_REDIS: "three replicas, PostgreSQL, Redis",
}


def fleets(*shapes: Shape) -> Any:
    """Run the test on a fleet of each shape, which is shared by all such tests; a test that harms one starts its own."""
    return pytest.mark.parametrize("fleet", shapes, ids=[NAMES[shape] for shape in shapes], indirect=True)


@pytest.fixture(scope="session")
def _catalog_template(postgres: Postgres, _postgres_template: str, sandbox_file: Path) -> str:
    copy_catalog(sandbox_file, postgres.create(template=_postgres_template, name="with_catalog"))
    return "with_catalog"


@pytest.fixture(scope="session")
def upstream_port() -> int:
    """Where the upstream of each test listens, because the fleets' configuration names it."""
    return free_port()


def configuration(upstream_port: int, **sections: Any) -> str:
    dear = {"provider": "acme", "model": "gpt-fake", "price": {"input": 0, "output": 1000}}
    settings: dict[str, Any] = {
        "providers": {"acme": {"protocol": "openai", "base_url": f"http://127.0.0.1:{upstream_port}/v1"}},
        # A fleet is shared by tests, some of which break its provider: nobody is left out for what happened in the test before.
        "models": [{"alias": "dear", "strategy": "ordered", "candidates": [dear], "breaker": {"failures": 1000}}],
        "budgets": {"default": {"limit_usd": 1_000_000}},
        "rate_limits": {"default": NO_LIMITS.model_dump(exclude_none=True)},
    }
    return yaml.safe_dump(settings | sections)


StartFleet = Callable[..., Fleet]


@pytest.fixture(scope="session")
def start_fleet(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sandbox_file: Path,
    upstream_port: int,
    postgres: Postgres,
    redis_server: RedisServer,
) -> Iterator[StartFleet]:
    """Starts gateways together and waits for all of them; they end with the tests, before what they stand on.

    `env_of(number)` may give each replica more of an environment.
    """
    started: list[AppServer] = []

    def start(shape: Shape, *, redis_url: str | None = None, database_url: str | None = None, **options: Any) -> Fleet:
        env = dict(options.pop("env", {})) | ({"BOURSE_REDIS_URL": redis_url} if redis_url else {})
        if shape.postgres and database_url is None:
            database_url = postgres.create(template=request.getfixturevalue("_catalog_template"))
        home = tmp_path_factory.mktemp("fleet")
        env_of = options.pop("env_of", lambda _: {})
        text = options.pop("configuration", configuration(upstream_port))
        servers = []
        for number in range(shape.replicas):
            data_dir = home / f"replica-{number}"
            data_dir.mkdir()
            if database_url is None:
                shutil.copy(sandbox_file, data_dir / "bourse.db")
            else:
                env["BOURSE_DATABASE_URL"] = database_url
            options |= {"configuration": text, "env": env | env_of(number), "workers": shape.workers, "wait": False}
            servers.append(AppServer("gateway", data_dir, **options))
        started.extend(servers)
        for server in servers:
            server.wait_until_ready()
        return Fleet(servers, database_url or f"sqlite+aiosqlite:///{home / 'replica-0' / 'bourse.db'}", redis_url)

    yield start
    for server in started:
        server.server.process.terminate()
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def _shared_fleets() -> dict[Shape, Fleet]:
    return {}


@pytest.fixture
def fleet(request: pytest.FixtureRequest, start_fleet: StartFleet, redis_server: RedisServer, _shared_fleets: dict[Shape, Fleet]) -> Fleet:
    shape: Shape = request.param
    if shape not in _shared_fleets:
        # Exactness is asked for here, also of a machine that is too busy to let Redis answer within a tenth of a second.
        _shared_fleets[shape] = start_fleet(shape, redis_url=f"{redis_server.url}?socket_timeout=8" if shape.redis else None)
    return _shared_fleets[shape]


@pytest.fixture
async def upstream(upstream_port: int) -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream(upstream_port) as server:
        server.script(honours_the_cap)
        yield server


@pytest.fixture
async def operator(fleet: Fleet) -> AsyncIterator[Operator]:
    async with operator_of(fleet.database_url) as hand:
        yield hand


@pytest.fixture
def witness(fleet: Fleet) -> Iterator[Witness]:
    opened = Witness(fleet.database_url)
    yield opened
    opened.close()


def budget_of(witness: Witness, scope_id: str) -> str:
    """The id of the budget of a key, user or tenant."""
    return str(witness.run("SELECT id FROM budget WHERE scope_id = :id", id=scope_id)[0][0])


async def settled(witness: Witness, budget: str, *, seconds: float = 30) -> Truth:
    """How a budget stands once nothing of it is leased any more."""
    await until(lambda: witness.truth(budget), lambda truth: truth.leased == 0, seconds=seconds)
    # Its sums are read one after another, so the last charge may have come between them.
    return witness.truth(budget)


async def until(look: Callable[[], Any], is_so: Callable[[Any], bool] = bool, *, seconds: float = 60) -> Any:
    """What `look` says once it is so; looks in a thread, ten times a second."""
    seen = None
    try:
        async with asyncio.timeout(seconds):
            while not is_so(seen := await asyncio.to_thread(look)):
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s; it is {seen}", pytrace=False)
    return seen


def using(tokens_of: Callable[[int], int], *, seconds: Callable[[], float] = lambda: 0.0) -> Callable[[Exchange], Awaitable[None]]:
    """An upstream's step: a whole answer, late, of as many tokens as `tokens_of` makes of the cap that was sent."""

    async def step(exchange: Exchange) -> None:
        await asyncio.sleep(seconds())
        body = exchange.seen.body
        made = tokens_of(body["max_tokens"]) * body.get("n", 1)
        await _whole(exchange, 200, completion("word", usage={"prompt_tokens": 5, "completion_tokens": made, "total_tokens": made + 5}))

    return step


honours_the_cap = using(lambda cap: cap)
