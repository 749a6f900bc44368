"""What a provider has no words for is refused by name, or left out and named where the route says `unsupported: drop`; on every wire."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.fakes import anthropic_upstream, azure_upstream, bedrock_upstream, gemini_upstream, openrouter_upstream
from tests.fakes.bedrock_upstream import ACCESS_KEY, REGION, SECRET_KEY, BedrockUpstream
from tests.fakes.gemini_upstream import GeminiUpstream
from tests.fakes.openai_upstream import OpenAIUpstream, Seen, Step, answer, status
from tests.gateway.conftest import PROVIDER_KEY, Rig, open_gateway
from tests.rig.schema import sqlite_url

HI: list[Any] = [{"role": "user", "content": "hi"}]
DROPPED = "x-bourse-dropped"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Wire:
    """`unknown` is what its adapter has no words for; None where the body goes as it is and the server says so."""

    server: str
    protocol: str
    model: str
    good: Step
    unknown: dict[str, Any] | None = None


UNKNOWN = {"logit_bias": {"1": 5}, "seed": 7}
WIRES = {
    "openai": Wire("plain", "openai", "gpt-4o", answer()),
    "azure": Wire("plain", "azure", "team-chat", azure_upstream.answer()),
    "openrouter": Wire("plain", "openrouter", "acme/large", openrouter_upstream.answer()),
    "huggingface": Wire("plain", "huggingface", "acme/large", answer()),
    "anthropic": Wire("plain", "anthropic", "claude-sonnet-4-5-20250929", anthropic_upstream.message(anthropic_upstream.text()), UNKNOWN),
    "gemini": Wire("google", "gemini", "gemini-2.5-flash", gemini_upstream.answer(), {"logit_bias": {"1": 5}, "verbosity": "low"}),
    "claude-on-bedrock": Wire(
        "aws", "bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", bedrock_upstream.claude(anthropic_upstream.text()), UNKNOWN
    ),
    "bedrock": Wire("aws", "bedrock", "amazon.nova-pro-v1:0", bedrock_upstream.converse({"text": "hi"}), UNKNOWN),
}


def refusing(*names: str) -> list[Step]:
    """As OpenAI's servers refuse one parameter after the other."""
    bodies = [{"error": {"message": f"Unsupported parameter: '{name}'.", "param": name, "code": "unsupported_parameter"}} for name in names]
    return [status(400, body) for body in bodies]


@dataclass
class Servers:
    plain: OpenAIUpstream
    google: GeminiUpstream
    aws: BedrockUpstream

    def all(self) -> tuple[OpenAIUpstream, ...]:
        return self.plain, self.google, self.aws

    def script(self, name: str, *before: Step) -> list[Seen]:
        """The good answer of that wire, after these; returns its log, which is empty."""
        server: OpenAIUpstream = getattr(self, WIRES[name].server)
        server.requests.clear()
        server.script(*before, WIRES[name].good)
        return server.requests


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Servers]:
    async with OpenAIUpstream() as plain, GeminiUpstream() as google, BedrockUpstream() as aws:
        yield Servers(plain, google, aws)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, servers: Servers) -> AsyncIterator[Rig]:
    """An alias for each wire that drops, and `NAME-strict` that does not."""
    home = tmp_path_factory.mktemp("gateway")
    (home / "bourse.db").write_bytes(_sqlite_template.read_bytes())
    account = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region": REGION}
    providers: dict[str, Any] = {}
    routes: list[dict[str, Any]] = []
    for name, wire in WIRES.items():
        key = {"metadata": account} if wire.protocol == "bedrock" else {"api_key": PROVIDER_KEY}
        base = (
            getattr(servers, wire.server).base_url.removesuffix("/v1")
            if wire.protocol in ("anthropic", "azure")
            else getattr(servers, wire.server).base_url
        )
        providers[name] = {"protocol": wire.protocol, "base_url": base, **key}
        candidate = {"provider": name, "model": wire.model, "price": {"input": 1, "output": 2}}
        routes += [
            {"alias": name, "candidates": [candidate], "unsupported": "drop"},
            {"alias": f"{name}-strict", "candidates": [candidate]},
        ]
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": providers,
        "models": [{"strategy": "ordered", "retries": {"per_candidate": 0}, "breaker": {"failures": 1000}, **route} for route in routes],
        "rate_limits": {"default": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}},
    }
    (home / "bourse.yaml").write_text(yaml.safe_dump(configuration))
    async with open_gateway(home / "bourse.yaml", home, sqlite_url(home / "bourse.db")) as rig:
        yield rig


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", WIRES)
async def test_what_there_are_no_words_for_is_left_out_and_named(gateway: Rig, servers: Servers, name: str, stream: bool) -> None:
    wire = WIRES[name]
    unknown = wire.unknown or UNKNOWN
    asked = servers.script(name, *(refusing(*unknown) if wire.unknown is None else ()))
    response = await gateway.post({"model": name, "messages": HI, "stream": stream, "temperature": 0.5, **unknown})
    assert response.status_code == 200, response.text
    assert set(response.headers[DROPPED].split(", ")) == unknown.keys()
    assert response.headers["x-bourse-attempts"] == "1"
    # Who refuses on the wire does so before it answers; the others are asked once.
    assert len(asked) == (1 if wire.unknown is not None else 1 + len(unknown))
    sent = asked[-1].raw
    assert b"logit" not in sent
    assert b"0.5" in sent
    assert '"dropped"' in response.text


@pytest.mark.parametrize("name", WIRES)
async def test_without_the_policy_it_is_refused_by_name(gateway: Rig, servers: Servers, name: str) -> None:
    wire = WIRES[name]
    asked = servers.script(name, *(refusing("logit_bias") if wire.unknown is None else ()))
    response = await gateway.post({"model": f"{name}-strict", "messages": HI, "logit_bias": {"1": 5}})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", "logit_bias")
    assert DROPPED not in response.headers
    assert len(asked) == (0 if wire.unknown is not None else 1)
