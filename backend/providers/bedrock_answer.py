"""What Converse answers, whole or event by event, in the words of Anthropic's messages, which say the same; no I/O.

So whatever makes chunks, thoughts, tool calls and usage out of those does it for these, too. Sources: docs.aws.amazon.com/bedrock/latest
/APIReference/API_runtime_Converse.html, …/API_runtime_ConverseStreamOutput.html, …/API_runtime_TokenUsage.html.
"""

from typing import Any

import orjson

from backend.providers.anthropic_stream import DONE, MALFORMED, MessageStream

_MALFORMED_ANSWERS = frozenset({"malformed_model_output", "malformed_tool_use"})
_BLOCKED = frozenset({"guardrail_intervened", "content_filtered"})
_LONGEST_NAME = 100
"""Of a model in a stream: it is in every chunk, and an ARN may be long."""


class MalformedAnswer(Exception):
    """The model said what is no answer; asked again, or elsewhere, it may be one. The text is the stop reason."""


def message(answer: dict[str, Any], answer_id: str, model: str) -> dict[str, Any]:
    """The `message` that an answer is.

    Raises:
        MalformedAnswer: the model's own mistake.
        KeyError, TypeError, AttributeError: it is no answer.
    """
    return {
        "id": answer_id,
        "model": model,
        "content": [said for block in answer["output"]["message"]["content"] for said in _block(block)],
        "stop_reason": stop_reason(answer["stopReason"]),
        "usage": usage(answer),
    }


def usage(answer: dict[str, Any]) -> dict[str, Any] | None:
    """Anthropic's `usage` of an answer or of a stream's metadata. As there, `inputTokens` has nothing of the cache."""
    told = answer.get("usage")
    if not isinstance(told, dict):
        return None
    found: dict[str, Any] = {
        "input_tokens": told.get("inputTokens"),
        "output_tokens": told.get("outputTokens"),
        "cache_read_input_tokens": told.get("cacheReadInputTokens"),
        "cache_creation_input_tokens": told.get("cacheWriteInputTokens"),
    }
    details = told.get("cacheDetails")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("ttl") == "1h":
            found["cache_creation"] = {"ephemeral_1h_input_tokens": detail.get("inputTokens")}
    tier = answer.get("serviceTier")
    kind = tier.get("type") if isinstance(tier, dict) else None
    if isinstance(kind, str):
        found["service_tier"] = "standard" if kind == "default" else kind
    return found


def stop_reason(told: Any) -> str:
    """Anthropic's word. Raises MalformedAnswer."""
    if told in _MALFORMED_ANSWERS:
        raise MalformedAnswer(str(told))
    return "refusal" if told in _BLOCKED else str(told)


def _block(block: dict[str, Any]) -> list[dict[str, Any]]:
    if "text" in block:
        return [{"type": "text", "text": block["text"]}]
    if "toolUse" in block:
        call = block["toolUse"]
        return [{"type": "tool_use", "id": call["toolUseId"], "name": call["name"], "input": call["input"]}]
    if "reasoningContent" in block:
        thought = block["reasoningContent"]
        if "redactedContent" in thought:
            return [{"type": "redacted_thinking", "data": thought["redactedContent"]}]
        told = thought["reasoningText"]
        return [{"type": "thinking", "thinking": told["text"], "signature": told.get("signature") or ""}]
    if "citationsContent" in block:
        return [{"type": "text", "text": part["text"]} for part in block["citationsContent"].get("content") or () if "text" in part]
    return []


class ConverseEvents:
    """The events of a ConverseStream as `chat.completion.chunk` events."""

    __slots__ = ("_begun", "_id", "_is_over", "_message", "_model", "_stopped")

    def __init__(self, answer_id: str, model: str, created: int) -> None:
        self._message = MessageStream(created)
        self._id = answer_id
        self._model = model[-_LONGEST_NAME:]
        self._begun: set[int] = set()
        """Blocks that are known to the message."""
        self._stopped = self._is_over = False

    def event(self, kind: str, payload: bytes) -> bytes:
        """What an event becomes. Raises MalformedAnswer, and ThoughtTooLong: it cannot be held."""
        if self._is_over:
            return b""
        try:
            event = orjson.loads(payload)
            if kind == "contentBlockDelta":
                return self._delta(event["contentBlockIndex"], event["delta"])
            if kind == "messageStart":
                return self._message.take({"type": "message_start", "message": {"id": self._id, "model": self._model}})
            if kind == "contentBlockStart":
                return self._start(event["contentBlockIndex"], event["start"])
            if kind == "contentBlockStop":
                return self._message.take({"type": "content_block_stop", "index": event["contentBlockIndex"]})
            if kind == "messageStop":
                self._stopped = True
                return self._message.take({"type": "message_delta", "delta": {"stop_reason": stop_reason(event["stopReason"])}})
            if kind == "metadata":
                return self._metadata(event)
        except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
            return MALFORMED
        return b""

    def end(self) -> bytes:
        """What is left when the body has ended: an answer is whole without its metadata."""
        return DONE if self._stopped and not self._is_over else b""

    def _metadata(self, event: dict[str, Any]) -> bytes:
        told = self._message.take({"type": "message_delta", "delta": {}, "usage": usage(event)})
        self._is_over = self._stopped
        return told + DONE if self._is_over else told

    def _start(self, index: int, start: dict[str, Any]) -> bytes:
        call = start.get("toolUse")
        if call is None:
            return b""
        self._begun.add(index)
        return self._begin(index, {"type": "tool_use", "id": call["toolUseId"], "name": call["name"], "input": {}})

    def _begin(self, index: int, block: dict[str, Any]) -> bytes:
        return self._message.take({"type": "content_block_start", "index": index, "content_block": block})

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        if "text" in delta:
            return self._added(index, {"type": "text_delta", "text": delta["text"]})
        if "toolUse" in delta:
            return self._added(index, {"type": "input_json_delta", "partial_json": delta["toolUse"]["input"]})
        if "reasoningContent" in delta:
            return self._thought(index, delta["reasoningContent"])
        return b""

    def _thought(self, index: int, thought: dict[str, Any]) -> bytes:
        begun = b""
        if index not in self._begun:
            # Thoughts begin without an event of their own.
            self._begun.add(index)
            if "redactedContent" in thought:
                return self._begin(index, {"type": "redacted_thinking", "data": thought["redactedContent"]})
            begun = self._begin(index, {"type": "thinking", "thinking": ""})
        if "text" in thought:
            return begun + self._added(index, {"type": "thinking_delta", "thinking": thought["text"]})
        return begun + self._added(index, {"type": "signature_delta", "signature": thought["signature"]})

    def _added(self, index: int, delta: dict[str, Any]) -> bytes:
        return self._message.take({"type": "content_block_delta", "index": index, "delta": delta})
