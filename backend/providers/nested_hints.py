"""Hints inside the messages and tools of a chat body, which not every provider has words for: found by name, and taken out. Pure."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

MARK = "cache_control"
NAMES = "messages[].name"
MARKS = f"messages[].{MARK}"
DETAILS = "messages[].content[].image_url.detail"
STRICT = "tools[].function.strict"
TOOL_MARKS = f"tools[].{MARK}"
OBFUSCATION = "stream_options.include_obfuscation"
NESTED = frozenset({NAMES, MARKS, DETAILS, STRICT, TOOL_MARKS, OBFUSCATION})
_RESULTS = ("tool", "function")
"""Roles whose messages name the function, which their call does as well."""

Object = dict[str, Any]


def hints_within(body: Mapping[str, Any]) -> set[str]:
    """Which of `NESTED` say something. Every translated call is looked through, so what is not there must not cost."""
    found: set[str] = set()
    messages = body.get("messages")
    for message in messages if type(messages) is list else ():
        if type(message) is not dict:
            continue
        if "name" in message and message["name"] is not None and message.get("role") not in _RESULTS:
            found.add(NAMES)
        if MARK in message and message[MARK] is not None:
            found.add(MARKS)
        content = message.get("content")
        if type(content) is list:
            for part in content:
                if type(part) is dict and ("image_url" in part or MARK in part):
                    _look_at_part(part, found)
        if "tool_calls" in message and any([call.get(MARK) is not None for call in _objects(message["tool_calls"])]):
            found.add(MARKS)
    if "tools" in body:
        _look_at_tools(body["tools"], found)
    if "stream_options" in body:
        options = body["stream_options"]
        if type(options) is dict and options.get("include_obfuscation") is not None:
            found.add(OBFUSCATION)
    return found


def _look_at_part(part: Object, found: set[str]) -> None:
    image = part.get("image_url")
    if type(image) is dict and image.get("detail") not in (None, "auto"):
        found.add(DETAILS)
    if part.get(MARK) is not None:
        found.add(MARKS)


def _look_at_tools(tools: Any, found: set[str]) -> None:
    for tool in _objects(tools):
        function = tool.get("function")
        function = function if type(function) is dict else {}
        if function.get("strict") is True:
            found.add(STRICT)
        if tool.get(MARK) is not None or function.get(MARK) is not None:
            found.add(TOOL_MARKS)


def without_hints(body: Mapping[str, Any], names: Collection[str]) -> Object:
    """The body without these; the one given is not changed."""
    out = dict(body)
    if not {NAMES, MARKS, DETAILS}.isdisjoint(names):
        out["messages"] = _each(body["messages"], lambda message: _message(message, names))
    gone = [field for name, field in ((TOOL_MARKS, MARK), (STRICT, "strict")) if name in names]
    if gone:
        out["tools"] = _each(body["tools"], lambda tool: _tool(tool, gone))
    if OBFUSCATION in names:
        out["stream_options"] = _but(body["stream_options"], "include_obfuscation")
    return out


def _message(message: Object, names: Collection[str]) -> Object:
    if NAMES in names and message.get("role") not in _RESULTS:
        message = _but(message, "name")
    if MARKS in names:
        message = _but(message, MARK)
        if message.get("tool_calls"):
            message = {**message, "tool_calls": _each(message["tool_calls"], lambda call: _but(call, MARK))}
    if type(message.get("content")) is list:
        message = {**message, "content": _each(message["content"], lambda part: _part(part, names))}
    return message


def _part(part: Object, names: Collection[str]) -> Object:
    image = part.get("image_url")
    if DETAILS in names and type(image) is dict:
        part = {**part, "image_url": _but(image, "detail")}
    return _but(part, MARK) if MARKS in names else part


def _tool(tool: Object, gone: Collection[str]) -> Object:
    function = tool.get("function")
    told = _but(tool, *gone)
    return {**told, "function": _but(function, *gone)} if type(function) is dict else told


def _objects(given: Any) -> list[Object]:
    return [one for one in given if type(one) is dict] if type(given) is list else []


def _each(given: Any, change: Callable[[Object], Object]) -> Any:
    return [change(one) if type(one) is dict else one for one in given] if type(given) is list else given


def _but(value: Object, *names: str) -> Object:
    return {name: inner for name, inner in value.items() if name not in names}
