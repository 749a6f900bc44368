"""The gateway as callers meet it: behind the front door, on a real socket, in front of fake upstreams, with a ledger in SQLite."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
import yaml
from openai import AsyncOpenAI

from backend.asgi import FrontDoor
from backend.configuration import load_settings
from backend.kernel.clock import SystemClock
from backend.runtime import Runtime
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.rig.schema import sqlite_url

KEY = "sk-demo.my-secret"
LIMITED_KEY = "sk-limited.local-only"
PLAIN = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}
PROVIDER_KEY = "sk-upstream-0123456789abcdef"
UNLIMITED = {"default": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}}
"""`rate_limits` for tests that make more calls than a key may by itself."""
ONE_TRY: dict[str, Any] = {"strategy": "ordered", "retries": {"per_candidate": 0}, "breaker": {"failures": 1000}}
"""A route that asks each candidate once and leaves nobody out: what a provider does shows."""


def configuration(upstream: str, other: str) -> dict[str, Any]:
    """Two providers; `fast` asks the first, `pair` the first and then the second, `hasty` does so with limits of a second."""
    price = {"input": 1, "output": 2}
    first = {"provider": "acme", "model": "gpt-fake", "price": price}
    second = {"provider": "backup", "model": "gpt-other", "price": {"input": 10, "output": 20}}
    # Short for who is silent, and long enough for who answers on a busy machine.
    hasty = {"connect": "2s", "attempt": "1s", "first_token": "1s", "idle": "1s", "total": "10s"}
    routes: list[dict[str, Any]] = [
        {"alias": "fast", "candidates": [first]},
        {"alias": "pair", "candidates": [first, second]},
        {"alias": "no-recovery", "candidates": [first, second], "timeouts": hasty, "recover": "off"},
        {"alias": "hasty", "candidates": [first, second], "timeouts": hasty},
        {"alias": "hasty-alone", "candidates": [first], "timeouts": hasty},
        {
            "alias": "brief",
            "candidates": [first, second],
            "timeouts": {**hasty, "first_token": "5s", "total": "1s"},
        },
        {"alias": "in-20-s", "candidates": [first], "timeouts": {"idle": "60s", "total": "20s"}},
        {"alias": "slow-pair", "candidates": [first, second], "timeouts": {"first_token": "900ms"}},
        {"alias": "off", "candidates": [first], "enabled": False},
    ]
    return {
        "providers": {
            "acme": {"protocol": "openai", "base_url": upstream, "api_key": PROVIDER_KEY},
            "backup": {"protocol": "openai", "base_url": other},
        },
        # Retries and breakers have tests of their own.
        "models": [ONE_TRY | route for route in routes],
        # The catalog is empty here, so this is what the sandbox costs.
        "budgets": {"default": {"on_unknown_price": {"input": 0.5, "output": 1.5}}},
        "bootstrap": {
            "tenants": [{"slug": "small", "name": "Small", "models": ["fast", "pair"]}],
            "api_keys": [{"tenant": "small", "name": "limited", "key": LIMITED_KEY, "models": ["fast"]}],
        },
    }


@dataclass
class Rig:
    runtime: Runtime
    url: str
    client: AsyncOpenAI
    http: httpx.AsyncClient
    calls_seen: list[dict[str, Any]] = field(default_factory=list)

    async def post(self, body: Any, *, key: str | None = KEY, query: str = "", **options: Any) -> httpx.Response:
        headers = {**({"authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
        content = {"json": body} if not isinstance(body, bytes) else {"content": body}
        return await self.http.post(f"/v1/chat/completions{query}", headers=headers, **content, **options)

    async def events(self, **body: Any) -> tuple[httpx.Response, list[str]]:
        """The data of every event of a streamed answer."""
        response = await self.post({**PLAIN, "stream": True, **body})
        return response, [line[6:] for line in response.text.split("\n") if line.startswith("data: ")]

    async def rows(self, table: str = "call") -> list[dict[str, Any]]:
        """The ledger, oldest first, once everything recorded so far is in it."""
        await self.runtime.metering.flush()
        order = "created_at" if table == "call" else "call_id, number"
        async with self.runtime.db.read() as session:
            return [dict(row) for row in (await session.execute(sa.text(f'SELECT * FROM "{table}" ORDER BY {order}'))).mappings()]

    async def last_row(self, outcome: str | None = None) -> dict[str, Any]:
        """The newest row; with `outcome`, waits until it is there: a hang-up is settled after the caller has gone."""
        while True:
            rows = await self.rows()
            if rows and (outcome is None or rows[-1]["outcome"] == outcome):
                return rows[-1]
            assert outcome is not None, "the ledger is empty"
            await asyncio.sleep(0.02)


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
async def other() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
async def gateway(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream) -> AsyncIterator[Rig]:
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration(upstream.base_url, other.base_url)))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


@asynccontextmanager
async def gateway_in(home: Path, template: Path, configuration: Mapping[str, Any], **options: Any) -> AsyncIterator[Rig]:
    """As `open_gateway`, with data of its own in a folder that is empty. For all tests of a file: in a fixture of the module.

    Args:
        template: a migrated SQLite database, which is copied.
    """
    (home / "bourse.db").write_bytes(template.read_bytes())
    (home / "bourse.yaml").write_text(yaml.safe_dump(configuration))
    async with open_gateway(home / "bourse.yaml", home, sqlite_url(home / "bourse.db"), **options) as rig:
        yield rig


@asynccontextmanager
async def open_gateway(file: Path, data_dir: Path, database_url: str, *, http: Any = "httptools") -> AsyncIterator[Rig]:
    """A gateway on a free port of this loop. The catalog is empty: prices come from the routes."""
    settings = load_settings({"BOURSE_CONFIG": str(file), "BOURSE_DATA_DIR": str(data_dir), "BOURSE_DATABASE_URL": database_url})
    runtime = Runtime(settings, SystemClock())
    await runtime.identity.bootstrap()
    await runtime.keeper.load()
    await runtime.limit_book.load()
    await runtime.auth.load()
    await runtime.prices.load()
    await runtime.routes.load()
    await runtime.metering.start()
    await runtime.keeper.start()
    await runtime.limiter.start()
    await runtime.gateway.start()
    runtime.readiness.missing = None
    door = FrontDoor(settings)
    door.runtime = runtime
    server = _Server(uvicorn.Config(door, port=0, log_level="warning", access_log=False, http=http, lifespan="off", proxy_headers=False))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    # Everybody's clients read the certificates of the machine when they are made, which takes longer than most tests; nobody here speaks
    # TLS.
    plain = httpx.AsyncClient(timeout=30, verify=False, follow_redirects=True)
    async with (
        httpx.AsyncClient(base_url=url, timeout=30, verify=False) as http,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, http_client=plain) as client,
    ):
        yield Rig(runtime, url, client, http)
    server.should_exit = True
    await task
    await runtime.gateway.stop()
    await runtime.limiter.stop()
    await runtime.keeper.stop()
    await runtime.metering.stop()
    await runtime.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The test process keeps its own signal handlers."""
        yield
