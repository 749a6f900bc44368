"""One caller: the openai SDK, with every byte that it was sent kept beside it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai

QUESTION = [{"role": "user", "content": "Say the words."}]
MOST_TOKENS = 100


@dataclass
class Got:
    """What a caller got. `error` is OpenAI's object, from the body or from an event; `raised` is what the SDK made of it."""

    request_id: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    finish: str | None = None
    usage: dict[str, Any] | None = None
    bourse: dict[str, Any] | None = None
    models: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    raised: str | None = None
    done: bool = False
    begun: float = 0.0
    seconds: float = 0.0


class _Recorded(httpx.AsyncByteStream):
    """The body of an answer, each of its bytes kept."""

    def __init__(self, stream: httpx.AsyncByteStream, kept: list[bytes]) -> None:
        self._stream = stream
        self._kept = kept
        self._rest = aiter(stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._rest:
            self._kept.append(data)
            yield data

    async def aclose(self) -> None:
        # The SDK stops at an error event; whatever comes after it would be a fault of ours, so it is read.
        with suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(2):
                async for data in self._rest:
                    self._kept.append(data)
        await self._stream.aclose()


class _Recorder(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        kept: list[bytes] = []
        response.extensions["kept"] = kept
        response.stream = _Recorded(response.stream, kept)
        return response


@asynccontextmanager
async def caller(url: str, key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK without retries of its own, and without reuse of connections: what ends with one call is not to touch another."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(transport=_Recorder(verify=False, limits=limits), timeout=150, trust_env=False) as http:
        yield openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=http)


async def call(client: openai.AsyncOpenAI, model: str, *, stream: bool) -> Got:
    """Ask once and wait until there is nothing more to come."""
    got = Got(begun=time.monotonic())
    kept: list[bytes] = []
    completions = client.chat.completions
    try:
        if stream:
            opened: Any = await completions.create(  # type: ignore[call-overload]
                model=model, messages=QUESTION, max_tokens=MOST_TOKENS, stream=True, stream_options={"include_usage": True}
            )
            _note(got, opened.response)
            kept = opened.response.extensions["kept"]
            async for chunk in opened:
                _take(got, chunk)
        else:
            raw = await completions.with_raw_response.create(model=model, messages=QUESTION, max_tokens=MOST_TOKENS)  # type: ignore[arg-type]
            _note(got, raw.http_response)
            _take_whole(got, raw.parse())
    except openai.APIStatusError as error:
        _note(got, error.response)
        got.error, got.raised = _error_of(error.response.json()), type(error).__name__
    except openai.APIError as error:
        got.raised = type(error).__name__
    except httpx.HTTPError as error:
        got.raised = repr(error)
    got.seconds = time.monotonic() - got.begun
    if stream and got.status == 200:
        _read_events(got, b"".join(kept))
    return got


def _note(got: Got, response: httpx.Response) -> None:
    got.status = response.status_code
    got.headers = dict(response.headers)
    got.request_id = response.headers.get("x-request-id", "")


def _take(got: Got, chunk: Any) -> None:
    for choice in chunk.choices:
        got.text += choice.delta.content or ""
        got.finish = choice.finish_reason or got.finish
    if chunk.model and chunk.model not in got.models:
        got.models.append(chunk.model)
    if chunk.usage is not None:
        got.usage = chunk.usage.model_dump()
    got.bourse = (chunk.model_extra or {}).get("bourse", got.bourse)


def _take_whole(got: Got, answer: Any) -> None:
    got.text, got.finish = answer.choices[0].message.content or "", answer.choices[0].finish_reason
    got.models = [answer.model]
    got.usage = answer.usage.model_dump() if answer.usage is not None else None
    got.bourse = (answer.model_extra or {}).get("bourse")
    got.done = True


def _read_events(got: Got, data: bytes) -> None:
    """What the SDK hides: the end of the stream, and the error event as it was sent."""
    events = [line[6:] for line in data.decode().split("\n") if line.startswith("data: ")]
    got.done = bool(events) and events[-1] == "[DONE]"
    errors = [error for event in events if event.startswith("{") and (error := _error_of(json.loads(event))) is not None]
    if errors:
        got.error = errors[0] if len(errors) == 1 else {"message": f"{len(errors)} error events"}


def _error_of(body: Any) -> dict[str, Any] | None:
    return body.get("error") if isinstance(body, dict) else None
