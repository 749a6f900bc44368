"""A gateway with the openai SDK on one side and a server that speaks Bedrock's wire format, and checks every signature, on the other."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.providers.bedrock import build
from backend.providers.provider import Provider
from backend.settings import ProviderSettings
from tests.fakes.bedrock_upstream import ACCESS_KEY, REGION, SECRET_KEY, BedrockUpstream
from tests.fakes.byte_server import client
from tests.gateway.conftest import ONE_TRY, UNLIMITED, Rig, gateway_in

PRICE = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
CANDIDATES = {
    "claude": ("aws", CLAUDE),
    "nova": ("aws", NOVA),
    # For tests after which a candidate or a provider is left alone for a while.
    "limited": ("aws", "amazon.nova-micro-v1:0"),
    "limited-claude": ("aws", "anthropic.claude-3-5-haiku-20241022-v1:0"),
    "refused": ("spare", NOVA),
    "titan": ("aws", "amazon.titan-embed-text-v2:0"),
    "painter": ("aws", "amazon.titan-image-generator-v2:0"),
    "cohere": ("aws", "cohere.embed-v4:0"),
    "ranker": ("aws", "cohere.rerank-v3-5:0"),
}
PAIR = [CLAUDE, "anthropic.claude-haiku-4-5-20251001-v1:0"]
PRICES = {"titan": {"input": 2, "output": 0}, "painter": {"image": 0.008}, "cohere": {"input": 2, "output": 0}, "ranker": {"query": 0.002}}
METADATA = {
    "titan": {"bedrock_embed_dims": 256, "bedrock_embed_normalize": True},
    "painter": {
        "bedrock_image_quality": "premium",
        "bedrock_image_cfg_scale": 8,
        "bedrock_image_style": "PHOTOREALISM",
        "bedrock_image_seed": 7,
    },
}
ACCOUNT = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region": REGION}


def settings(upstream: BedrockUpstream, **metadata: Any) -> ProviderSettings:
    return ProviderSettings(protocol="bedrock", base_url=upstream.base_url, metadata={**ACCOUNT, **metadata})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _bedrock() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream() as server:
        yield server


@pytest.fixture
def bedrock(_bedrock: BedrockUpstream) -> BedrockUpstream:
    """With an empty log."""
    _bedrock.requests.clear()
    _bedrock.looks.clear()
    return _bedrock


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(_bedrock: BedrockUpstream) -> AsyncIterator[Provider]:
    """The adapter alone."""
    async with client() as http:
        yield build("aws", settings(_bedrock), http)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _bedrock: BedrockUpstream) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")
    routes = [
        {
            **ONE_TRY,
            "alias": alias,
            "candidates": [{"provider": provider, "model": model, "price": PRICES.get(alias, PRICE), "metadata": METADATA.get(alias, {})}],
        }
        for alias, (provider, model) in CANDIDATES.items()
    ]
    pair = [{"provider": "aws", "model": model, "price": PRICE} for model in PAIR]
    routes.append({**ONE_TRY, "alias": "pair", "candidates": pair})
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"], "allow_private_fetch": ["127.0.0.1/32"]},
        "providers": {name: {"protocol": "bedrock", "base_url": _bedrock.base_url, "metadata": ACCOUNT} for name in ("aws", "spare")},
        "models": routes,
        "rate_limits": UNLIMITED,
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig
