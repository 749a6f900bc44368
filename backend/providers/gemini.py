"""Google's Gemini with an API key: generativelanguage.googleapis.com, or any server that speaks like it.

The key goes in a header, never in the URL. Source: ai.google.dev/api.
"""

from urllib.parse import quote

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import BourseError
from backend.providers.failures import UpstreamFailure, failure_from_error_body
from backend.providers.google_chat import GoogleChat, GooglePoster
from backend.providers.google_embeddings import BATCH, MOST_OF_A_BATCH, batch_body, from_batch
from backend.providers.google_generated import OPERATIONS
from backend.providers.http import UpstreamHttp
from backend.providers.listing import ListPage, listed_ids
from backend.providers.posting import path_of_model, secret_of
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

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return GeminiProvider(name, settings, http, SystemClock())


class GeminiProvider:
    """`settings.base_url` ends where `/models` begins."""

    protocol = "gemini"
    capabilities = Capabilities(operations=OPERATIONS | {"embeddings"}, most_inputs=MOST_OF_A_BATCH, counts_speech=True)

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        self.name = name
        secret = secret_of(name, settings)
        self._usable = secret is not None
        base_url = (settings.base_url or BASE_URL).rstrip("/")
        headers = {"x-goog-api-key": secret} if secret else {}
        self._poster = GooglePoster(name, http, clock, headers=settings.headers, secret=secret or "")
        self._models = self._poster.target(f"{base_url}/models?pageSize=1", headers, method="GET")

        self._list = f"{base_url}/models?pageSize=1000", headers

        def url_of(model: str) -> str:
            path = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
            return f"{base_url}/{path_of_model(name, path)}"

        self._chat = GoogleChat(self._poster, http.for_callers, url_of, headers, knows_ids=True)

    async def look(self, seconds: float) -> int:
        return await self._poster.look(self._models, seconds)

    async def listed(self, seconds: float) -> list[str]:
        """As `Lister.listed`."""
        url, headers = self._list

        async def page(token: str | None) -> ListPage:
            target = self._poster.target(url if token is None else f"{url}&pageToken={quote(token)}", headers, method="GET")
            value = await self._poster.listing(target, seconds)
            more = value.get("nextPageToken")
            return ListPage(value.get("models"), more if isinstance(more, str) and more else None)

        return [name.removeprefix("models/") for name in await listed_ids(page, "name")]

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        self._check()
        return await self._chat.complete(request)

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        self._check()
        return await self._chat.open_stream(request)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        self._check()
        if request.operation != "embeddings":
            return await self._chat.generated(request)
        try:
            body = batch_body(request.body, request.model)
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        return await self._chat.embeddings(request, BATCH, body, from_batch)

    def _check(self) -> None:
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
