"""Anthropic's event stream into `chat.completion.chunk` events, one event at a time; no I/O.

    message_start        the role, and the usage of the prompt: an answer that breaks off is billed for what it was really asked
    content_block_*      texts, thoughts (and their signed block, once it is whole), tool calls
    message_delta        the finish reason, and the whole usage
    message_stop         [DONE]
    error                a chunk with `error`
    ping, and what came after this was written: nothing

An event that is not what its type says becomes one that is no JSON, so that who reads the chunks counts it.
Source: platform.claude.com/docs/en/build-with-claude/streaming.
"""

from typing import Any

import orjson

from backend.providers.anthropic_answer import ERROR_STATUSES, ending, refusal
from backend.providers.anthropic_usage import merged, tier_from_anthropic, usage_from_anthropic
from backend.providers.openai_usage import usage_to_openai

DONE = b"data: [DONE]\n\n"
MALFORMED = b"data: malformed\n\n"
MAX_KEPT_BYTES = 16 * 1024 * 1024
_PER_PIECE = 32
_LONGEST_NAME = 256


class ThoughtTooLong(Exception):
    """A thinking block is longer than we are ready to hold until it is signed."""


class MessageStream:
    """One answer.

    Args:
        created: Unix time; a message has none of its own.
    """

    __slots__ = (
        "_after", "_before", "_calls", "_created", "_finished", "_identity", "_kept", "_thinking", "_thoughts", "_usage", "is_counted",
    )  # fmt: skip

    def __init__(self, created: int) -> None:
        self._created = created
        self._thoughts = 0
        """Thinking blocks that are whole."""
        self._thinking: dict[int, dict[str, Any]] = {}
        """Those that are not, by the index of the block."""
        self._calls: dict[int, list[Any]] = {}
        """Tool calls: their number among the calls, and whether any of their arguments came."""
        self._kept = 0
        self._usage: dict[str, Any] = {}
        self._finished = False
        self.is_counted = False
        """The usage of the end has come."""
        self._identify("", "")

    def event(self, data: bytes) -> bytes:
        """The chunks that an event's data become, as whole events; b"" for none.

        Raises:
            ThoughtTooLong: it cannot be held.
        """
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return MALFORMED
        return self.take(event)

    def take(self, event: Any) -> bytes:
        """As `event`, of one that was read already."""
        try:
            kind = event["type"]
            if kind == "content_block_delta":
                return self._delta(event["index"], event["delta"])
            if kind == "content_block_start":
                return self._block(event["index"], event["content_block"])
            if kind == "content_block_stop":
                return self._block_ends(event["index"])
            if kind == "message_start":
                return self._starts(event["message"])
            if kind == "message_delta":
                return self._ends(event["delta"], event.get("usage"))
            if kind == "message_stop":
                return DONE
            return _error(event) if kind == "error" else b""
        except (LookupError, TypeError, AttributeError, ValueError):
            return MALFORMED

    def _identify(self, message_id: str, model: str) -> None:
        # Most of a chunk is the same in all: it is written once.
        head = orjson.dumps({"id": message_id, "object": "chat.completion.chunk", "created": self._created, "model": model})
        self._identity = head[:-1]
        self._before = b"data: " + self._identity + b',"choices":[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]}\n\n'

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._before + orjson.dumps(delta) + self._after

    def _starts(self, message: dict[str, Any]) -> bytes:
        if len(message["id"] + message["model"]) > _LONGEST_NAME:  # it is in every chunk
            raise ValueError
        self._identify(message["id"], message["model"])
        usage = message.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        role = self._chunk({"role": "assistant", "content": ""})
        return role + self._used()

    def _block(self, index: int, block: dict[str, Any]) -> bytes:
        kind = block["type"]
        if kind == "text":
            return self._chunk({"content": block["text"]}) if block.get("text") else b""
        if kind == "tool_use":
            number = len(self._calls)
            # Servers that do not write arguments piece by piece send them here.
            arguments = orjson.dumps(block["input"]).decode() if block.get("input") else ""
            call = {"index": number, "id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}
            self._calls[index] = [number, bool(arguments)]
            return self._chunk({"tool_calls": [call]})
        if kind == "thinking":
            self._thinking[index] = {"type": kind, "thinking": [], "signature": []}
            self._keep(self._thinking[index]["signature"], block.get("signature") or "")
            return self._thought(index, block["thinking"]) if block.get("thinking") else b""
        if kind == "redacted_thinking":
            self._thinking[index] = {"type": kind, "data": []}
            self._keep(self._thinking[index]["data"], block["data"])
        return b""

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        kind = delta["type"]
        if kind == "text_delta":
            text = delta["text"]
            if type(text) is not str:
                raise TypeError
            return self._before + b'{"content":' + orjson.dumps(text) + b"}" + self._after if text else b""
        if kind == "input_json_delta":
            call, text = self._calls[index], delta["partial_json"]
            if type(text) is not str:
                raise TypeError
            if not text:
                return b""
            call[1] = True
            return self._chunk({"tool_calls": [{"index": call[0], "function": {"arguments": text}}]})
        if kind == "thinking_delta":
            return self._thought(index, delta["thinking"])
        if kind == "signature_delta":
            self._keep(self._thinking[index]["signature"], delta["signature"])
        return b""

    def _thought(self, index: int, text: str) -> bytes:
        self._keep(self._thinking[index]["thinking"], text)
        return self._chunk({"reasoning_content": text}) if text else b""

    def _keep(self, parts: list[str], text: str) -> None:
        if type(text) is not str:
            raise TypeError
        self._kept += len(text) + _PER_PIECE
        if self._kept > MAX_KEPT_BYTES:
            raise ThoughtTooLong
        parts.append(text)

    def _block_ends(self, index: int) -> bytes:
        call = self._calls.get(index)
        if call is not None and not call[1]:
            call[1] = True
            return self._chunk({"tool_calls": [{"index": call[0], "function": {"arguments": "{}"}}]})
        thought = self._thinking.pop(index, None)
        if thought is None:
            return b""
        # Client libraries put the entries of lists together by their index.
        block: dict[str, Any] = {"index": self._thoughts}
        for name, value in thought.items():
            block[name] = "".join(value) if isinstance(value, list) else value
        self._thoughts += 1
        return self._chunk({"thinking_blocks": [block]})

    def _ends(self, delta: dict[str, Any], usage: Any) -> bytes:
        self._usage = merged(self._usage, usage)
        # A server that counts nothing here leaves the count of the start, which was before the first word.
        used = b""
        if isinstance(usage, dict) and usage.get("output_tokens") is not None:
            self.is_counted = True
            used = self._used()
        reason = delta.get("stop_reason")
        if reason is None or self._finished:
            return used
        self._finished = True
        why = refusal(delta)
        said = self._chunk({"refusal": why}) if why is not None else b""
        finish = orjson.dumps([{"index": 0, "delta": {}, "logprobs": None, **ending(delta)}])
        return said + b"data: " + self._identity + b',"choices":' + finish + b"}\n\n" + used

    def _used(self) -> bytes:
        usage = usage_from_anthropic(self._usage)
        if usage is None:
            return b""
        tier = tier_from_anthropic(self._usage)
        told = {"choices": [], **({"service_tier": tier} if tier is not None else {}), "usage": usage_to_openai(usage)}
        return b"data: " + self._identity + b"," + orjson.dumps(told)[1:] + b"\n\n"


def _error(event: dict[str, Any]) -> bytes:
    error = event.get("error")
    facts: dict[str, Any] = error if isinstance(error, dict) else {}
    kind, message = facts.get("type"), facts.get("message")
    status = ERROR_STATUSES.get(kind, 500) if isinstance(kind, str) else 500
    told = {"type": kind if isinstance(kind, str) else "api_error", "message": message if isinstance(message, str) else "", "code": status}
    return b"data: " + orjson.dumps({"error": told}) + b"\n\n"
