"""A provider that repeats what it was sent, in every shape of error: nobody hears a key, a token or an operator's own header."""

import json
import logging
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import structlog

from backend.kernel.secrets import SecretRef
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest, OperationRequest
from backend.settings import ProviderSettings
from tests.fakes.byte_server import Call, client, serving

KEY = "canary!key!0123456789"
"""Looks like no key that anybody knows the shape of."""
OWN_HEADER = "canary!header!0123456789"
TOKEN = "canary.token.0123456789"
SESSION = "canary/session/0123456789"
CANARIES = (KEY, OWN_HEADER, TOKEN, SESSION)
STATUSES = (200, 301, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503)


def shapes(sent: str) -> Iterator[Any]:
    """Errors as OpenAI, Google, AWS, Hugging Face, OpenRouter and others write them."""
    facts = {
        "message": f"You sent {sent}.",
        "code": sent,
        "type": f"x {sent}",
        "param": sent,
        "status": sent,
        "details": [{"reason": sent}],
    }
    yield {"error": facts}
    yield [{"error": facts}]
    yield {"type": "error", "error": facts}
    yield {"message": f"You sent {sent}.", "__type": "ValidationException"}
    yield {"error": f"You sent {sent}.", "error_type": "validation"}
    yield {
        "error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": json.dumps({"error": facts}), "reasons": [sent]}}
    }
    yield {"choices": [{"finish_reason": "error", "error": facts}], "error": None}


class Echo:
    """Answers with what it was sent."""

    def __init__(self) -> None:
        self.status, self.shape, self.streams = 400, 0, False
        self.heard = ""

    async def __call__(self, call: Call) -> None:
        if b"/token" in call.head.split(b"\r\n")[0]:
            body, status, kind = json.dumps({"access_token": TOKEN, "expires_in": 3600}).encode(), 200, "application/json"
        else:
            sent = " ".join(line.partition(b": ")[2].decode("latin-1") for line in call.head.split(b"\r\n")[1:])
            self.heard += sent
            told = json.dumps(list(shapes(sent))[self.shape]).encode()
            body, status = (b"data: " + told + b"\n\n" if self.streams else told), self.status
            kind = "text/event-stream" if self.streams else "application/json"
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nx-echo: {KEY}\r\n\r\n"
        await call.send(head.encode() + body)


def given(protocol: str, url: str) -> dict[str, Any]:
    """The settings of a provider that speaks a protocol, its key in the place where it belongs."""
    settings: dict[str, Any] = {"protocol": protocol, "base_url": url, "api_key": SecretRef(KEY), "headers": {"x-own": OWN_HEADER}}
    if protocol == "bedrock signed":
        keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": KEY, "aws_session_token": SESSION}
        return settings | {"protocol": "bedrock", "api_key": None, "metadata": {"region": "us-east-1", **keys}}
    if protocol == "azure entra":
        entra = {"tenant_id": "t", "client_id": "c", "authority": f"{url}/token"}
        return settings | {"protocol": "azure", "metadata": entra}
    if protocol == "bedrock":
        return settings | {"metadata": {"region": "us-east-1"}}
    return settings


PROTOCOLS = ["openai", "azure", "azure entra", "anthropic", "gemini", "huggingface", "openrouter", "bedrock", "bedrock signed"]


@pytest.mark.case("S1")
@pytest.mark.case("U6")
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_a_provider_repeats_of_a_request_is_heard_by_nobody(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Echo()
    said = ""
    async with serving(echo) as (_, url), client() as http:
        settings = ProviderSettings.model_validate(given(protocol, url))
        provider: Any = import_module(f"backend.providers.{settings.protocol}").build("acme", settings, http)
        said += repr(settings) + str(settings)
        with structlog.testing.capture_logs() as logs:
            for echo.status in STATUSES:
                for echo.shape in range(7):
                    for echo.streams in (False, True):
                        said += await everything(provider)
        said += repr(logs) + caplog.text
    for canary in CANARIES:
        at = said.find(canary)
        assert at < 0, said[max(0, at - 200) : at + 100]
    assert KEY in echo.heard or TOKEN in echo.heard or SESSION in echo.heard
    assert OWN_HEADER in echo.heard


async def everything(provider: Any) -> str:
    """All that can be heard of one provider, whatever it is asked."""
    body = {"messages": [{"role": "user", "content": "hi"}], "model": "x", "input": ["a"]}
    said = ""
    whole = ChatRequest(body, "anthropic.claude-x" if provider.protocol == "bedrock" else "m", 30, "00-0-0-01", 8)
    stream = ChatRequest({**body, "stream": True}, whole.model, 30, "00-0-0-01", 8)
    asks: list[Any] = [provider.complete(whole), drained(provider, stream), provider.look(1.0)]
    if "embeddings" in provider.capabilities.operations:
        asks.append(
            provider.perform(
                OperationRequest(body, "amazon.titan-embed-text-v2:0" if provider.protocol == "bedrock" else "m", 30, "00-0-0-01")
            )
        )
    if hasattr(provider, "listed"):
        asks.append(provider.listed(1.0))
    for ask in asks:
        try:
            await ask
        except UpstreamFailure as failure:
            error = failure.error
            told = (failure, failure.__cause__, failure.__context__, error, error.message, error.param, error.code)
            said += f"{told!r} {failure} {error}"
    return said


async def drained(provider: Any, request: ChatRequest) -> None:
    answer = await provider.open_stream(request)
    try:
        while await answer.read():
            pass
    finally:
        answer.close()
