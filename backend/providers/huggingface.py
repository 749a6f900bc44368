"""Hugging Face: chat by the router of its inference providers, which speaks OpenAI's API; embeddings, pictures and transcripts by its own
inference, a task each.

`base_url` ends in `/v1`. Metadata: `embeddings_url`, with `{model}` in it, where feature extraction is asked for elsewhere than at the
router's hf-inference; `normalize`, `prompt_name`, `truncate` and `truncation_direction` of feature extraction.
Sources: huggingface.co/docs/inference-providers, …/tasks/chat-completion, …/tasks/feature-extraction.
"""

from typing import Any
from urllib.parse import urlsplit

import orjson

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import BourseError, UnsupportedParameter
from backend.providers.answer_events import as_text
from backend.providers.edited_stream import EditedStream
from backend.providers.failures import UpstreamFailure, protocol_failure
from backend.providers.http import UpstreamHttp
from backend.providers.huggingface_embeddings import NoVectors, embeddings, extraction_body
from backend.providers.huggingface_errors import edited, explained, seconds_to_load, status_of
from backend.providers.huggingface_media import picture_answer, picture_body, recording_type, transcript_answer
from backend.providers.openai import OpenAIProvider
from backend.providers.openai_usage import usage_from_operation
from backend.providers.posting import EventBytes, Poster, json_or_none, path_of_model
from backend.providers.provider import Capabilities, ChatRequest, Operation, OperationAnswer, OperationRequest, Provider, StreamAnswer
from backend.settings import ProviderSettings

OPERATIONS: frozenset[Operation] = frozenset({"embeddings", "images.generations", "audio.transcriptions"})
MOST_TEXTS = 32
"""What feature extraction takes at once, unless its server was started with another `--max-client-batch-size`."""


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return HuggingFaceProvider(name, settings, http, SystemClock())


class HuggingFacePoster(Poster):
    """Reads Hugging Face's errors."""

    def failed(self, status: int, value: Any, *, retry_after: float | None = None) -> UpstreamFailure:
        if retry_after is None:
            retry_after = seconds_to_load(value)
        return super().failed(status_of(status, value), explained(value), retry_after=retry_after)


class HuggingFaceProvider(OpenAIProvider):
    protocol = "huggingface"
    capabilities = Capabilities(operations=OPERATIONS, most_inputs=MOST_TEXTS)
    base_url = "https://router.huggingface.co/v1"
    poster_type = HuggingFacePoster

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        super().__init__(name, settings, http, clock)
        router = (settings.base_url or self.base_url).rstrip("/").removesuffix("/v1")
        self._clock = clock
        self._metadata = settings.metadata
        self._models = f"{router}/hf-inference/models/{{model}}"
        self._extraction = str(settings.metadata.get("embeddings_url") or f"{self._models}/pipeline/feature-extraction")
        if "{model}" in urlsplit(self._extraction).netloc:
            # Callers name models, and would say where the key goes.
            raise ValueError("metadata.embeddings_url may have {model} in its path alone")

    def edited(self, events: EventBytes, request: ChatRequest) -> StreamAnswer:  # noqa: ARG002
        return EditedStream(self.name, events, edited)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        if request.operation == "embeddings":
            return await self._embedded(request)
        url = self._models.replace("{model}", path_of_model(self.name, request.model))
        try:
            if request.operation == "images.generations":
                kind, body = "application/json", orjson.dumps(picture_body(request.body))
            else:
                kind, body = recording_type(request.body, request.uploads[0]), request.uploads[0].data
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        accept = "image/png" if request.operation == "images.generations" else "application/json"
        response = await self.poster.post(self.target(url, {"content-type": kind}), body, request, accept)
        try:
            data = await self.poster.read_whole(response)
            if request.operation == "images.generations":
                return picture_answer(data, self.name, int(self._clock.now().timestamp()))
            return transcript_answer(json_or_none(data), self.name, plain=as_text(request.body))
        except UpstreamFailure as failure:
            # It took the request on, so it is going to bill it.
            failure.status = failure.status or response.status
            raise

    async def _embedded(self, request: OperationRequest) -> OperationAnswer:
        try:
            body = extraction_body(request.body, self._metadata)
        except UnsupportedParameter as error:
            raise UpstreamFailure("refused", error) from None
        target = self.target(self._extraction.replace("{model}", path_of_model(self.name, request.model)), {})
        response = await self.poster.post(target, orjson.dumps(body), request, "application/json")
        try:
            value = json_or_none(await self.poster.read_whole(response))
            counted = response.header(b"x-compute-tokens") or ""
            tokens = int(counted) if counted.isdecimal() and len(counted) <= 9 else None
            answer = embeddings(value, len(body["inputs"]), request.model, request.body.get("encoding_format"), tokens)
        except NoVectors as error:
            failure = protocol_failure(self.name, str(error))
            failure.status = response.status
            raise failure from None
        except UpstreamFailure as failure:
            # It took the request on, so it is going to bill it.
            failure.status = failure.status or response.status
            raise
        return OperationAnswer(orjson.dumps(answer), answer, usage_from_operation(answer))
