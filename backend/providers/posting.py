"""A provider's HTTP, whatever it speaks: a body is posted, and everything that goes wrong is an `UpstreamFailure` in our words.

Adapters translate; this is what they all do alike. Nothing here knows a wire format but that errors are JSON more often than not.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import quote

import orjson
import structlog

from backend.kernel.clock import Clock
from backend.kernel.errors import ModelNotFound
from backend.kernel.secrets import SecretUnavailable
from backend.providers.failures import (
    Unsaid,
    UpstreamFailure,
    address_failure,
    connect_failure,
    failure_from_error_body,
    protocol_failure,
    reset_failure,
    retry_after_seconds,
    timeout_failure,
)
from backend.providers.http import (
    MAX_WHOLE_BYTES,
    AddressForbidden,
    BrokenOff,
    HttpAnswer,
    NotConnected,
    NotHttp,
    Target,
    TooLarge,
    UpstreamHttp,
)
from backend.settings import ProviderSettings

log = structlog.get_logger(__name__)

MAX_ERROR_BYTES = 64 * 1024
MAX_LOOK_BYTES = 1024 * 1024
MAX_LISTING_BYTES = 8 * 1024 * 1024
END_OF_BODY_SECONDS = 0.25
_PIECE_BYTES = 32 * 1024
MOST_TARGETS = 1000
"""Targets of one provider that are kept ready: callers name models, too."""
_LEAST_SECRET = 8
_HEADERS_OF_OURS = frozenset({"authorization", "content-type", "content-length", "transfer-encoding", "connection", "host", "accept"})


class Outgoing(Protocol):
    """What posting needs to know of an attempt; see `ChatRequest`."""

    connect_seconds: float
    traceparent: str

    def sending(self) -> None: ...


class Poster:
    """One provider's.

    Args:
        headers: the operator's own; those that are ours to write are left out. Some are credentials, so none of them is repeated.
        secret: the credential that is sent, so that it is never repeated; how it is sent is the adapter's.
    """

    def __init__(self, name: str, http: UpstreamHttp, clock: Clock, *, headers: Mapping[str, str], secret: str = "") -> None:
        self.name = name
        self._http = http
        self._clock = clock
        self._headers = {key.lower(): value for key, value in headers.items() if key.lower() not in _HEADERS_OF_OURS}
        self.unsaid = unsaid_of(secret, headers)

    def target(self, url: str, headers: Mapping[str, str], *, method: str = "POST") -> Target:
        """Where JSON is posted with these headers and the operator's.

        Raises:
            ValueError: the URL or a header cannot be sent.
        """
        whole = {"content-type": "application/json", "user-agent": "bourse", **self._headers, **headers}
        return self._http.target(url, whole, method=method)

    async def post(self, target: Target, body: bytes, request: Outgoing, accept: str, headers: str = "") -> HttpAnswer:
        """The answer with status 200, its body unread.

        Args:
            headers: lines of this request alone, each ending in CRLF.

        Raises:
            UpstreamFailure: there is none.
        """
        lines = f"accept: {accept}\r\ntraceparent: {request.traceparent}\r\n{headers}"
        response = await self._answer(target, body, lines, request.connect_seconds, request.sending)
        if response.status == 200:
            return response
        if 200 <= response.status < 400:
            response.close()
            raise protocol_failure(self.name, f"HTTP {response.status} instead of an answer")
        after = retry_after_seconds(response.header(b"retry-after"), self._clock)
        try:
            value = json_or_none(await self.read_whole(response, MAX_ERROR_BYTES))
        except UpstreamFailure:
            value = None
        raise self.failed(response.status, self.error_value(response, value), retry_after=after)

    def error_value(self, response: HttpAnswer, value: Any) -> Any:  # noqa: ARG002 for who names errors in a header
        """What an error answer says: its JSON, or None."""
        return value

    async def look(self, target: Target, seconds: float) -> int:
        """The status that a request without a body is answered with, whatever it is.

        Raises:
            UpstreamFailure: there is none within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                response = await self._answer(target, b"", "accept: application/json\r\n", seconds, None)
                with suppress(TooLarge, NotHttp, BrokenOff):
                    # To its end, so that calls find the connection open.
                    await response.read_whole(MAX_LOOK_BYTES)
        except TimeoutError:
            raise timeout_failure(self.name, "no whole answer", seconds) from None
        return self.looked_status(response)

    async def listing(self, target: Target, seconds: float) -> dict[str, Any]:
        """The JSON object that a request without a body is answered with.

        Raises:
            UpstreamFailure: there is none within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                response = await self._answer(target, b"", "accept: application/json\r\n", seconds, None)
                value = json_or_none(await self.read_whole(response, MAX_LISTING_BYTES))
        except TimeoutError:
            raise timeout_failure(self.name, "no list of models", seconds) from None
        if response.status != 200:
            raise self.failed(response.status, self.error_value(response, value))
        if not isinstance(value, dict):
            raise protocol_failure(self.name, "a list of models that is no JSON object")
        return value

    def looked_status(self, response: HttpAnswer) -> int:
        """What a look says; adapters whose provider tells more in a header than in its status say that."""
        return response.status

    async def _answer(
        self, target: Target, body: bytes, lines: str, connect_seconds: float, sending: Callable[[], None] | None
    ) -> HttpAnswer:
        try:
            return await self._http.post(target, body, lines, connect_seconds=connect_seconds, sending=sending)
        except AddressForbidden:
            raise address_failure(self.name) from None
        except NotConnected:
            raise connect_failure(self.name) from None
        except TimeoutError:
            raise timeout_failure(self.name, "no connection", connect_seconds) from None
        except NotHttp as error:
            raise protocol_failure(self.name, str(error)) from None
        except BrokenOff:
            raise reset_failure(self.name) from None

    def failed(self, status: int, value: Any, *, retry_after: float | None = None) -> UpstreamFailure:
        """What an error of this status and body means."""
        return failure_from_error_body(self.name, status, value, retry_after=retry_after, unsaid=self.unsaid)

    async def read_whole(self, response: HttpAnswer, at_most: int = MAX_WHOLE_BYTES) -> bytes:
        """The rest of the body. Raises UpstreamFailure: it is cut, damaged, or longer than `at_most` bytes."""
        try:
            return await response.read_whole(at_most)
        except TooLarge:
            raise protocol_failure(self.name, f"more than {at_most:,} bytes") from None
        except NotHttp as error:
            raise protocol_failure(self.name, str(error)) from None
        except BrokenOff:
            raise reset_failure(self.name) from None

    async def read_object(self, response: HttpAnswer) -> tuple[bytes, dict[str, Any]]:
        """The body and the JSON object that it spells. Raises UpstreamFailure: it spells none."""
        data = await self.read_whole(response)
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise protocol_failure(self.name, "an answer that is not JSON") from None
        if not isinstance(value, dict):
            raise protocol_failure(self.name, "an answer that is not a JSON object")
        return data, value


class EventBytes:
    """The body of an event stream as it comes: a `StreamAnswer` for who passes it on untouched, the bytes to read for who translates."""

    __slots__ = ("_answer", "_name", "_released")

    def __init__(self, name: str, answer: HttpAnswer) -> None:
        self._name = name
        self._answer = answer
        self._released = False

    async def read(self) -> bytes:
        """The next bytes, cut anywhere; b"" at the end. Raises UpstreamFailure: the connection broke."""
        try:
            return await self._answer.read()
        except NotHttp as error:
            raise protocol_failure(self._name, str(error)) from None
        except BrokenOff:
            raise reset_failure(self._name) from None

    def release(self) -> None:
        """As `StreamAnswer.release`."""
        if not self._answer.done:
            # After the last event the end of the body is usually in the next packet; leaving it a moment saves a new connection.
            self._released = True
            asyncio.get_running_loop().call_later(END_OF_BODY_SECONDS, self._answer.close)

    def close(self) -> None:
        """As `StreamAnswer.close`."""
        if not self._released:
            self._answer.close()


class Bytes:
    """A `StreamAnswer` of bytes that are there."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        piece, self._data = self._data[:_PIECE_BYTES], self._data[_PIECE_BYTES:]
        return piece

    def release(self) -> None:
        self.close()

    def close(self) -> None:
        self._data = b""


def secret_of(name: str, settings: ProviderSettings) -> str | None:
    """The provider's configured key; "" where none is configured, None (and said in the log) where it is not in its place."""
    if settings.api_key is None:
        return ""
    try:
        return settings.api_key.resolve()
    except SecretUnavailable as error:
        log.warning("provider.credentials_missing", provider=name, reason=str(error))
        return None


def path_of_model(name: str, model: str, keep: str = "/") -> str:
    """A model's id as it stands in a path. Callers may name models, and none leads out of the place where models are.

    Args:
        name: the provider's.
        keep: signs that are not escaped.

    Raises:
        UpstreamFailure: there is no such model.
    """
    if any(part in ("", ".", "..") for part in model.split("/")):
        raise UpstreamFailure("not_found", ModelNotFound(f"The provider {name} does not have this model."))
    return quote(model, safe=keep)


def unsaid_of(secret: str, headers: Mapping[str, str]) -> Unsaid:
    """What of a provider's settings no caller hears, whatever the provider repeats."""
    found = [*([secret] if secret else []), *(value for value in headers.values() if len(value) >= _LEAST_SECRET)]
    return tuple(sorted(found, key=len, reverse=True))


def json_or_none(data: bytes) -> Any:
    """What the bytes spell, None if it is not JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
