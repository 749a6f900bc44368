"""Any server that speaks OpenAI's API: OpenAI itself, OpenRouter, Groq, Together, Mistral, vLLM, Ollama, llama.cpp…

The body goes through as the caller wrote it; only `model` is the upstream's own id, a stream is always asked for its usage, and the cap
on the answer has the name that the model knows: it was reserved for, so it must not be overlooked.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.clock import Clock, SystemClock
from backend.providers.failures import UpstreamFailure, failure_from_error_body, protocol_failure, status_of_error
from backend.providers.http import HttpAnswer, Target, UpstreamHttp
from backend.providers.listing import ListPage, listed_ids
from backend.providers.openai_operations import OPERATIONS, OpenAIOperations
from backend.providers.openai_usage import usage_from_openai
from backend.providers.posting import MAX_ERROR_BYTES, EventBytes, Poster, json_or_none, secret_of
from backend.providers.provider import (
    Capabilities,
    ChatRequest,
    OperationAnswer,
    OperationRequest,
    Provider,
    StreamAnswer,
    WholeAnswer,
)
from backend.settings import ProviderSettings

_KNOW_ONLY_THE_NEW_NAME = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")
"""OpenAI's models that think refuse `max_tokens`. DeepSeek, Ollama and llama-cpp-python overlook `max_completion_tokens`, Mistral refuses
it, and OpenAI refuses both together."""


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return OpenAIProvider(name, settings, http, SystemClock())


class OpenAIChat(ABC):
    """Chat completions in OpenAI's shape. Who speaks it says where and with which key they are `posted`, may call the cap otherwise, and
    may have the body and the events of a stream `edited`.

    Args:
        cap_field: what the server calls the cap on an answer; None = as the model's name suggests.
    """

    def __init__(self, name: str, poster: Poster, cap_field: str | None) -> None:
        self.name = name
        self.poster = poster
        self.cap_field = cap_field

    @abstractmethod
    async def posted(self, body: dict[str, Any], request: ChatRequest, accept: str) -> HttpAnswer:
        """The answer with a good status, its body unread. Raises UpstreamFailure: there is none."""

    def cap_name(self, model: str) -> str:
        """What the cap on this model's answer is called."""
        return self.cap_field or ("max_completion_tokens" if _KNOW_ONLY_THE_NEW_NAME.match(model) else "max_tokens")

    def edited(self, events: EventBytes, request: ChatRequest) -> StreamAnswer:  # noqa: ARG002 what others need
        """A stream's events as OpenAI would send them."""
        return events

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        body = self.for_upstream(request)
        response = await self.posted(body, request, "application/json")
        try:
            return await self._whole(response)
        except UpstreamFailure as failure:
            # It took the call on, so it is going to bill it, unless it says itself that it failed.
            failure.status = failure.status or response.status
            raise

    async def _whole(self, response: HttpAnswer) -> WholeAnswer:
        data, value = await self.poster.read_object(response)
        if value.get("error"):
            raise self.poster.failed(status_of_error(value), value)
        choices = value.get("choices")
        if not isinstance(choices, list) or not choices:
            raise protocol_failure(self.name, "an answer without choices")
        if all([isinstance(choice, dict) and choice.get("finish_reason") == "error" for choice in choices]):
            raise protocol_failure(self.name, "an answer that ends in an error")
        return WholeAnswer(data, value, usage_from_openai(value.get("usage")))

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        options = request.body.get("stream_options")
        body = self.for_upstream(request)
        body["stream_options"] = {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True}
        response = await self.posted(body, request, "text/event-stream")
        # Some servers forget the content type, some answer an error or a web page under 200.
        if response.content_type not in ("application/json", "text/html"):
            return self.edited(EventBytes(self.name, response), request)
        value = json_or_none(await self.poster.read_whole(response, MAX_ERROR_BYTES))
        if isinstance(value, dict) and value.get("error"):
            raise self.poster.failed(status_of_error(value), value)
        raise protocol_failure(self.name, f"{response.content_type} where an event stream was asked for")

    def for_upstream(self, request: ChatRequest) -> dict[str, Any]:
        """The body as it is posted."""
        body = {**request.body, "model": request.model}
        if request.cap is not None:
            name = self.cap_name(request.model)
            body.pop("max_completion_tokens" if name == "max_tokens" else "max_tokens", None)
            body[name] = request.cap
        return body


class OpenAIProvider(OpenAIChat):
    """`settings.base_url` ends where `/chat/completions` begins, such as https://api.example.com/v1."""

    protocol = "openai"
    capabilities = Capabilities(operations=OPERATIONS, counts_speech=True)
    base_url = ""
    """Where it is asked unless the configuration says."""
    poster_type = Poster
    looks_at = "/models"

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        secret = secret_of(name, settings)
        super().__init__(name, self.poster_type(name, http, clock, headers=settings.headers, secret=secret or ""), settings.cap_field)
        self._usable = secret is not None
        self._base = (settings.base_url or self.base_url).rstrip("/")
        self._authorization = {"authorization": f"Bearer {secret}"} if secret else {}
        self._target = self.poster.target(f"{self._base}/chat/completions", self._authorization)
        self._look_target = self.poster.target(f"{self._base}{self.looks_at}", self._authorization, method="GET")
        self._operations = OpenAIOperations(self.poster, self._where)

    async def look(self, seconds: float) -> int:
        return await self.poster.look(self._look_target, seconds)

    async def listed(self, seconds: float) -> list[str]:
        """As `Lister.listed`."""
        target = self.poster.target(f"{self._base}/models", self._authorization, method="GET")

        async def page(_: str | None) -> ListPage:
            return ListPage((await self.poster.listing(target, seconds)).get("data"), None)

        return await listed_ids(page)

    async def posted(self, body: dict[str, Any], request: ChatRequest, accept: str) -> HttpAnswer:
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
        return await self.poster.post(self._target, orjson.dumps(body), request, accept)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        return await self._operations.perform(request)

    def _where(self, path: str, model: str, headers: Mapping[str, str]) -> Target:  # noqa: ARG002 others have it in the path
        return self.target(f"{self._base}{path}", headers)

    def target(self, url: str, headers: Mapping[str, str]) -> Target:
        """Where something else than chat is posted, with the key. Raises UpstreamFailure: there is none."""
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
        return self.poster.target(url, {**self._authorization, **headers})
