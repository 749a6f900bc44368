"""What all adapters do alike with a provider's HTTP."""

import asyncio
from importlib import import_module
from typing import Any

import pytest

from backend.kernel.clock import SystemClock
from backend.kernel.secrets import SecretRef
from backend.providers.failures import UpstreamFailure
from backend.providers.openai import OpenAIChat
from backend.providers.posting import MOST_TARGETS, Poster
from backend.providers.provider import ChatRequest, OperationRequest
from backend.settings import ProviderSettings
from tests.fakes.byte_server import HEAD, Call, client, sending, serving


@pytest.mark.case("U1")
@pytest.mark.parametrize("begins", [b"", HEAD, HEAD + b"content-length: 9\r\n\r\n{"], ids=["nothing", "half a head", "half a body"])
async def test_a_look_has_an_end_whatever_the_provider_does_not_say(begins: bytes) -> None:
    gone = asyncio.Event()

    async def silent(call: Call) -> None:
        await call.send(begins)
        await call.reader.read()
        gone.set()

    async with serving(silent) as (_, url), client() as http, asyncio.timeout(20):
        poster = Poster("acme", http, SystemClock(), headers={})
        with pytest.raises(UpstreamFailure) as caught:
            await poster.look(poster.target(url, {}, method="GET"), 0.05)
        assert caught.value.kind == "timeout"
        await gone.wait()


LEADING_OUT = ["..", ".", "../chat", "a/../../b", "models/../x", "a//b", "/a", "a/", "publishers/../../../other/models/m"]


def asked_of(model: str) -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": "hi"}], "model": "x"}, model, 30, "00-0-0-01", 8)


@pytest.mark.case("W11")
@pytest.mark.parametrize("protocol", ["gemini", "vertex", "azure", "huggingface"])
async def test_no_model_that_a_caller_names_leads_out_of_the_place_of_models(protocol: str) -> None:
    """What is a path to the provider is asked with the operator's key."""
    async with serving(sending(HEAD + b"content-length: 2\r\n\r\n{}")) as (server, url), client() as http:
        settings = ProviderSettings(
            protocol=protocol,
            base_url=url,
            api_key=None if protocol == "vertex" else SecretRef("k"),
            metadata={"project": "p"},
        )
        provider: Any = import_module(f"backend.providers.{protocol}").build("acme", settings, http)
        embeds = "embeddings" in provider.capabilities.operations
        for model in LEADING_OUT:
            calls = [provider.complete(asked_of(model))] if protocol != "huggingface" else []
            if embeds:
                calls.append(provider.perform(OperationRequest({"input": ["a"], "model": "x"}, model, 30, "00-0-0-01")))
            for call in calls:
                with pytest.raises(UpstreamFailure) as caught:
                    await call
                assert caught.value.kind == "not_found", model
        assert server.calls == []
        for number in range(3 * MOST_TARGETS) if hasattr(provider, "_targets") else ():
            provider._target(f"m{number}")
            assert len(provider._targets) <= MOST_TARGETS


async def test_who_speaks_openais_chat_says_where_it_is_posted() -> None:
    async with client() as http:
        with pytest.raises(TypeError, match="posted"):
            OpenAIChat("acme", Poster("acme", http, SystemClock(), headers={}), None)  # type: ignore[abstract]
