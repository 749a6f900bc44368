"""A gateway with litellm in it, in front of a server that speaks Ollama's own API and others that only litellm speaks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.fakes import ollama_upstream as wire
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import Rig, open_gateway
from tests.rig.schema import sqlite_url

KEY = "ollama-key-0123456789abcdef0123"
BESIDE_CHAT = {
    "embed": ("ollama/nomic-embed-text", {"input": 1}),
    "rank": ("cohere/rerank-v3.5", {"query": 0.002}),
    "draw": ("recraft/recraftv3", {"image": 0.04}),
    "hear": ("deepgram/nova-3", {"second": 0.0001}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _server() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
def ollama(_server: OpenAIUpstream) -> OpenAIUpstream:
    """With an empty log and the good answer."""
    _server.requests.clear()
    _server.looks.clear()
    _server.script(wire.answer())
    return _server


def base_url(server: OpenAIUpstream) -> str:
    return server.base_url.removesuffix("/v1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _server: OpenAIUpstream) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")
    (home / "bourse.db").write_bytes(_sqlite_template.read_bytes())
    chat = f"ollama_chat/{wire.MODEL}"
    bridge = {"protocol": "litellm", "base_url": base_url(_server), "api_key": KEY, "metadata": {"allow_litellm": True}}
    configuration = {
        "network": {"allow_private_fetch": ["127.0.0.1/32"]},
        "providers": {"bridge": bridge, "barred": {**bridge, "metadata": {}}},
        "models": [
            {
                "alias": alias,
                "candidates": [candidate],
                "retries": {"per_candidate": 0},
                "breaker": {"failures": 1000},
                "unsupported": "drop" if alias == "dropping" else "refuse",
            }
            for alias, candidate in (
                ("dropping", {"provider": "bridge", "model": chat, "price": {"input": 1, "output": 2}}),
                ("llama", {"provider": "bridge", "model": chat, "price": {"input": 1, "output": 2}}),
                ("barred", {"provider": "barred", "model": chat, "price": {"input": 1, "output": 2}}),
                *((alias, {"provider": "bridge", "model": model, "price": price}) for alias, (model, price) in BESIDE_CHAT.items()),
            )
        ],
        "rate_limits": {"default": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}},
    }
    (home / "bourse.yaml").write_text(yaml.safe_dump(configuration))
    async with open_gateway(home / "bourse.yaml", home, sqlite_url(home / "bourse.db")) as rig:
        yield rig
