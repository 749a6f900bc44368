"""A gateway in front of a fake of OpenRouter."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes import openrouter_upstream as wire
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import ONE_TRY, UNLIMITED, Rig, gateway_in

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
PRICE = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}
PRICES = {
    "claude": PRICE,
    "old-price": {**PRICE, "output": 75},
    "draw": {"image": 0.04},
    "draw-tokens": {"input": 5, "output": 10, "image_output": 40},
    "speak": {"character": 15},
    "hear": {"second": 0.0001},
    "hear-tokens": {"input": 2, "output": 10, "audio_input": 6},
    "rank": {"query": 0.002},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _server() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture
def router(_server: OpenAIUpstream) -> OpenAIUpstream:
    """With an empty log and the good answer."""
    _server.requests.clear()
    _server.looks.clear()
    _server.script(wire.answer())
    return _server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _server: OpenAIUpstream) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")
    named = {"HTTP-Referer": "https://bourse.example.org", "X-Title": "Bourse"}
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": {"or": {"protocol": "openrouter", "base_url": _server.base_url, "api_key": KEY, "headers": named}},
        "models": [
            {**ONE_TRY, "alias": alias, "candidates": [{"provider": "or", "model": wire.MODEL, "price": price}]}
            for alias, price in PRICES.items()
        ],
        "rate_limits": UNLIMITED,
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig
