"""Token counts where the provider reported none: four bytes of text a token, the rule of thumb of all. Always marked as estimated."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 4
_PER_MEDIA_PART = 800
"""An image or a sound; their bytes say nothing about their tokens."""


def estimated_prompt_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of messages and tools."""
    size = media = 0
    messages = body.get("messages") or []
    for message in messages:
        for text in _texts(message.get("content")):
            if text is None:
                media += 1
            else:
                size += len(text.encode())
        calls = message.get("tool_calls")
        if calls:
            size += len(orjson.dumps(calls))
    for field in ("tools", "functions", "response_format"):
        if body.get(field):
            size += len(orjson.dumps(body[field]))
    return -(-size // _BYTES_PER_TOKEN) + len(messages) * _PER_MESSAGE + media * _PER_MEDIA_PART


def estimated_answer_tokens(value: Mapping[str, Any]) -> int:
    """Tokens of all choices of a whole answer."""
    size = 0
    for choice in value.get("choices") or []:
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict):
            size += sum(
                len(text.encode()) for field in ("content", "reasoning_content", "refusal") if isinstance(text := message.get(field), str)
            )
            if message.get("tool_calls"):
                size += len(orjson.dumps(message["tool_calls"]))
    return -(-size // _BYTES_PER_TOKEN)


def _texts(content: Any) -> Iterator[str | None]:
    """The texts of a message's content; None for each part that is none."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text") if isinstance(part, dict) else None
            yield text if isinstance(text, str) else None
