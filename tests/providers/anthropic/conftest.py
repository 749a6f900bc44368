"""A gateway with the openai SDK on one side and a server that speaks Anthropic's Messages API on the other."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.kernel.secrets import SecretRef
from backend.providers.anthropic import build
from backend.providers.provider import Provider
from backend.settings import ProviderSettings
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import ONE_TRY, Rig, open_gateway

KEY = "sk-ant-api03-0123456789abcdef"
PRICE = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}


def routes() -> list[dict[str, Any]]:
    """`claude` goes on from its own words and thinks within a budget, `newest` does neither; the pairs have two of a kind."""
    models = {
        "claude": ["claude-sonnet-4-5-20250929"],
        "newest": ["claude-opus-4-8"],
        "pair": ["claude-sonnet-4-5-20250929", "claude-haiku-4-5"],
        "newest-pair": ["claude-opus-4-8", "claude-sonnet-5"],
    }
    return [
        {
            **ONE_TRY,
            "alias": alias,
            "candidates": [{"provider": "claude", "model": model, "price": PRICE} for model in candidates],
        }
        for alias, candidates in models.items()
    ]


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
async def provider(upstream: OpenAIUpstream) -> AsyncIterator[Provider]:
    """The adapter alone."""
    settings = ProviderSettings(protocol="anthropic", base_url=upstream.base_url, api_key=SecretRef(KEY))
    async with client() as http:
        yield build("claude", settings, http)


@pytest.fixture
async def gateway(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream) -> AsyncIterator[Rig]:
    provider = {
        "protocol": "anthropic",
        "base_url": upstream.base_url,
        "api_key": KEY,
        "metadata": {"anthropic_beta": ["context-1m-2025-08-07", "interleaved-thinking-2025-05-14"]},
    }
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump({"providers": {"claude": provider}, "models": routes()}))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig
