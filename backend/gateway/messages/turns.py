"""The system prompt and the turns of a Messages body as chat messages. Pure; `backend/providers/anthropic_messages.py` is the way back.

What OpenAI's messages have no word for stays where our own adapters look for it: marks for the prompt cache (`cache_control`), signed
thoughts (`thinking_blocks`), `is_error` of a tool's result. A turn of the assistant's whose blocks do not follow each other as thoughts,
words, calls becomes several messages in a row. Results of tools come before the rest of their turn, as both sides ask for.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter

Message = dict[str, Any]
_ORDER = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}
_FIELDS: dict[str, frozenset[str]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control"}),
    "document": frozenset({"type", "source", "title", "cache_control", "citations", "context"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control", "caller", "extra_content"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
}
_NEUTRAL: Mapping[str, Any] = {"citations": ([], {"enabled": False}), "context": ("",), "caller": ({"type": "direct"},)}
"""What a field may say that is not passed on: just what it is without."""


def chat_messages(system: Any, messages: Any) -> Iterator[tuple[str, Message]]:
    """Each chat message with the place that it comes from, such as `messages[2]`.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    if system is not None:
        prompt = _system(system, "system")
        if prompt:
            yield "system", {"role": "system", "content": prompt}
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list with at least one message.", param="messages")
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        if not isinstance(message, dict):
            raise BadRequest("Each message must be an object.", param=at)
        unknown = message.keys() - {"role", "content"}
        if unknown:
            raise UnsupportedParameter(f"A message has no '{min(unknown)[:60]}' here.", param=f"{at}.{min(unknown)[:60]}")
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise BadRequest("The role of a message is user, assistant or system.", param=f"{at}.role")
        if isinstance(content, str):
            yield at, {"role": role, "content": content}
        elif role == "system":
            yield at, {"role": role, "content": _system(content, f"{at}.content")}
        else:
            blocks = _blocks(content, f"{at}.content")
            for told in _user(blocks) if role == "user" else _assistant(blocks):
                yield at, told


def _system(system: Any, at: str) -> str | list[Message]:
    if isinstance(system, str):
        return system
    blocks = _blocks(system, at)
    for where, block in blocks:
        if block["type"] != "text":
            raise UnsupportedParameter("The system prompt is a text, or blocks of text.", param=where)
    return _content(blocks)


def _blocks(content: Any, at: str) -> list[tuple[str, dict[str, Any]]]:
    """The blocks with their places, each of a type that we know and with nothing in it that would be lost."""
    if not isinstance(content, list):
        raise BadRequest("A content is a text or a list of blocks.", param=at)
    found = []
    for number, block in enumerate(content):
        where = f"{at}[{number}]"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str):
            raise BadRequest("A block is an object with a 'type'.", param=where)
        known = _FIELDS.get(kind)
        if known is None:
            raise UnsupportedParameter(f"Blocks of type '{kind[:60]}' cannot be said to every provider.", param=where)
        _refuse_what_is_lost(block, known, where)
        found.append((where, block))
    return found


def _refuse_what_is_lost(block: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for name, value in block.items():
        if value is None or (name in known and name not in _NEUTRAL) or value in _NEUTRAL.get(name, ()):
            continue
        raise UnsupportedParameter(f"'{name[:60]}' of a block cannot be said to every provider.", param=f"{where}.{name[:60]}")


def _user(blocks: list[tuple[str, dict[str, Any]]]) -> Iterator[Message]:
    rest = []
    for where, block in blocks:
        if block["type"] == "tool_result":
            yield _result(block, where)
        else:
            rest.append((where, block))
    if rest:
        yield {"role": "user", "content": _content(rest)}


def _result(block: Mapping[str, Any], where: str) -> Message:
    call, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(call, str):
        raise BadRequest("A tool's result needs the 'tool_use_id' of its call.", param=f"{where}.tool_use_id")
    told = content if isinstance(content, str) else _content(_blocks(content, f"{where}.content")) if content is not None else ""
    message: Message = {"role": "tool", "tool_call_id": call, "content": told or ""}
    if block.get("is_error"):
        message["is_error"] = True
    return message | _mark(block)


def _assistant(blocks: list[tuple[str, dict[str, Any]]]) -> Iterator[Message]:
    run: list[tuple[str, dict[str, Any]]] = []
    last = 0
    for where, block in blocks:
        rank = _ORDER.get(block["type"])
        if rank is None:
            raise UnsupportedParameter(f"The assistant says no blocks of type '{block['type']}'.", param=where)
        if rank < last:
            yield _said(run)
            run = []
        last = rank
        run.append((where, block))
    if run:
        yield _said(run)


def _said(run: list[tuple[str, dict[str, Any]]]) -> Message:
    texts = [one for one in run if one[1]["type"] == "text"]
    calls = [_call(block, where) for where, block in run if block["type"] == "tool_use"]
    thoughts = [block for _, block in run if block["type"] in ("thinking", "redacted_thinking")]
    signed = [block for block in thoughts if block["type"] != "thinking" or block.get("signature")]
    message: Message = {"role": "assistant", "content": _content(texts) if texts else None if calls else ""}
    if signed:
        message["thinking_blocks"] = signed
    if calls:
        message["tool_calls"] = calls
        own = "".join(
            [str(block.get("thinking") or "") for block in thoughts if block["type"] == "thinking" and not block.get("signature")]
        )
        if own:
            # Thoughts without a signature are of a server that writes `reasoning_content`, and may want it back with its calls.
            message["reasoning_content"] = own
    return message


def _call(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    name, given = block.get("name"), block.get("input")
    if not isinstance(name, str) or not isinstance(block.get("id"), str):
        raise BadRequest("A call of a tool needs its 'id' and 'name'.", param=where)
    if not isinstance(given, dict):
        raise BadRequest("The input of a tool is an object.", param=f"{where}.input")
    call = {"id": block["id"], "type": "function", "function": {"name": name, "arguments": orjson.dumps(given).decode()}}
    if block.get("extra_content"):
        call["extra_content"] = block["extra_content"]
    return call | _mark(block)


def _mark(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"cache_control": block["cache_control"]} if block.get("cache_control") is not None else {}


def _content(blocks: list[tuple[str, dict[str, Any]]]) -> str | list[Message]:
    """A text where that is all, which every server understands, else parts."""
    parts = [_part(block, where) | _mark(block) for where, block in blocks]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def _part(block: Mapping[str, Any], where: str) -> Message:
    kind = block["type"]
    if kind == "text":
        if not isinstance(block.get("text"), str):
            raise BadRequest("A block of text needs its 'text'.", param=f"{where}.text")
        return {"type": "text", "text": block["text"]}
    source = block.get("source")
    if kind == "image" and isinstance(source, dict):
        return {"type": "image_url", "image_url": {"url": _url(source, f"{where}.source")}}
    if kind == "document" and isinstance(source, dict):
        title = block.get("title")
        named = {"filename": title} if isinstance(title, str) and title else {}
        return {"type": "file", "file": {"file_data": _url(source, f"{where}.source"), **named}}
    raise BadRequest(f"A block of type '{kind}' cannot stand here, or has no 'source'.", param=where)


def _url(source: Mapping[str, Any], where: str) -> str:
    kind, data, media_type = source.get("type"), source.get("data"), source.get("media_type")
    if kind == "url" and isinstance(source.get("url"), str):
        return str(source["url"])
    if kind in ("base64", "text") and not isinstance(data, str):
        raise BadRequest("The source needs its 'data'.", param=f"{where}.data")
    if kind == "base64" and isinstance(media_type, str):
        return f"data:{media_type};base64,{data}"
    if kind == "text":
        return f"data:text/plain;base64,{base64.b64encode(str(data).encode()).decode()}"
    if kind in ("file", "content"):
        raise UnsupportedParameter(f"A source of type '{kind}' cannot be said to every provider.", param=where)
    raise BadRequest("A source is of type base64, url or text, with its 'media_type' and 'data' or its 'url'.", param=where)
