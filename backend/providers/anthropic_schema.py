"""JSON schemas in the subset that Anthropic's structured outputs compile.

Objects are closed, and what the subset does not have (lengths, ranges, patterns…) is told to the model in the description instead: as
the official SDK does before it sends a schema. Source: lib/_parse/_transform.py of anthropic-sdk-python; the subset is described in
platform.claude.com/docs/en/build-with-claude/structured-outputs.
"""

from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_KEPT = frozenset({"type", "enum", "const", "default", "title", "$ref"})
_DEEPEST = 64


def closed_schema(schema: Any, param: str) -> dict[str, Any]:
    """The schema in that subset; the one given is not changed.

    Raises:
        BadRequest: it is none, with `param`.
        UnsupportedParameter: an object of it is open, and would be another one if it were closed.
    """
    return _closed(schema, param, _DEEPEST)


def _closed(schema: Any, param: str, depth: int) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise BadRequest("A JSON schema must be an object.", param=param)
    if not depth:
        raise BadRequest(f"The JSON schema is nested deeper than {_DEEPEST} levels.", param=param)

    def below(inner: Any) -> dict[str, Any]:
        return _closed(inner, param, depth - 1)

    kept: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("$defs", "definitions", "properties") and isinstance(value, dict):
            kept[name] = {key: below(inner) for key, inner in value.items()}
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            kept["anyOf" if name == "oneOf" else name] = [below(inner) for inner in value]
        elif name == "items" and isinstance(value, dict):
            kept[name] = below(value)
        elif _is_known(name, value):
            kept[name] = value
        elif name == "additionalProperties" and value is not False:
            raise UnsupportedParameter("Anthropic's models fill closed objects only: name the properties in the JSON schema.", param=param)
        elif name not in ("additionalProperties", "$schema", "$id"):
            told[name] = value
    kind = schema.get("type")
    if kind == "object" or "properties" in schema or (isinstance(kind, list) and "object" in kind):
        kept["additionalProperties"] = False
    if told:
        words = ", ".join(f"{name}: {orjson.dumps(value).decode()}" for name, value in told.items())
        kept["description"] = "\n\n".join(filter(None, [kept.get("description"), f"{{{words}}}"]))
    return kept


def _is_known(name: str, value: Any) -> bool:
    """Whether the subset has the keyword with this value."""
    if name == "required":
        return isinstance(value, list)
    if name == "description":
        return isinstance(value, str)
    if name == "format":
        return isinstance(value, str) and value in _FORMATS
    return name in _KEPT or (name == "minItems" and value in (0, 1))
