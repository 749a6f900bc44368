"""Calls of Bedrock's models over HTTP, each in the name of the account that it is for."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import structlog

from backend.kernel.clock import Clock
from backend.kernel.errors import ModelNotFound, UpstreamError
from backend.providers.bedrock_account import BedrockAccount
from backend.providers.bedrock_errors import BedrockPoster
from backend.providers.failures import UpstreamFailure, failure_from_error_body
from backend.providers.http import HttpAnswer, Target, UpstreamHttp
from backend.providers.metadata import laid_over
from backend.providers.posting import secret_of
from backend.providers.provider import ChatRequest
from backend.settings import ProviderSettings

log = structlog.get_logger(__name__)

_MODEL = re.compile(r"(?!\.+$)[A-Za-z0-9._:/-]{1,2048}")
_MOST_TERMS = 100
_MOST_PLACES = 1000


class Terms(NamedTuple):
    """What a call is made with."""

    metadata: Mapping[str, Any]
    account: BedrockAccount


class Place(NamedTuple):
    """Where something is asked of a model."""

    url: str
    target: Target


class BedrockCalls:
    """One provider's.

    Args:
        check: raises ValueError where metadata cannot be.

    Raises:
        ValueError: the provider's own cannot be.
    """

    def __init__(
        self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock, check: Callable[[Mapping[str, Any]], None]
    ) -> None:
        secret = secret_of(name, settings)
        self._usable = secret is not None
        self._secret = secret or ""
        self.poster = BedrockPoster(name, http, clock, headers=settings.headers, secret=self._secret)
        self._name = name
        self._http = http
        self._clock = clock
        self._check = check
        self._base_url = settings.base_url
        self._own = self._terms(settings.metadata)
        self._candidates: dict[str, Terms] = {}
        self._places: dict[tuple[str, str, str], Place] = {}

    async def look(self, seconds: float) -> int:
        """The status with which the list of models is answered. Raises UpstreamFailure: there is none."""
        account = self._own.account
        headers = await account.headers("GET", account.models_url, b"") if self._usable else None
        if headers is None:
            raise failure_from_error_body(self._name, 401, None)
        return await self.poster.look(self.poster.target(account.models_url, headers, method="GET"), seconds)

    def terms_of(self, request: ChatRequest) -> Terms:
        """The provider's, or those of a candidate with metadata of its own. Raises UpstreamFailure: they cannot be."""
        if not request.metadata:
            return self._own
        key = repr(request.metadata)
        terms = self._candidates.get(key)
        if terms is None:
            try:
                terms = self._terms(laid_over(self._own.metadata, request.metadata))
            except ValueError:
                told = UpstreamError(f"What the configuration says of this model at the provider {self._name} cannot be.")
                raise UpstreamFailure("not_found", told) from None
            if len(self._candidates) >= _MOST_TERMS:
                self._candidates.clear()
            self._candidates[key] = terms
        return terms

    async def post(self, request: ChatRequest, terms: Terms, operation: str, body: dict[str, Any], accept: str) -> HttpAnswer:
        """The answer with status 200, its body unread.

        Args:
            operation: the end of the path, such as `converse`.

        Raises:
            UpstreamFailure: there is none.
        """
        if not _MODEL.fullmatch(request.model):
            raise UpstreamFailure("not_found", ModelNotFound(f"The provider {self._name} does not have this model."))
        account = terms.account
        data = orjson.dumps(body)
        place = self._place(account.runtime_url, request.model, operation)
        try:
            try:
                return await self._send(account, place, data, request, accept)
            except UpstreamFailure as failure:
                # Temporary credentials end; whoever renews them may have done so already.
                if failure.kind != "credentials" or not await account.renewed():
                    raise
            return await self._send(account, place, data, request, accept)
        except UpstreamFailure as failure:
            if terms is not self._own and failure.status == 401:
                # It says nothing of the provider's own key.
                failure.status = 403
            raise

    def _place(self, runtime_url: str, model: str, operation: str) -> Place:
        place = self._places.get((runtime_url, model, operation))
        if place is None:
            url = f"{runtime_url}/model/{quote(model, safe='')}/{operation}"
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            place = self._places[runtime_url, model, operation] = Place(url, self.poster.target(url, {}))
        return place

    async def _send(self, account: BedrockAccount, place: Place, data: bytes, request: ChatRequest, accept: str) -> HttpAnswer:
        headers = await account.headers("POST", place.url, data) if self._usable else None
        if headers is None:
            raise failure_from_error_body(self._name, 401, None)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return await self.poster.post(place.target, data, request, accept, lines)

    def _terms(self, metadata: Mapping[str, Any]) -> Terms:
        try:
            self._check(metadata)
            return Terms(metadata, BedrockAccount(self._name, metadata, self._base_url, self._secret, self._clock, self._http))
        except ValueError as error:
            # Ours, so it names a field and quotes no value.
            log.error("provider.metadata_cannot_be", provider=self._name, reason=str(error))
            raise
