"""The bench's one call in the words of each protocol that Bourse speaks upstream: bytes prepared once, the same content in as many pieces.

Sources: those that the modules in tests/fakes name, which speak the same formats in all their shapes; here is only what is sent again and
again, as compactly as the real servers write it.
"""

import base64
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import wire

_PIECE = wire.WITNESS.decode() + " "
_WHOLE = _PIECE * wire.WHOLE_PIECES
_SSE = b"text/event-stream"
_CLAUDE, _GEMINI = "claude-sonnet-4-5-20250929", "gemini-2.5-flash"
_FILTERED = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a protocol's server says.

    `opening` is what comes before the first piece of content, `closing` what comes after the last of so many; both are whole events.
    """

    whole: bytes
    opening: bytes
    piece: bytes
    closing: Callable[[int], bytes]
    stream_type: bytes = _SSE


def openai(*, with_usage: bool) -> Dialect:
    """OpenAI's, which says nothing of usage in a stream that did not ask for it."""

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return wire.event(delta, finish=finish, with_usage=with_usage)

    def closing(pieces: int) -> bytes:
        counted = wire.event(None, tokens=pieces, with_usage=True) if with_usage else b""
        return event({}, "stop") + counted + b"data: [DONE]\n\n"

    return Dialect(wire.whole_answer(), event({"role": "assistant", "content": ""}), event({"content": _PIECE}), closing)


def azure() -> Dialect:
    """OpenAI's words with the verdicts of Azure's filter in each event."""

    def edited(event: bytes) -> bytes:
        chunk = json.loads(event.removeprefix(b"data: "))
        for choice in chunk["choices"]:
            choice["content_filter_results"] = _FILTERED if choice["delta"].get("content") else {}
        return _data(chunk)

    plain = openai(with_usage=True)
    prompt = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [_verdict()]}
    answer = json.loads(plain.whole)
    answer["prompt_filter_results"] = [_verdict()]
    answer["choices"][0]["content_filter_results"] = _FILTERED
    return Dialect(_json(answer), _data(prompt) + edited(plain.opening), edited(plain.piece), plain.closing)


def openrouter() -> Dialect:
    """OpenAI's words with who served them, and what they cost: the same as Bourse reckons, as it says so where it differs."""

    def charged(tokens: int) -> dict[str, Any]:
        price = (160 * wire.PRICE["input"] + tokens * wire.PRICE["output"]) / 1e6
        return {"cost": round(price, 9), "is_byok": False, "cost_details": {"upstream_inference_cost": None}}

    def edited(event: bytes) -> bytes:
        chunk = json.loads(event.removeprefix(b"data: "))
        chunk.pop("usage", None)
        chunk["provider"] = "Bench"
        for choice in chunk["choices"]:
            choice["native_finish_reason"] = choice["finish_reason"]
        return _data(chunk)

    def closing(pieces: int) -> bytes:
        counted = json.loads(wire.event({}, tokens=pieces, with_usage=True).removeprefix(b"data: "))
        counted |= {"provider": "Bench", "usage": counted["usage"] | charged(pieces)}
        return edited(wire.event({}, finish="stop")) + _data(counted) + b"data: [DONE]\n\n"

    plain = openai(with_usage=False)
    answer = json.loads(plain.whole)
    answer |= {"provider": "Bench", "usage": answer["usage"] | charged(wire.WHOLE_PIECES)}
    return Dialect(_json(answer), b": OPENROUTER PROCESSING\n\n" + edited(plain.opening), edited(plain.piece), closing)


def anthropic() -> Dialect:
    def framed(event: dict[str, Any]) -> bytes:
        return b"event: " + event["type"].encode() + b"\n" + _data(event)

    opening, piece, closing = _claude_events()
    return Dialect(
        _json(_claude(_WHOLE, wire.WHOLE_PIECES)),
        b"".join(map(framed, opening)),
        framed(piece),
        lambda pieces: b"".join(map(framed, closing(pieces))),
    )


def gemini() -> Dialect:
    """Every event has the running usage; there is no end mark, lines end in CRLF, and a whole answer is indented."""

    def response(text: str, tokens: int, finish: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        usage = {
            "promptTokenCount": 160,
            "candidatesTokenCount": tokens,
            "totalTokenCount": 160 + tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 160}],
        }
        if finish is not None:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": _GEMINI, "responseId": "qK1DaebSPOSzn9kPgs2xkAY"}

    def event(value: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"

    whole = json.dumps(response(_WHOLE, wire.WHOLE_PIECES, "STOP"), indent=2).encode()
    return Dialect(whole, b"", event(response(_PIECE, 1)), lambda pieces: event(response("", pieces, "STOP")))


def bedrock_claude() -> Dialect:
    """Anthropic's events in Bedrock's envelope, with the padding that hides their length."""

    def framed(event: dict[str, Any]) -> bytes:
        return _binary("chunk", {"bytes": base64.b64encode(_json(event)).decode(), "p": "abcdefghijk"})

    def last(pieces: int) -> list[dict[str, Any]]:
        events = closing(pieces)
        metrics = {"inputTokenCount": 160, "outputTokenCount": pieces, "invocationLatency": 1142, "firstByteLatency": 987}
        return [*events[:-1], events[-1] | {"amazon-bedrock-invocationMetrics": metrics}]

    opening, piece, closing = _claude_events()
    return Dialect(
        _json(_claude(_WHOLE, wire.WHOLE_PIECES)),
        b"".join(map(framed, opening)),
        framed(piece),
        lambda pieces: b"".join(map(framed, last(pieces))),
        b"application/vnd.amazon.eventstream",
    )


def bedrock_converse() -> Dialect:
    at, padding = {"contentBlockIndex": 0}, {"p": "abcdefghijklmnopqrstuvwxyzABCD"}

    def usage(tokens: int) -> dict[str, Any]:
        return {"usage": {"inputTokens": 160, "outputTokens": tokens, "totalTokens": 160 + tokens}, "metrics": {"latencyMs": 1275}}

    def closing(pieces: int) -> bytes:
        stop = _binary("contentBlockStop", at | padding) + _binary("messageStop", {"stopReason": "end_turn"} | padding)
        return stop + _binary("metadata", usage(pieces) | padding)

    message = {"role": "assistant", "content": [{"text": _WHOLE}]}
    return Dialect(
        _json({"output": {"message": message}, "stopReason": "end_turn", **usage(wire.WHOLE_PIECES)}),
        _binary("messageStart", {"role": "assistant"} | padding),
        _binary("contentBlockDelta", at | {"delta": {"text": _PIECE}} | padding),
        closing,
        b"application/vnd.amazon.eventstream",
    )


def _claude(text: str | None, tokens: int) -> dict[str, Any]:
    return {
        "model": _CLAUDE,
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": None if text is None else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 160,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": tokens,
            "service_tier": "standard",
        },
    }


def _claude_events() -> tuple[list[dict[str, Any]], dict[str, Any], Callable[[int], list[dict[str, Any]]]]:
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    opening = [{"type": "message_start", "message": _claude(None, 1)}, begun, {"type": "ping"}]
    piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _PIECE}}

    def closing(pieces: int) -> list[dict[str, Any]]:
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        usage = {"input_tokens": 160, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": pieces}
        return [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": usage},
            {"type": "message_stop"},
        ]

    return opening, piece, closing


def _verdict() -> dict[str, Any]:
    return {"prompt_index": 0, "content_filter_results": _FILTERED}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _data(value: Any) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _binary(kind: str, value: Any) -> bytes:
    """An event of Amazon's event stream."""
    headers = b""
    for name, text in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(text)) + text.encode()
    payload = _json(value)
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack("!I", zlib.crc32(lengths)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))
