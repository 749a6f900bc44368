"""Amazon Bedrock: Claude through InvokeModel in Anthropic's own shape, all others through Converse; embeddings, pictures and rankings.

Requests are signed by us (Signature Version 4), or carry an API key of Bedrock's as `api_key`. Of the metadata, `bedrock_chat_format` is
`anthropic_messages` or `converse` where the model's id does not say it, `bedrock_default_max_tokens` the cap of an answer where neither the
caller nor the route sets one; for the others see `bedrock_account`, `bedrock_claude`, `bedrock_titan` and `bedrock_cohere`.
Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import BourseError
from backend.pricing.usage import Usage
from backend.providers.anthropic_answer import completion
from backend.providers.anthropic_models import takes_prefill
from backend.providers.anthropic_usage import usage_from_anthropic
from backend.providers.bedrock_answer import ConverseEvents, MalformedAnswer, message
from backend.providers.bedrock_calls import BedrockCalls
from backend.providers.bedrock_claude import ClaudeEvents, claude_body
from backend.providers.bedrock_media import with_media
from backend.providers.bedrock_operations import FIELDS, OPERATIONS, asking, check, inputs_at_once
from backend.providers.bedrock_request import converse_body
from backend.providers.bedrock_stream import BedrockChunks, BedrockStream, Events
from backend.providers.failures import UpstreamFailure, protocol_failure
from backend.providers.http import HttpAnswer, UpstreamHttp
from backend.providers.metadata import AWS_ACCOUNT
from backend.providers.posting import EventBytes
from backend.providers.provider import (
    Capabilities,
    ChatRequest,
    OperationAnswer,
    OperationRequest,
    Performer,
    StreamAnswer,
    WholeAnswer,
)
from backend.settings import ProviderSettings

CLAUDE, CONVERSE = "anthropic_messages", "converse"
_EVENTS = "application/vnd.amazon.eventstream"
_LONGEST_ID = 64
_MOST_DIGITS = 9
_FIELDS = frozenset({"bedrock_chat_format", "bedrock_default_max_tokens", *AWS_ACCOUNT, *FIELDS})
Read = Callable[[dict[str, Any]], tuple[dict[str, Any], Usage | None]]
"""The answer in OpenAI's shape and what it used. Raises LookupError, TypeError, AttributeError: it cannot be read."""


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Performer:
    return BedrockProvider(name, settings, http, SystemClock())


def is_claude(model: str) -> bool:
    """By its id, or the ARN of an inference profile that names one."""
    return "anthropic.claude" in model


def _takes_prefill(model: str) -> bool:
    return is_claude(model) and takes_prefill(model)


class BedrockProvider:
    """`settings.base_url`, where it is given, ends where `/model` begins.

    Raises:
        ValueError: a field of the metadata is not what it must be.
    """

    protocol = "bedrock"
    capabilities = Capabilities(
        prefill=True,
        trims_prefill=True,
        prefills=_takes_prefill,
        operations=OPERATIONS,
        inputs_of=inputs_at_once,
    )

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._callers = http.for_callers
        self._calls = BedrockCalls(name, settings, http, clock, _check)

    async def look(self, seconds: float) -> int:
        return await self._calls.look(seconds)

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        terms = self._calls.terms_of(request)
        as_claude, body = await self._translated(request, terms.metadata)
        response = await self._calls.post(request, terms, "invoke" if as_claude else "converse", body, "application/json")

        def read(answer: dict[str, Any]) -> tuple[dict[str, Any], Usage | None]:
            told = answer if as_claude else message(answer, _answer_id(response), request.model)
            usage = usage_from_anthropic(told.get("usage"))
            return completion(told, usage, self._now()), usage

        value, usage = await self._read(response, read)
        return WholeAnswer(orjson.dumps(value), value, usage)

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        terms = self._calls.terms_of(request)
        as_claude, body = await self._translated(request, terms.metadata)
        operation = "invoke-with-response-stream" if as_claude else "converse-stream"
        response = await self._calls.post(request, terms, operation, body, _EVENTS)
        if response.content_type != _EVENTS:
            response.close()
            raise protocol_failure(self.name, f"{response.content_type[:80]} where an event stream was asked for")
        events: Events = ClaudeEvents(self._now()) if as_claude else ConverseEvents(_answer_id(response), request.model, self._now())
        return BedrockStream(EventBytes(self.name, response), BedrockChunks(self.name, events, self._calls.poster.unsaid))

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        """As `Performer.perform`."""
        terms = self._calls.terms_of(request)
        try:
            body, read = asking(request, terms.metadata, self._now())
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        response = await self._calls.post(request, terms, "invoke", body, "application/json")
        counted = response.header(b"x-amzn-bedrock-input-token-count") or ""
        tokens = int(counted) if counted.isdecimal() and len(counted) <= _MOST_DIGITS else None
        value, usage = await self._read(response, lambda answer: read(answer, tokens))
        return OperationAnswer(orjson.dumps(value), value, usage)

    async def _translated(self, request: ChatRequest, metadata: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
        """Whether it goes to Claude in Claude's own words, and the body."""
        form = metadata.get("bedrock_chat_format") or (CLAUDE if is_claude(request.model) else CONVERSE)
        try:
            # What is fetched stays with the attempt, which may be made again without a parameter.
            body = request.body = await with_media(self._callers, request.body)
            cap = request.cap or body.get("max_completion_tokens") or body.get("max_tokens") or metadata.get("bedrock_default_max_tokens")
            if form == CLAUDE:
                return True, claude_body(body, request.model, cap, metadata)
            return False, converse_body(body, request.model, cap)
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None

    async def _read(self, response: HttpAnswer, read: Read) -> tuple[dict[str, Any], Usage | None]:
        """What a whole answer is. Raises UpstreamFailure: it is none."""
        try:
            _, answer = await self._calls.poster.read_object(response)
            return read(answer)
        except MalformedAnswer as reason:
            failure = protocol_failure(self.name, f"an answer that ends in {reason}")
        except BourseError as error:
            failure = UpstreamFailure("refused", error)
        except (LookupError, TypeError, AttributeError):
            failure = protocol_failure(self.name, "an answer that cannot be read")
        except UpstreamFailure as caught:
            failure = caught
        # It took the call on, so it is going to bill it, unless it says itself that it failed.
        failure.status = failure.status or response.status
        raise failure

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _check(metadata: Mapping[str, Any]) -> None:
    for name in metadata:
        if name.startswith(("aws_", "bedrock_")) and name not in _FIELDS:
            raise ValueError(f"metadata.{name[:60]}: there is no such field")
    form, cap = metadata.get("bedrock_chat_format"), metadata.get("bedrock_default_max_tokens")
    if form not in (None, CLAUDE, CONVERSE):
        raise ValueError(f"metadata.bedrock_chat_format is {CLAUDE} or {CONVERSE}")
    if cap is not None and (type(cap) is not int or cap < 1):
        raise ValueError("metadata.bedrock_default_max_tokens is a number of tokens")
    check(metadata)


def _answer_id(response: HttpAnswer) -> str:
    """Converse gives its answers no id, but every response has one."""
    given = response.header(b"x-amzn-requestid")
    return f"chatcmpl-{given if given and len(given) <= _LONGEST_ID else uuid.uuid4().hex}"
