"""The anthropic SDK before the gateway, and servers behind it that speak OpenAI's, Anthropic's and Gemini's wire formats."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import pytest_asyncio
from anthropic import AsyncAnthropic

from tests.fakes.anthropic_upstream import message
from tests.fakes.gemini_upstream import GeminiUpstream
from tests.fakes.gemini_upstream import answer as gemini_answer
from tests.fakes.openai_upstream import OpenAIUpstream, answer
from tests.gateway.conftest import KEY, LIMITED_KEY, ONE_TRY, UNLIMITED, Rig, gateway_in

PRICE = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}
CAPPED_KEY = "sk-capped.local-only"
POOR_KEY = "sk-poor.local-only"
HI: list[Any] = [{"role": "user", "content": "hi"}]
ASKED: dict[str, Any] = {"model": "gpt", "max_tokens": 2000, "messages": HI}


def _routes() -> list[dict[str, Any]]:
    gpt = {"provider": "acme", "model": "gpt-4o", "price": PRICE}
    claude = {"provider": "claude", "model": "claude-sonnet-4-5-20250929", "price": PRICE}
    routes = [
        {"alias": "gpt", "candidates": [gpt]},
        {"alias": "gpt-pair", "candidates": [gpt, {**gpt, "model": "gpt-other"}]},
        {"alias": "cached", "candidates": [gpt], "cache": {"ttl": "60s"}},
        {"alias": "cached-claude", "candidates": [claude], "cache": {"ttl": "60s"}},
        {"alias": "claude", "candidates": [claude]},
        {"alias": "claude-new", "candidates": [{**claude, "model": "claude-opus-4-8"}]},
        {"alias": "gemini", "candidates": [{"provider": "google", "model": "gemini-3-flash", "price": PRICE}]},
        {"alias": "mixed", "candidates": [claude, gpt]},
    ]
    return [ONE_TRY | route for route in routes]


@dataclass
class Upstreams:
    openai: OpenAIUpstream
    claude: OpenAIUpstream
    google: GeminiUpstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _upstreams() -> AsyncIterator[Upstreams]:
    async with OpenAIUpstream() as openai, OpenAIUpstream() as claude, GeminiUpstream() as google:
        yield Upstreams(openai, claude, google)


@pytest.fixture
def upstreams(_upstreams: Upstreams) -> Upstreams:
    """With empty logs and good answers."""
    for server, step in ((_upstreams.openai, answer()), (_upstreams.claude, message()), (_upstreams.google, gemini_answer())):
        server.requests.clear()
        server.script(step)
    return _upstreams


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _upstreams: Upstreams) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": {
            "acme": {"protocol": "openai", "base_url": _upstreams.openai.base_url, "api_key": "sk-upstream-0123456789abcdef"},
            "claude": {"protocol": "anthropic", "base_url": _upstreams.claude.base_url, "api_key": "sk-ant-api03-0123456789abcdef"},
            "google": {"protocol": "gemini", "base_url": _upstreams.google.base_url, "api_key": "AIzaSyFakeKeyOfTheTests0123456789abcdef"},
        },
        "models": _routes(),
        "budgets": {"default": {"on_unknown_price": {"input": 0.5, "output": 1.5}}},
        "rate_limits": UNLIMITED,
        "bootstrap": {
            "tenants": [{"slug": "small", "name": "Small", "models": ["gpt", "claude"]}],
            "api_keys": [
                {"tenant": "small", "name": "limited", "key": LIMITED_KEY, "models": ["gpt"]},
                {"tenant": "small", "name": "capped", "key": CAPPED_KEY, "rate_limit": {"requests_per_minute": 1}},
                {"tenant": "small", "name": "poor", "key": POOR_KEY, "budget": {"limit_usd": 0.000001}},
            ],
        },
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(gateway: Rig) -> AsyncIterator[AsyncAnthropic]:
    plain = httpx2.AsyncClient(timeout=30, verify=False, follow_redirects=True)
    async with AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0, http_client=plain) as sdk:
        yield sdk


async def posted(gateway: Rig, body: Any, *, key: str | None = KEY, path: str = "", query: str = "", **headers: str) -> httpx.Response:
    """Without an SDK; header names with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()} | ({"x-api-key": key} if key else {})
    content = {"json": body} if not isinstance(body, bytes) else {"content": body}
    return await gateway.http.post(f"/v1/messages{path}{query}", headers=named, **content)
