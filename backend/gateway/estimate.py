"""Token counts where the provider reported none: four bytes of text a token, the rule of thumb of all; sound by how long it plays. Always
marked as estimated."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from backend.gateway.chat_sound import has_sound, seconds_heard
from backend.gateway.media_tokens import is_sound
from backend.gateway.token_families import UNKNOWN, Family
from backend.pricing.usage import Usage

_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 4
_PER_MEDIA_PART = 800
"""An image or a file; their bytes say nothing about their tokens."""


class Prompt(NamedTuple):
    """`text`: tokens of all but sound. `seconds`: of sound, which has as many tokens as the model makes of it."""

    text: int
    seconds: float

    def usage(self, family: Family) -> Usage:
        return Usage(input=self.text, audio_input=round(self.seconds * family.sound))


def estimated_prompt_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of messages and tools, whoever answers."""
    return estimated_prompt(body).usage(UNKNOWN).total_input


def estimated_prompt(body: Mapping[str, Any]) -> Prompt:
    """Messages and tools."""
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
    tokens = -(-size // _BYTES_PER_TOKEN) + len(messages) * _PER_MESSAGE + media * _PER_MEDIA_PART
    return Prompt(tokens, seconds_heard(body) if has_sound(body) else 0.0)


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
            if isinstance(said := message.get("audio"), dict) and isinstance(text := said.get("transcript"), str):
                size += len(text.encode())
    return -(-size // _BYTES_PER_TOKEN)


def _texts(content: Any) -> Iterator[str | None]:
    """The texts of a message's content; None for each part that is neither text nor sound."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
            elif not (isinstance(part, dict) and is_sound(part)):
                yield None
