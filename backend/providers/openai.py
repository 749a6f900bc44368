"""Any server that speaks OpenAI's chat completions: OpenAI itself, OpenRouter, Groq, Together, Mistral, vLLM, Ollama, llama.cpp…

The body goes through as the caller wrote it; only `model` is the upstream's own id, and a stream is always asked for its usage.
"""

import asyncio
from functools import lru_cache
from typing import Any

import aiohttp
import orjson
import structlog
from multidict import CIMultiDict
from yarl import URL

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.secrets import SecretUnavailable
from backend.providers.failures import (
    UpstreamFailure,
    address_failure,
    connect_failure,
    failure_from_error_body,
    protocol_failure,
    reset_failure,
    retry_after_seconds,
    status_of_error,
    timeout_failure,
)
from backend.providers.http import MAX_WHOLE_BYTES, AddressForbidden, UpstreamHttp
from backend.providers.openai_usage import usage_from_openai
from backend.providers.provider import Capabilities, ChatRequest, Provider, StreamAnswer, WholeAnswer
from backend.settings import ProviderSettings

log = structlog.get_logger(__name__)

END_OF_BODY_SECONDS = 0.25
MAX_ERROR_BYTES = 64 * 1024
_HEADERS_OF_OURS = frozenset({"authorization", "content-type", "content-length", "transfer-encoding", "connection", "host", "accept"})


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return OpenAIProvider(name, settings, http, SystemClock())


class OpenAIProvider:
    """`settings.base_url` ends where `/chat/completions` begins, such as https://api.example.com/v1."""

    protocol = "openai"
    capabilities = Capabilities()

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        self.name = name
        self._http = http
        self._clock = clock
        self._url = URL(f"{(settings.base_url or '').rstrip('/')}/chat/completions")
        self._secret = ""
        self._usable = True
        if settings.api_key is not None:
            try:
                self._secret = settings.api_key.resolve()
            except SecretUnavailable as error:
                self._usable = False
                log.warning("provider.credentials_missing", provider=name, reason=str(error))
        headers = {key: value for key, value in settings.headers.items() if key.lower() not in _HEADERS_OF_OURS}
        if self._secret:
            headers["authorization"] = f"Bearer {self._secret}"
        self._headers = {"content-type": "application/json", "user-agent": "bourse", **headers}

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        body = {**request.body, "model": request.model}
        response = await self._post(body, request, "application/json")
        data = await self._read_whole(response, MAX_WHOLE_BYTES)
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise protocol_failure(self.name, "an answer that is not JSON") from None
        if not isinstance(value, dict):
            raise protocol_failure(self.name, "an answer that is not a JSON object")
        if value.get("error"):
            raise failure_from_error_body(self.name, status_of_error(value), value, secret=self._secret)
        if not isinstance(value.get("choices"), list):
            raise protocol_failure(self.name, "an answer without choices")
        return WholeAnswer(data, value, usage_from_openai(value.get("usage")))

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        options = request.body.get("stream_options")
        body = {
            **request.body,
            "model": request.model,
            "stream_options": {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True},
        }
        response = await self._post(body, request, "text/event-stream")
        if response.content_type == "text/event-stream":
            return _Stream(self.name, response)
        # Some servers forget the content type, some answer an error or a web page under 200: the first bytes tell.
        data = await self._read_whole(response, MAX_ERROR_BYTES) if response.content_type in ("application/json", "text/html") else None
        if data is None:
            return _Stream(self.name, response)
        value = _json_or_none(data)
        if isinstance(value, dict) and value.get("error"):
            raise failure_from_error_body(self.name, status_of_error(value), value, secret=self._secret)
        raise protocol_failure(self.name, f"{response.content_type} where an event stream was asked for")

    async def _post(self, body: dict[str, Any], request: ChatRequest, accept: str) -> aiohttp.ClientResponse:
        """The response with a good status, its body unread."""
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
        headers = CIMultiDict(self._headers)
        headers["accept"] = accept
        headers["traceparent"] = request.traceparent
        try:
            response = await self._http.session.request(
                "POST",
                self._url,
                data=orjson.dumps(body),
                headers=headers,
                allow_redirects=False,
                timeout=_timeout(request.connect_seconds),
            )
        except aiohttp.ClientConnectorError as error:
            raise (address_failure if isinstance(error.os_error, AddressForbidden) else connect_failure)(self.name) from None
        except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError, TimeoutError):
            raise timeout_failure(self.name, "no connection", request.connect_seconds) from None
        except aiohttp.ClientResponseError:
            raise protocol_failure(self.name, "what is not HTTP") from None
        except aiohttp.InvalidURL:
            raise connect_failure(self.name) from None
        except (aiohttp.ClientError, OSError):
            raise reset_failure(self.name) from None
        if response.status == 200:
            return response
        if 200 <= response.status < 400:
            response.close()
            raise protocol_failure(self.name, f"HTTP {response.status} instead of an answer")
        after = retry_after_seconds(response.headers.get("retry-after"), self._clock)
        try:
            value = _json_or_none(await self._read_whole(response, MAX_ERROR_BYTES))
        except UpstreamFailure:
            value = None
        raise failure_from_error_body(self.name, response.status, value, retry_after=after, secret=self._secret)

    async def _read_whole(self, response: aiohttp.ClientResponse, at_most: int) -> bytes:
        content = response.content
        first = b""
        more: list[bytes] = []
        size = 0
        try:
            while data := await content.readany():
                size += len(data)
                if size > at_most:
                    raise protocol_failure(self.name, f"more than {at_most:,} bytes")
                if first:
                    more.append(data)
                else:
                    first = data
        except (aiohttp.ClientError, OSError):
            raise reset_failure(self.name) from None
        finally:
            # Given back if the end was read; anything else (too large, broken, cancelled) drops the connection.
            if content.at_eof():
                response.release()
            else:
                response.close()
        return b"".join((first, *more)) if more else first


class _Stream:
    __slots__ = ("_content", "_name", "_response")

    def __init__(self, name: str, response: aiohttp.ClientResponse) -> None:
        self._name = name
        self._response = response
        self._content = response.content

    async def read(self) -> bytes:
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
            raise reset_failure(self._name) from None

    async def release(self) -> None:
        content = self._content
        if not content.at_eof():
            # After [DONE] the end of the body is usually in the next packet; waiting for it a moment saves a new connection.
            try:
                async with asyncio.timeout(END_OF_BODY_SECONDS):
                    while await content.readany():
                        pass
            except (TimeoutError, aiohttp.ClientError, OSError):
                self._response.close()

    def close(self) -> None:
        if not self._content.at_eof():
            self._response.close()


@lru_cache(maxsize=64)
def _timeout(connect_seconds: float) -> aiohttp.ClientTimeout:
    # Only the connection: every other limit is the call's own, kept by one timer for the whole call.
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)


def _json_or_none(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
