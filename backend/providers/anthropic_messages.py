"""The messages of an OpenAI-shaped body into Anthropic's: one system prompt, turns that alternate, blocks of content.

System and developer messages, wherever they are, make one system prompt in their order. Messages of one role in a row become one turn,
and the results of parallel tool calls come first in theirs, as the API asks for. Marks for the prompt cache (`cache_control`) are kept
where they are: on a part, on a tool call, or on a message for its last block; so is `is_error` of a tool's message. Images and documents
go by data URL or by https URL as they came, because Anthropic fetches them itself; a file by its id would be one of the operator's
account, and is refused.

Of an assistant's thoughts only the signed blocks go back.
Source: platform.claude.com/docs/en/api/messages.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.data_url import DataUrl, data_url

_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_THOUGHTS = {"thinking": ("type", "thinking", "signature"), "redacted_thinking": ("type", "data")}

Block = dict[str, Any]


def translated(messages: list[dict[str, Any]]) -> tuple[str | list[Block] | None, list[dict[str, Any]]]:
    """The system prompt and the turns.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, such as `messages[2].content[0]`.
    """
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        role = message["role"]
        if role in ("system", "developer"):
            system += _marked(_texts(message.get("content"), f"{at}.content"), message)
        elif role in ("user", "tool"):
            _add(
                turns,
                "user",
                _marked([_result(message, at)] if role == "tool" else _parts(message.get("content"), f"{at}.content"), message),
            )
        elif role == "assistant":
            _add(turns, "assistant", _marked(_said(message, at), message))
        else:
            raise UnsupportedParameter(f"Anthropic's models know no messages of role '{role[:40]}'.", param=f"{at}.role")
    for turn in turns:
        content = turn["content"]
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            turn["content"] = content[0]["text"]
    if any(len(block) > 2 for block in system):
        return system, turns
    return "\n\n".join([block["text"] for block in system]) or None, turns


def call_id(value: Any) -> str:
    """Ids of other providers' calls may hold signs that Anthropic refuses; the same one always becomes the same."""
    return _NOT_IN_AN_ID.sub("_", str(value))


def _add(turns: list[dict[str, Any]], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _marked(blocks: list[Block], source: dict[str, Any]) -> list[Block]:
    """With the mark for the cache that the message has."""
    if blocks and source.get("cache_control") is not None:
        blocks[-1] = {**blocks[-1], "cache_control": source["cache_control"]}
    return blocks


def _said(message: dict[str, Any], at: str) -> list[Block]:
    blocks = list(_thoughts(message.get("thinking_blocks"), f"{at}.thinking_blocks"))
    blocks += _texts(message.get("content") or message.get("refusal"), f"{at}.content")
    calls = message.get("tool_calls")
    if message.get("function_call") is not None:
        raise UnsupportedParameter("Use 'tool_calls' instead of 'function_call'.", param=f"{at}.function_call")
    if calls is None:
        return blocks
    if not isinstance(calls, list):
        raise BadRequest("'tool_calls' must be a list.", param=f"{at}.tool_calls")
    return blocks + [_call(call, f"{at}.tool_calls[{number}]") for number, call in enumerate(calls)]


def _thoughts(blocks: Any, at: str) -> Iterator[Block]:
    if blocks is None:
        return
    if not isinstance(blocks, list):
        raise BadRequest("'thinking_blocks' must be a list.", param=at)
    for number, block in enumerate(blocks):
        fields = _THOUGHTS.get(str(block.get("type"))) if isinstance(block, dict) else None
        if fields is None:
            raise BadRequest("A thinking block must be of type thinking or redacted_thinking.", param=f"{at}[{number}]")
        yield {name: block[name] for name in fields if name in block}


def _call(call: Any, at: str) -> Block:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        raise UnsupportedParameter("Anthropic's models call functions only.", param=at)
    written = function.get("arguments") or "{}"
    try:
        arguments = orjson.loads(written)
    except (orjson.JSONDecodeError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise BadRequest("The arguments of a call must be the JSON of an object.", param=f"{at}.function.arguments")
    block = {"type": "tool_use", "id": call_id(call.get("id")), "name": function.get("name"), "input": arguments}
    return _marked([block], call)[0]


def _result(message: dict[str, Any], at: str) -> Block:
    content = _parts(message.get("content"), f"{at}.content")
    result: Block = {"type": "tool_result", "tool_use_id": call_id(message.get("tool_call_id"))}
    if message.get("is_error") is True:
        result["is_error"] = True
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        return {**result, "content": content[0]["text"]}
    return {**result, "content": content} if content else result


def _texts(content: Any, at: str) -> list[Block]:
    blocks = _parts(content, at)
    for number, block in enumerate(blocks):
        if block["type"] != "text":
            raise UnsupportedParameter("Only the user and tools may show Anthropic's models anything but text.", param=f"{at}[{number}]")
    return blocks


def _parts(content: Any, at: str) -> list[Block]:
    """Blocks without empty texts, which Anthropic refuses."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if content is None:
        return []
    if not isinstance(content, list):
        raise BadRequest("The content of a message must be a text or a list of parts.", param=at)
    blocks = []
    for number, part in enumerate(content):
        if not isinstance(part, dict):
            raise BadRequest("Each part of a content must be an object.", param=f"{at}[{number}]")
        blocks += _marked(_part(part, f"{at}[{number}]"), part)
    return blocks


def _part(part: dict[str, Any], at: str) -> list[Block]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if not isinstance(text, str):
            raise BadRequest(f"A part of type {kind} needs '{kind}'.", param=at)
        return [{"type": "text", "text": text}] if text else []
    if kind == "image_url":
        return [{"type": "image", "source": _image(part.get("image_url"), f"{at}.image_url")}]
    if kind == "file":
        return [_document(part.get("file"), f"{at}.file")]
    raise UnsupportedParameter("Anthropic's models read texts, images and documents.", param=at)


def _image(image: Any, at: str) -> dict[str, Any]:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise BadRequest("An image needs a 'url'.", param=at)
    if url.startswith("https://"):
        return {"type": "url", "url": url}
    media_type, data = _base64_of(url, at)
    if media_type not in _IMAGES:
        raise UnsupportedParameter("Anthropic's models see images of type JPEG, PNG, GIF and WebP.", param=at)
    return {"type": "base64", "media_type": media_type, "data": data}


def _document(file: Any, at: str) -> Block:
    facts: dict[str, Any] = file if isinstance(file, dict) else {}
    if facts.get("file_id") is not None:
        raise UnsupportedParameter("Send the file itself in 'file_data'; there are no stored files here.", param=f"{at}.file_id")
    url = facts.get("file_data")
    if not isinstance(url, str):
        raise BadRequest("A file needs 'file_data'.", param=f"{at}.file_data")
    name = facts.get("filename")
    title = {"title": name} if isinstance(name, str) and name else {}
    if url.startswith("https://"):
        return {"type": "document", "source": {"type": "url", "url": url}, **title}
    media_type, data = _base64_of(url, f"{at}.file_data")
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": data}
    elif media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _text_of(data, f"{at}.file_data")}
    else:
        raise UnsupportedParameter("Anthropic's models read PDF files and plain texts.", param=f"{at}.file_data")
    return {"type": "document", "source": source, **title}


def _base64_of(url: str, at: str) -> DataUrl:
    found = data_url(url)
    if found is None:
        raise BadRequest("The URL must begin with https:// or data:, such as data:image/png;base64,…", param=at)
    return found


def _text_of(data: str, at: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise BadRequest("The file is not UTF-8 text in base64.", param=at) from None
