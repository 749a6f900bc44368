"""A whole `message` of Anthropic's into a `chat.completion`.

Thoughts are `reasoning_content`, as most servers call it, and `thinking_blocks` beside it: the signed blocks as they came, which the
caller sends back in the assistant's message of the next turn; models that think between tool calls ask for them.
"""

from typing import Any

import orjson

from backend.pricing.usage import Usage
from backend.providers.anthropic_usage import tier_from_anthropic
from backend.providers.openai_usage import usage_to_openai

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_MORE_THAN_OPENAI = ("stop_sequence", "pause_turn", "model_context_window_exceeded")
ERROR_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What each type of error has for a status; in a stream the type is all that comes. Source: platform.claude.com/docs/en/api/errors."""


def finish_reason(stop_reason: Any) -> str:
    """OpenAI's word; `stop` for one that came after this was written."""
    return _FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def ending(stop: dict[str, Any]) -> dict[str, Any]:
    """The `finish_reason` of a choice and, where that says less than Anthropic does, the rest in other servers' words: the sequence that
    was met as vLLM's `stop_reason`, Anthropic's own reason as OpenRouter's `native_finish_reason`.

    Args:
        stop: a message, or the delta of a `message_delta`.
    """
    reason, sequence = stop.get("stop_reason"), stop.get("stop_sequence")
    told: dict[str, Any] = {"finish_reason": finish_reason(reason)}
    if reason in _MORE_THAN_OPENAI:
        told["native_finish_reason"] = reason
        if isinstance(sequence, str):
            told["stop_reason"] = sequence
    return told


def refusal(message: dict[str, Any]) -> str | None:
    """Why the model, or a classifier before it, refused; None where it did not say."""
    details = message.get("stop_details")
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None


def completion(message: dict[str, Any], usage: Usage | None, created: int) -> dict[str, Any]:
    """The `chat.completion` that a message is.

    Args:
        created: Unix time; a message has none of its own.

    Raises:
        KeyError, TypeError, AttributeError: it is no message.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    thinking: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in message["content"]:
        kind = block["type"]
        if kind == "text":
            texts.append(block["text"])
        elif kind == "tool_use":
            arguments = orjson.dumps(block["input"]).decode()
            calls.append({"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}})
        elif kind in ("thinking", "redacted_thinking"):
            thinking.append(block)
            thoughts.append(block.get("thinking") or "")
    answer: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None, "refusal": refusal(message)}
    if thinking:
        answer["reasoning_content"] = "".join(thoughts)
        answer["thinking_blocks"] = thinking
    if calls:
        answer["tool_calls"] = calls
    choice = {"index": 0, "message": answer, "logprobs": None, **ending(message)}
    whole: dict[str, Any] = {
        "id": message["id"],
        "object": "chat.completion",
        "created": created,
        "model": message["model"],
        "choices": [choice],
    }
    if usage is not None:
        whole["usage"] = usage_to_openai(usage)
    tier = tier_from_anthropic(message.get("usage"))
    return whole | ({"service_tier": tier} if tier is not None else {})
