"""What the gateway asks of a provider, whatever its wire protocol: OpenAI-shaped JSON in, OpenAI-shaped JSON or server-sent events out.

An adapter is one module `backend/providers/<protocol>.py` with a function `build(name, settings, http) -> Provider`; nothing else has to
know of it. It translates between its provider's wire format and OpenAI's, and turns every failure into an `UpstreamFailure`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from backend.pricing.usage import Usage

Operation = Literal[
    "embeddings", "completions", "moderations", "rerank", "images.generations", "images.edits", "images.variations", "audio.speech",
    "audio.transcriptions", "audio.translations",
]  # fmt: skip
"""What can be asked for beside a chat completion, as the ledger calls it."""


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
    looks: bool = True
    """Whether there is something that it can be asked for nothing; `look` of others is not called."""
    operations: frozenset[Operation] = frozenset()
    """What it does beside chat. Who declares any is a `Performer`."""
    most_inputs: int = 2048
    """Texts that one embeddings request may hold; for the rest it is asked again."""
    inputs_of: Callable[[str], int] | None = None
    """As `most_inputs`, by the ids of models, where they differ."""
    counts_speech: bool = False
    """It says how many tokens the sound has that it speaks, so that offers priced by these can be charged."""
    counts_prompts: bool = False
    """It says for nothing how many tokens a prompt has. Who declares it is a `PromptCounter`."""

    def takes_prefill(self, model: str) -> bool:
        """Whether this model goes on from a trailing assistant message."""
        return self.prefill and (self.prefills is None or self.prefills(model))

    def inputs_at_once(self, model: str) -> int:
        """Texts that one embeddings request for this model may hold."""
        return self.most_inputs if self.inputs_of is None else self.inputs_of(model)


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
    key_name: str | None = None
    """Which of several keys it was sent with; None where there is but one."""
    reported_nano: int | None = None
    """What the provider itself says that the answer costs it, in nano-dollars; set by adapters whose provider does."""
    metadata: Mapping[str, Any] | None = None
    """The candidate's own, which goes before the provider's."""
    dropped: tuple[str, ...] = ()
    """Fields of the caller's body that this one has no words for and that were left out; see `dropping`."""

    def sending(self) -> None:
        """The adapter says so as it begins to write."""
        self.sent = True


@dataclass(slots=True)
class WholeAnswer:
    """A complete `chat.completion`: its bytes, what they spell, and what it used (None if the provider did not say)."""

    body: bytes
    value: dict[str, Any]
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the caller sent along; `filename` and `content_type` are its words and may be wrong. `name` is the form's field."""

    filename: str
    content_type: str
    data: bytes
    name: str = "file"


@dataclass(slots=True)
class OperationRequest(ChatRequest):
    """One attempt at something that is not chat. `body` was checked, and is in OpenAI's shape (of `rerank`: Cohere's and Jina's, with
    `model`, `query`, `documents`); its `model` is the caller's and not to be sent. `cap` is of `completions` alone."""

    operation: Operation = "embeddings"
    counts: bool = False
    """What is charged are the tokens that the provider counts, so they are to be asked for where it does not tell them by itself."""
    uploads: tuple[Upload, ...] = ()
    """Of what is asked for in a form (`audio.transcriptions`, `images.edits` …), whose other fields are the body; the values of repeated
    ones (`timestamp_granularities[]`) are lists."""


@dataclass(slots=True)
class OperationAnswer:
    """What comes of it, in OpenAI's shape.

    Args:
        body: all of it; b"" where there is a `stream`.
        value: what `body` spells; None where it is no JSON (a transcript as plain text or subtitles).
        usage: the provider's own count in disjoint buckets, with those of images, seconds, characters and requests where it says them;
            None if it did not count. `requests` beside 1 are searches (`rerank`).
        stream: the bytes as they come, under a status that was good, nothing of them read yet: sound of `audio.speech`, and the events of
            what was asked for in events (`stream`, and `stream_format` of speech), with the usage in one of them. Who cannot do it
            answers as if nobody had asked for events.
        counted: what sound that is streamed used, once it was read to its end; None where nobody counts.
    """

    body: bytes
    value: dict[str, Any] | None
    usage: Usage | None
    content_type: str = "application/json"
    stream: "StreamAnswer | None" = None
    counted: Callable[[], Usage | None] | None = None


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
            UpstreamFailure: there is none within `seconds`. A token that has to be fetched first has a time of its own.
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


class PromptCounter(Provider, Protocol):
    """A provider that counts the tokens of a prompt without answering it."""

    async def count_prompt(self, request: ChatRequest) -> int:
        """Tokens of the prompt that the request would send; its `cap` has no part in it.

        Raises:
            UpstreamFailure: the provider does not say.
        """
        ...


class Performer(Provider, Protocol):
    """A provider that does more than chat: everything that its `capabilities.operations` name."""

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        """Do what `request.operation` says.

        An answer need not be checked for sense: whoever asks does, in one place for all providers. It must have come whole, be a success,
        and be JSON where the operation's is. One embedding for each input, in their order, as a list or as base64 of
        little-endian 32-bit floats: whoever asks brings them into the form that the caller wants.

        Raises:
            UpstreamFailure: there is none, or the provider cannot do what the body asks for (kind "refused", `UnsupportedParameter`).
        """
        ...


class Lister(Protocol):
    """A `Provider` that can say which models it has."""

    async def listed(self, seconds: float) -> list[str]:
        """The ids of its models, as a call names them. Costs nothing.

        Raises:
            UpstreamFailure: they cannot be had within `seconds` for each page.
        """
        ...
