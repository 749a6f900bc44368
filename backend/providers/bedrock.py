"""Amazon Bedrock: Claude's models through InvokeModel in Anthropic's own shape, all others through Converse.

Requests are signed by us (Signature Version 4), or carry an API key of Bedrock's as `api_key`. Of the metadata, `bedrock_chat_format` is
`anthropic_messages` or `converse` where the model's id does not say it, `bedrock_default_max_tokens` the cap of an answer where neither the
caller nor the route sets one; for the others see `bedrock_account` and `bedrock_claude`.
Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import BourseError, ModelNotFound
from backend.providers.anthropic_answer import completion
from backend.providers.anthropic_models import takes_prefill
from backend.providers.anthropic_usage import usage_from_anthropic
from backend.providers.bedrock_account import FIELDS, BedrockAccount
from backend.providers.bedrock_answer import ConverseEvents, MalformedAnswer, message
from backend.providers.bedrock_claude import ClaudeEvents, claude_body
from backend.providers.bedrock_errors import BedrockPoster
from backend.providers.bedrock_media import with_media
from backend.providers.bedrock_request import converse_body
from backend.providers.bedrock_stream import BedrockChunks, BedrockStream, Events
from backend.providers.failures import UpstreamFailure, failure_from_error_body, protocol_failure
from backend.providers.http import HttpAnswer, UpstreamHttp
from backend.providers.posting import EventBytes, secret_of
from backend.providers.provider import Capabilities, ChatRequest, Provider, StreamAnswer, WholeAnswer
from backend.settings import ProviderSettings

_EVENTS = "application/vnd.amazon.eventstream"
_MODEL = re.compile(r"(?!\.+$)[A-Za-z0-9._:/-]{1,2048}")
_MOST_ACCOUNTS = 100
_LONGEST_ID = 64
CLAUDE, CONVERSE = "anthropic_messages", "converse"


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
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
    capabilities = Capabilities(prefill=True, trims_prefill=True, prefills=_takes_prefill)

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._callers = http.for_callers
        self._base_url = settings.base_url
        self._metadata = settings.metadata
        secret = secret_of(name, settings)
        self._usable = secret is not None
        self._api_key = secret or ""
        self._poster = BedrockPoster(name, http, clock, headers=settings.headers, secret=self._api_key)
        self._own = self._account_of(self._metadata)
        self._accounts: dict[tuple[str, ...], BedrockAccount] = {}
        _check(self._metadata)

    async def look(self, seconds: float) -> int:
        """Asks for the list of models."""
        account = self._own
        headers = account.headers("GET", account.models_url, b"") if self._usable else None
        if headers is None:
            raise failure_from_error_body(self.name, 401, None)
        return await self._poster.look(self._poster.target(account.models_url, headers, method="GET"), seconds)

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        metadata = self._metadata_of(request)
        as_claude = _format(request.model, metadata) == CLAUDE
        response = await self._post(request, metadata, "invoke" if as_claude else "converse", "application/json")
        try:
            _, answer = await self._poster.read_object(response)
            told = answer if as_claude else message(answer, _answer_id(response), request.model)
            usage = usage_from_anthropic(told.get("usage"))
            value = completion(told, usage, self._now())
        except MalformedAnswer as reason:
            raise protocol_failure(self.name, f"an answer that ends in {reason}") from None
        except (LookupError, TypeError, AttributeError):
            raise protocol_failure(self.name, "an answer that is no message") from None
        except UpstreamFailure as failure:
            # It took the call on, so it is going to bill it, unless it says itself that it failed.
            failure.status = failure.status or response.status
            raise
        return WholeAnswer(orjson.dumps(value), value, usage)

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        metadata = self._metadata_of(request)
        as_claude = _format(request.model, metadata) == CLAUDE
        operation = "invoke-with-response-stream" if as_claude else "converse-stream"
        response = await self._post(request, metadata, operation, _EVENTS)
        if response.content_type != _EVENTS:
            response.close()
            raise protocol_failure(self.name, f"{response.content_type[:80]} where an event stream was asked for")
        events: Events = ClaudeEvents(self._now()) if as_claude else ConverseEvents(_answer_id(response), request.model, self._now())
        return BedrockStream(EventBytes(self.name, response), BedrockChunks(self.name, events, self._api_key))

    async def _post(self, request: ChatRequest, metadata: Mapping[str, Any], operation: str, accept: str) -> HttpAnswer:
        if not _MODEL.fullmatch(request.model):
            raise UpstreamFailure("not_found", ModelNotFound(f"The provider {self.name} does not have this model."))
        try:
            body = await with_media(self._callers, request.body)
            cap = request.cap or body.get("max_completion_tokens") or body.get("max_tokens") or metadata.get("bedrock_default_max_tokens")
            if operation.startswith("invoke"):
                translated = claude_body(body, request.model, cap, metadata)
            else:
                translated = converse_body(body, request.model, cap)
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        account = self._account(metadata) if request.metadata else self._own
        data = orjson.dumps(translated)
        url = f"{account.runtime_url}/model/{quote(request.model, safe='')}/{operation}"
        try:
            return await self._send(account, url, data, request, accept)
        except UpstreamFailure as failure:
            # Temporary credentials end; whoever renews them may have done so already.
            if failure.kind != "credentials" or not account.renewed():
                raise
        return await self._send(account, url, data, request, accept)

    async def _send(self, account: BedrockAccount, url: str, data: bytes, request: ChatRequest, accept: str) -> HttpAnswer:
        headers = account.headers("POST", url, data) if self._usable else None
        if headers is None:
            raise failure_from_error_body(self.name, 401, None)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return await self._poster.post(self._poster.target(url, {}), data, request, accept, lines)

    def _metadata_of(self, request: ChatRequest) -> Mapping[str, Any]:
        return {**self._metadata, **request.metadata} if request.metadata else self._metadata

    def _account(self, metadata: Mapping[str, Any]) -> BedrockAccount:
        """That of a candidate with metadata of its own."""
        key = tuple(str(metadata.get(field) or "") for field in FIELDS)
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= _MOST_ACCOUNTS:
                self._accounts.clear()
            account = self._accounts[key] = self._account_of(metadata)
        return account

    def _account_of(self, metadata: Mapping[str, Any]) -> BedrockAccount:
        return BedrockAccount(self.name, metadata, self._base_url, self._api_key, self._clock)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _format(model: str, metadata: Mapping[str, Any]) -> str:
    given = metadata.get("bedrock_chat_format")
    return str(given) if given else CLAUDE if is_claude(model) else CONVERSE


def _check(metadata: Mapping[str, Any]) -> None:
    form, cap = metadata.get("bedrock_chat_format"), metadata.get("bedrock_default_max_tokens")
    if form not in (None, CLAUDE, CONVERSE):
        raise ValueError(f"metadata.bedrock_chat_format is {CLAUDE} or {CONVERSE}")
    if cap is not None and (type(cap) is not int or cap < 1):
        raise ValueError("metadata.bedrock_default_max_tokens is a number of tokens")


def _answer_id(response: HttpAnswer) -> str:
    """Converse gives its answers no id, but every response has one."""
    given = response.header(b"x-amzn-requestid")
    return f"chatcmpl-{given if given and len(given) <= _LONGEST_ID else uuid.uuid4().hex}"
