"""What OpenAI's servers answer beside chat (platform.openai.com/docs/api-reference), as steps and bodies for `OpenAIUpstream`."""

import asyncio
import base64
import json
import struct
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from typing import Any

from tests.fakes.openai_upstream import Exchange, Seen, Step

EMBEDDING_MODEL = "text-embedding-fake"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\nnot really").decode()


def vector_of(text: Any) -> list[float]:
    """Small numbers that 32-bit floats hold exactly, other ones for other texts."""
    number = sum(text) if isinstance(text, list) else sum(text.encode())
    return [number % 7 / 8, number % 11 / 16, -1.0]


def as_base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def embeddings(*, tokens_each: int = 3, usage: bool = True, ignores_format: bool = False, **changes: Any) -> Step:
    """One vector for each input."""

    async def step(exchange: Exchange) -> None:
        body = exchange.seen.body
        given = body["input"]
        inputs = given if isinstance(given, list) and isinstance(given[0], (str, list)) else [given]
        as_text = body.get("encoding_format") == "base64" and not ignores_format
        data = [
            {"object": "embedding", "index": at, "embedding": as_base64(vector_of(one)) if as_text else vector_of(one)}
            for at, one in enumerate(inputs)
        ]
        value: dict[str, Any] = {"object": "list", "data": data, "model": EMBEDDING_MODEL}
        if usage:
            value["usage"] = {"prompt_tokens": tokens_each * len(inputs), "total_tokens": tokens_each * len(inputs)}
        await _json(exchange, {**value, **changes})

    return step


def text_completion(text: str = " and so on", *, many: int = 1, usage: Any = ()) -> dict[str, Any]:
    counted = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12} if usage == () else usage
    choices = [{"text": text, "index": at, "logprobs": None, "finish_reason": "length"} for at in range(many)]
    head = {"id": "cmpl-fake", "object": "text_completion", "created": 1_790_000_000, "model": "gpt-fake-instruct"}
    return {**head, "choices": choices, "usage": counted}


def moderation(*flagged: bool) -> dict[str, Any]:
    results = [{"flagged": one, "categories": {"violence": one}, "category_scores": {"violence": float(one)}} for one in flagged]
    return {"id": "modr-fake", "model": "omni-moderation-fake", "results": results}


def images(*, many: int = 1, url: bool = False, usage: Any = None) -> dict[str, Any]:
    one = {"url": "https://pictures.example/1.png"} if url else {"b64_json": PIXEL}
    value: dict[str, Any] = {"created": 1_790_000_000, "data": [one] * many}
    return value | ({"usage": usage} if usage else {})


def sound(*pieces: bytes, end: str = "eof", content_type: str = "audio/mpeg") -> Step:
    """Bytes as they come; `end`: eof, reset, hang."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=content_type)
        for piece in pieces:
            await exchange.chunk(piece)
            await asyncio.sleep(0.01)
        if end == "eof":
            await exchange.end()
        elif end == "reset":
            exchange.reset()
        else:
            await exchange.until_hang_up()

    return step


def text(data: str, content_type: str = "text/plain; charset=utf-8") -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=content_type, length=len(data.encode()))
        await exchange.send(data.encode())

    return step


def form_of(seen: Seen) -> dict[str, list[bytes]]:
    """The fields of a form that was posted, read by somebody else's parser; the file is `file`."""
    head = f"content-type: {seen.headers['content-type']}\r\n\r\n".encode()
    whole = BytesParser().parsebytes(head + seen.raw)
    found: dict[str, list[bytes]] = {}
    for part in _parts(whole):
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(data, bytes)
        found.setdefault(name, []).append(data)
    return found


def _parts(whole: Message) -> Iterable[Message]:
    parts = whole.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


async def _json(exchange: Exchange, value: Any) -> None:
    data = json.dumps(value).encode()
    await exchange.head(length=len(data))
    await exchange.send(data)
