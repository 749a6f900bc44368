"""What all adapters do alike with a provider's HTTP."""

import asyncio

import pytest

from backend.kernel.clock import SystemClock
from backend.providers.failures import UpstreamFailure
from backend.providers.openai import OpenAIChat
from backend.providers.posting import Poster
from tests.fakes.byte_server import HEAD, Call, client, serving


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


async def test_who_speaks_openais_chat_says_where_it_is_posted() -> None:
    async with client() as http:
        with pytest.raises(TypeError, match="posted"):
            OpenAIChat("acme", Poster("acme", http, SystemClock(), headers={}), None)  # type: ignore[abstract]
