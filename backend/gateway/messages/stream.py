"""A stream of `chat.completion.chunk` events into Anthropic's events, one at a time. No I/O.

    message_start          with the first chunk, and what is known of the prompt by then
    content_block_*        one block after the other: thoughts, texts, tool calls
    ping                   in the place of comments that keep the connection open
    message_delta          why it ended, all of the usage, and our own `bourse` object
    message_stop           in the place of [DONE]
    error                  in the place of a chunk with `error`; nothing follows

A server may write several tool calls at once; Anthropic's blocks follow each other. So a second call waits until the arguments of the
first are whole, or the answer ends. Source: platform.claude.com/docs/en/build-with-claude/streaming.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from backend.gateway.messages.answer import THOUGHTS, message_id, signed_blocks, split_content, text_of
from backend.gateway.messages.errors import as_anthropic
from backend.gateway.messages.stopping import stopped
from backend.gateway.messages.usage import usage_so_far, usage_to_anthropic
from backend.kernel.sse import EventSplitter
from backend.pricing.usage import Usage
from backend.providers.openai_usage import usage_from_openai

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":'
_TEXT = b',"delta":{"type":"text_delta","text":'
_JSON = b',"delta":{"type":"input_json_delta","partial_json":'
_THOUGHT = b',"delta":{"type":"thinking_delta","thinking":'
_SIGNED = b',"delta":{"type":"signature_delta","signature":'
_END = b"}}\n\n"


@dataclass(slots=True)
class _Call:
    """A tool call. `written`: its arguments so far; those from `told` on are not sent yet."""

    id: str = ""
    name: str = ""
    extra: Any = None
    written: list[str] = field(default_factory=list)
    told: int = 0

    @property
    def is_whole(self) -> bool:
        if not self.written or not self.written[-1].rstrip().endswith("}"):
            return False  # arguments are an object; reading all of them again for each piece would take the square of their length
        try:
            orjson.loads("".join(self.written))
        except orjson.JSONDecodeError:
            return False
        return True


class MessageEvents:
    """One answer.

    Args:
        request_id: for the event that tells an error.
        thoughts: the caller has not asked for an answer without them.
        usage: what is known, or estimated, of the prompt by the first chunk.
    """

    __slots__ = (
        "_block", "_calls", "_chunk", "_finish", "_index", "_open", "_over", "_refusal", "_request_id", "_splitter", "_started", "_thought",
        "_thoughts", "_tier", "_usage", "_usage_of_prompt", "_waiting",
    )  # fmt: skip

    def __init__(self, request_id: str, usage: Callable[[], Usage], *, thoughts: bool) -> None:
        self._request_id = request_id
        self._usage_of_prompt = usage
        self._thoughts = thoughts
        self._splitter = EventSplitter()
        self._started = self._over = False
        self._index = -1
        """Of the block that was begun last."""
        self._open = ""
        """Its type while it is open: text, thinking, tool_use."""
        self._block = b""
        """How each of its deltas begins."""
        self._thought = False
        """Something of it was told; its signature comes when it is whole."""
        self._calls: dict[int | str, _Call] = {}
        """By their numbers, while they are not told to the end."""
        self._waiting: int | str | None = None
        """The number of the one that is being told."""
        self._chunk: Mapping[str, Any] = {}
        self._finish: Mapping[str, Any] = {}
        self._refusal: list[str] = []
        self._usage: Usage | None = None
        self._tier: Any = None

    def feed(self, data: bytes) -> bytes:
        """The events that these bytes, cut anywhere, are to the caller; b"" for none."""
        events = self._splitter.feed(data)
        if not events:
            return PING if data[:1] == b":" and not self._over else b""
        if len(events) == 1:
            return self._event(events[0])
        return b"".join([self._event(event) for event in events])

    def _event(self, payload: bytes) -> bytes:
        if self._over:
            return b""
        if payload == b"[DONE]":
            return self._ends()
        chunk = orjson.loads(payload)
        if chunk.get("error"):
            self._over = True
            return _framed("error", as_anthropic(chunk, self._request_id))
        choices, usage = chunk.get("choices"), chunk.get("usage")
        out = b"" if self._started else self._starts(chunk)
        if usage:
            self._usage = usage_from_openai(usage) or self._usage
        if len(chunk) > _USUAL_FIELDS:
            if "service_tier" in chunk:
                self._tier = chunk["service_tier"] or self._tier
            if "bourse" in chunk:
                self._chunk = chunk
        for choice in choices or ():
            delta = choice.get("delta")
            if delta:
                out += self._said(delta)
            if choice.get("finish_reason"):
                self._finish = choice
        return out

    def _starts(self, chunk: Mapping[str, Any]) -> bytes:
        self._started = True
        message: dict[str, Any] = {
            "id": message_id(chunk.get("id")),
            "type": "message",
            "role": "assistant",
            "model": text_of(chunk.get("model")),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": usage_to_anthropic(self._usage_of_prompt(), chunk.get("service_tier")),
        }
        return _framed("message_start", {"type": "message_start", "message": message})

    def _said(self, delta: Mapping[str, Any]) -> bytes:
        content = delta.get("content")
        if type(content) is str:
            if len(delta) == 1 or (len(delta) == 2 and "role" in delta):
                return self._text(content) if content else b""
            thought = ""
        else:
            thought, content = split_content(content)
        out = b""
        if self._thoughts:
            thought = next(filter(None, (text_of(delta.get(name)) for name in THOUGHTS)), "") or thought
            if thought:
                out += self._thinking(thought)
            if delta.get("thinking_blocks"):
                out += self._signs(delta["thinking_blocks"])
        if content:
            out += self._text(content)
        if delta.get("refusal"):
            self._refusal.append(text_of(delta["refusal"]))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                out += self._called(call)
        return out

    # Blocks ------------------------------------------------------------------------------------------------------------------------

    def _text(self, text: str) -> bytes:
        out = b"" if self._open == "text" else self._begins("text", {"type": "text", "text": ""})
        return out + self._block + _TEXT + orjson.dumps(text) + _END

    def _thinking(self, text: str) -> bytes:
        out = b"" if self._open == "thinking" else self._begins("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._thought = True
        return out + self._block + _THOUGHT + orjson.dumps(text) + _END

    def _signs(self, blocks: Any) -> bytes:
        """Blocks that are whole: of those whose text was told already, the signature is new."""
        out = b""
        for block in signed_blocks(blocks):
            if block["type"] == "redacted_thinking":
                out += self._begins("redacted_thinking", block) + self._closes()
                continue
            if self._open != "thinking":
                out += self._begins("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            if not self._thought and block["thinking"]:
                out += self._block + _THOUGHT + orjson.dumps(block["thinking"]) + _END
            out += self._block + _SIGNED + orjson.dumps(block["signature"]) + _END + self._closes()
        return out

    def _begins(self, kind: str, block: Mapping[str, Any]) -> bytes:
        out = self._tells_calls() + self._closes() if self._open or self._calls else b""
        return out + self._opens(kind, block)

    def _opens(self, kind: str, block: Mapping[str, Any]) -> bytes:
        self._index += 1
        self._open = kind
        self._block = _DELTA + b"%d" % self._index
        self._thought = False
        return _framed("content_block_start", {"type": "content_block_start", "index": self._index, "content_block": block})

    def _closes(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index

    # Tool calls --------------------------------------------------------------------------------------------------------------------

    def _called(self, piece: Mapping[str, Any]) -> bytes:
        number = piece.get("index")
        if type(number) is not int:
            number = text_of(piece.get("id"))  # servers that write a call in one piece may not number it
        call = self._calls.get(number)
        if call is None:
            call = self._calls[number] = _Call()
        function = piece.get("function")
        if piece.get("id"):
            call.id = text_of(piece["id"])
        if piece.get("extra_content"):
            call.extra = piece["extra_content"]
        if isinstance(function, dict):
            call.name = text_of(function.get("name")) or call.name
            if function.get("arguments"):
                call.written.append(text_of(function["arguments"]))
        if self._open == "tool_use" and self._waiting == number:
            return self._tells(call)
        if self._open == "tool_use":
            before = self._calls.get(self._waiting) if self._waiting is not None else None
            if before is not None and not before.is_whole:
                return b""
        return self._turns_to(number)

    def _turns_to(self, number: int | str) -> bytes:
        """The call is told from now on; the one before is over."""
        out = self._closes()
        if self._waiting is not None and self._waiting != number:
            self._calls.pop(self._waiting, None)
        call, self._waiting = self._calls[number], number
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        out += self._opens("tool_use", {**block, "extra_content": call.extra} if call.extra else block)
        return out + self._tells(call)

    def _tells(self, call: _Call) -> bytes:
        text = "".join(call.written[call.told :])
        call.told = len(call.written)
        return self._block + _JSON + orjson.dumps(text) + _END if text else b""

    def _tells_calls(self) -> bytes:
        """All that wait, to their ends."""
        out = b""
        for number in [number for number in self._calls if number != self._waiting]:
            out += self._turns_to(number)
        self._calls.clear()
        self._waiting = None
        return out

    # The end -----------------------------------------------------------------------------------------------------------------------

    def _ends(self) -> bytes:
        self._over = True
        out = self._tells_calls()
        refusal = "".join(self._refusal)
        if refusal and self._finish.get("finish_reason") != "content_filter":
            out += self._text(refusal)  # the model's own words
        out += self._closes()
        usage = self._usage or self._usage_of_prompt()
        told: dict[str, Any] = {"type": "message_delta", "delta": stopped(self._finish, refusal), "usage": usage_so_far(usage)}
        if "bourse" in self._chunk:
            told["bourse"] = self._chunk["bourse"]
        return out + _framed("message_delta", told) + _STOP


_USUAL_FIELDS = 5
"""id, object, created, model and choices."""


def _framed(name: str, event: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(event))
