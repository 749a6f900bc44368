"""One gateway for all tests of a file, in front of a server for each protocol."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.fakes.gemini_upstream import MODEL as GEMINI_MODEL
from tests.fakes.gemini_upstream import GeminiUpstream
from tests.fakes.openai_upstream import OpenAIUpstream, answer
from tests.gateway.conftest import ONE_TRY, UNLIMITED, Rig, configuration, gateway_in

KEY_OF_ANOTHER_TENANT = "sk-elsewhere.local-only"
SECOND_KEY_OF_THE_DEMO = "sk-second.local-only"


@dataclass
class Providers:
    """Whoever the routes `fast`, `pair`, `claude` and `gemini` ask."""

    openai: OpenAIUpstream
    other: OpenAIUpstream
    anthropic: OpenAIUpstream
    gemini: GeminiUpstream


def responses_configuration(providers: Providers, **more: Any) -> dict[str, Any]:
    settings = configuration(providers.openai.base_url, providers.other.base_url)
    price = {"input": 1, "output": 2}
    for name, protocol, model, url in (
        ("anthropic", "anthropic", "claude-sonnet-4-5", providers.anthropic.base_url),
        ("gemini", "gemini", GEMINI_MODEL, providers.gemini.base_url),
    ):
        settings["providers"][name] = {"protocol": protocol, "base_url": url, "api_key": "a-key"}
        route = {"alias": "claude" if name == "anthropic" else name, "candidates": [{"provider": name, "model": model, "price": price}]}
        settings["models"].append(ONE_TRY | route)
    mixed = [{"provider": name, "model": model, "price": price} for name, model in (("gemini", GEMINI_MODEL), ("acme", "gpt-fake"))]
    mixed.insert(0, {"provider": "anthropic", "model": "claude-sonnet-4-5", "price": price})
    settings["models"].append({**ONE_TRY, "alias": "mixed", "candidates": mixed})
    settings["bootstrap"]["tenants"].append({"slug": "elsewhere", "name": "Elsewhere"})
    settings["bootstrap"]["api_keys"] += [
        {"tenant": "elsewhere", "name": "elsewhere", "key": KEY_OF_ANOTHER_TENANT},
        {"tenant": "demo", "name": "second", "key": SECOND_KEY_OF_THE_DEMO},
    ]
    return settings | {"rate_limits": UNLIMITED} | more


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _providers() -> AsyncIterator[Providers]:
    async with OpenAIUpstream() as openai, OpenAIUpstream() as other, OpenAIUpstream() as anthropic, GeminiUpstream() as gemini:
        yield Providers(openai, other, anthropic, gemini)


@pytest.fixture
def providers(_providers: Providers) -> Providers:
    """All well again, with empty logs."""
    for server in (_providers.openai, _providers.other, _providers.anthropic, _providers.gemini):
        server.script(answer())
        server.requests.clear()
    return _providers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _providers: Providers) -> AsyncIterator[Rig]:
    home = tmp_path_factory.mktemp("gateway")
    async with gateway_in(home, _sqlite_template, responses_configuration(_providers)) as rig:
        yield rig


@pytest.fixture
def client(gateway: Rig) -> AsyncOpenAI:
    return gateway.client
