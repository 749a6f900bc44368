"""Any server that speaks OpenAI's chat completions: OpenAI itself, OpenRouter, Groq, Together, Mistral, vLLM, Ollama, llama.cpp…

The body goes through as the caller wrote it; only `model` is the upstream's own id, a stream is always asked for its usage, and the cap
on the answer has the name that the model knows: it was reserved for, so it must not be overlooked.
"""

import asyncio
import re
from typing import Any

import orjson
import structlog

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
from backend.providers.http import MAX_WHOLE_BYTES, AddressForbidden, BrokenOff, HttpAnswer, NotConnected, NotHttp, TooLarge, UpstreamHttp
from backend.providers.openai_usage import usage_from_openai
from backend.providers.provider import Capabilities, ChatRequest, Provider, StreamAnswer, WholeAnswer
from backend.settings import ProviderSettings

log = structlog.get_logger(__name__)

_KNOW_ONLY_THE_NEW_NAME = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")
"""OpenAI's models that think refuse `max_tokens`. DeepSeek, Ollama and llama-cpp-python overlook `max_completion_tokens`, Mistral refuses
it, and OpenAI refuses both together."""
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
        self._secret = ""
        self._cap_field = settings.cap_field
        self._usable = True
        if settings.api_key is not None:
            try:
                self._secret = settings.api_key.resolve()
            except SecretUnavailable as error:
                self._usable = False
                log.warning("provider.credentials_missing", provider=name, reason=str(error))
        headers = {key.lower(): value for key, value in settings.headers.items() if key.lower() not in _HEADERS_OF_OURS}
        if self._secret:
            headers["authorization"] = f"Bearer {self._secret}"
        url = f"{(settings.base_url or '').rstrip('/')}/chat/completions"
        self._target = http.target(url, {"content-type": "application/json", "user-agent": "bourse", **headers})

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        body = self._for_upstream(request)
        response = await self._post(body, request, "application/json")
        try:
            return await self._whole(response)
        except UpstreamFailure as failure:
            # It took the call on, so it is going to bill it, unless it says itself that it failed.
            failure.status = failure.status or response.status
            raise

    async def _whole(self, response: HttpAnswer) -> WholeAnswer:
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
        body = self._for_upstream(request)
        body["stream_options"] = {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True}
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

    def _for_upstream(self, request: ChatRequest) -> dict[str, Any]:
        body = {**request.body, "model": request.model}
        if request.cap is not None:
            name = self._cap_field
            if name is None:
                name = "max_completion_tokens" if _KNOW_ONLY_THE_NEW_NAME.match(request.model) else "max_tokens"
            body.pop("max_completion_tokens" if name == "max_tokens" else "max_tokens", None)
            body[name] = request.cap
        return body

    async def _post(self, body: dict[str, Any], request: ChatRequest, accept: str) -> HttpAnswer:
        """The answer with a good status, its body unread."""
        if not self._usable:
            raise failure_from_error_body(self.name, 401, None)
        headers = f"accept: {accept}\r\ntraceparent: {request.traceparent}\r\n"
        try:
            response = await self._http.post(
                self._target, orjson.dumps(body), headers, connect_seconds=request.connect_seconds, sending=request.sending
            )
        except AddressForbidden:
            raise address_failure(self.name) from None
        except NotConnected:
            raise connect_failure(self.name) from None
        except TimeoutError:
            raise timeout_failure(self.name, "no connection", request.connect_seconds) from None
        except NotHttp as error:
            raise protocol_failure(self.name, str(error)) from None
        except BrokenOff:
            raise reset_failure(self.name) from None
        if response.status == 200:
            return response
        if 200 <= response.status < 400:
            response.close()
            raise protocol_failure(self.name, f"HTTP {response.status} instead of an answer")
        after = retry_after_seconds(response.header(b"retry-after"), self._clock)
        try:
            value = _json_or_none(await self._read_whole(response, MAX_ERROR_BYTES))
        except UpstreamFailure:
            value = None
        raise failure_from_error_body(self.name, response.status, value, retry_after=after, secret=self._secret)

    async def _read_whole(self, response: HttpAnswer, at_most: int) -> bytes:
        try:
            return await response.read_whole(at_most)
        except TooLarge:
            raise protocol_failure(self.name, f"more than {at_most:,} bytes") from None
        except NotHttp as error:
            raise protocol_failure(self.name, str(error)) from None
        except BrokenOff:
            raise reset_failure(self.name) from None


class _Stream:
    __slots__ = ("_answer", "_name", "_released")

    def __init__(self, name: str, answer: HttpAnswer) -> None:
        self._name = name
        self._answer = answer
        self._released = False

    async def read(self) -> bytes:
        try:
            return await self._answer.read()
        except NotHttp as error:
            raise protocol_failure(self._name, str(error)) from None
        except BrokenOff:
            raise reset_failure(self._name) from None

    def release(self) -> None:
        if not self._answer.done:
            # After [DONE] the end of the body is usually in the next packet; leaving it a moment saves a new connection.
            self._released = True
            asyncio.get_running_loop().call_later(END_OF_BODY_SECONDS, self._answer.close)

    def close(self) -> None:
        if not self._released:
            self._answer.close()


def _json_or_none(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
