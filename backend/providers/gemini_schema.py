"""JSON schemas as Gemini takes them in `parametersJsonSchema` and `responseJsonSchema`.

It understands the keywords below and overlooks others, but a `$ref` may stand beside nothing that does not begin with `$`, and there is
no `const`. Source: GenerationConfig.responseJsonSchema in ai.google.dev/api/generate-content.
"""

from typing import Any

from backend.kernel.errors import BadRequest

_KEPT = frozenset({
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems",
    "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering",
})  # fmt: skip
_BY_NAME = frozenset({"$defs", "properties"})
_LISTS = frozenset({"anyOf", "oneOf", "prefixItems"})
_SPECIAL = frozenset({"$ref", "allOf", "definitions", "$defs"})
_DEEPEST = 64


def gemini_schema(schema: Any, param: str) -> dict[str, Any]:
    """The schema with nothing in it that Gemini refuses; the one given is not changed.

    Raises:
        BadRequest: it is none, or nested too deeply; with `param`.
    """
    if not isinstance(schema, dict):
        raise BadRequest("A JSON schema must be an object.", param=param)
    return _cleaned(schema, param, _DEEPEST)


def _cleaned(schema: Any, param: str, depth: int) -> dict[str, Any]:
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise BadRequest("A JSON schema must be an object.", param=param)
    if not depth:
        raise BadRequest(f"The JSON schema is nested deeper than {_DEEPEST} levels.", param=param)
    kept: dict[str, Any] = {}
    if not _SPECIAL.isdisjoint(schema):
        alone = schema.get("allOf")
        if isinstance(schema.get("$ref"), str):
            # `definitions` is the old name of `$defs`, which is the one that Gemini knows.
            kept["$ref"] = schema["$ref"].replace("#/definitions/", "#/$defs/")
            return kept | _definitions(schema, param, depth)
        if isinstance(alone, list) and len(alone) == 1 and isinstance(alone[0], dict):
            # Generators wrap a reference so, to put a description beside it.
            schema = {**{name: value for name, value in schema.items() if name != "allOf"}, **alone[0]}
            return _cleaned(schema, param, depth - 1)
        kept = _definitions(schema, param, depth)
    for name, value in schema.items():
        if name == "const":
            kept["enum"] = [value]
        elif name not in _KEPT or name == "$defs":
            continue
        elif name in _BY_NAME and isinstance(value, dict):
            kept[name] = {key: _cleaned(inner, param, depth - 1) for key, inner in value.items()}
        elif name in _LISTS and isinstance(value, list):
            kept[name] = [_cleaned(inner, param, depth - 1) for inner in value]
        elif name == "items" or (name == "additionalProperties" and not isinstance(value, bool)):
            kept[name] = _cleaned(value, param, depth - 1)
        else:
            kept[name] = value
    return kept


def _definitions(schema: dict[str, Any], param: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("definitions", "$defs"):
        if isinstance(schema.get(name), dict):
            found |= {key: _cleaned(inner, param, depth - 1) for key, inner in schema[name].items()}
    return {"$defs": found} if found else {}
