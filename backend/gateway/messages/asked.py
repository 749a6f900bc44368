"""The providers as a Messages call asks them: those who do not know Anthropic's own fields are asked without them, and what one counts
before its first word is heard, because `message_start` tells it.
"""

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson

from backend.gateway.messages.plain import ALL, MARKS, SIGNED_CALLS, THINKING, plain
from backend.kernel.errors import BadRequest
from backend.pricing.usage import Usage
from backend.providers.dropping import say_dropped
from backend.providers.failures import UpstreamFailure
from backend.providers.nested_hints import hints_within
from backend.providers.openai_usage import usage_from_openai
from backend.providers.provider import ChatRequest, Provider, StreamAnswer, WholeAnswer

_GOOGLE = frozenset({THINKING, SIGNED_CALLS})
_COUNTING_FIRST = frozenset({"anthropic", "bedrock"})
"""Protocols that count the prompt before the first word."""
_OTHERS: frozenset[str] = frozenset()
_KNOWN = {"anthropic": ALL, "gemini": _GOOGLE, "vertex": _GOOGLE, "openrouter": frozenset({MARKS})}
"""By protocol; all others know OpenAI's fields alone."""


def known_to(protocol: str, model: str) -> frozenset[str]:
    """What a provider understands beyond OpenAI's chat, for one of its models."""
    if protocol == "bedrock":
        return ALL if "claude" in model else _OTHERS
    return _KNOWN.get(protocol, _OTHERS)


@dataclass(slots=True)
class Heard:
    """What a provider has counted of a call by its first words."""

    usage: Usage | None = None


heard: ContextVar[Heard | None] = ContextVar("heard", default=None)
"""Of the call that runs."""


class AskedPlainly:
    """A provider that is asked in words that it knows."""

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self.protocol = provider.protocol
        self.capabilities = provider.capabilities
        self._provider = provider

    async def look(self, seconds: float) -> int:
        """As `Provider.look`."""
        return await self._provider.look(seconds)

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        """As `Provider.complete`."""
        return await self._provider.complete(self._plainly(request))

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        """As `Provider.open_stream`."""
        answer = await self._provider.open_stream(self._plainly(request))
        into = heard.get()
        return answer if into is None or self.protocol not in _COUNTING_FIRST else Listening(answer, into)

    def _plainly(self, request: ChatRequest) -> ChatRequest:
        # The request is this attempt's own, and who asks looks at it afterwards; its body is everybody's.
        known = known_to(self.protocol, request.model)
        if known is not ALL:
            body = request.body
            try:
                request.body = plain(body, known)
            except BadRequest as error:
                raise UpstreamFailure("refused", error) from None
            say_dropped(request, *_lost(body, request.body))
        return request


def _lost(body: Mapping[str, Any], plainer: Mapping[str, Any]) -> list[str]:
    """Hints in a body that are not in what became of it."""
    gone = hints_within(body) - hints_within(plainer)
    return [name for name in ("anthropic_beta", "cache_control", *sorted(gone)) if name in gone or (name in body and name not in plainer)]


class Listening:
    """A stream whose first count is heard as it goes by."""

    __slots__ = ("_answer", "_into", "_left", "close", "release")

    def __init__(self, answer: StreamAnswer, into: Heard) -> None:
        self._answer = answer
        self._into = into
        self._left = _READS
        self.release = answer.release
        self.close = answer.close

    async def read(self) -> bytes:
        """As `StreamAnswer.read`."""
        data = await self._answer.read()
        if self._left:
            self._left -= 1
            at = data.find(_COUNT)
            if at >= 0:
                self._left = 0
                self._hear(data[data.rfind(b"data: ", 0, at) + 6 : data.find(b"\n\n", at)])
        return data

    def _hear(self, payload: bytes) -> None:
        try:
            self._into.usage = usage_from_openai(orjson.loads(payload)["usage"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return  # whoever reads the chunks says so


_READS = 4
"""The count comes with the first event, if at all."""
_COUNT = b'"usage":{'


class AskedForMessages(Mapping[str, Provider]):
    """`providers` as they are at any time."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._asked: dict[str, tuple[Provider, Provider]] = {}

    def __getitem__(self, name: str) -> Provider:
        provider = self._providers[name]
        kept = self._asked.get(name)
        if kept is None or kept[0] is not provider:
            kept = self._asked[name] = provider, AskedPlainly(provider)
        return kept[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)
