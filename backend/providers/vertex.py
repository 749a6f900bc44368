"""Google's models on Vertex AI with a service account: a token of it in a header, project and place in the path.

`api_key` refers to the account's JSON, such as `file:/run/secrets/google.json`. Metadata: `attached_account` (true: the account is that of
what this runs on, and needs no key), `project` (else that of the JSON), `location` (else `global`), `gs_allowed` (a list of beginnings of
gs:// addresses that callers may name; the account reads them).
Source: cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.
"""

import re

import structlog

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import BourseError
from backend.kernel.secrets import SecretUnavailable
from backend.providers.access_token import AccessTokens, form_exchange
from backend.providers.failures import UpstreamFailure, failure_from_error_body
from backend.providers.google_attached import attached_exchange
from backend.providers.google_chat import GoogleChat, GooglePoster
from backend.providers.google_embeddings import PREDICT, from_prediction, prediction_body, predictions_at_once
from backend.providers.google_generated import OPERATIONS
from backend.providers.google_token import ServiceAccount
from backend.providers.http import UpstreamHttp
from backend.providers.posting import path_of_model
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

log = structlog.get_logger(__name__)

_NAME = re.compile(r"[a-z0-9:.-]{1,100}")


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return VertexProvider(name, settings, http, SystemClock())


class VertexProvider:
    """`settings.base_url`, where it is given, ends where `/projects` begins."""

    protocol = "vertex"
    capabilities = Capabilities(operations=OPERATIONS | {"embeddings"}, inputs_of=predictions_at_once, counts_speech=True)

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        self.name = name
        # A key goes before the machine's account, so that a tenant's own is never exchanged for it.
        is_attached = settings.metadata.get("attached_account") is True and settings.api_key is None
        account = None if is_attached else _account(name, settings)
        self._tokens: AccessTokens | None = None
        if is_attached:
            self._tokens = AccessTokens(name, attached_exchange(name, http), clock)
        elif account is not None:
            self._tokens = AccessTokens(name, form_exchange(name, account.token_uri, account.form, http, clock), clock)
        self._poster = GooglePoster(name, http, clock, headers=settings.headers)
        metadata = settings.metadata
        location = str(metadata.get("location") or "global")
        project = str(metadata.get("project") or (account.project if account is not None else ""))
        if not _NAME.fullmatch(location) or (self._tokens is not None and not _NAME.fullmatch(project)):
            raise ValueError("metadata.location and metadata.project must be names")
        base_url = (settings.base_url or f"https://{host_of(location)}/v1").rstrip("/")
        self._look_url = f"{base_url}/publishers/google/models/gemini-2.5-flash"
        allowed = metadata.get("gs_allowed") or ()
        buckets = tuple(place for place in allowed if isinstance(place, str) and re.match(r"gs://[^/]+/", place))

        def url_of(model: str) -> str:
            path = model if model.startswith(("publishers/", "endpoints/")) else f"publishers/google/models/{model}"
            return f"{base_url}/projects/{project}/locations/{location}/{path_of_model(name, path, '/@')}"

        self._chat = GoogleChat(self._poster, http.for_callers, url_of, {}, self, buckets)

    async def look(self, seconds: float) -> int:
        """Asks for nothing but the model's description."""
        token = await self._token(seconds)
        target = self._poster.target(self._look_url, {"authorization": f"Bearer {token}"}, method="GET")
        return await self._poster.look(target, seconds)

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        return await self._chat.complete(request)

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        return await self._chat.open_stream(request)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        if request.operation != "embeddings":
            return await self._chat.generated(request)
        try:
            body = prediction_body(request.body)
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        return await self._chat.embeddings(request, PREDICT, body, from_prediction)

    async def lines(self, request: ChatRequest) -> str:
        """As `Authorization.lines`."""
        return f"authorization: Bearer {await self._token(request.connect_seconds)}\r\n"

    def refused(self, lines: str) -> None:
        """As `Authorization.refused`."""
        if self._tokens is not None:
            self._tokens.refused(lines.removeprefix("authorization: Bearer ").rstrip())

    async def _token(self, seconds: float) -> str:
        if self._tokens is None:
            raise failure_from_error_body(self.name, 401, None)
        return await self._tokens.token(seconds)


def host_of(location: str) -> str:
    """Sources: cloud.google.com/vertex-ai/generative-ai/docs/learn/locations, for `us` and `eu` …/docs/partner-models and rep endpoints."""
    if location == "global":
        return "aiplatform.googleapis.com"
    return f"aiplatform.{location}.rep.googleapis.com" if location in ("us", "eu") else f"{location}-aiplatform.googleapis.com"


def _account(name: str, settings: ProviderSettings) -> ServiceAccount | None:
    """None, and a line in the log, where it cannot be had: its calls are answered as those with a bad key are."""
    try:
        if settings.api_key is None:
            raise SecretUnavailable("api_key is not set: the JSON of a service account")
        return ServiceAccount.parse(settings.api_key.resolve())
    except (SecretUnavailable, ValueError, TypeError) as error:
        # What the JSON's parser says may quote the key.
        reason = str(error) if isinstance(error, SecretUnavailable) else "not the JSON of a service account with an RSA key"
        log.warning("provider.credentials_missing", provider=name, reason=reason)
        return None
