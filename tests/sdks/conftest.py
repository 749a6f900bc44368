"""Both SDKs before one gateway, and behind it a server for every provider that speaks as that one does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.fakes.bedrock_upstream import ACCESS_KEY, REGION, SECRET_KEY, BedrockUpstream
from tests.fakes.gemini_upstream import GeminiUpstream
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fakes.token_server import TokenServer
from tests.gateway.conftest import KEY, ONE_TRY, UNLIMITED, Rig, gateway_in
from tests.providers.gemini.conftest import account_json, account_key
from tests.sdks.voices import FAULTS, VOICES

__all__ = ["account_key"]

PRICE = {"input": 1, "output": 2, "cache_read": 0.1, "cache_write": 1.25}
ACCOUNT = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region": REGION}
KINDS: dict[str, type[OpenAIUpstream]] = {"gemini": GeminiUpstream, "vertex": GeminiUpstream, "bedrock": BedrockUpstream}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _servers() -> AsyncIterator[dict[str, OpenAIUpstream]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(KINDS.get(voice.protocol, OpenAIUpstream)()) for name, voice in VOICES.items()}


@pytest.fixture
def servers(_servers: dict[str, OpenAIUpstream]) -> dict[str, OpenAIUpstream]:
    """By voice, with empty logs."""
    for server in _servers.values():
        server.requests.clear()
    return _servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _servers: dict[str, OpenAIUpstream], account_key: Any
) -> AsyncIterator[Rig]:
    """Every voice under its name, and again for each fault and way to ask: who refused a key or is limited is left alone for a while."""
    home = tmp_path_factory.mktemp("gateway")
    async with TokenServer() as tokens:
        (home / "account.json").write_text(account_json(account_key, tokens.url))
        providers, routes = {}, []
        for name, voice in VOICES.items():
            settings = {"protocol": voice.protocol, "base_url": _servers[name].base_url, **voice.settings}
            if not voice.at:
                settings["base_url"] = settings["base_url"].removesuffix("/v1")
            if voice.protocol == "bedrock":
                settings["metadata"] = ACCOUNT
            elif voice.protocol == "vertex":
                settings["api_key"] = f"file:{home}/account.json"
            for alias in (name, *[f"{name}-{fault}{how}" for fault in FAULTS for how in ("", "-streamed", "-message")]):
                providers[alias] = settings
                candidate = {"provider": alias, "model": voice.model, "price": PRICE}
                routes.append({**ONE_TRY, "alias": alias, "candidates": [candidate]})
        configuration = {
            "network": {"allow_private": ["127.0.0.1/32"], "allow_private_fetch": ["127.0.0.1/32"]},
            "providers": providers,
            "models": routes,
            "budgets": {"default": {"on_unknown_price": {"input": 0.5, "output": 1.5}}},
            "rate_limits": UNLIMITED,
        }
        async with gateway_in(home, _sqlite_template, configuration) as rig:
            yield rig


@pytest.fixture
def openai(gateway: Rig) -> AsyncOpenAI:
    return gateway.client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def anthropic(gateway: Rig) -> AsyncIterator[AsyncAnthropic]:
    plain = httpx2.AsyncClient(timeout=30, verify=False, follow_redirects=True)
    async with AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0, http_client=plain) as sdk:
        yield sdk
