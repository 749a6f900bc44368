"""Streams by litellm that are cut anywhere and break anywhere: the whole answer with its usage, or a failure, and nothing in between."""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chunks import ChunkStream
from backend.pricing.usage import Usage
from backend.providers.failures import UpstreamFailure
from backend.providers.litellm import build
from backend.providers.provider import ChatRequest
from backend.settings import ProviderSettings
from tests.fakes import ollama_upstream as wire
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream

SPOILT = st.sampled_from([b"", b"", b"{", b"\xff\n", b'{"error":"boom"}\n'])


def configured(server: OpenAIUpstream) -> ProviderSettings:
    return ProviderSettings(protocol="litellm", base_url=server.base_url.removesuffix("/v1"), metadata={"allow_litellm": True})


def asked() -> ChatRequest:
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
    return ChatRequest(body, f"ollama_chat/{wire.MODEL}", 30, "00-0-0-01", 64)


LINES = b"".join([json.dumps(line).encode() + b"\n" for line in wire.lines()])
PIECES = st.lists(st.integers(0, len(LINES)), max_size=6)
LENGTHS = st.integers(0, len(LINES)) | st.just(len(LINES))


async def any_cut(cuts: list[int], length: int, spoilt: bytes) -> None:
    """The whole answer with its usage, or a failure after words that were said."""
    places = [0, *sorted(cut for cut in cuts if cut < length), length]
    pieces = [LINES[start:end] for start, end in pairwise(places) if end > start]
    async with OpenAIUpstream() as server, client() as http:
        server.script(wire.of(wire.streams(*pieces, *([spoilt] if spoilt else []))))
        chunks = ChunkStream(wants_usage=True, with_facts=False)
        said, failed = b"", False
        try:
            stream = await build("bridge", configured(server), http).open_stream(asked())
            while data := await stream.read():
                said += chunks.feed(data)
            stream.close()
        except UpstreamFailure:
            failed = True
    events = [json.loads(event[6:]) for event in said.split(b"\n\n") if event.startswith(b"data: {")]
    words = "".join([choice["delta"].get("content") or "" for event in events for choice in event["choices"]])
    assert TEXT.startswith(words)
    if not failed:
        assert words == TEXT
        assert chunks.complete
        assert chunks.usage == Usage(input=26, output=12)
    assert failed or length >= len(LINES) - 1


@settings(max_examples=6, deadline=None)
@given(cuts=PIECES, length=LENGTHS, spoilt=SPOILT)
def test_any_cut_and_any_break(cuts: list[int], length: int, spoilt: bytes) -> None:
    asyncio.run(any_cut(cuts, length, spoilt))


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@given(cuts=PIECES, length=LENGTHS, spoilt=SPOILT)
def test_any_cut_and_any_break_ten_thousand_times(cuts: list[int], length: int, spoilt: bytes) -> None:
    asyncio.run(any_cut(cuts, length, spoilt))
