"""What litellm is called with, and what it answers in OpenAI's shape. No I/O.

Its arguments are not only OpenAI's: `api_base`, `api_key`, `fallbacks`, `mock_response`, `extra_headers`, `callbacks` and a hundred more
are arguments, too. So only the fields named here are taken from a caller's body. Source: `litellm.acompletion` in litellm/main.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.dropping import Vocabulary
from backend.providers.gemini_media import Fetched, source_of
from backend.providers.nested_hints import DETAILS, MARKS, NAMES, STRICT, TOOL_MARKS

_FIELDS = frozenset({
    "temperature", "top_p", "n", "stop", "presence_penalty", "frequency_penalty", "logit_bias", "response_format", "seed", "tools",
    "tool_choice", "parallel_tool_calls", "functions", "function_call", "logprobs", "top_logprobs", "reasoning_effort", "thinking",
    "verbosity", "top_k",
})  # fmt: skip
_SAID_ELSEWHERE = frozenset({"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
VOCABULARY = Vocabulary("Providers behind litellm", _FIELDS | _SAID_ELSEWHERE | {NAMES, MARKS, DETAILS, STRICT, TOOL_MARKS})
_MESSAGE_FIELDS = frozenset({
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning_content", "thinking_blocks",
    "cache_control", "annotations", "audio", "provider_specific_fields",
})  # fmt: skip


def arguments(body: Mapping[str, Any], model: str, cap_field: str, cap: int | None, media: Mapping[str, Fetched]) -> dict[str, Any]:
    """The arguments of `acompletion` that come from the caller.

    Args:
        model: with the name by which litellm knows the provider, such as cohere_chat/command-r.
        media: what was found under the URLs that `to_fetch` named: litellm gets bytes only, and never fetches what a caller names.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    VOCABULARY.check(body)
    out: dict[str, Any] = {"model": model} | {name: body[name] for name in body if name in _FIELDS and body[name] is not None}
    if cap is not None:
        out[cap_field] = cap
    out["messages"] = [_message(message, number, media) for number, message in enumerate(body["messages"])]
    if body.get("stream"):
        out |= {"stream": True, "stream_options": {"include_usage": True}}
    return out


def to_fetch(messages: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """URLs of media on the web, with the kind that each must have ("" for any) and their places in the body.

    Raises:
        BadRequest, UnsupportedParameter: a part has no source that could be sent.
    """
    for where, part in _media_parts(messages):
        source = source_of(part, where)
        if source is not None and source.url is not None:
            yield source.url, source.kind, where


def whole_answer(value: dict[str, Any], model: str) -> dict[str, Any]:
    """A `chat.completion` out of what its model dumps without what is None.

    Args:
        model: as it was asked for; in a whole answer litellm says that again, in a stream what the provider calls it.
    """
    for choice in value.get("choices") or ():
        if isinstance(choice, dict):
            choice.setdefault("finish_reason", None)
            choice.setdefault("logprobs", None)
            if isinstance(message := choice.get("message"), dict):
                message.setdefault("content", None)
                message.setdefault("refusal", None)
    named = value.get("model")
    return {**value, "object": "chat.completion", "model": model.partition("/")[2] or model if named in (model, None) else named}


def chunk_bytes(value: dict[str, Any], identity: Mapping[str, Any]) -> bytes:
    """An event with a chunk. `identity` is the first one's: its chunks may have an id each."""
    for choice in value.get("choices") or ():
        choice.setdefault("finish_reason", None)
        choice.setdefault("delta", {})
    usage_only = "usage" in value and not any([choice["delta"] or choice["finish_reason"] for choice in value.get("choices") or ()])
    if usage_only:
        value["choices"] = []
    return b"data: " + orjson.dumps({**value, **identity, "object": "chat.completion.chunk"}) + b"\n\n"


def _media_parts(messages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            for index, part in enumerate(content):
                if isinstance(part, dict) and part.get("type") != "text":
                    yield f"messages[{number}].content[{index}]", part


def _message(message: dict[str, Any], number: int, media: Mapping[str, Fetched]) -> dict[str, Any]:
    out = {name: value for name, value in message.items() if name in _MESSAGE_FIELDS and value is not None}
    if "content" in message and message["content"] is None:
        out["content"] = None
    content = message.get("content")
    if isinstance(content, list):
        out["content"] = [_part(part, f"messages[{number}].content[{index}]", media) for index, part in enumerate(content)]
    return out


def _part(part: Any, where: str, media: Mapping[str, Fetched]) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") in ("text", "refusal", "thinking", "redacted_thinking"):
        return part
    source = source_of(part, where)
    if source is None:
        raise UnsupportedParameter(f"Parts of type {str(part.get('type'))[:60]!r} are not known to providers behind litellm.", param=where)
    if source.url is None:
        return part
    if source.url not in media:
        raise BadRequest("Only data:, http: and https: URLs can be read here.", param=where)
    kind = part["type"]
    found = media[source.url]
    url = f"data:{found.media_type};base64,{found.data}"
    if kind == "file":
        return {**part, "file": {**part["file"], "file_data": url}}
    given = part[kind]
    return {**part, kind: {**given, "url": url} if isinstance(given, dict) else url}
