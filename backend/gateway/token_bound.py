"""An upper bound of the tokens of a call, from bytes: what limits and budgets reserve before anybody is asked.

A tokenizer of bytes makes at most one token of each byte, and so do those that fall back to bytes; text that is first brought into
another Unicode form is measured in that form. Prose has about four bytes a token, so the bound is about four times the truth: where it
decides, `token_count` counts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from backend.gateway.media_tokens import media_tokens
from backend.gateway.normal_form import normalized_bytes
from backend.gateway.token_families import Family

WHOLE_CONTEXT = 1_048_576
"""What stands for a file or film that is elsewhere, where the model's context is not known."""

_NOT_PROMPT = frozenset({"model", "user", "metadata", "stream", "stream_options", "logit_bias", "stop", "store", "service_tier"})
_TOOLS = ("tools", "functions")


class Prompt(NamedTuple):
    """What of a body the model reads. `texts` go in as they are, `structures` as JSON or something shorter."""

    texts: list[str]
    structures: list[bytes]
    messages: int
    tools: int
    media: int


def prompt_of(body: Mapping[str, Any], family: Family, context: int = WHOLE_CONTEXT) -> Prompt:
    """The readable parts of a chat, messages, responses, completions or embeddings body. Unknown fields count: they may be prompt."""
    texts: list[str] = []
    structures: list[bytes] = []
    media = tools = 0
    messages = body.get("messages")
    if not isinstance(messages, list):
        messages = []
    for message in messages:
        if type(message) is dict and len(message) == 2 and type(message.get("content")) is str and type(message.get("role")) is str:
            texts += message.values()
        else:
            media += _read(message, texts, structures, family, context)
    for name, value in body.items():
        kind = type(value)
        if name == "messages" or name in _NOT_PROMPT or kind is int or kind is float or kind is bool or value is None:
            continue
        if kind is str:
            texts.append(value)
        elif name in _TOOLS:
            tools += len(value)
            structures.append(orjson.dumps(value))
        elif name in ("input", "system") and kind is list and value and type(value[0]) is dict:
            for item in value:
                media += _read(item, texts, structures, family, context)
            messages = [*messages, *value]
        else:
            tools += name in ("response_format", "text", "tool_choice")
            structures.append(orjson.dumps(value))
    return Prompt(texts, structures, len(messages), tools, media)


def _read(message: Any, texts: list[str], structures: list[bytes], family: Family, context: int) -> int:
    """Put the texts of a message (or a part of one) where they belong; returns the tokens of its media."""
    if type(message) is str:
        texts.append(message)
        return 0
    if type(message) is not dict:
        structures.append(orjson.dumps(message))
        return 0
    media = 0
    for name, value in message.items():
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif name == "content" and kind is list:
            for part in value:
                tokens = media_tokens(part, family.images, context) if type(part) is dict else None
                media += _read(part, texts, structures, family, context) if tokens is None else tokens
        elif name == "audio" and value:
            media += context  # an answer that was spoken before: it is with the provider
        elif value is not None:
            structures.append(orjson.dumps(value))
    return media


def token_bound(body: Mapping[str, Any], family: Family, context: int | None = None) -> int:
    """No fewer tokens than the prompt of `body` has for a model of `family`.

    Args:
        context: the model's context window in tokens, where it is known: a longer prompt is refused by the provider and costs nothing.
    """
    prompt = prompt_of(body, family, context or WHOLE_CONTEXT)
    # One look at all texts; the line breaks are marks enough.
    text = "\n".join(prompt.texts)
    size = prompt.media + overhead(prompt, family) + len(text)
    if context is not None and size >= context:
        return context
    if not text.isascii():
        size += text_bytes(text, family) - len(text)
    odd = []
    for structure in prompt.structures:
        if structure.isascii():
            size += len(structure)
        else:
            odd.append(structure)
    if odd:
        size += structure_bytes(b"\n".join(odd), family)
    return size if context is None or size < context else context


def overhead(prompt: Prompt, family: Family) -> int:
    """What template and provider add to the texts."""
    added = family.per_call + prompt.messages * family.per_message
    return added + family.with_tools + prompt.tools * family.per_tool if prompt.tools else added


def text_bytes(text: str, family: Family) -> int:
    if text.isascii():
        return len(text)
    # A tokenizer of words puts a mark in front.
    return 1 + (normalized_bytes(text) if family.normalizes else len(text.encode("utf-8", "surrogatepass")))


def structure_bytes(structure: bytes, family: Family) -> int:
    """JSON may be written with escapes where ours has none: `\\u00e9` for two bytes, twelve signs for four."""
    return len(structure) if structure.isascii() else 3 * text_bytes(structure.decode(), family)
