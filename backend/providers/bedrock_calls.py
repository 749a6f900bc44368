"""Calls of Bedrock's models over HTTP, each in the name of the account that it is for."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from backend.kernel.clock import Clock
from backend.kernel.errors import ModelNotFound
from backend.providers.bedrock_account import FIELDS, BedrockAccount
from backend.providers.bedrock_errors import BedrockPoster
from backend.providers.failures import UpstreamFailure, failure_from_error_body
from backend.providers.http import HttpAnswer, UpstreamHttp
from backend.providers.metadata import laid_over
from backend.providers.posting import secret_of
from backend.providers.provider import ChatRequest
from backend.settings import ProviderSettings

_MODEL = re.compile(r"(?!\.+$)[A-Za-z0-9._:/-]{1,2048}")
_MOST_ACCOUNTS = 100


class BedrockCalls:
    """One provider's. Raises ValueError: a region is no name."""

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        secret = secret_of(name, settings)
        self._usable = secret is not None
        self.secret = secret or ""
        self.poster = BedrockPoster(name, http, clock, headers=settings.headers, secret=self.secret)
        self._name = name
        self._clock = clock
        self._base_url = settings.base_url
        self._metadata = settings.metadata
        self._own = self._account_of(settings.metadata)
        self._accounts: dict[tuple[str, ...], BedrockAccount] = {}

    async def look(self, seconds: float) -> int:
        """The status with which the list of models is answered. Raises UpstreamFailure: there is none."""
        headers = self._own.headers("GET", self._own.models_url, b"") if self._usable else None
        if headers is None:
            raise failure_from_error_body(self._name, 401, None)
        return await self.poster.look(self.poster.target(self._own.models_url, headers, method="GET"), seconds)

    def metadata_of(self, request: ChatRequest) -> Mapping[str, Any]:
        """The provider's with the candidate's over it."""
        return laid_over(self._metadata, request.metadata)

    async def post(self, request: ChatRequest, operation: str, body: dict[str, Any], accept: str) -> HttpAnswer:
        """The answer with status 200, its body unread.

        Args:
            operation: the end of the path, such as `converse`.

        Raises:
            UpstreamFailure: there is none.
        """
        if not _MODEL.fullmatch(request.model):
            raise UpstreamFailure("not_found", ModelNotFound(f"The provider {self._name} does not have this model."))
        account = self._account(self.metadata_of(request)) if request.metadata else self._own
        data = orjson.dumps(body)
        url = f"{account.runtime_url}/model/{quote(request.model, safe='')}/{operation}"
        try:
            try:
                return await self._send(account, url, data, request, accept)
            except UpstreamFailure as failure:
                # Temporary credentials end; whoever renews them may have done so already.
                if failure.kind != "credentials" or not account.renewed():
                    raise
            return await self._send(account, url, data, request, accept)
        except UpstreamFailure as failure:
            if account is not self._own and failure.status == 401:
                # It says nothing of the provider's own key.
                failure.status = 403
            raise

    async def _send(self, account: BedrockAccount, url: str, data: bytes, request: ChatRequest, accept: str) -> HttpAnswer:
        headers = account.headers("POST", url, data) if self._usable else None
        if headers is None:
            raise failure_from_error_body(self._name, 401, None)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return await self.poster.post(self.poster.target(url, {}), data, request, accept, lines)

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
        return BedrockAccount(self._name, metadata, self._base_url, self.secret, self._clock)
