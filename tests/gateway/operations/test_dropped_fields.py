"""What a provider has no words for beside chat: left out, named, and not charged."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.fakes import bedrock_upstream, gemini_upstream
from tests.fakes.bedrock_upstream import ACCESS_KEY, REGION, SECRET_KEY, BedrockUpstream
from tests.fakes.gemini_upstream import GeminiUpstream
from tests.fakes.openai_operations import embeddings, text_completion
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, events, status
from tests.gateway.conftest import KEY, PROVIDER_KEY, Rig, open_gateway
from tests.rig.schema import sqlite_url

DROPPED = "x-bourse-dropped"
ROUTES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "vectors": ("hub", "intfloat/e5", {"input": 1}),
    "titan": ("aws", "amazon.titan-embed-text-v2:0", {"input": 1}),
    "painter": ("aws", "amazon.titan-image-generator-v2:0", {"image": 0.01}),
    "artist": ("google", "gemini-2.5-flash-image", {"image": 0.01}),
    "instruct": ("plain", "gpt-instruct", {"input": 1, "output": 2}),
    "embed": ("plain", "embed-small", {"input": 1}),
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Servers:
    plain: OpenAIUpstream
    google: GeminiUpstream
    aws: BedrockUpstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Servers]:
    async with OpenAIUpstream() as plain, GeminiUpstream() as google, BedrockUpstream() as aws:
        yield Servers(plain, google, aws)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, servers: Servers) -> AsyncIterator[Rig]:
    """An alias of each of `ROUTES` that drops, and `NAME-strict` that does not."""
    home = tmp_path_factory.mktemp("gateway")
    (home / "bourse.db").write_bytes(_sqlite_template.read_bytes())
    account = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region": REGION}
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": {
            "hub": {"protocol": "huggingface", "base_url": servers.plain.base_url, "api_key": PROVIDER_KEY},
            "plain": {"protocol": "openai", "base_url": servers.plain.base_url},
            "aws": {"protocol": "bedrock", "base_url": servers.aws.base_url, "metadata": account},
            "google": {"protocol": "gemini", "base_url": servers.google.base_url, "api_key": PROVIDER_KEY},
        },
        "models": [
            {
                "alias": f"{alias}{suffix}",
                "candidates": [{"provider": provider, "model": model, "price": price}],
                "retries": {"per_candidate": 0},
                "breaker": {"failures": 1000},
                "unsupported": policy,
            }
            for alias, (provider, model, price) in ROUTES.items()
            for suffix, policy in (("", "drop"), ("-strict", "refuse"))
        ],
        "rate_limits": {"default": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}},
    }
    (home / "bourse.yaml").write_text(yaml.safe_dump(configuration))
    async with open_gateway(home / "bourse.yaml", home, sqlite_url(home / "bourse.db")) as rig:
        yield rig


async def ask(gateway: Rig, path: str, body: dict[str, Any]) -> Any:
    return await gateway.http.post(f"/v1/{path}", json=body, headers={"authorization": f"Bearer {KEY}"})


async def vectors(exchange: Exchange) -> None:
    """Of feature extraction, as many as were asked for."""
    data = json.dumps([[0.5, -1.0] for _ in exchange.seen.body["inputs"]]).encode()
    await exchange.head(length=len(data))
    await exchange.send(data)


async def test_a_hint_is_left_out_of_every_piece_of_a_request(gateway: Rig, servers: Servers) -> None:
    servers.plain.requests.clear()
    servers.plain.script(vectors)
    response = await ask(gateway, "embeddings", {"model": "vectors-strict", "input": ["x"] * 70, "user": "u-1"})
    assert (response.status_code, len(response.json()["data"]), response.headers[DROPPED]) == (200, 70, "user")
    assert response.json()["bourse"]["dropped"] == ["user"]
    assert sorted(len(one.body["inputs"]) for one in servers.plain.requests) == [6, 32, 32]
    assert not any(b"u-1" in one.raw for one in servers.plain.requests)


async def test_what_a_vector_is_like_is_never_left_out(gateway: Rig, servers: Servers) -> None:
    servers.plain.requests.clear()
    servers.aws.requests.clear()
    response = await ask(gateway, "embeddings", {"model": "vectors", "input": "x", "dimensions": 256})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "dimensions")
    response = await ask(gateway, "embeddings", {"model": "titan", "input": "x", "input_type": "query"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "input_type")
    assert servers.plain.requests == servers.aws.requests == []


async def test_a_picture_without_its_style(gateway: Rig, servers: Servers) -> None:
    servers.aws.script(bedrock_upstream.pictures("aW1n"))
    body = {"model": "painter", "prompt": "a cat", "style": "vivid", "user": "u"}
    response = await ask(gateway, "images/generations", body)
    assert (response.status_code, response.headers[DROPPED]) == (200, "style, user")
    assert b"vivid" not in servers.aws.requests[-1].raw
    response = await ask(gateway, "images/generations", {**body, "model": "painter-strict"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "style")
    response = await ask(gateway, "images/generations", {**body, "quality": "auto", "background": "transparent"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "background")


async def test_pictures_that_are_not_drawn_are_not_charged(gateway: Rig, servers: Servers) -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    servers.google.script(gemini_upstream.answer(picture))
    response = await ask(gateway, "images/generations", {"model": "artist", "prompt": "a cat", "n": 3})
    assert (response.status_code, response.headers[DROPPED], len(response.json()["data"])) == (200, "n", 1)
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["charged_nano"]) == ("image", 1, 10_000_000)
    # One that was asked for and does not come is all that is lost, too.
    servers.google.script(gemini_upstream.answer(gemini_upstream.text("no")))
    response = await ask(gateway, "images/generations", {"model": "artist", "prompt": "a cat", "n": 3})
    assert response.status_code == 502
    assert (await gateway.last_row())["provider_cost_nano"] == 10_000_000


async def test_texts_that_a_server_does_not_write_several_of(gateway: Rig, servers: Servers) -> None:
    """A stream is whole once one choice has ended, where one was asked for."""
    refusal = status(400, {"error": {"message": "Unsupported parameter: 'n'.", "param": "n", "code": "unsupported_parameter"}})
    head = {name: value for name, value in text_completion().items() if name != "usage"}
    parts = [{**head, "choices": [{"text": word, "index": 0, "finish_reason": end}]} for word, end in (("one", None), (" two", "stop"))]
    servers.plain.script(refusal, events(*parts, end="eof"))
    body = {"model": "instruct", "prompt": "Once", "n": 3, "max_tokens": 1, "stream": True}
    response = await ask(gateway, "completions", body)
    assert (response.status_code, response.headers[DROPPED]) == (200, "n")
    assert response.text.rstrip().endswith("[DONE]")
    row = await gateway.last_row()
    assert (row["outcome"], row["usage_source"], row["output_tokens"]) == ("completed", "estimated", 1)


async def test_a_server_that_knows_all_is_asked_once(gateway: Rig, servers: Servers) -> None:
    servers.plain.requests.clear()
    servers.plain.script(embeddings())
    response = await ask(gateway, "embeddings", {"model": "embed", "input": "x", "user": "u", "dimensions": 3})
    assert response.status_code == 200
    assert DROPPED not in response.headers
    assert [(one.body["user"], one.body["dimensions"]) for one in servers.plain.requests] == [("u", 3)]
