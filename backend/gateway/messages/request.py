"""A body of Anthropic's Messages API as a chat body. Pure; `backend/providers/anthropic_request.py` is the way back.

What OpenAI's chat has a word for is said in it; what our own adapters understand beyond that (`thinking`, `output_config`, `top_k`,
marks for the prompt cache) goes on under its own name, and is translated or left out for providers that do not know it (`plain`).
Everything else is refused by name. Source: platform.claude.com/docs/en/api/messages.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from backend.gateway.messages.turns import chat_messages
from backend.kernel.errors import BadRequest, UnsupportedParameter

_AS_IT_IS = ("model", "temperature", "top_p", "top_k", "thinking", "cache_control")
_SAID_ELSEWHERE = frozenset({
    *_AS_IT_IS, "messages", "system", "max_tokens", "stop_sequences", "stream", "tools", "tool_choice", "metadata", "service_tier",
    "output_config", "output_format", "context_management",
})  # fmt: skip
_NEUTRAL: Mapping[str, Any] = {"speed": "standard", "mcp_servers": []}
_TIERS = {"auto": "auto", "standard_only": "default"}
_OF_A_TOOL = frozenset({"name", "description", "input_schema", "type", "cache_control", "strict", "eager_input_streaming"})
"""The last says how its arguments are streamed, and changes nothing in them."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_THINKING = ("enabled", "disabled", "adaptive", "between_tools")

_NAMES = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "response_format": "output_config.format",
    "reasoning_effort": "thinking",
    "anthropic_beta": "anthropic-beta",
}
_PLACE = re.compile(r"messages\[(\d+)\]")


class Meant(NamedTuple):
    """`places`: where each of the chat body's messages comes from."""

    body: dict[str, Any]
    places: tuple[str, ...]

    def place(self, param: str) -> str:
        """The field of the caller's body that a field of the chat body comes from, as near as it is known."""
        found = _PLACE.match(param)
        if found is not None and int(found[1]) < len(self.places):
            return self.places[int(found[1])]
        first, dot, rest = param.partition(".")
        return _NAMES.get(first, f"{first}{dot}{rest}")


def chat_body(body: Any, *, betas: str | None = None, counting: bool = False) -> Meant:
    """What a Messages body means; the one given is not changed.

    Args:
        betas: the header `anthropic-beta`.
        counting: of a request that only has its tokens counted, and so needs no `max_tokens`.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    for name, value in body.items():
        if name not in _SAID_ELSEWHERE and value is not None and _NEUTRAL.get(name) != value:
            raise UnsupportedParameter(f"'{name[:60]}' cannot be said to every provider.", param=name[:60])
    said = list(chat_messages(body.get("system"), body.get("messages")))
    out: dict[str, Any] = {name: body[name] for name in _AS_IT_IS if body.get(name) is not None}
    out["messages"] = [message for _, message in said]
    if betas:
        out["anthropic_beta"] = [name.strip() for name in betas.split(",")]
    cap = body.get("max_tokens")
    if cap is not None:
        out["max_completion_tokens"] = cap
    elif not counting:
        raise BadRequest("'max_tokens' is missing: the most tokens that the answer may have.", param="max_tokens")
    if body.get("stop_sequences"):
        out["stop"] = _stops(body["stop_sequences"])
    if body.get("stream") is not None:
        out["stream"] = body["stream"]
        if body["stream"] is True:
            out["stream_options"] = {"include_usage": True}
    _set_user(out, body.get("metadata"))
    _set_tier(out, body.get("service_tier"))
    _set_tools(out, body.get("tools"), body.get("tool_choice"))
    _set_output(out, body)
    _check_thinking(body.get("thinking"))
    _set_context(out, body.get("context_management"))
    return Meant(out, tuple([place for place, _ in said]))


def _stops(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise BadRequest("'stop_sequences' must be a list of texts.", param="stop_sequences")
    return given


def _set_user(out: dict[str, Any], metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise BadRequest("'metadata' must be an object.", param="metadata")
    unknown = metadata.keys() - {"user_id"}
    if unknown:
        raise UnsupportedParameter("In 'metadata' only 'user_id' is known.", param=f"metadata.{min(unknown)[:60]}")
    if metadata.get("user_id") is not None:
        out["user"] = metadata["user_id"]


def _set_tier(out: dict[str, Any], tier: Any) -> None:
    if tier is None:
        return
    if not isinstance(tier, str) or tier not in _TIERS:
        raise BadRequest("'service_tier' is auto or standard_only.", param="service_tier")
    out["service_tier"] = _TIERS[tier]


def _set_tools(out: dict[str, Any], tools: Any, choice: Any) -> None:
    if tools:
        if not isinstance(tools, list):
            raise BadRequest("'tools' must be a list.", param="tools")
        out["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool" and isinstance(choice.get("name"), str):
        out["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif isinstance(kind, str) and kind in _CHOICES:
        out["tool_choice"] = _CHOICES[kind]
    else:
        raise BadRequest("'tool_choice' is an object of type auto, any, none, or tool with a 'name'.", param="tool_choice")
    unknown = choice.keys() - {"type", "name", "disable_parallel_tool_use"}
    if unknown:
        raise UnsupportedParameter("This cannot be said to every provider.", param=f"tool_choice.{min(unknown)[:60]}")
    if choice.get("disable_parallel_tool_use"):
        out["parallel_tool_calls"] = False


def _tool(tool: Any, at: str) -> dict[str, Any]:
    if not isinstance(tool, dict) or not isinstance(tool.get("type") or "custom", str):
        raise BadRequest("A tool is an object with 'name' and 'input_schema'.", param=at)
    kind = tool.get("type") or "custom"
    if kind != "custom":
        raise UnsupportedParameter(f"Tools of type '{kind[:60]}' are Anthropic's own; give the tool a schema of its own.", param=at)
    unknown = {name for name, value in tool.items() if name not in _OF_A_TOOL and value is not None}
    if unknown:
        raise UnsupportedParameter("This cannot be said to every provider.", param=f"{at}.{min(unknown)[:60]}")
    if not isinstance(tool.get("name"), str) or not isinstance(tool.get("input_schema"), dict):
        raise BadRequest("A tool needs a 'name' and an 'input_schema'.", param=at)
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    if tool.get("strict"):
        function["strict"] = True
    mark = {"cache_control": tool["cache_control"]} if tool.get("cache_control") is not None else {}
    return {"type": "function", "function": function, **mark}


def _set_output(out: dict[str, Any], body: Mapping[str, Any]) -> None:
    config = body.get("output_config")
    if config is not None and not isinstance(config, dict):
        raise BadRequest("'output_config' must be an object.", param="output_config")
    given = dict(config or {})
    form, at = given.pop("format", None), "output_config.format"
    if body.get("output_format") is not None:  # as it was called while it was new
        form, at = body["output_format"], "output_format"
    if form is not None:
        if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
            raise BadRequest("A format is an object of type json_schema with its 'schema'.", param=at)
        schema = form["schema"]
        out["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "strict": _wants_all(schema), "schema": schema}}
    effort = given.pop("effort", None)
    unknown = {name for name, value in given.items() if value is not None}
    if unknown:
        raise UnsupportedParameter("This cannot be said to every provider.", param=f"output_config.{min(unknown)[:60]}")
    if effort is not None:
        if effort not in ("low", "medium", "high", "xhigh", "max"):
            raise BadRequest("An effort is low, medium, high, xhigh or max.", param="output_config.effort")
        out["output_config"] = {"effort": effort}


def _wants_all(schema: Any) -> bool:
    """Whether all properties of all objects are required: OpenAI enforces no schema that leaves some out, and refuses to try."""
    if isinstance(schema, list):
        return all(map(_wants_all, schema))
    if not isinstance(schema, dict):
        return True
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, dict) and not (isinstance(required, list) and all(name in required for name in properties)):
        return False
    return all(map(_wants_all, schema.values()))


def _set_context(out: dict[str, Any], management: Any) -> None:
    if management is None:
        return
    edits = management.get("edits") if isinstance(management, dict) and management.keys() <= {"edits"} else None
    if not isinstance(edits, list) or not all(isinstance(edit, dict) and isinstance(edit.get("type"), str) for edit in edits):
        raise BadRequest("'context_management' is an object with a list of 'edits'.", param="context_management")
    if edits:
        out["context_management"] = management


def _check_thinking(thinking: Any) -> None:
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in _THINKING:
        raise BadRequest(f"'thinking' is an object of type {', '.join(_THINKING)}.", param="thinking")
    budget = thinking.get("budget_tokens")
    if kind == "enabled" and (type(budget) is not int or budget < 1):
        raise BadRequest("'budget_tokens' is a number of tokens.", param="thinking.budget_tokens")
