"""A server that speaks Gemini's generateContent and streamGenerateContent on the wire, well or badly, as its script says.

    async with GeminiUpstream() as upstream:
        upstream.script(answer(text("hello")))

Wire: ai.google.dev/api/generate-content. Streams are `data: {…}` CRLF CRLF without an end mark, as `alt=sse` gives them; errors are
google.rpc.Status in `{"error": …}`, streamed ones alone or in a list. The bodies are written as Google's servers write them, with their
names in camel case, counts of 0 left out, and JSON over several lines where they do so.
"""

import json
from typing import Any

from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step

MODEL = "gemini-3-flash-preview"
WORDS = ["The", " quick brown", " fox jumps", " over the lazy dog."]
TEXT = "".join(WORDS)
RESPONSE_ID = "qK1DaebSPOSzn9kPgs2xkAY"
USAGE = {
    "promptTokenCount": 20,
    "candidatesTokenCount": 10,
    "totalTokenCount": 42,
    "cachedContentTokenCount": 4,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
    "thoughtsTokenCount": 12,
}


class GeminiUpstream(OpenAIUpstream):
    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.script(answer(text(TEXT)))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1beta"


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"text": words, **more}


def call(name: str, arguments: dict[str, Any], *, signature: str | None = None, identity: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": name, "args": arguments} | ({"id": identity} if identity else {})}
    return part | ({"thoughtSignature": signature} if signature else {})


def response(
    *parts: dict[str, Any], finish: str | None = "STOP", usage: Any = USAGE, index: int = 0, candidate: Any = None, **extra: Any
) -> dict[str, Any]:
    """A GenerateContentResponse with one candidate."""
    said: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}} if parts else {"content": {"role": "model"}}
    said |= {"finishReason": finish} if finish else {}
    said |= {"index": index} | (candidate or {})
    body = {"candidates": [said], "usageMetadata": usage, "modelVersion": MODEL, "responseId": RESPONSE_ID, **extra}
    return body if usage is not None else {name: value for name, value in body.items() if name != "usageMetadata"}


def pieces(*, usage: Any = USAGE) -> list[dict[str, Any]]:
    """The good answer as it is streamed: a thought, words with a running total, and the signature with the end."""
    running = {"promptTokenCount": 20, "totalTokenCount": 20}
    events = [response(text("**Thinking**", thought=True), finish=None, usage=running | {"thoughtsTokenCount": 12})]
    for number, words in enumerate(WORDS, start=1):
        so_far = running | {"candidatesTokenCount": number * 2, "thoughtsTokenCount": 12, "totalTokenCount": 32 + number * 2}
        events.append(response(text(words), finish=None, usage=so_far))
    events.append(response(text("", thoughtSignature="c2lnbmF0dXJl"), usage=usage))
    return events


def sse(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\r\n\r\n"


def answer(*parts: dict[str, Any], **options: Any) -> Step:
    """These parts, whole or as the one event of a stream, as asked; without parts, the good answer."""

    async def step(exchange: Exchange) -> None:
        if "streamGenerateContent" in exchange.seen.path:
            await streamed(*([response(*parts, **options)] if parts else pieces()))(exchange)
        else:
            whole = response(*(parts or (text("**Thinking**", thought=True), text(TEXT))), **options)
            await _send(exchange, 200, whole)

    return step


def whole(body: Any, status: int = 200) -> Step:
    async def step(exchange: Exchange) -> None:
        await _send(exchange, status, body)

    return step


def streamed(*events: Any, end: str = "eof") -> Step:
    """These events (objects, or bytes for the data of one), then `end`: eof, reset, hang."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", headers=("content-disposition: attachment",))
        for event in events:
            await exchange.chunk(sse(event))
        if end == "eof":
            await exchange.end()
        elif end == "reset":
            exchange.reset()
        else:
            await exchange.until_hang_up()

    return step


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status} | ({"details": list(details)} if details else {})}


BAD_KEY = error(
    400,
    "INVALID_ARGUMENT",
    "API key not valid. Please pass a valid API key.",
    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
)
TOO_LONG = error(400, "INVALID_ARGUMENT", "The input token count (1091639) exceeds the maximum number of tokens allowed (1048576).")
EXHAUSTED = error(
    429,
    "RESOURCE_EXHAUSTED",
    "You exceeded your current quota, please check your plan and billing details.",
    {"@type": "type.googleapis.com/google.rpc.Help"},
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
)
OVERLOADED = error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")


async def _send(exchange: Exchange, code: int, body: Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body, indent=2).encode()
    await exchange.head(code, "application/json; charset=UTF-8", length=len(data))
    await exchange.send(data)
