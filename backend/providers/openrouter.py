"""OpenRouter: OpenAI's chat completions, with what each answer cost, and with the errors of the providers behind it.

What it says that an answer cost is kept beside our cost of the attempt; the caller is charged by our prices. `headers` may name the app
(HTTP-Referer, X-Title). Sources: openrouter.ai/docs/api/reference/overview, …/errors-and-debugging, …/streaming.
"""

from typing import Any

import orjson

from backend.kernel.clock import SystemClock
from backend.kernel.errors import BourseError
from backend.providers.edited_stream import EditedStream
from backend.providers.failures import UpstreamFailure, protocol_failure, status_of_error
from backend.providers.http import HttpAnswer, UpstreamHttp
from backend.providers.openai import OpenAIProvider
from backend.providers.openrouter_answer import edited, explained, failed_choice, reported_nano, seconds_to_reset
from backend.providers.openrouter_operations import PATHS, body_of, read, searches
from backend.providers.posting import EventBytes, Poster
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


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return OpenRouterProvider(name, settings, http, SystemClock())


class OpenRouterPoster(Poster):
    """Reads OpenRouter's errors, also those of an answer with a good status that says in its choices that it failed."""

    def failed(self, status: int, value: Any, *, retry_after: float | None = None) -> UpstreamFailure:
        if status == 429 and retry_after is None:
            retry_after = seconds_to_reset(value, self._clock.now().timestamp())
        return super().failed(status, explained(value), retry_after=retry_after)

    async def read_object(self, response: HttpAnswer) -> tuple[bytes, dict[str, Any]]:
        data, value = await super().read_object(response)
        failed = failed_choice(value)
        if failed is not None:
            raise self.failed(status_of_error(failed), failed)
        return data, value


class OpenRouterProvider(OpenAIProvider):
    protocol = "openrouter"
    capabilities = Capabilities(operations=frozenset({"embeddings", "rerank", *PATHS}))
    base_url = "https://openrouter.ai/api/v1"
    poster_type = OpenRouterPoster
    looks_at = "/key"
    """The list of models is there for everybody; this is not."""

    def for_upstream(self, request: ChatRequest) -> dict[str, Any]:
        return {**super().for_upstream(request), "usage": {"include": True}}

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        answer = await super().complete(request)
        request.reported_nano = reported_nano(answer.value.get("usage"))
        return answer

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        if request.operation in PATHS:
            return await self._translated(request)
        answer = await super().perform(request)
        told = (answer.value or {}).get("usage")
        request.reported_nano = reported_nano(told)
        if request.operation == "rerank":
            answer.usage = searches(told) or answer.usage
        return answer

    async def _translated(self, request: OperationRequest) -> OperationAnswer:
        try:
            body = body_of(request)
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        target = self.target(f"{self._base}{PATHS[request.operation]}", {})
        response = await self.poster.post(target, orjson.dumps(body), request, "*/*")
        try:
            if request.operation == "audio.speech" and response.content_type != "application/json":
                kind = response.header(b"content-type") or "audio/mpeg"
                return OperationAnswer(b"", None, None, kind if kind.isprintable() else "audio/mpeg", EventBytes(self.name, response))
            _, value = await self.poster.read_object(response)
            if value.get("error"):
                raise self.poster.failed(status_of_error(value), value)
            if request.operation == "audio.speech":
                raise protocol_failure(self.name, "JSON where sound was asked for")
            request.reported_nano = reported_nano(value.get("usage"))
            return read(request, value)
        except UpstreamFailure as failure:
            # It took the request on, so it is going to bill it, unless it says itself that it failed.
            failure.status = failure.status or response.status
            raise

    def edited(self, events: EventBytes, request: ChatRequest) -> StreamAnswer:
        def edit(data: bytes) -> bytes:
            shown, usage = edited(data)
            if usage is not None:
                request.reported_nano = reported_nano(usage)
            return shown

        return EditedStream(self.name, events, edit)
