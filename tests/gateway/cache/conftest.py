"""One gateway with a prompt cache for all tests of a file; every test asks what nobody has asked before."""

import itertools
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from tests.fakes.openai_upstream import OpenAIUpstream, answer
from tests.gateway.conftest import Rig, configuration, open_gateway
from tests.rig.schema import sqlite_url

NEIGHBOUR, POOR, THREE_A_MINUTE = "sk-neighbour.local-only", "sk-poor.local-only", "sk-three.local-only"
COST = 44_000
"""Nano-dollars of the upstream's usual answer."""
_numbers = itertools.count(1)


def cached_configuration(upstream: str, other: str) -> dict[str, Any]:
    """`kept` keeps answers for a minute, `other-kept` is another alias for the same; `impatient` waits for nobody."""
    settings = configuration(upstream, other)
    first, second = next(route for route in settings["models"] if route["alias"] == "pair")["candidates"]
    settings["models"] += [
        {"alias": "kept", "strategy": "ordered", "candidates": [first], "cache": {"ttl": "60s"}},
        {"alias": "kept-pair", "strategy": "weighted", "candidates": [first, second], "cache": {"ttl": "60s"}},
        {"alias": "kept-both", "strategy": "ordered", "candidates": [first, second], "cache": {"ttl": "60s"}},
        {"alias": "other-kept", "strategy": "ordered", "candidates": [first], "cache": {"ttl": "60s"}},
        {
            "alias": "impatient",
            "strategy": "ordered",
            "candidates": [first],
            "cache": {"ttl": "60s"},
            "timeouts": {"attempt": "1s", "first_token": "1s"},
            "retries": {"per_candidate": 0},
        },
    ]
    settings["cache"] = {"memory": "1MiB", "max_entry": "16KiB"}
    settings["bootstrap"] = {
        "tenants": [
            {"slug": "neighbour", "name": "Neighbour"},
            {"slug": "poor", "name": "Poor", "budget": {"limit_usd": 0.0012, "window": "lifetime"}},
        ],
        "api_keys": [
            {"tenant": "neighbour", "name": "neighbour", "key": NEIGHBOUR},
            {"tenant": "neighbour", "name": "three", "key": THREE_A_MINUTE, "rate_limit": {"requests_per_minute": 3}},
            {"tenant": "poor", "name": "poor", "key": POOR},
        ],
    }
    return settings


@dataclass
class Stage:
    """`prompt` is new in each test."""

    rig: Rig
    upstream: OpenAIUpstream
    other: OpenAIUpstream
    prompt: str = ""
    before: int = 0
    """Rows of the ledger before the test."""

    async def ask(
        self, prompt: str | None = None, *, key: str | None = None, headers: dict[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        messages = [{"role": "user", "content": prompt or self.prompt}]
        given = {"key": key} if key is not None else {}
        return await self.rig.post({"model": "kept", "messages": messages, **body}, headers=headers or {}, **given)

    async def rows(self) -> list[dict[str, Any]]:
        """The ledger's rows of this test."""
        return (await self.rig.rows())[self.before :]

    @property
    def asked(self) -> int:
        """How often the provider was asked in this test."""
        return len(self.upstream.requests)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> AsyncIterator[Stage]:
    home = tmp_path_factory.mktemp("cache")
    database = sqlite_url(Path(shutil.copy(_sqlite_template, home / "bourse.db")))
    async with OpenAIUpstream() as upstream, OpenAIUpstream() as other:
        file = home / "bourse.yaml"
        file.write_text(yaml.safe_dump(cached_configuration(upstream.base_url, other.base_url)))
        async with open_gateway(file, home, database) as rig:
            yield Stage(rig, upstream, other)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: Stage) -> Stage:
    module_stage.prompt = f"What is number {next(_numbers)}?"
    module_stage.before = len(await module_stage.rig.rows())
    for server in (module_stage.upstream, module_stage.other):
        server.requests.clear()
        server.script(answer())
    return module_stage
