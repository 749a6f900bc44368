"""What Anthropic's Messages API answers, byte for byte: messages, event streams and errors, for the server of `openai_upstream`.

    async with OpenAIUpstream() as upstream:
        upstream.script(message(text("hello")))

Sources: the examples in platform.claude.com/docs/en/build-with-claude/streaming and …/api/errors, and the types of anthropic-sdk-python
(types/raw_message_stream_event.py, types/usage.py).
"""

import json
from collections.abc import Iterable
from typing import Any

from tests.fakes.openai_upstream import Exchange, Step, events, status, whole

MODEL = "claude-sonnet-4-5-20250929"
USAGE = {
    "input_tokens": 20,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 40,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 12,
    "output_tokens_details": {"thinking_tokens": 5},
    "service_tier": "standard",
}
Block = dict[str, Any]


def text(words: str = "Hello there.") -> Block:
    return {"type": "text", "text": words}


def thinking(words: str, signature: str = "EqQBCgIYAhIM1gbcDa9GJwZA2b3h") -> Block:
    return {"type": "thinking", "thinking": words, "signature": signature}


def redacted(data: str = "EmwKAhgBEgy3va3pzix") -> Block:
    return {"type": "redacted_thinking", "data": data}


def tool_use(name: str, arguments: dict[str, Any], call: str = "toolu_01T1x1fJ34qAmk2tNTrN7Up6") -> Block:
    return {"type": "tool_use", "id": call, "name": name, "input": arguments}


def body(*blocks: Block, stop: str = "end_turn", usage: Any = USAGE, **extra: Any) -> dict[str, Any]:
    """A `message`."""
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
        **extra,
    }


def stream(
    *blocks: Block, stop: str = "end_turn", usage: dict[str, Any] = USAGE, delta: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The events that tell the same message."""
    start = {**usage, "output_tokens": 1}
    start.pop("output_tokens_details", None)
    found: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**body(usage=start), "stop_reason": None}},
    ]
    for index, block in enumerate(blocks):
        found += _block(index, block)
        if index == 0:
            found.append({"type": "ping"})
    told = {name: usage[name] for name in ("output_tokens", "output_tokens_details") if name in usage}
    found.append({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None, **(delta or {})}, "usage": told})
    found.append({"type": "message_stop"})
    return found


def _block(index: int, block: Block) -> Iterable[dict[str, Any]]:
    kind = block["type"]
    deltas: list[dict[str, Any]] = []
    if kind == "text":
        begun = {"type": kind, "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    elif kind == "thinking":
        begun = {"type": kind, "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif kind == "tool_use":
        begun = {**block, "input": {}}
        written = json.dumps(block["input"]) if block["input"] else ""
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_pieces(written)]]
    else:
        begun = block
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _pieces(words: str) -> list[str]:
    return [words[at : at + 7] for at in range(0, len(words), 7)]


def framed(event: dict[str, Any]) -> bytes:
    """An event as it is on the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def message(*blocks: Block, stop: str = "end_turn", usage: Any = USAGE, delta: dict[str, Any] | None = None) -> Step:
    """The good answer, whole or streamed as asked."""
    said = blocks or (text(),)

    async def step(exchange: Exchange) -> None:
        if exchange.seen.body.get("stream"):
            await events(*map(framed, stream(*said, stop=stop, usage=usage, delta=delta)))(exchange)
        else:
            await whole(body(*said, stop=stop, usage=usage, **(delta or {})))(exchange)

    return step


def counted(tokens: int) -> Step:
    """What `count_tokens` answers."""
    return whole({"input_tokens": tokens})


def error_body(kind: str, words: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


def failing(code: int, kind: str, words: str, *headers: str) -> Step:
    """An error status in Anthropic's shape."""
    return status(code, error_body(kind, words), *headers)
