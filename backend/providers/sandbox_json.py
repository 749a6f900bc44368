"""JSON that the sandbox makes up: the smallest value that fits a schema, with 'simulated' wherever a text is free."""

from collections.abc import Mapping
from typing import Any

import orjson

_MAX_DEPTH = 8
_FREE_TEXT = "simulated"


def forced_tool(body: Mapping[str, Any]) -> str | None:
    """The function that `tool_choice` demands (the first one for 'required'), or None where the model may answer in words."""
    choice = body.get("tool_choice")
    if choice == "required":
        return next(iter(_functions(body)), None)
    name = _dict(_dict(choice).get("function")).get("name")
    return name if isinstance(name, str) and name in _functions(body) else None


def tool_arguments(body: Mapping[str, Any], name: str) -> str:
    """Arguments for a function of the body, as the text that a model would write."""
    return orjson.dumps(sample(_functions(body)[name])).decode()


def json_answer(body: Mapping[str, Any]) -> str | None:
    """What `response_format` asks for, or None where it asks for nothing."""
    wanted = _dict(body.get("response_format"))
    if wanted.get("type") == "json_object":
        return orjson.dumps({_FREE_TEXT: True}).decode()
    if wanted.get("type") == "json_schema":
        return orjson.dumps(sample(_dict(wanted.get("json_schema")).get("schema"))).decode()
    return None


def sample(schema: Any, depth: int = 0) -> Any:
    """A value for a JSON schema: constants and first choices as given, all named properties, else the emptiest value of the type."""
    rules = _dict(schema)
    if "const" in rules:
        return rules["const"]
    for field in ("enum", "examples", "anyOf", "oneOf"):
        options = rules.get(field)
        if isinstance(options, list) and options:
            return sample(options[0], depth + 1) if field in ("anyOf", "oneOf") else options[0]
    kind = rules.get("type", "object" if "properties" in rules else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "string"
    if kind == "object":
        properties = _dict(rules.get("properties")) if depth < _MAX_DEPTH else {}
        return {name: sample(below, depth + 1) for name, below in properties.items()}
    if kind == "array":
        return [sample(rules["items"], depth + 1)] if "items" in rules and depth < _MAX_DEPTH else []
    if kind in ("integer", "number"):
        return _whole(rules.get("minimum"))
    return True if kind == "boolean" else None if kind == "null" else _FREE_TEXT


def _functions(body: Mapping[str, Any]) -> dict[str, Any]:
    """Name → parameter schema of the body's tools."""
    tools = body.get("tools")
    functions = [_dict(_dict(tool).get("function")) for tool in tools] if isinstance(tools, list) else []
    return {function["name"]: function.get("parameters") for function in functions if isinstance(function.get("name"), str)}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(value: Any) -> int:
    return min(int(value), 100) if isinstance(value, int | float) and not isinstance(value, bool) else 0
