"""Azure OpenAI: OpenAI's chat completions under Azure's addresses, with its keys or tokens of Microsoft Entra, and its content filter.

`base_url` decides between the two APIs that Azure has. Where it ends in `/v1` (https://NAME.openai.azure.com/openai/v1) it is the v1 API,
and a candidate's model goes in the body; else (https://NAME.openai.azure.com) it goes into the path. In both it is the deployment's name.

Metadata: `api_version` (2024-10-21; the v1 API needs none), and what `azure_identity` reads where it is asked with a token.
Sources: learn.microsoft.com/azure/ai-foundry/openai/reference and …/openai/api-version-lifecycle.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import UnsupportedParameter
from backend.providers.access_token import AccessTokens
from backend.providers.azure_events import edited, explained
from backend.providers.azure_identity import tokens_of
from backend.providers.edited_stream import EditedStream
from backend.providers.failures import UpstreamFailure, failure_from_error_body
from backend.providers.http import HttpAnswer, Target, UpstreamHttp
from backend.providers.openai import OpenAIChat
from backend.providers.openai_operations import OpenAIOperations
from backend.providers.posting import MOST_TARGETS, EventBytes, Poster, path_of_model, secret_of
from backend.providers.provider import (
    Capabilities,
    ChatRequest,
    Operation,
    OperationAnswer,
    OperationRequest,
    Provider,
    StreamAnswer,
)
from backend.settings import ProviderSettings

API_VERSION = "2024-10-21"
OPERATIONS: frozenset[Operation] = frozenset({
    "embeddings", "completions", "images.generations", "images.edits", "audio.speech", "audio.transcriptions", "audio.translations",
})  # fmt: skip
_THINKS = re.compile(r"(?:^|[^a-z0-9])(?:o\d|gpt-?[5-9])", re.IGNORECASE)
"""Names of deployments are free; most tell their model."""
_NO_SUCH_OPERATION = frozenset({"OperationNotSupported", "DeploymentNotFound"})


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return AzureProvider(name, settings, http, SystemClock())


class AzurePoster(Poster):
    """Reads Azure's errors."""

    def failed(self, status: int, value: Any, *, retry_after: float | None = None) -> UpstreamFailure:
        error = value.get("error") if isinstance(value, dict) else None
        if status == 400 and isinstance(error, dict) and str(error.get("code")) in _NO_SUCH_OPERATION:
            status = 404  # the deployment is of a model that does not chat
        return super().failed(status, explained(value), retry_after=retry_after)


class AzureProvider(OpenAIChat):
    protocol = "azure"
    capabilities = Capabilities(operations=OPERATIONS)

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        secret = secret_of(name, settings)
        super().__init__(name, AzurePoster(name, http, clock, headers=settings.headers, secret=secret or ""), settings.cap_field)
        self._usable = secret is not None
        metadata = settings.metadata
        base = (settings.base_url or "").rstrip("/")
        self._is_v1 = base.endswith("/v1")
        self._base = base if self._is_v1 else f"{base.removesuffix('/openai')}/openai"
        version = str(metadata.get("api_version") or ("" if self._is_v1 else API_VERSION))
        self._query = f"?api-version={quote(version)}" if version else ""
        self._tokens: AccessTokens | None = tokens_of(name, metadata, secret or "", http, clock)
        self._headers: dict[str, str] = {"api-key": secret} if secret and self._tokens is None else {}
        self._targets: dict[str, Target] = {}
        self._knows_new_cap: set[str] = set()
        """Deployments that have refused `max_tokens`."""

    async def look(self, seconds: float) -> int:
        """Asks for the list of models."""
        token = {"authorization": f"Bearer {await self._tokens.token(seconds)}"} if self._tokens is not None else self._headers
        return await self.poster.look(self.poster.target(f"{self._base}/models{self._query}", token, method="GET"), seconds)

    def cap_name(self, model: str) -> str:
        if self.cap_field is None and (model in self._knows_new_cap or _THINKS.search(model)):
            return "max_completion_tokens"
        return self.cap_field or "max_tokens"

    def edited(self, events: EventBytes, request: ChatRequest) -> StreamAnswer:  # noqa: ARG002
        return EditedStream(self.name, events, edited)

    async def posted(self, body: dict[str, Any], request: ChatRequest, accept: str) -> HttpAnswer:
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
        try:
            return await self._post(body, request, accept)
        except UpstreamFailure as failure:
            if not self._learns_from(failure, body, request):
                raise
        # The name of the deployment does not tell that its model thinks. A refusal costs nothing, and the next call knows.
        body["max_completion_tokens"] = body.pop("max_tokens")
        return await self._post(body, request, accept)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
        token = await self._token(request)
        authorization = {"authorization": f"Bearer {token}"} if token else {}

        def where(path: str, model: str, headers: Mapping[str, str]) -> Target:
            return self.poster.target(self._url(path, model), {**self._headers, **authorization, **headers})

        try:
            return await OpenAIOperations(self.poster, where).perform(request)
        except UpstreamFailure as failure:
            self._refused(failure, token)
            raise

    async def _post(self, body: dict[str, Any], request: ChatRequest, accept: str) -> HttpAnswer:
        token = await self._token(request)
        lines = f"authorization: Bearer {token}\r\n" if token else ""
        try:
            return await self.poster.post(self._target(request.model), orjson.dumps(body), request, accept, lines)
        except UpstreamFailure as failure:
            self._refused(failure, token)
            raise

    async def _token(self, request: ChatRequest) -> str:
        """Of Entra; "" where there is a key. Raises UpstreamFailure: there is none to be had."""
        return await self._tokens.token(request.connect_seconds) if self._tokens is not None else ""

    def _refused(self, failure: UpstreamFailure, token: str) -> None:
        if failure.status == 401 and self._tokens is not None:
            self._tokens.refused(token)

    def _learns_from(self, failure: UpstreamFailure, body: Mapping[str, Any], request: ChatRequest) -> bool:
        refused = isinstance(failure.error, UnsupportedParameter) and failure.error.param == "max_tokens"
        if not refused or self.cap_field is not None or "max_tokens" not in body:
            return False
        self._knows_new_cap.add(request.model)
        return True

    def _target(self, model: str) -> Target:
        target = self._targets.get(model)
        if target is None:
            if len(self._targets) >= MOST_TARGETS:
                self._targets.clear()
            target = self._targets[model] = self.poster.target(self._url("/chat/completions", model), self._headers)
        return target

    def _url(self, path: str, model: str) -> str:
        place = "" if self._is_v1 else f"/deployments/{path_of_model(self.name, model, '')}"
        return f"{self._base}{place}{path}{self._query}"
