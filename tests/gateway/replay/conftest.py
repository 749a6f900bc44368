"""One gateway for all tests of a file, and where two are asked for, both on one database: they meet as two replicas do."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.fakes.openai_upstream import OpenAIUpstream, answer
from tests.gateway.conftest import PLAIN, Rig, configuration, open_gateway
from tests.rig.postgres import Postgres
from tests.rig.schema import sqlite_url

STREAM: dict[str, Any] = {**PLAIN, "stream": True}
LEASE_SECONDS = 4
"""So that a busy machine renews it in time, and a test need not wait long to see that."""
LARGEST = 100_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _provider() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
def upstream(_provider: OpenAIUpstream) -> OpenAIUpstream:
    """The one provider, well again and with an empty log."""
    _provider.script(answer())
    _provider.requests.clear()
    return _provider


def _settings(upstream: OpenAIUpstream) -> str:
    settings = configuration(upstream.base_url, upstream.base_url)
    no_limits = {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}
    replay = {"lease": LEASE_SECONDS, "max_bytes": LARGEST}
    return yaml.safe_dump(settings | {"rate_limits": {"default": no_limits}, "replay": replay})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _provider: OpenAIUpstream) -> AsyncIterator[Rig]:
    """On SQLite."""
    home = tmp_path_factory.mktemp("gateway")
    (home / "bourse.db").write_bytes(_sqlite_template.read_bytes())
    (home / "bourse.yaml").write_text(_settings(_provider))
    async with open_gateway(home / "bourse.yaml", home, sqlite_url(home / "bourse.db")) as rig:
        yield rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, _postgres_template: str, _provider: OpenAIUpstream
) -> AsyncIterator[tuple[Rig, Rig]]:
    """Two, on PostgreSQL."""
    url = postgres.create(template=_postgres_template)
    async with AsyncExitStack() as stack:
        rigs = []
        for name in ("one", "other"):
            home = tmp_path_factory.mktemp(name)
            (home / "bourse.yaml").write_text(_settings(_provider))
            rigs.append(await stack.enter_async_context(open_gateway(home / "bourse.yaml", home, url)))
        yield rigs[0], rigs[1]
    postgres.drop(url)


def under(key: str) -> dict[str, str]:
    return {"idempotency-key": key}
