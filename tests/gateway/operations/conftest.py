"""One gateway for all tests of a file, in front of fake upstreams whose offers are priced in every unit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.fakes.openai_upstream import OpenAIUpstream, answer
from tests.gateway.conftest import KEY, LIMITED_KEY, ONE_TRY, PROVIDER_KEY, UNLIMITED, Rig, gateway_in

POOR_KEY = "sk-poor.local-only"
CAPPED_KEY = "sk-capped.local-only"
FIVE_CALLS = {"embeddings": 0.005, "images": 0.4, "speech": 0.075, "searches": 0.01}
"""USD that `sk-five-NAME.local-only` may spend."""
PRICES: dict[str, dict[str, Any]] = {
    "embed": {"input": 0.1},
    "instruct": {"input": 1, "output": 2},
    "harm": {"input": 0, "output": 0},
    "rank": {"query": 0.002},
    "rank-tokens": {"input": 0.05},
    "draw": {"image": 0.04},
    "draw-tokens": {"input": 5, "output": 40},
    "change-tokens": {"input": 5, "image_input": 10, "output": 40},
    "speak": {"character": 15},
    "speak-tokens": {"input": 0.6, "audio_output": 12},
    "hear": {"second": 0.0001},
    "hear-tokens": {"input": 2.5, "audio_input": 6, "output": 10},
}
SANDBOX = {
    "embedding": {"input": 0.02},
    "completion": {"input": 0.5, "output": 1.5},
    "moderation": {"input": 0.01},
    "reranker": {"query": 0.002},
    "image": {"image": 0.04},
    "speech": {"character": 15},
    "transcriber": {"second": 0.0001},
}


@dataclass
class OperationRig(Rig):
    """`rows` are those of the test."""

    before: set[str] = field(default_factory=set)

    async def rows(self, table: str = "call") -> list[dict[str, Any]]:
        id_of = "id" if table == "call" else "call_id"
        return [row for row in await super().rows(table) if row[id_of] not in self.before]

    async def ask(self, path: str, body: Any, *, key: str | None = KEY, **headers: str) -> httpx.Response:
        """A request without an SDK; header names with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} | ({"authorization": f"Bearer {key}"} if key else {})
        content = {"json": body} if not isinstance(body, bytes) else {"content": body}
        return await self.http.post(f"/v1/{path}", headers=named, **content)


def _routes() -> list[dict[str, Any]]:
    """As `PRICES`; `NAME-pair` has a second candidate that costs ten times as much, `NAME-busy` one that nobody else asks."""
    routes: list[dict[str, Any]] = []
    for name, price in PRICES.items():
        first = {"provider": "acme", "model": f"{name}-fake", "price": price}
        second = {"provider": "backup", "model": f"{name}-other", "price": {unit: usd * 10 for unit, usd in price.items()}}
        routes += [{"alias": name, "candidates": [first]}, {"alias": f"{name}-pair", "candidates": [first, second]}]
    price = PRICES["embed"]
    routes += [
        {"alias": "embed-busy", "candidates": [{"provider": "acme", "model": "busy", "price": price}]},
        {"alias": "embed-refused", "candidates": [{"provider": "refused", "model": "x", "price": price}]},
        {"alias": "embed-hasty", "candidates": [{"provider": "acme", "model": "hasty", "price": price}], "timeouts": {"attempt": "200ms"}},
        {
            "alias": "embed-again",
            "retries": {"per_candidate": 2, "backoff": "1ms"},
            "candidates": [{"provider": "acme", "model": "again", "price": price}],
        },
        {"alias": "omni-moderation-latest", "candidates": [{"provider": "acme", "model": "moderator-fake", "price": PRICES["harm"]}]},
        {
            "alias": "rank-cheapest",
            "strategy": "cheapest",
            "candidates": [
                {"provider": "backup", "model": "by-search", "price": {"query": 0.001}},
                {"provider": "acme", "model": "by-token", "price": {"input": 0.5}},
            ],
        },
        {
            "alias": "hear-cheapest",
            "strategy": "cheapest",
            "candidates": [
                {"provider": "acme", "model": "by-second", "price": {"second": 0.0002}},
                {"provider": "backup", "model": "by-token", "price": {"input": 1, "audio_input": 10, "output": 10}},
            ],
        },
        {"alias": "unpriced", "candidates": [{"provider": "acme", "model": "nobody-knows"}]},
        {"alias": "silent", "candidates": [{"provider": "claude", "model": "claude-9", "price": price}]},
        {
            "alias": "speak-hasty",
            "timeouts": {"idle": "200ms"},
            "candidates": [{"provider": "acme", "model": "hasty", "price": PRICES["speak"]}],
        },
    ]
    routes += [
        {"alias": f"my-{name}", "candidates": [{"provider": "sandbox", "model": name, "price": price}]} for name, price in SANDBOX.items()
    ]
    return [ONE_TRY | route for route in routes]


@dataclass
class Servers:
    first: OpenAIUpstream
    second: OpenAIUpstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _servers() -> AsyncIterator[Servers]:
    async with OpenAIUpstream() as first, OpenAIUpstream() as second:
        yield Servers(first, second)


@pytest.fixture
def upstream(_servers: Servers) -> OpenAIUpstream:
    """`acme`, with an empty log."""
    _servers.first.requests.clear()
    _servers.first.script(answer())
    return _servers.first


@pytest.fixture
def other(_servers: Servers) -> OpenAIUpstream:
    """`backup`, with an empty log."""
    _servers.second.requests.clear()
    _servers.second.script(answer())
    return _servers.second


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _servers: Servers) -> AsyncIterator[OperationRig]:
    home = tmp_path_factory.mktemp("gateway")
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": {
            "acme": {"protocol": "openai", "base_url": _servers.first.base_url, "api_key": PROVIDER_KEY},
            "backup": {"protocol": "openai", "base_url": _servers.second.base_url},
            "refused": {"protocol": "openai", "base_url": _servers.first.base_url, "api_key": PROVIDER_KEY},
            "claude": {"protocol": "anthropic", "base_url": _servers.first.base_url, "api_key": PROVIDER_KEY},
        },
        "models": _routes(),
        "rate_limits": UNLIMITED,
        "bootstrap": {
            "tenants": [{"slug": "small", "name": "Small", "models": ["embed", "rank"]}],
            "api_keys": [
                {"tenant": "small", "name": "limited", "key": LIMITED_KEY, "models": ["embed"]},
                {"tenant": "demo", "name": "poor", "key": POOR_KEY, "budget": {"limit_usd": 0.000001}},
                *[
                    {"tenant": "demo", "name": f"five-{name}", "key": f"sk-five-{name}.local-only", "budget": {"limit_usd": usd}}
                    for name, usd in FIVE_CALLS.items()
                ],
                {"tenant": "demo", "name": "capped", "key": CAPPED_KEY, "rate_limit": {"tokens_per_minute": 100}},
            ],
        },
    }
    # The server that runs in production: it is what cuts off answers that are not ended.
    async with gateway_in(home, _sqlite_template, configuration, http="backend.http_server:Http") as rig:
        yield OperationRig(rig.runtime, rig.url, rig.client, rig.http)


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(_gateway: OperationRig) -> OperationRig:
    """With a ledger that seems empty."""
    _gateway.before = set()
    _gateway.before = {row["id"] for row in await _gateway.rows()}
    return _gateway
