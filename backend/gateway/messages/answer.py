"""A whole `chat.completion` into a `message` of Anthropic's. Pure.

Thoughts come first, as their signed blocks where there are any, else as one block without a signature; then the text, then the tool
calls. Whatever else a server has put into its answer is left out, but for our own `bourse` object and what providers want to have back
with their tool calls (`extra_content`). Source: platform.claude.com/docs/en/api/messages.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from backend.gateway.messages.stopping import stopped
from backend.gateway.messages.usage import usage_to_anthropic
from backend.pricing.usage import Usage

Block = dict[str, Any]
THOUGHTS = ("reasoning_content", "reasoning")
"""What servers call the text of their thoughts."""


def message_id(chat_id: Any) -> str:
    """An id that begins as Anthropic's do."""
    known = chat_id if isinstance(chat_id, str) else ""
    return known if known.startswith("msg_") else "msg_" + known.removeprefix("chatcmpl-")


def message_of(completion: Mapping[str, Any], usage: Usage, *, thoughts: bool) -> dict[str, Any]:
    """The message that an answer is; never raises, whatever a provider has written into it.

    Args:
        usage: what it used, counted or estimated.
        thoughts: the caller has not asked for an answer without them.
    """
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    choice: Mapping[str, Any] = first if isinstance(first, dict) else {}
    given = choice.get("message")
    message: Mapping[str, Any] = given if isinstance(given, dict) else {}
    refusal = text_of(message.get("refusal"))
    content = [*(_thoughts(message) if thoughts else ()), *_texts(message, choice, refusal), *_calls(message.get("tool_calls"))]
    told: dict[str, Any] = {
        "id": message_id(completion.get("id")),
        "type": "message",
        "role": "assistant",
        "model": text_of(completion.get("model")),
        "content": content,
        **stopped(choice, refusal),
        "usage": usage_to_anthropic(usage, completion.get("service_tier")),
    }
    if "bourse" in completion:
        told["bourse"] = completion["bourse"]
    return told


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def split_content(content: Any) -> tuple[str, str]:
    """Thoughts and words of a content; some servers (Mistral) have both in one list of parts."""
    if not isinstance(content, list):
        return "", text_of(content)
    thought, words = "", ""
    for part in content:
        if isinstance(part, dict):
            inner = part.get("thinking")
            if isinstance(inner, list):
                thought += "".join([text_of(one.get("text")) for one in inner if isinstance(one, dict)])
            else:
                thought += text_of(inner)
            words += text_of(part.get("text"))
    return thought, words


def signed_blocks(blocks: Any) -> Iterator[Block]:
    """The thinking blocks that a provider has signed, as they go back to it."""
    for block in blocks if isinstance(blocks, list) else ():
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "thinking":
            yield {"type": kind, "thinking": text_of(block.get("thinking")), "signature": text_of(block.get("signature"))}
        elif kind == "redacted_thinking":
            yield {"type": kind, "data": text_of(block.get("data"))}


def _thoughts(message: Mapping[str, Any]) -> list[Block]:
    blocks = list(signed_blocks(message.get("thinking_blocks")))
    if blocks:
        return blocks
    text = next(filter(None, (text_of(message.get(name)) for name in THOUGHTS)), "") or split_content(message.get("content"))[0]
    return [{"type": "thinking", "thinking": text, "signature": ""}] if text else []


def _texts(message: Mapping[str, Any], choice: Mapping[str, Any], refusal: str) -> list[Block]:
    text = split_content(message.get("content"))[1]
    if not text and choice.get("finish_reason") != "content_filter":
        text = refusal  # the model's own words
    return [{"type": "text", "text": text}] if text else []


def _calls(calls: Any) -> Iterator[Block]:
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            extra = {"extra_content": call["extra_content"]} if call.get("extra_content") else {}
            yield {
                "type": "tool_use",
                "id": text_of(call.get("id")),
                "name": text_of(function.get("name")),
                "input": _arguments(function.get("arguments")),
                **extra,
            }


def _arguments(written: Any) -> Any:
    """What a model has written may be cut, or no JSON at all: then it is shown as Anthropic's page on fine-grained tool streaming says."""
    if isinstance(written, dict):
        return written
    try:
        value = orjson.loads(written) if written else {}
    except (orjson.JSONDecodeError, TypeError):
        return {"INVALID_JSON": text_of(written)}
    return value if isinstance(value, dict) else {"INVALID_JSON": text_of(written)}
