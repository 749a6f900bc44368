"""OpenRouter: OpenAI's chat completions, with what each answer cost, and with the errors of the providers behind it.

What it says that an answer cost is kept beside our cost of the attempt; the caller is charged by our prices. `headers` may name the app
(HTTP-Referer, X-Title). Sources: openrouter.ai/docs/api/reference/overview, …/errors-and-debugging, …/streaming.
"""

from typing import Any

from backend.kernel.clock import SystemClock
from backend.providers.edited_stream import EditedStream
from backend.providers.failures import UpstreamFailure, status_of_error
from backend.providers.http import HttpAnswer, UpstreamHttp
from backend.providers.openai import OpenAIProvider
from backend.providers.openrouter_answer import edited, explained, failed_choice, reported_nano, seconds_to_reset
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
    capabilities = Capabilities(operations=frozenset({"embeddings"}))
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
        answer = await super().perform(request)
        request.reported_nano = reported_nano((answer.value or {}).get("usage"))
        return answer

    def edited(self, events: EventBytes, request: ChatRequest) -> StreamAnswer:
        def edit(data: bytes) -> bytes:
            shown, usage = edited(data)
            if usage is not None:
                request.reported_nano = reported_nano(usage)
            return shown

        return EditedStream(self.name, events, edit)
