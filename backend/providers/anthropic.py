"""Anthropic's Messages API, and servers that speak it.

The base URL ends where `/v1/messages` begins, as in Anthropic's own SDKs: https://api.anthropic.com unless another is given. Of the
provider's metadata, `anthropic_version` is the version of the API and `anthropic_beta` what is asked for of its betas, a text or a list;
a body may ask for some as well (`anthropic_betas`).
Sources: platform.claude.com/docs/en/api (versioning, errors, messages, models).
"""

from typing import Any
from urllib.parse import quote

import orjson

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import BadRequest
from backend.kernel.sse import EventSplitter, EventTooLarge
from backend.providers.anthropic_answer import ERROR_STATUSES, completion
from backend.providers.anthropic_betas import are_all, beta_lines
from backend.providers.anthropic_models import takes_prefill
from backend.providers.anthropic_request import COUNTED, messages_body
from backend.providers.anthropic_stream import MessageStream, ThoughtTooLong
from backend.providers.anthropic_usage import usage_from_anthropic
from backend.providers.dropping import say_dropped
from backend.providers.failures import UpstreamFailure, failure_from_error_body, protocol_failure
from backend.providers.http import HttpAnswer, Target, UpstreamHttp
from backend.providers.listing import ListPage, listed_ids
from backend.providers.posting import MAX_ERROR_BYTES, EventBytes, Poster, json_or_none, secret_of
from backend.providers.provider import Capabilities, ChatRequest, Provider, StreamAnswer, WholeAnswer
from backend.settings import ProviderSettings

BASE_URL = "https://api.anthropic.com"
API_VERSION = "2023-06-01"


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return AnthropicProvider(name, settings, http, SystemClock())


class AnthropicProvider:
    protocol = "anthropic"
    capabilities = Capabilities(prefill=True, trims_prefill=True, prefills=takes_prefill, counts_prompts=True)

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        # Servers of one's own may ask for no key.
        secret = secret_of(name, settings)
        self._usable = secret is not None and (settings.api_key is not None or settings.base_url is not None)
        self._poster = Poster(name, http, clock, headers=settings.headers, secret=secret or "")
        headers = _headers(secret or "", settings.metadata)
        base = (settings.base_url or BASE_URL).rstrip("/").removesuffix("/v1")
        self._target = self._poster.target(f"{base}/v1/messages", headers)
        self._count = self._poster.target(f"{base}/v1/messages/count_tokens", headers)
        self._models = self._poster.target(f"{base}/v1/models", headers, method="GET")
        self._list = f"{base}/v1/models?limit=1000", headers

    async def look(self, seconds: float) -> int:
        return await self._poster.look(self._models, seconds)

    async def listed(self, seconds: float) -> list[str]:
        """As `Lister.listed`."""
        url, headers = self._list

        async def page(after: str | None) -> ListPage:
            target = self._poster.target(url if after is None else f"{url}&after_id={quote(after)}", headers, method="GET")
            value = await self._poster.listing(target, seconds)
            last = value.get("last_id")
            return ListPage(value.get("data"), last if value.get("has_more") and isinstance(last, str) else None)

        return await listed_ids(page)

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        response = await self._post(request, "application/json", stream=False)
        try:
            return await self._whole(response)
        except UpstreamFailure as failure:
            # It took the call on, so it is going to bill it, unless it says itself that it failed.
            failure.status = failure.status or response.status
            raise

    async def _whole(self, response: HttpAnswer) -> WholeAnswer:
        _, message = await self._poster.read_object(response)
        if message.get("type") == "error":
            raise self._failed(message)
        usage = usage_from_anthropic(message.get("usage"))
        try:
            value = completion(message, usage, self._now())
        except (LookupError, TypeError, AttributeError):
            raise protocol_failure(self.name, "an answer that is no message") from None
        return WholeAnswer(orjson.dumps(value), value, usage)

    async def count_prompt(self, request: ChatRequest) -> int:
        """As `PromptCounter.count_prompt`."""
        response = await self._post(request, "application/json", target=self._count)
        _, answer = await self._poster.read_object(response)
        tokens = answer.get("input_tokens")
        if type(tokens) is not int or tokens < 0:
            raise protocol_failure(self.name, "a count that is none")
        return tokens

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        response = await self._post(request, "text/event-stream", stream=True)
        if response.content_type in ("application/json", "text/html"):
            value = json_or_none(await self._poster.read_whole(response, MAX_ERROR_BYTES))
            if isinstance(value, dict) and value.get("type") == "error":
                raise self._failed(value)
            raise protocol_failure(self.name, f"{response.content_type} where an event stream was asked for")
        return AnthropicStream(self.name, EventBytes(self.name, response), MessageStream(self._now()))

    async def _post(self, request: ChatRequest, accept: str, *, stream: bool = False, target: Target | None = None) -> HttpAnswer:
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
        try:
            body = messages_body(request.body, request.model, request.cap, stream=stream)
        except BadRequest as error:
            raise UpstreamFailure("refused", error) from None
        if target is not None:
            body = {name: value for name, value in body.items() if name in COUNTED}
        betas = request.body.get("anthropic_beta")
        if betas and not are_all(betas):
            say_dropped(request, "anthropic_beta")
        return await self._poster.post(target or self._target, orjson.dumps(body), request, accept, beta_lines(betas))

    def _failed(self, value: dict[str, Any]) -> UpstreamFailure:
        """An error inside a 200."""
        error = value.get("error")
        kind = error.get("type") if isinstance(error, dict) else None
        return self._poster.failed(ERROR_STATUSES.get(kind, 500) if isinstance(kind, str) else 500, value)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


class AnthropicStream:
    """The provider's events as chunks, each read to its end before anything of it goes on."""

    __slots__ = ("_bytes", "_ended", "_message", "_name", "_splitter")

    def __init__(self, name: str, events: EventBytes, message: MessageStream) -> None:
        self._name = name
        self._bytes = events
        self._message = message
        self._splitter = EventSplitter()
        self._ended = False

    async def read(self) -> bytes:
        """As `StreamAnswer.read`."""
        while not self._ended:
            data = await self._bytes.read()
            self._ended = not data
            try:
                events = self._splitter.feed(data) if data else self._splitter.finish()
                chunks = b"".join([self._message.event(event) for event in events])
            except (EventTooLarge, ThoughtTooLong):
                raise protocol_failure(self._name, "an event without end") from None
            if chunks:
                return chunks
        return b""

    def release(self) -> None:
        """As `StreamAnswer.release`."""
        self._bytes.release()

    def close(self) -> None:
        """As `StreamAnswer.close`."""
        self._bytes.close()


def _headers(secret: str, metadata: dict[str, Any]) -> dict[str, str]:
    headers = {"anthropic-version": str(metadata.get("anthropic_version") or API_VERSION)}
    beta = metadata.get("anthropic_beta")
    if beta:
        headers["anthropic-beta"] = ",".join(map(str, beta)) if isinstance(beta, list) else str(beta)
    return headers | ({"x-api-key": secret} if secret else {})
