"""A whole `chat.completion` told as a stream of chunks, as if a provider had streamed it; what `assembly` makes of it is the same again."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

PIECE = 2000
"""Characters of one chunk. Some clients read lines of 64 KiB at the most."""
_SAME_IN_ALL = ("id", "created", "model", "service_tier", "system_fingerprint")
_TEXTS = ("reasoning", "reasoning_content", "content", "refusal")
"""In the order in which models say them."""


def stream_of(whole: Mapping[str, Any], *, wants_usage: bool, facts: Mapping[str, Any] | None) -> bytes:
    """All events of the stream, `[DONE]` included.

    Args:
        wants_usage: the caller set `stream_options.include_usage`.
        facts: the `bourse` object for the last chunk.
    """
    usage = whole.get("usage")
    same = {name: whole[name] for name in _SAME_IN_ALL if name in whole} | {"object": "chat.completion.chunk"}
    first = {name: value for name, value in whole.items() if name not in (*same, "choices", "usage", "bourse")}
    own: dict[str, Any] = {"usage": None} if wants_usage and usage else {}
    chunks = [{**same, "choices": [choice], **own} for number, entry in enumerate(whole["choices"]) for choice in _told(entry, number)]
    chunks[0] |= first
    if own:
        chunks.append({**same, "choices": [], "usage": usage})
    if facts is not None:
        chunks[-1]["bourse"] = facts
    return b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]) + b"data: [DONE]\n\n"


def _told(choice: Mapping[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """One choice of the answer, chunk by chunk."""
    index, message, logprobs = choice.get("index", number), choice["message"], choice.get("logprobs")
    texts = {name: message[name] for name in _TEXTS if message.get(name) and isinstance(message[name], str)}
    things = {name: value for name, value in message.items() if name not in texts and name != "role" and value}
    opening = {name: value for name, value in message.items() if name not in texts and name not in things}
    if "tool_calls" in things:
        things["tool_calls"] = [{**call, "index": place} for place, call in enumerate(things["tool_calls"])]
    where_logprobs = "content" if "content" in texts else "refusal" if "refusal" in texts else ""
    yield _delta(index, opening, choice, "logprobs" in choice and logprobs is None)
    signed = _signed_thoughts(message)
    if signed:
        # Each with its signature, before the answer, as it was thought.
        del things["thinking_blocks"]
        texts.pop("reasoning_content", None)
    for block in signed:
        text = block.get("thinking") or ""
        for start in range(0, len(text), PIECE):
            yield _delta(index, {"reasoning_content": text[start : start + PIECE]}, choice, False)
        yield _delta(index, {"thinking_blocks": [block]}, choice, False)
    for name, text in texts.items():
        if name == where_logprobs and logprobs is not None:
            yield _delta(index, {name: text}, choice, True)
        else:
            for start in range(0, len(text), PIECE):
                yield _delta(index, {name: text[start : start + PIECE]}, choice, False)
    if things:
        yield _delta(index, things, choice, False)
    rest = {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs")}
    # Not with the first chunk: OpenAI's own SDK counts the tokens of one that begins a further choice twice.
    yield _delta(index, {}, choice, logprobs is not None and not where_logprobs) | rest


def _signed_thoughts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The signed blocks of a message, where they are all of its thoughts."""
    blocks = message.get("thinking_blocks")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return []
    texts = [block.get("thinking") or "" for block in blocks]
    whole = all(isinstance(text, str) for text in texts) and "".join(texts) == (message.get("reasoning_content") or "")
    return blocks if whole else []


def _delta(index: int, delta: dict[str, Any], choice: Mapping[str, Any], with_logprobs: bool) -> dict[str, Any]:
    told = {"index": index, "delta": delta, "finish_reason": None}
    return told | {"logprobs": choice["logprobs"]} if with_logprobs else told
