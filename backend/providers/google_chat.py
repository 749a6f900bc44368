"""Chats with a model of Google's, and its embeddings, over HTTP, whichever door it is behind: an API key's or a service account's."""

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from backend.kernel.errors import BourseError
from backend.kernel.ids import random_bytes
from backend.pricing.usage import Usage
from backend.providers.failures import UpstreamFailure, protocol_failure
from backend.providers.gemini_answer import Identity, chat_completion
from backend.providers.gemini_errors import error_of, google_failure
from backend.providers.gemini_media import Fetched, to_fetch
from backend.providers.gemini_request import VOCABULARY, gemini_body
from backend.providers.gemini_stream import GeminiStream
from backend.providers.google_generated import generating
from backend.providers.http import HttpAnswer, Target, UpstreamHttp
from backend.providers.media_fetch import Wanted, fetch_media
from backend.providers.openai_usage import usage_from_openai
from backend.providers.posting import MAX_ERROR_BYTES, MOST_TARGETS, EventBytes, Poster, json_or_none
from backend.providers.provider import ChatRequest, OperationAnswer, OperationRequest, StreamAnswer, WholeAnswer

Read = Callable[[Mapping[str, Any], str], tuple[dict[str, Any], Usage | None]]
"""An answer of Google's, and the model's id, into OpenAI's shape and what was used."""


class GooglePoster(Poster):
    """Reads Google's errors."""

    def failed(self, status: int, value: Any, *, retry_after: float | None = None) -> UpstreamFailure:
        return google_failure(self.name, status, value, retry_after=retry_after, unsaid=self.unsaid)


class Authorization(Protocol):
    """What is fetched for a call, where the key alone is not enough."""

    async def lines(self, request: ChatRequest) -> str:
        """Header lines, each ending in CRLF. Raises UpstreamFailure: there are none to be had."""
        ...

    def refused(self, lines: str) -> None:
        """The provider did not take them."""
        ...


class GoogleChat:
    """What both doors do alike.

    Args:
        callers: what fetches URLs that callers name.
        url_of: the URL of a model, to which the method is appended. Raises UpstreamFailure: it has none.
        headers: of every call.
        authorization: asked before every call.
        buckets: beginnings of gs:// addresses that callers may name.
        knows_ids: as in `gemini_body`.
    """

    def __init__(
        self,
        poster: GooglePoster,
        callers: UpstreamHttp,
        url_of: Callable[[str], str],
        headers: Mapping[str, str],
        authorization: Authorization | None = None,
        buckets: tuple[str, ...] = (),
        *,
        knows_ids: bool = False,
    ) -> None:
        self._poster = poster
        self._callers = callers
        self._url_of = url_of
        self._headers = headers
        self._authorization = authorization
        self._buckets = buckets
        self._knows_ids = knows_ids
        self._targets: dict[tuple[str, str], Target] = {}

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        answer = await self._completion(await self._post(request, "generateContent", "application/json"), request)
        return WholeAnswer(orjson.dumps(answer), answer, usage_from_openai(answer.get("usage")))

    async def generated(self, request: OperationRequest) -> OperationAnswer:
        """What is no chat to the caller and one to the model: pictures, sound. Raises UpstreamFailure."""
        try:
            body, read = generating(request)
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        response = await self.posted(request, "generateContent", body, "application/json")
        completion = await self._completion(response, request)
        try:
            return read(completion, self._poster.name)
        except UpstreamFailure as failure:
            failure.status = failure.status or response.status
            raise

    async def _completion(self, response: HttpAnswer, request: ChatRequest) -> dict[str, Any]:
        try:
            _, value = await self._poster.read_object(response)
            if error_of(value) is not None:
                raise google_failure(self._poster.name, None, value, unsaid=self._poster.unsaid)
            return chat_completion(value, self._identity(request))
        except UpstreamFailure as failure:
            # It took the call on, so it is going to bill it, unless it says itself that it failed.
            failure.status = failure.status or response.status
            raise

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        response = await self._post(request, "streamGenerateContent?alt=sse", "text/event-stream")
        if response.content_type in ("application/json", "text/html"):
            value = json_or_none(await self._poster.read_whole(response, MAX_ERROR_BYTES))
            if error_of(value) is not None:
                raise google_failure(self._poster.name, None, value, unsaid=self._poster.unsaid)
            raise protocol_failure(self._poster.name, f"{response.content_type} where an event stream was asked for")
        return TranslatedStream(EventBytes(self._poster.name, response), GeminiStream(self._identity(request), self._poster.unsaid))

    async def _post(self, request: ChatRequest, method: str, accept: str) -> HttpAnswer:
        try:
            media = await self._fetched(request.body)
            body = gemini_body(request.body, request.model, request.cap, fetched=media, buckets=self._buckets, knows_ids=self._knows_ids)
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None
        return await self.posted(request, method, body, accept)

    async def posted(self, request: ChatRequest, method: str, body: dict[str, Any], accept: str) -> HttpAnswer:
        """The answer to a body for a method of the request's model, with a good status and unread. Raises UpstreamFailure."""
        target = self._targets.get((request.model, method))
        if target is None:
            url = f"{self._url_of(request.model)}:{method}"
            if len(self._targets) >= MOST_TARGETS:
                self._targets.clear()
            target = self._targets[request.model, method] = self._poster.target(url, self._headers)
        authorization = self._authorization
        lines = await authorization.lines(request) if authorization is not None else ""
        try:
            return await self._poster.post(target, orjson.dumps(body), request, accept, lines)
        except UpstreamFailure as failure:
            if failure.status == 401 and authorization is not None:
                authorization.refused(lines)
            raise

    async def embeddings(self, request: OperationRequest, method: str, body: dict[str, Any], read: Read) -> OperationAnswer:
        """The answer that `read` makes of Google's. Raises UpstreamFailure."""
        response = await self.posted(request, method, body, "application/json")
        try:
            _, value = await self._poster.read_object(response)
            if error_of(value) is not None:
                raise google_failure(self._poster.name, None, value, unsaid=self._poster.unsaid)
        except UpstreamFailure as failure:
            failure.status = failure.status or response.status
            raise
        told, usage = read(value, request.model)
        return OperationAnswer(orjson.dumps(told), told, usage)

    async def _fetched(self, body: Mapping[str, Any]) -> dict[str, Fetched]:
        wanted = [Wanted(source.url or "", source.kind, where) for source, where in to_fetch(body["messages"])]
        if not wanted:
            return {}
        VOCABULARY.check(body)  # before anything is fetched for a body that is refused
        found = await fetch_media(self._callers, wanted)
        return {url: Fetched(media.media_type, b64encode(media.data).decode()) for url, media in found.items()}

    def _identity(self, request: ChatRequest) -> Identity:
        return Identity(self._poster.name, request.model, random_bytes(16).hex(), int(time.time()))


class TranslatedStream:
    """A `StreamAnswer` out of Gemini's events."""

    __slots__ = ("_ended", "_events", "_failure", "_stream")

    def __init__(self, events: EventBytes, stream: GeminiStream) -> None:
        self._events = events
        self._stream = stream
        self._ended = False
        self._failure: UpstreamFailure | None = None

    async def read(self) -> bytes:
        """As `StreamAnswer.read`. What came before a failure is returned first."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return b""
            try:
                data = await self._events.read()
            except UpstreamFailure as failure:
                self._failure = failure
                out = self._stream.broken()
            else:
                self._ended = not data
                out = self._stream.feed(data) if data else self._stream.end()
                if self._stream.failure is not None:
                    self._failure = self._stream.failure
                    out += self._stream.broken() if data else b""
            if out:
                return out

    def release(self) -> None:
        self._events.release()

    def close(self) -> None:
        self._events.close()
