"""A gateway in front of a fake of Azure OpenAI: by deployments with a key, and by the v1 API with a token of Entra."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.azure_upstream import answer
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fakes.token_server import TokenServer
from tests.gateway.conftest import ONE_TRY, UNLIMITED, Rig, gateway_in

KEY = "0123456789abcdef0123456789abcdef"
SECRET = "Zx8Q~fake-client-secret-of-the-tests-0123"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CLIENT = "11111111-2222-3333-4444-555555555555"
ROUTES = {
    "chat": ["key/chat-default"],
    "o3": ["key/team-o3-mini"],
    "by-token": ["entra/chat-default"],
    "pair": ["key/chat-default", "entra/b"],
    "embed": ["key/embed small"],
    "embed-by-token": ["entra/embed small"],
    "draw": ["key/painter"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _azure() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens() -> AsyncIterator[TokenServer]:
    async with TokenServer() as server:
        yield server


@pytest.fixture
def azure(_azure: OpenAIUpstream) -> OpenAIUpstream:
    """With an empty log and the good answer."""
    _azure.requests.clear()
    _azure.looks.clear()
    _azure.script(answer())
    return _azure


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _azure: OpenAIUpstream, tokens: TokenServer
) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")
    price = {"input": 1, "output": 2, "cache_read": 0.5}

    def candidate(named: str) -> dict[str, Any]:
        provider, _, model = named.partition("/")
        return {"provider": provider, "model": model, "price": {"image": 0.04} if model == "painter" else price}

    entra = {"tenant_id": TENANT, "client_id": CLIENT, "authority": tokens.url}
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": {
            "key": {"protocol": "azure", "base_url": _azure.base_url.removesuffix("/v1"), "api_key": KEY},
            "entra": {"protocol": "azure", "base_url": _azure.base_url, "api_key": SECRET, "metadata": entra},
        },
        "models": [
            {**ONE_TRY, "alias": alias, "candidates": [candidate(named) for named in candidates]} for alias, candidates in ROUTES.items()
        ],
        "rate_limits": UNLIMITED,
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig
