"""The sandbox: a provider inside the process that answers without a model, streams, counts tokens and fails on demand.

Everything it says is labelled as simulated. Its tokens are words, spaces and signs of its own small grammar, so its usage is exact.

    sandbox/chat       answers at once, streams at about 100 tokens a second
    sandbox/slow       a second to the first token, ten tokens a second
    sandbox/flaky      every third call fails with 503, the first one does not
    sandbox/long       two thousand tokens
    sandbox/reasoning  thinks aloud before it answers
    sandbox/broken     breaks off in the middle of every answer

`response_format` is answered with JSON that fits the schema, a forced `tool_choice` with a call whose arguments fit; both say simulated.
A picture counts as one token, and what of it can be told without looking (how many, of which type, how large) is in the answer.
What it does beside chat: `sandbox_operations`.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import orjson

from backend.kernel.errors import ModelNotFound, UpstreamError
from backend.kernel.ids import new_id
from backend.providers.failures import UpstreamFailure, reset_failure
from backend.providers.http import UpstreamHttp
from backend.providers.openai_usage import usage_from_openai
from backend.providers.provider import (
    Capabilities,
    ChatRequest,
    Operation,
    OperationAnswer,
    OperationRequest,
    Provider,
    StreamAnswer,
    WholeAnswer,
)
from backend.providers.sandbox_json import forced_tool, json_answer, tool_arguments
from backend.providers.sandbox_operations import MODELS as OPERATION_MODELS
from backend.providers.sandbox_operations import MOST_INPUTS, performed
from backend.settings import ProviderSettings

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_QUOTE_CHARACTERS = 200
_PICTURES_TOLD = 10
_LONG_TOKENS = 2000
_BREAKS_AFTER_TOKENS = 12
_FAILS_EVERY = 3


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one sandbox model answers. Times in seconds."""

    before_first: float = 0.0
    between: float = 0.01
    tokens: int | None = None
    thinks: bool = False
    breaks: bool = False
    flaky: bool = False


MODELS: Mapping[str, Behaviour] = {
    "chat": Behaviour(),
    "slow": Behaviour(before_first=1.0, between=0.1),
    "flaky": Behaviour(flaky=True),
    "long": Behaviour(tokens=_LONG_TOKENS, between=0.002),
    "reasoning": Behaviour(thinks=True),
    "broken": Behaviour(breaks=True),
}
NAMES = (*MODELS, *OPERATION_MODELS)
"""Of all models that there are."""


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:  # noqa: ARG001 - every adapter is built alike
    return SandboxProvider(name)


class SandboxProvider:
    """Answers as a provider would, without asking anybody; which model is asked for says how it behaves.

    Args:
        pace: multiplies every pause; 0 answers without any.
    """

    protocol = "sandbox"
    capabilities = Capabilities(
        simulated=True, operations=frozenset[Operation]().union(*OPERATION_MODELS.values()), most_inputs=MOST_INPUTS
    )

    def __init__(self, name: str = "sandbox", *, pace: float = 1.0) -> None:
        self.name = name
        self._pace = pace
        self._flaky_calls = count(1)

    async def look(self, seconds: float) -> int:  # noqa: ARG002
        return 200

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        request.sending()
        script = self._script(request)
        # A whole answer is not spoken word by word; only a model that is slow on purpose keeps its caller waiting.
        await _pause(script.behaviour.before_first * self._pace)
        if script.behaviour.breaks:
            raise reset_failure(self.name)
        value = script.whole()
        return WholeAnswer(orjson.dumps(value), value, usage_from_openai(value["usage"]))

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        request.sending()
        script = self._script(request)
        await _pause(script.behaviour.before_first * self._pace)
        return _SandboxStream(self.name, script, script.behaviour.between * self._pace)

    async def listed(self, seconds: float) -> list[str]:  # noqa: ARG002 - as `Lister`
        return list(NAMES)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        request.sending()
        return performed(request)

    def _script(self, request: ChatRequest) -> "_Script":
        behaviour = MODELS.get(request.model)
        if behaviour is None:
            raise UpstreamFailure("not_found", ModelNotFound(f"The sandbox has no model {request.model[:80]!r}."), status=404)
        if behaviour.flaky and next(self._flaky_calls) % _FAILS_EVERY == 0:
            raise UpstreamFailure(
                "server", UpstreamError("The sandbox failed on purpose (sandbox/flaky fails every third call)."), status=503
            )
        return _Script(request.model, behaviour, request.body, request.cap)


class _Script:
    """What one call is going to be told."""

    def __init__(self, model: str, behaviour: Behaviour, body: Mapping[str, Any], cap: int | None = None) -> None:
        self.behaviour = behaviour
        self.id = f"chatcmpl-{new_id('request')[4:]}"
        self.created = int(time.time())
        self.model = f"sandbox/{model}"
        self.choices = body.get("n") or 1
        messages = body["messages"]
        self.prompt_tokens = sum(len(_TOKEN.findall(text)) for message in messages for text in _texts(message))
        self.prompt_tokens += sum(1 for message in messages for _ in _pictures(message))
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or cap
        self.thought = (
            _tokens(f"The person asks something. I am a simulation, so I describe that to {self.model} politely.")
            if behaviour.thinks
            else []
        )
        self.tool = forced_tool(body)
        text = tool_arguments(body, self.tool) if self.tool else json_answer(body) or _answer(self.model, messages)
        words = _tokens(text)
        if behaviour.tokens is not None:
            words = (words * (behaviour.tokens // len(words) + 1))[: behaviour.tokens]
        if limit is not None:
            self.thought = self.thought[:limit]
            words_left = limit - len(self.thought)
        self.words = words if limit is None else words[:words_left]
        whole = limit is None or len(words) <= words_left
        self.finish = ("tool_calls" if self.tool else "stop") if whole else "length"

    def usage(self) -> dict[str, Any]:
        reasoning = len(self.thought) * self.choices
        completion = reasoning + len(self.words) * self.choices
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }

    def whole(self) -> dict[str, Any]:
        text = "".join(self.words)
        message: dict[str, Any] = {"role": "assistant", "content": None if self.tool else text}
        if self.tool:
            message["tool_calls"] = [self._tool_call(text)]
        if self.thought:
            message["reasoning_content"] = "".join(self.thought)
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "simulated",
            "choices": [
                {"index": index, "message": message, "logprobs": None, "finish_reason": self.finish} for index in range(self.choices)
            ],
            "usage": self.usage(),
        }

    def chunks(self) -> Iterator[bytes]:
        yield self._event([self._choice(index, {"role": "assistant", "content": ""}) for index in range(self.choices)])
        thought = ({"reasoning_content": token} for token in self.thought)
        words: Iterator[dict[str, Any]] = ({"content": token} for token in self.words)
        if self.tool:
            words = ({"tool_calls": [self._tool_delta(number, token)]} for number, token in enumerate(self.words))
        for delta in chain(thought, words):
            for index in range(self.choices):
                yield self._event([self._choice(index, delta)])
        for index in range(self.choices):
            yield self._event([self._choice(index, {}, self.finish)])
        yield self._event([], self.usage())
        yield b"data: [DONE]\n\n"

    def _tool_call(self, arguments: str) -> dict[str, Any]:
        return {"id": f"call_{self.id[9:]}", "type": "function", "function": {"name": self.tool, "arguments": arguments}}

    def _tool_delta(self, number: int, token: str) -> dict[str, Any]:
        """The first piece names the function, the others continue its arguments."""
        return {"index": 0, **self._tool_call(token)} if number == 0 else {"index": 0, "function": {"arguments": token}}

    def _choice(self, index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "simulated",
            "choices": choices,
            "usage": usage,
        }
        return b"data: " + orjson.dumps(chunk) + b"\n\n"


class _SandboxStream:
    def __init__(self, name: str, script: _Script, between: float) -> None:
        self._name = name
        self._chunks = script.chunks()
        self._between = between
        self._breaks_in = _BREAKS_AFTER_TOKENS if script.behaviour.breaks else None
        self._closed = False

    async def read(self) -> bytes:
        if self._closed:
            return b""
        if self._breaks_in is not None:
            self._breaks_in -= 1
            if self._breaks_in < 0:
                raise reset_failure(self._name)
        await _pause(self._between)
        return next(self._chunks, b"")

    def release(self) -> None:
        self._closed = True

    def close(self) -> None:
        self._closed = True


def _answer(model: str, messages: list[Any]) -> str:
    asked = next((" ".join(_texts(message)) for message in reversed(messages) if message.get("role") == "user"), "").strip()
    quoted = asked if len(asked) <= _QUOTE_CHARACTERS else asked[:_QUOTE_CHARACTERS] + "…"
    said = f" You said: “{quoted}”." if quoted else ""
    shown = [picture for message in messages for picture in _pictures(message)]
    said += f" You showed {len(shown)} picture{'s' * (len(shown) > 1)}: {', '.join(shown[:_PICTURES_TOLD])}." if shown else ""
    return (
        f"This is a simulated answer from {model}; no model was called.{said} "
        "Everything around it is real: the key, the route, the token counts, the price and the row in the ledger. "
    )


def _texts(message: Any) -> Iterator[str]:
    """All text of a message, whatever the shape of its content."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def _pictures(message: Any) -> Iterator[str]:
    """What of each picture in a message its URL tells. Nothing is fetched."""
    content = message.get("content") if isinstance(message, dict) else None
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "image_url":
            given = part.get("image_url")
            url = str(given.get("url") if isinstance(given, dict) else given)
            head, _, data = url.partition(",")
            kind = head.removeprefix("data:").partition(";")[0][:40]
            yield f"{kind} of {len(data.rstrip('=')) * 3 // 4:,} bytes" if url.startswith("data:") else "one by URL"


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
