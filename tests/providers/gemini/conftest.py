"""A gateway in front of a fake of Google's server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.gemini_upstream import GeminiUpstream
from tests.gateway.conftest import Rig, open_gateway

API_KEY = "AIzaSyFakeKeyOfTheTests0123456789abcdef"


@pytest.fixture
async def google() -> AsyncIterator[GeminiUpstream]:
    async with GeminiUpstream() as server:
        yield server


@pytest.fixture
async def gateway(tmp_path: Path, sqlite_database_url: str, google: GeminiUpstream) -> AsyncIterator[Rig]:
    price = {"input": 1, "output": 2}
    routes = [
        {"alias": model, "strategy": "ordered", "candidates": [{"provider": "google", "model": model, "price": price}]}
        for model in ("gemini-3-flash", "gemini-2.5-flash")
    ]
    configuration = {
        "providers": {"google": {"protocol": "gemini", "base_url": google.base_url, "api_key": API_KEY}},
        "models": [{"retries": {"per_candidate": 0}, "breaker": {"failures": 1000}, **route} for route in routes],
        "budgets": {"default": {"on_unknown_price": {"input": 0.5, "output": 1.5}}},
    }
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig
