"""One gateway in front of one server for each protocol, whose streams are cut to pieces and broken in every way."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes import anthropic_upstream, azure_upstream, bedrock_upstream, gemini_upstream, openai_upstream, openrouter_upstream
from tests.fakes.bedrock_upstream import ACCESS_KEY, REGION, SECRET_KEY
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import ONE_TRY, UNLIMITED, Rig, gateway_in

PROMPT = 20
AWS = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region": REGION}
BINARY = "application/vnd.amazon.eventstream"
PRICE = {"input": 1, "output": 2}


@dataclass(frozen=True, repr=False)
class Voice:
    """A protocol's stream in its parts, each whole events as they are on the wire.

    `word` is told what was said before it. `finish` says why the answer ends, `count` how many tokens it had, and some say both at once:
    then `finish` is empty. `whole` is the body of an answer that is not streamed.
    """

    protocol: str
    model: str
    start: bytes
    word: Callable[[str, int], bytes]
    finish: bytes
    count: Callable[[int], bytes]
    end: bytes
    error: bytes
    whole: Callable[[str, int], dict[str, Any]]
    path: str = "/v1"
    metadata: dict[str, Any] = field(default_factory=dict)
    content_type: str = "text/event-stream"
    counts_the_prompt: bool = False
    """It says at the start what the prompt had."""
    counts_as_it_goes: bool = False

    def said(self, words: list[str]) -> bytes:
        """Start and words."""
        return self.start + b"".join([self.word(word, number) for number, word in enumerate(words, start=1)])

    def told(self, words: list[str]) -> bytes:
        """The good stream; it has as many tokens as words."""
        return self.said(words) + self.finish + self.count(len(words)) + self.end


def _usage(tokens: int) -> dict[str, Any]:
    return {"prompt_tokens": PROMPT, "completion_tokens": tokens, "total_tokens": PROMPT + tokens}


def _openai(protocol: str, path: str, **more: Any) -> Voice:
    chunk, sse = openai_upstream.chunk, openai_upstream.sse
    return Voice(
        protocol,
        "gpt-4o",
        sse(chunk({"role": "assistant", "content": ""}, usage=None)),
        lambda word, _: sse(chunk({"content": word}, usage=None)),
        sse(chunk({}, "stop", usage=None)),
        lambda tokens: sse(chunk(None, usage=_usage(tokens))),
        sse("[DONE]"),
        sse({"error": {"message": "The server had an error", "type": "server_error", "code": None}}),
        lambda text, tokens: openai_upstream.completion(text, usage=_usage(tokens)),
        path,
        **more,
    )


def _azure() -> Voice:
    plain = _openai("azure", "")

    def word(text: str, _: int) -> bytes:
        made = openai_upstream.chunk({"content": text}, usage=None)
        made["choices"][0]["content_filter_results"] = azure_upstream.SAFE
        return openai_upstream.sse(made)

    parts = {name: getattr(plain, name) for name in Voice.__dataclass_fields__}
    return Voice(**{**parts, "start": openai_upstream.sse(azure_upstream.FIRST) + plain.start, "word": word})


def _openrouter() -> Voice:
    chunk, sse = openrouter_upstream.chunk, openai_upstream.sse
    return Voice(
        "openrouter",
        openrouter_upstream.MODEL,
        openrouter_upstream.COMMENT * 2,
        lambda word, _: openrouter_upstream.COMMENT + sse(chunk({"role": "assistant", "content": word})),
        sse(chunk({"role": "assistant", "content": ""}, "stop", "end_turn")),
        lambda tokens: sse(chunk({"role": "assistant", "content": ""}, usage=_usage(tokens) | {"cost": 0.00001, "is_byok": False})),
        sse("[DONE]"),
        sse(openrouter_upstream.broken()),
        lambda text, tokens: openai_upstream.completion(text, usage=_usage(tokens) | {"cost": 0.00001, "is_byok": False}),
        "/api/v1",
    )


def _claude_usage(tokens: int) -> dict[str, Any]:
    return {"input_tokens": PROMPT, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": tokens}


def _anthropic(framed: Callable[[dict[str, Any]], bytes], error: bytes, protocol: str, model: str, **more: Any) -> Voice:
    message = {**anthropic_upstream.body(usage=_claude_usage(1)), "stop_reason": None}
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return Voice(
        protocol,
        model,
        framed({"type": "message_start", "message": message}) + framed(begun) + framed({"type": "ping"}),
        lambda word, _: framed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}),
        framed({"type": "content_block_stop", "index": 0}),
        lambda tokens: framed({"type": "message_delta", "delta": stop, "usage": _claude_usage(tokens)}),
        framed({"type": "message_stop"}),
        error,
        lambda text, tokens: anthropic_upstream.body(anthropic_upstream.text(text), usage=_claude_usage(tokens)),
        counts_the_prompt=True,
        **more,
    )


def _gemini() -> Voice:
    response, text, sse = gemini_upstream.response, gemini_upstream.text, gemini_upstream.sse

    def usage(tokens: int) -> dict[str, Any]:
        return {"promptTokenCount": PROMPT, "candidatesTokenCount": tokens, "totalTokenCount": PROMPT + tokens}

    return Voice(
        "gemini",
        "gemini-2.5-flash",
        b"",
        lambda word, number: sse(response(text(word), finish=None, usage=usage(number))),
        b"",
        lambda tokens: sse(response(text(""), usage=usage(tokens))),
        b"",
        sse(gemini_upstream.OVERLOADED),
        lambda said, tokens: response(text(said), usage=usage(tokens)),
        "/v1beta",
        counts_the_prompt=True,
        counts_as_it_goes=True,
    )


def _converse() -> Voice:
    event, padding = bedrock_upstream.event, {"p": "abcdefghijk"}

    def usage(tokens: int) -> dict[str, Any]:
        return {"inputTokens": PROMPT, "outputTokens": tokens, "totalTokens": PROMPT + tokens}

    stop = event("contentBlockStop", {"contentBlockIndex": 0} | padding) + event("messageStop", {"stopReason": "end_turn"} | padding)
    return Voice(
        "bedrock",
        "amazon.nova-pro-v1:0",
        event("messageStart", {"role": "assistant"} | padding),
        lambda word, _: event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}} | padding),
        stop,
        lambda tokens: event("metadata", {"usage": usage(tokens), "metrics": {"latencyMs": 12}} | padding),
        b"",
        bedrock_upstream.exception("modelStreamErrorException", "The model stumbled.", originalStatusCode=500),
        lambda said, tokens: bedrock_upstream.converse_body({"text": said}, usage=usage(tokens)),
        "",
        AWS,
        BINARY,
    )


_OVERLOADED = anthropic_upstream.framed({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
_UNAVAILABLE = bedrock_upstream.exception("serviceUnavailableException", "Too busy")
VOICES = {
    "openai": _openai("openai", "/v1"),
    "azure": _azure(),
    "huggingface": _openai("huggingface", "/v1"),
    "openrouter": _openrouter(),
    "anthropic": _anthropic(anthropic_upstream.framed, _OVERLOADED, "anthropic", "claude-opus-4-8", path=""),
    "gemini": _gemini(),
    "bedrock-claude": _anthropic(
        bedrock_upstream.chunk, _UNAVAILABLE, "bedrock", "anthropic.claude-opus-4-8-v1:0", path="", metadata=AWS, content_type=BINARY
    ),
    "bedrock-converse": _converse(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[OpenAIUpstream]:
    """Answers whatever is asked of it with its script."""
    async with OpenAIUpstream() as server:
        yield server


@pytest.fixture(params=list(VOICES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def voice(name: str) -> Voice:
    return VOICES[name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, upstream: OpenAIUpstream) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")

    def provider(voice: Voice) -> dict[str, Any]:
        base = upstream.base_url.removesuffix("/v1") + voice.path
        keyless = {"protocol": voice.protocol, "base_url": base, "metadata": voice.metadata}
        return keyless if voice.protocol == "bedrock" else {**keyless, "api_key": "sk-0123456789abcdef"}

    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": {name: provider(voice) for name, voice in VOICES.items()},
        "models": [
            {**ONE_TRY, "alias": name, "candidates": [{"provider": name, "model": voice.model, "price": PRICE}]}
            for name, voice in VOICES.items()
        ],
        "rate_limits": UNLIMITED,
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig
