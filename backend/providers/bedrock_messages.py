"""The messages of an OpenAI-shaped body into those of Bedrock's Converse: system blocks, turns that alternate, blocks of content.

System and developer messages, wherever they are, are the system prompt in their order. Messages of one role in a row become one turn, and
so do the results of parallel tool calls. A `cache_control` mark of a part or a message becomes a cache point after it. Signed thoughts go
back as they came, in `thinking_blocks`. Texts of white space alone are left out: Converse refuses them.
Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.data_url import DataUrl, data_url

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_ID = 64
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+")
_LONGEST_NAME = 200

Block = dict[str, Any]


def translated(messages: list[dict[str, Any]]) -> tuple[list[Block], list[dict[str, Any]]]:
    """The system blocks and the turns.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, such as `messages[2].content[0]`.
    """
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        role, content = message["role"], message.get("content")
        if role in ("system", "developer"):
            blocks = system
            blocks += _texts(content, f"{at}.content")
        elif role in ("user", "tool"):
            blocks = _turn(turns, "user")
            blocks += _result(message, at) if role == "tool" else _parts(content, f"{at}.content")
        elif role == "assistant":
            blocks = _turn(turns, "assistant")
            blocks += _said(message, at)
        else:
            raise UnsupportedParameter(f"Bedrock's models know no messages of role '{role[:40]}'.", param=f"{at}.role")
        if blocks and message.get("cache_control") is not None:
            blocks.append(cache_point(message["cache_control"], f"{at}.cache_control"))
    _tell_documents_apart(block for turn in turns for block in turn["content"])
    return system, [turn for turn in turns if turn["content"]]


def marked_at_its_end(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A mark for the cache on the whole body means its end, where Bedrock wants it; the body given is not changed."""
    mark, messages = body.get("cache_control"), body["messages"]
    if mark is None:
        return body
    without = {name: value for name, value in body.items() if name != "cache_control"}
    if not messages or messages[-1].get("cache_control") is not None:
        return without
    return {**without, "messages": [*messages[:-1], {**messages[-1], "cache_control": mark}]}


def cache_point(mark: Any, at: str) -> Block:
    """What a `cache_control` says."""
    if not isinstance(mark, dict):
        raise BadRequest('\'cache_control\' must be an object such as {"type": "ephemeral"}.', param=at)
    ttl = {"ttl": mark["ttl"]} if mark.get("ttl") is not None else {}
    return {"cachePoint": {"type": "default", **ttl}}


def call_id(value: Any) -> str:
    """Ids of other providers' calls may be longer than Bedrock's, or hold other signs; the same one always becomes the same."""
    text = _NOT_IN_AN_ID.sub("_", str(value))
    return text if 0 < len(text) <= _LONGEST_ID else sha256(text.encode()).hexdigest()


def _turn(turns: list[dict[str, Any]], role: str) -> list[Block]:
    """The blocks of the last turn, if it is of this role, else of a new one. One that stays empty goes with the next of its role."""
    if turns and not turns[-1]["content"]:
        turns.pop()
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": []})
    blocks: list[Block] = turns[-1]["content"]
    return blocks


def _tell_documents_apart(blocks: Iterable[Block]) -> None:
    """Converse refuses two documents of one name."""
    told: set[str] = set()
    for block in blocks:
        for inner in block["toolResult"]["content"] if "toolResult" in block else (block,):
            document = inner.get("document")
            if document is None:
                continue
            name, number = document["name"], 1
            while document["name"].casefold() in told:
                number += 1
                document["name"] = f"{name[: _LONGEST_NAME - 5]} {number}"
            told.add(document["name"].casefold())


def _said(message: dict[str, Any], at: str) -> Iterator[Block]:
    yield from _thoughts(message.get("thinking_blocks"), f"{at}.thinking_blocks")
    yield from _texts(message.get("content") or message.get("refusal"), f"{at}.content")
    if message.get("function_call") is not None:
        raise UnsupportedParameter("Use 'tool_calls' instead of 'function_call'.", param=f"{at}.function_call")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise BadRequest("'tool_calls' must be a list.", param=f"{at}.tool_calls")
    for number, call in enumerate(calls):
        yield _call(call, f"{at}.tool_calls[{number}]")
        if call.get("cache_control") is not None:
            yield cache_point(call["cache_control"], f"{at}.tool_calls[{number}].cache_control")


def _thoughts(blocks: Any, at: str) -> Iterator[Block]:
    if blocks is not None and not isinstance(blocks, list):
        raise BadRequest("'thinking_blocks' must be a list.", param=at)
    for number, block in enumerate(blocks or []):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "thinking" and isinstance(block.get("thinking"), str):
            # What no model has signed is for the caller to read; no model wants it back.
            if block.get("signature"):
                yield {"reasoningContent": {"reasoningText": {"text": block["thinking"], "signature": block["signature"]}}}
        elif kind == "redacted_thinking" and isinstance(block.get("data"), str):
            yield {"reasoningContent": {"redactedContent": block["data"]}}
        else:
            raise BadRequest("A thinking block must be of type thinking or redacted_thinking.", param=f"{at}[{number}]")


def _call(call: Any, at: str) -> Block:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        raise UnsupportedParameter("Only calls of functions can be translated for Bedrock.", param=at)
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except (orjson.JSONDecodeError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise BadRequest("The arguments of a call must be the JSON of an object.", param=f"{at}.function.arguments")
    return {"toolUse": {"toolUseId": call_id(call.get("id")), "name": function.get("name"), "input": arguments}}


def _result(message: dict[str, Any], at: str) -> list[Block]:
    """Within a result Converse knows no marks for the cache: the last one comes after it."""
    said = list(_parts(message.get("content"), f"{at}.content"))
    result: Block = {"toolUseId": call_id(message.get("tool_call_id")), "content": [one for one in said if "cachePoint" not in one]}
    if message.get("is_error") is True:
        result["status"] = "error"
    return [{"toolResult": result}, *[one for one in said if "cachePoint" in one][-1:]]


def _texts(content: Any, at: str) -> Iterator[Block]:
    for number, block in enumerate(_parts(content, at)):
        if "text" not in block and "cachePoint" not in block:
            raise UnsupportedParameter("Only the user and tools may show Bedrock's models anything but text.", param=f"{at}[{number}]")
        yield block


def _parts(content: Any, at: str) -> Iterator[Block]:
    if content is None:
        return
    if isinstance(content, str):
        if content.strip():
            yield {"text": content}
        return
    if not isinstance(content, list):
        raise BadRequest("The content of a message must be a text or a list of parts.", param=at)
    for number, part in enumerate(content):
        here = f"{at}[{number}]"
        if not isinstance(part, dict):
            raise BadRequest("Each part of a content must be an object.", param=here)
        block = _part(part, here)
        if block is not None:
            yield block
            if part.get("cache_control") is not None:
                yield cache_point(part["cache_control"], f"{here}.cache_control")


def _part(part: dict[str, Any], at: str) -> Block | None:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if not isinstance(text, str):
            raise BadRequest(f"A part of type {kind} needs '{kind}'.", param=at)
        return {"text": text} if text.strip() else None
    if kind == "image_url":
        return _image(part.get("image_url"), f"{at}.image_url")
    if kind == "file":
        return _document(part.get("file"), f"{at}.file")
    raise UnsupportedParameter("Bedrock's models read texts, images and documents.", param=at)


def _image(image: Any, at: str) -> Block:
    media_type, data = _base64_of(image.get("url") if isinstance(image, dict) else image, at)
    if media_type not in _IMAGES:
        raise UnsupportedParameter("Bedrock's models see images of type JPEG, PNG, GIF and WebP.", param=at)
    return {"image": {"format": _IMAGES[media_type], "source": {"bytes": data}}}


def _document(file: Any, at: str) -> Block:
    facts: dict[str, Any] = file if isinstance(file, dict) else {}
    if facts.get("file_id") is not None:
        raise UnsupportedParameter("Send the file itself in 'file_data'; there are no stored files here.", param=f"{at}.file_id")
    media_type, data = _base64_of(facts.get("file_data"), f"{at}.file_data")
    form = _DOCUMENTS.get(media_type, "txt" if media_type.startswith("text/") else None)
    if form is None:
        raise UnsupportedParameter("Bedrock's models read PDF, Office, CSV, HTML and text files.", param=f"{at}.file_data")
    # Whoever named the file could write to the model in it, so Converse takes but few signs.
    given = facts.get("filename")
    name = " ".join(_NOT_IN_A_NAME.sub(" ", given).split())[:_LONGEST_NAME] if isinstance(given, str) else ""
    return {"document": {"format": form, "name": name or "document", "source": {"bytes": data}}}


def _base64_of(url: Any, at: str) -> DataUrl:
    found = data_url(url) if isinstance(url, str) else None
    if found is None:
        raise BadRequest("The URL must begin with https://, http:// or data:, such as data:image/png;base64,…", param=at)
    try:
        base64.b64decode(found.data, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("What follows the comma of the URL is not base64.", param=at) from None
    return found
