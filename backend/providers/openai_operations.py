"""What servers that speak OpenAI's API do beside chat: embeddings, completions, moderations, rerank, images, speech, transcripts.

The shapes are those of OpenAI's API reference (platform.openai.com/docs/api-reference); `rerank` is Jina's and Cohere's (docs.cohere.com
/reference/rerank), which vLLM, Together and others serve beside OpenAI's paths. A body goes through as the caller wrote it, but for
`model`, and for the cap of a completion, which is what was reserved for.
"""

from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from typing import Any

import orjson

from backend.providers.answer_events import EVENT_STREAM, KINDS, UnfoldedSpeech
from backend.providers.failures import UpstreamFailure, protocol_failure, status_of_error
from backend.providers.http import HttpAnswer, Target
from backend.providers.openai_usage import usage_from_operation
from backend.providers.posting import EventBytes, Poster
from backend.providers.provider import Operation, OperationAnswer, OperationRequest, Upload

PATHS: Mapping[Operation, str] = {
    "embeddings": "/embeddings",
    "completions": "/completions",
    "moderations": "/moderations",
    "rerank": "/rerank",
    "images.generations": "/images/generations",
    "images.edits": "/images/edits",
    "images.variations": "/images/variations",
    "audio.speech": "/audio/speech",
    "audio.transcriptions": "/audio/transcriptions",
    "audio.translations": "/audio/translations",
}
OPERATIONS = frozenset(PATHS)
Where = Callable[[str, str, Mapping[str, str]], Target]
"""Where one of `PATHS` is posted for a model, with these headers beside those that every request has."""

_WRITES_DOWN = frozenset({"audio.transcriptions", "audio.translations"})
_NO_JSON = frozenset({"text", "srt", "vtt"})


class OpenAIOperations:
    """`perform` of a provider that posts OpenAI's bodies with `poster` to `where`. `where` may raise UpstreamFailure."""

    def __init__(self, poster: Poster, where: Where) -> None:
        self._poster = poster
        self._where = where

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        """As `Performer.perform`."""
        headers, body = _written(request)
        response = await self._poster.post(self._where(PATHS[request.operation], request.model, headers), body, request, "*/*")
        try:
            return await self._read(response, request)
        except UpstreamFailure as failure:
            # It took the request on, so it is going to bill it, unless it says itself that it failed.
            failure.status = failure.status or response.status
            raise

    async def _read(self, response: HttpAnswer, request: OperationRequest) -> OperationAnswer:
        if request.operation == "audio.speech":
            if response.content_type != "application/json":
                return self._spoken(response, request)
        elif response.content_type == EVENT_STREAM and request.body.get("stream"):
            return OperationAnswer(b"", None, None, EVENT_STREAM, EventBytes(self._poster.name, response))
        elif request.operation == "completions" and request.body.get("stream"):
            # Some servers forget the content type, some answer an error or a web page under 200.
            if response.content_type not in ("application/json", "text/html"):
                return OperationAnswer(b"", None, None, EVENT_STREAM, EventBytes(self._poster.name, response))
        elif request.operation in _WRITES_DOWN and request.body.get("response_format") in _NO_JSON:
            data = await self._poster.read_whole(response)
            if response.content_type != "application/json":
                return OperationAnswer(data, None, None, _content_type(response, "text/plain; charset=utf-8"))
            # Some servers answer in JSON whatever was asked for, and some were asked for it by us.
            answer = self._answer(data, _object(self._poster.name, data))
            text = (answer.value or {}).get("text")
            if not _is_counted_text(request) or not isinstance(text, str):
                return answer
            return OperationAnswer(f"{text}\n".encode(), None, answer.usage, "text/plain; charset=utf-8")
        data, value = await self._poster.read_object(response)
        if request.operation == "audio.speech" and not value.get("error"):
            raise protocol_failure(self._poster.name, "JSON where sound was asked for")
        if request.operation == "completions" and request.body.get("stream") and not value.get("error"):
            raise protocol_failure(self._poster.name, "JSON where an event stream was asked for")
        return self._answer(data, value)

    def _spoken(self, response: HttpAnswer, request: OperationRequest) -> OperationAnswer:
        sound = EventBytes(self._poster.name, response)
        if response.content_type != EVENT_STREAM or request.body.get("stream_format") == "sse":
            return OperationAnswer(b"", None, None, _content_type(response, "audio/mpeg"), sound)
        unfolded = UnfoldedSpeech(self._poster.name, sound)
        kind = KINDS.get(str(request.body.get("response_format") or "mp3"), "application/octet-stream")
        return OperationAnswer(b"", None, None, kind, unfolded, lambda: unfolded.usage)

    def _answer(self, data: bytes, value: dict[str, Any]) -> OperationAnswer:
        if value.get("error"):
            raise self._poster.failed(status_of_error(value), value)
        return OperationAnswer(data, value, usage_from_operation(value))


def _written(request: OperationRequest) -> tuple[dict[str, str], bytes]:
    body = {**request.body, "model": request.model}
    if request.cap is not None:
        body["max_tokens"] = request.cap
    if request.operation == "completions" and request.body.get("stream"):
        options = request.body.get("stream_options")
        body["stream_options"] = {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True}
    if request.operation == "audio.speech" and request.counts:
        body["stream_format"] = "sse"
    if _is_counted_text(request):
        body["response_format"] = "json"
    if not request.uploads:
        return {}, orjson.dumps(body)
    boundary = f"bourse-{token_hex(16)}"
    return {"content-type": f"multipart/form-data; boundary={boundary}"}, form_data(body, request.uploads, boundary)


def _is_counted_text(request: OperationRequest) -> bool:
    """A transcript as plain text does not say how many tokens it took, so where these are charged it is asked for as JSON."""
    return request.counts and request.operation in _WRITES_DOWN and request.body.get("response_format") == "text"


def form_data(fields: Mapping[str, Any], uploads: Iterable[Upload], boundary: str) -> bytes:
    """A `multipart/form-data` body: the fields, lists as repeated ones, then the files (RFC 7578)."""
    parts = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else (value,):
            parts.append(_part(boundary, f'name="{_quoted(name)}"', "", str(one).encode()))
    for upload in uploads:
        kind = upload.content_type if upload.content_type.isprintable() and upload.content_type.isascii() else "application/octet-stream"
        names = f'name="{_quoted(upload.name)}"; filename="{_quoted(upload.filename)}"'
        parts.append(_part(boundary, names, f"content-type: {kind}\r\n", upload.data))
    return b"".join((*parts, b"--%b--\r\n" % boundary.encode()))


def _part(boundary: str, names: str, more: str, data: bytes) -> bytes:
    return b"".join((f"--{boundary}\r\ncontent-disposition: form-data; {names}\r\n{more}\r\n".encode(), data, b"\r\n"))


def _quoted(name: str) -> str:
    """As browsers write it (HTML, multipart/form-data encoding algorithm)."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _content_type(response: HttpAnswer, otherwise: str) -> str:
    told = response.header(b"content-type") or ""
    return told if told and told.isprintable() and len(told) <= 100 else otherwise


def _object(name: str, data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise protocol_failure(name, "an answer that is not JSON") from None
    if not isinstance(value, dict):
        raise protocol_failure(name, "an answer that is not a JSON object")
    return value
