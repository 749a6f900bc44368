"""The seam of everything that a caller can ask for beside a chat completion.

An operation is one small module that says four things: what must be right about the body, what it can cost at the most, what an answer
must look like, and how much of what it used. The one pipeline for all of them does the rest: who asks, who answers, limits, money, the
row in the ledger.

Amounts are `Usage` by unit: `token`, `character`, `second`, `image`, `query`. An offer is priced in some of these and not in others, so an
operation tells all that it knows, and the offer's own prices decide which of them counts.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from backend.kernel.body import MAX_BODY_BYTES, read_body
from backend.kernel.errors import BadRequest
from backend.kernel.json import parse_json
from backend.kernel.request import Receive, Scope
from backend.pricing.usage import Usage
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer, Upload

Unit = Literal["token", "character", "second", "image", "query"]
Source = Literal["provider", "counted", "estimated"]
"""Who says how much it was: the provider; we, who know what was sent or came; or nobody, so that it is our estimate."""

MAX_NAME = 255


@dataclass(slots=True)
class Asked:
    """A request that was read and checked."""

    body: dict[str, Any]
    model: str
    end_user: str | None = None
    uploads: tuple[Upload, ...] = ()
    stream: bool = False
    """The answer is to come in events."""
    wants_usage: bool = False
    seconds: float = 0.0
    """Of the sound that was sent, as its header says or as files of its size mostly play."""
    most_seconds: float = 0.0


class Metered(NamedTuple):
    """How much was used, in one unit."""

    unit: Unit
    usage: Usage
    source: Source

    @property
    def quantity(self) -> float:
        """In the unit; tokens have columns of their own."""
        match self.unit:
            case "image":
                return self.usage.images
            case "character":
                return self.usage.characters
            case "second":
                return self.usage.seconds
            case "query":
                return self.usage.requests
            case _:
                return 0


class Operation(Protocol):
    """Stateless."""

    @property
    def name(self) -> Name: ...

    @property
    def max_bytes(self) -> int:
        """Of the request's body."""
        ...

    async def read(self, scope: Scope, receive: Receive) -> Asked:
        """The request.

        Raises:
            BourseError: it cannot be meant; with `param`. ClientDisconnected: the caller hung up.
        """
        ...

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        """What of the body the model reads, for counting its tokens; empty where they are never charged."""
        ...

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:
        """What no answer goes beyond, in each unit that it may be priced in.

        Args:
            tokens: no fewer than `prompt` has.
            longest: what the model writes at the most, where that is known.
        """
        ...

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:
        """What is wrong with an answer, to complete "The provider sent …"; None if it is one. May bring it into the asked form."""
        ...

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        """How much was used, what is to be believed most first. One for each unit of `most` at least. None: whatever the provider does
        before it answers, so all of it; nobody heard."""
        ...


class AnswerEvents(Protocol):
    """An answer that comes in events, on its way to the caller."""

    started: bool
    """What the caller asked for has begun: what `feed` returns from now on goes to him."""
    done: bool
    """Nothing after this is read."""
    error: dict[str, Any] | None
    """The event that reported one."""

    @property
    def model(self) -> str | None: ...

    @property
    def overrun(self) -> bool: ...

    @property
    def paid_in_parts(self) -> bool:
        """Whether the beginning of one that breaks is worth something, and is charged."""
        ...

    @property
    def complete(self) -> bool: ...

    @property
    def holds_too_much(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """What of these bytes goes to the caller now. Raises EventTooLarge."""
        ...

    def end(self) -> bytes:
        """As `feed`, for what the end of the body completes."""
        ...

    def closing(self, usage: Usage, facts: dict[str, Any] | None) -> bytes:
        """The end of a complete answer."""
        ...


class Streamed(Protocol):
    """An operation whose answer may be asked for in events (`Asked.stream`)."""

    def events(self, asked: Asked) -> AnswerEvents: ...

    def in_events(self, answer: OperationAnswer) -> bytes | None:
        """A whole answer, of a provider that cannot stream, as the events that were asked for; None: it cannot be told in these."""
        ...

    def streamed(self, asked: Asked, events: Any) -> list[Metered]:
        """As `Operation.used`, of what has come so far. `events`: what its `events` returned."""
        ...


class JsonOperation(ABC):
    """What all do alike whose request is a JSON object. `check` is theirs."""

    max_bytes = MAX_BODY_BYTES
    default_model: str | None = None
    """Who is asked where the caller names nobody; None: he has to."""

    async def read(self, scope: Scope, receive: Receive) -> Asked:
        body = parse_json(await read_body(scope, receive, max_bytes=self.max_bytes))
        if not isinstance(body, dict):
            raise BadRequest("The request body must be a JSON object.")
        if self.default_model is not None and body.get("model") is None:
            body["model"] = self.default_model
        asked = Asked(body, model_of(body), end_user_of(body))
        self.check(asked)
        return asked

    @abstractmethod
    def check(self, asked: Asked) -> None:
        """Raises BadRequest with `param`."""


def model_of(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("Name the model to use in 'model'.", param="model")
    if len(model) > MAX_NAME:
        raise BadRequest(f"'model' is longer than {MAX_NAME} characters.", param="model")
    return model


def end_user_of(body: Mapping[str, Any]) -> str | None:
    user = body.get("user")
    if user is not None and (not isinstance(user, str) or len(user) > MAX_NAME):
        raise BadRequest(f"'user' must be a text of at most {MAX_NAME} characters.", param="user")
    return user


def text_of(body: Mapping[str, Any], name: str, most: int) -> str:
    """A text that must be there."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"'{name}' must be a text.", param=name)
    if len(value) > most:
        raise BadRequest(f"'{name}' is longer than {most:,} characters.", param=name)
    return value


def number_of(body: Mapping[str, Any], name: str, most: int, otherwise: int) -> int:
    """A whole number from 1 on."""
    value = body.get(name)
    if value is None:
        return otherwise
    if type(value) is not int or not 1 <= value <= most:
        raise BadRequest(f"'{name}' must be a whole number from 1 to {most:,}.", param=name)
    return value


def choice_of(body: Mapping[str, Any], name: str, choices: tuple[str, ...], otherwise: str) -> str:
    """One of some words."""
    value = body.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, str) or value not in choices:
        raise BadRequest(f"'{name}' must be one of {', '.join(choices)}.", param=name)
    return value


def estimated_tokens(value: Any) -> int:
    """Of texts, four bytes a token; lists of tokens are counted."""
    match value:
        case str():
            return -(-len(value.encode("utf-8", "surrogatepass")) // 4)
        case list():
            return len(value) if value and type(value[0]) is int else sum(map(estimated_tokens, value))
        case dict():
            return sum(map(estimated_tokens, value.values()))
        case _:
            return 1


def objects_in(answer: OperationAnswer, name: str) -> list[dict[str, Any]] | None:
    """The list of objects of that name; None where there is none."""
    value = answer.value.get(name) if answer.value is not None else None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    return value
