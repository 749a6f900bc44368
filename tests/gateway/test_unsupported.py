"""What one candidate has no parameter for, another one may have."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.kernel.errors import UnsupportedParameter
from backend.providers.openai import OpenAIProvider
from backend.providers.provider import ChatRequest, WholeAnswer
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, status
from tests.gateway.conftest import PLAIN, PROVIDER_KEY, Rig, open_gateway

REFUSED = {"error": {"message": "Unsupported parameter: 'logit_bias'.", "type": "invalid_request_error", "param": "logit_bias"}}
REFUSED["error"]["code"] = "unsupported_parameter"


@pytest.fixture
async def mixed(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream) -> AsyncIterator[Rig]:
    """Three candidates: Anthropic's protocol, which has no `logit_bias`, then Google's, which has none either, then OpenAI's."""
    price = {"input": 1, "output": 2}
    names = {"claude": "claude-haiku-4-5", "gemini": "gemini-2.5-flash", "plain": "gpt-4o"}
    candidates = [{"provider": provider, "model": model, "price": price} for provider, model in names.items()]
    route = {"strategy": "ordered", "retries": {"per_candidate": 0}}
    configuration = {
        "providers": {
            "claude": {"protocol": "anthropic", "base_url": upstream.base_url, "api_key": PROVIDER_KEY},
            "gemini": {"protocol": "gemini", "base_url": upstream.base_url, "api_key": PROVIDER_KEY},
            "plain": {"protocol": "openai", "base_url": other.base_url},
        },
        "models": [
            {"alias": "mixed", "candidates": candidates, **route},
            {"alias": "deaf", "candidates": candidates[:2], **route},
        ],
    }
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


@pytest.mark.parametrize("stream", [False, True])
async def test_who_knows_a_parameter_is_asked_after_those_who_do_not(
    mixed: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, stream: bool
) -> None:
    response = await mixed.post({**PLAIN, "model": "mixed", "logit_bias": {"1": 5}, "stream": stream})
    assert response.status_code == 200
    assert TEXT in response.text or stream
    assert response.headers["x-bourse-provider"] == "plain"
    assert upstream.requests == []
    assert other.requests[0].body["logit_bias"] == {"1": 5}
    tries = await mixed.rows("call_attempt")
    assert [(row["provider"], row["error_code"], row["provider_cost_nano"]) for row in tries[:2]] == [
        ("claude", "unsupported_parameter", 0),
        ("gemini", "unsupported_parameter", 0),
    ]
    assert (await mixed.last_row())["outcome"] == "completed"


async def test_where_nobody_knows_it_the_caller_is_told_which_it_is(mixed: Rig, upstream: OpenAIUpstream) -> None:
    response = await mixed.post({**PLAIN, "model": "deaf", "logit_bias": {"1": 5}})
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", "logit_bias")
    assert upstream.requests == []


async def test_an_adapter_may_say_so_in_its_own_way(gateway: Rig, upstream: OpenAIUpstream) -> None:
    class Terse(OpenAIProvider):
        async def complete(self, request: ChatRequest) -> WholeAnswer:
            raise UnsupportedParameter("no", param="seed")

    gateway.runtime.connections.shared["acme"].__class__ = Terse
    response = await gateway.post({**PLAIN, "model": "pair"})
    assert (response.status_code, response.headers["x-bourse-provider"]) == (200, "backup")
    response = await gateway.post(PLAIN)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "seed")
    assert upstream.requests == []


async def test_what_a_provider_itself_does_not_know_is_asked_elsewhere(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(status(400, REFUSED))
    response = await gateway.post({**PLAIN, "model": "pair", "logit_bias": {"1": 5}})
    assert (response.status_code, response.headers["x-bourse-provider"]) == (200, "backup")
    assert other.requests[0].body["logit_bias"] == {"1": 5}
