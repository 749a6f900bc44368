"""What the gateway asks of a provider, whatever its wire protocol: OpenAI-shaped JSON in, OpenAI-shaped JSON or server-sent events out.

An adapter is one module `backend/providers/<protocol>.py` with a function `build(name, settings, http) -> Provider`; nothing else has to
know of it. It translates between its provider's wire format and OpenAI's, and turns every failure into an `UpstreamFailure`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from backend.pricing.usage import Usage


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a protocol declares of itself; a candidate in the configuration may know better."""

    prefill: bool = False
    """Whether its models go on from a trailing assistant message."""
    prefills: Callable[[str], bool] | None = None
    """Which of them do, by their ids, where not all do."""
    trims_prefill: bool = False
    """They refuse one that ends in white space."""
    simulated: bool = False

    def takes_prefill(self, model: str) -> bool:
        """Whether this model goes on from a trailing assistant message."""
        return self.prefill and (self.prefills is None or self.prefills(model))


@dataclass(slots=True)
class ChatRequest:
    """One attempt. `body` is the caller's and shared by all attempts: an adapter copies before it changes anything."""

    body: Mapping[str, Any]
    model: str
    """The upstream's own id of the model."""
    connect_seconds: float
    traceparent: str
    cap: int | None = None
    """The most tokens that a choice may have, named by the caller or by us; it goes upstream under the name that the model knows."""
    sent: bool = False
    """The request went out, so that the provider may bill it."""

    def sending(self) -> None:
        """The adapter says so as it begins to write."""
        self.sent = True


@dataclass(slots=True)
class WholeAnswer:
    """A complete `chat.completion`: its bytes, what they spell, and what it used (None if the provider did not say)."""

    body: bytes
    value: dict[str, Any]
    usage: Usage | None


class StreamAnswer(Protocol):
    """A `chat.completion.chunk` event stream that has begun."""

    async def read(self) -> bytes:
        """The next bytes, cut anywhere; b"" at the end.

        Raises:
            UpstreamFailure: the connection broke.
        """
        ...

    def release(self) -> None:
        """The answer was read to its end: the connection is used again if its body ends at once, else dropped. Does not wait."""
        ...

    def close(self) -> None:
        """Drop the connection unless it was released; the provider notices at once. May be called twice."""
        ...


class Provider(Protocol):
    name: str
    protocol: str
    capabilities: Capabilities

    async def look(self, seconds: float) -> int:
        """Ask for something that costs nothing, such as the list of models; the HTTP status of the answer, good or bad.

        Raises:
            UpstreamFailure: there is none.
        """
        ...

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        """The whole answer.

        Raises:
            UpstreamFailure: there is none.
        """
        ...

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        """A stream whose status and headers were good; no event was read yet.

        Raises:
            UpstreamFailure: there is none.
        """
        ...
