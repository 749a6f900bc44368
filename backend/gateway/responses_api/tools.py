"""Tools and the choice among them into chat's. Only tools that the caller runs himself: chat has no others.

`allowed_tools` becomes a shorter list of tools, which every provider understands.
"""

from typing import Any

from backend.kernel.errors import BadRequest, UnsupportedParameter

Tool = dict[str, Any]
_MODES = ("none", "auto", "required")
_OWN = ("function", "custom")


def put_tools(chat: dict[str, Any], body: dict[str, Any]) -> None:
    """Set `tools`, `tool_choice` and `parallel_tool_calls` of a chat body; without tools servers refuse the other two, so there are none.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    tools, choice, parallel = body.get("tools"), body.get("tool_choice"), body.get("parallel_tool_calls")
    if tools is not None and not isinstance(tools, list):
        raise BadRequest("'tools' must be a list.", param="tools")
    if parallel is not None and not isinstance(parallel, bool):
        raise BadRequest("'parallel_tool_calls' must be true or false.", param="parallel_tool_calls")
    made = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools or ())]
    chosen, names = _choice(choice)
    if names is not None:
        made = [tool for tool in made if (tool["type"], tool[tool["type"]]["name"]) in names]
    if not made:
        if chosen not in (None, "auto", "none"):
            raise BadRequest("'tool_choice' asks for a tool, and there is none in 'tools'.", param="tool_choice")
        return
    chat["tools"] = made
    if chosen is not None:
        chat["tool_choice"] = chosen
    if parallel is not None:
        chat["parallel_tool_calls"] = parallel


def _tool(tool: Any, at: str) -> Tool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind not in _OWN:
        raise UnsupportedParameter(
            f"There is no tool {str(kind)[:60]!r} here: only 'function' and 'custom', which your own program runs.", param=f"{at}.type"
        )
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest("A tool needs a 'name'.", param=f"{at}.name")
    fields = ("name", "description", "parameters", "strict") if kind == "function" else ("name", "description")
    inner = {field: tool[field] for field in fields if tool.get(field) is not None}
    form = tool.get("format") if kind == "custom" else None
    if isinstance(form, dict):
        grammar = {field: form[field] for field in ("syntax", "definition") if field in form}
        inner["format"] = {"type": "grammar", "grammar": grammar} if form.get("type") == "grammar" else form
    mark = {"cache_control": tool["cache_control"]} if tool.get("cache_control") is not None else {}
    return {"type": kind, kind: inner, **mark}


def _choice(choice: Any) -> tuple[Any, set[tuple[str, str]] | None]:
    """Chat's own choice, and the names among which it is, where they are not all."""
    if choice is None or (isinstance(choice, str) and choice in _MODES):
        return choice, None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in _OWN and isinstance(choice.get("name"), str):
        return {"type": kind, kind: {"name": choice["name"]}}, None
    if kind == "allowed_tools":
        allowed, mode = choice.get("tools"), choice.get("mode", "auto")
        if not isinstance(allowed, list) or mode not in ("auto", "required"):
            raise BadRequest("'allowed_tools' needs a 'mode', auto or required, and a list of 'tools'.", param="tool_choice")
        return mode, {_name(tool, f"tool_choice.tools[{number}]") for number, tool in enumerate(allowed)}
    raise UnsupportedParameter("'tool_choice' is none, auto, required, a function, a custom tool or allowed_tools.", param="tool_choice")


def _name(tool: Any, at: str) -> tuple[str, str]:
    kind, name = (tool.get("type"), tool.get("name")) if isinstance(tool, dict) else (None, None)
    if kind not in _OWN or not isinstance(name, str):
        raise UnsupportedParameter("Only functions and custom tools can be allowed.", param=at)
    return str(kind), name
