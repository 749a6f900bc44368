"""An OpenAI-shaped chat body into a body of Anthropic's Messages API.

What both can say is said; what only OpenAI's API has is refused by name (`dropping` says what becomes of it then). A JSON schema is asked
for by `output_config.format`, which all models from 4.5 on have, and never by a forced tool: older models answer 400 themselves.
`reasoning_effort` is an effort for models that think adaptively, and a share of the cap for those that want a budget of tokens.
Anthropic's own `thinking`, `output_config` and `context_management` go through as they are.

Source: platform.claude.com/docs/en/api/messages.
"""

from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.anthropic_messages import translated
from backend.providers.anthropic_models import always_thinks, takes_prefill, thinks_adaptively
from backend.providers.anthropic_schema import closed_schema
from backend.providers.dropping import Vocabulary, check_choice
from backend.providers.nested_hints import MARKS, STRICT, TOOL_MARKS

DEFAULT_CAP = 4096
LEAST_BUDGET = 1024
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Of the cap, as OpenRouter shares it."""
_TIERS = {"auto": "auto", "default": "standard_only"}

_AS_IT_IS = ("temperature", "top_p", "top_k", "thinking", "cache_control", "context_management")
_CLEARINGS = ("clear_thinking_", "clear_tool_uses_")
"""Edits of the context that only leave something out of the prompt; others are billed by themselves and answered in blocks of their own."""
_SAID_ELSEWHERE = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice",
    "parallel_tool_calls", "response_format", "reasoning_effort", "user", "safety_identifier", "service_tier", "output_config",
    "anthropic_beta", *_AS_IT_IS,
})  # fmt: skip
COUNTED = frozenset({
    "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "context_management", "cache_control",
})  # fmt: skip
"""What `POST /v1/messages/count_tokens` takes of a body."""
VOCABULARY = Vocabulary("Anthropic's models", _SAID_ELSEWHERE | {MARKS, TOOL_MARKS, STRICT})


def messages_body(body: Mapping[str, Any], model: str, cap: int | None, *, stream: bool) -> dict[str, Any]:
    """The body for `POST /v1/messages`; the one given is not changed.

    Args:
        cap: the most tokens of the answer, thoughts included.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    VOCABULARY.check(body)
    max_tokens = cap or body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_CAP
    system, messages = translated(body["messages"])
    if messages and messages[-1]["role"] == "assistant":
        if not takes_prefill(model):
            raise UnsupportedParameter("This model does not go on from a message of its own; end with the user's.", param="messages")
        _end_bare(messages)
    out: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "messages": messages}
    if system is not None:
        out["system"] = system
    if stream:
        out["stream"] = True
    out |= {name: body[name] for name in _AS_IT_IS if body.get(name) is not None}
    temperature = out.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        raise UnsupportedParameter("For Anthropic's models 'temperature' is from 0 to 1.", param="temperature")
    if body.get("stop") is not None:
        stop = body["stop"]
        out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    user, same = body.get("user"), body.get("safety_identifier")
    if user or same:
        if user and same and user != same:
            raise UnsupportedParameter("Anthropic knows one name of who is asking.", param="safety_identifier")
        out["metadata"] = {"user_id": user or same}
    _set_tier(out, body.get("service_tier"))
    _set_tools(out, body)
    _check_edits(out.get("context_management"))
    config = body.get("output_config")
    if config is not None:
        if not isinstance(config, dict):
            raise BadRequest("'output_config' must be an object.", param="output_config")
        out["output_config"] = config
    _set_format(out, body.get("response_format"))
    _set_effort(out, body.get("reasoning_effort"))
    return out


def _check_edits(management: Any) -> None:
    edits = management.get("edits") if isinstance(management, dict) else None
    for edit in edits if isinstance(edits, list) else ():
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not isinstance(kind, str) or not kind.startswith(_CLEARINGS):
            raise UnsupportedParameter("The context is only edited by clearing thoughts or uses of tools.", param="context_management")


def _end_bare(messages: list[dict[str, Any]]) -> None:
    """Anthropic refuses a last message of the assistant that ends in white space, or that is empty."""
    content = messages[-1]["content"]
    if isinstance(content, str):
        content = content.rstrip()
    elif content[-1]["type"] == "text":
        last = {**content[-1], "text": content[-1]["text"].rstrip()}
        content = [*content[:-1], last] if last["text"] else content[:-1]
    if content:
        messages[-1]["content"] = content
    else:
        messages.pop()


def _set_tier(out: dict[str, Any], tier: Any) -> None:
    if tier is None:
        return
    if not isinstance(tier, str) or tier not in _TIERS:
        raise UnsupportedParameter("For Anthropic's models 'service_tier' is auto or default.", param="service_tier")
    out["service_tier"] = _TIERS[tier]


def _set_tools(out: dict[str, Any], body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if not tools:
        check_choice(body)
        return
    if not isinstance(tools, list):
        raise BadRequest("'tools' must be a list.", param="tools")
    out["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    choice = _tool_choice(body.get("tool_choice"))
    if body.get("parallel_tool_calls") is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice is not None:
        out["tool_choice"] = choice


def _tool(tool: Any, at: str) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type", "function") != "function":
        raise UnsupportedParameter("Only tools of type 'function' can be translated for Anthropic's models.", param=at)
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    is_strict = function.get("strict") is True
    out = {"name": function.get("name"), "input_schema": closed_schema(schema, f"{at}.function.parameters") if is_strict else schema}
    if function.get("description"):
        out["description"] = function["description"]
    if is_strict:
        out["strict"] = True
    mark = tool.get("cache_control") or function.get("cache_control")
    return out | ({"cache_control": mark} if mark is not None else {})


def _tool_choice(choice: Any) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in ("auto", "none", "required"):
        return {"type": "any" if choice == "required" else choice}
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"type": "tool", "name": function["name"]}
    raise UnsupportedParameter("For Anthropic's models 'tool_choice' is auto, none, required or a function.", param="tool_choice")


def _set_format(out: dict[str, Any], form: Any) -> None:
    kind = form.get("type") if isinstance(form, dict) else form
    if kind is None or kind == "text":
        return
    if kind != "json_schema":
        raise UnsupportedParameter("Anthropic's models answer in JSON by a schema only: use json_schema.", param="response_format")
    given = form.get("json_schema")
    if not isinstance(given, dict):
        raise BadRequest("'response_format' of type json_schema needs 'json_schema'.", param="response_format.json_schema")
    schema = closed_schema(given.get("schema"), "response_format.json_schema.schema")
    if "format" in out.get("output_config", {}):
        raise BadRequest("The answer has either the format of 'output_config' or that of 'response_format'.", param="response_format")
    out["output_config"] = {**out.get("output_config", {}), "format": {"type": "json_schema", "schema": schema}}


def _set_effort(out: dict[str, Any], effort: Any) -> None:
    if effort is None:
        return
    if effort == "none":
        if always_thinks(out["model"]):
            raise UnsupportedParameter("This model cannot be kept from thinking.", param="reasoning_effort")
        if out.get("thinking", {}).get("type", "disabled") != "disabled":
            raise BadRequest("'thinking' asks for thoughts, and 'reasoning_effort' for none.", param="reasoning_effort")
        if thinks_adaptively(out["model"]):
            out["thinking"] = {"type": "disabled"}
        return
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise UnsupportedParameter(f"'reasoning_effort' is none, {', '.join(_EFFORTS)}.", param="reasoning_effort")
    if thinks_adaptively(out["model"]):
        # Without this the newest models think without a word of it in the answer.
        out.setdefault("thinking", {"type": "adaptive", "display": "summarized"})
        if out.get("output_config", {}).get("effort", _EFFORTS[effort]) != _EFFORTS[effort]:
            raise UnsupportedParameter("'output_config' says another effort already.", param="reasoning_effort")
        out["output_config"] = {**out.get("output_config", {}), "effort": _EFFORTS[effort]}
        return
    if "thinking" in out:
        raise BadRequest("This model takes either 'thinking' or 'reasoning_effort'.", param="reasoning_effort")
    cap = out["max_tokens"]
    if cap <= LEAST_BUDGET:
        raise BadRequest(f"To think, this model needs a cap of more than {LEAST_BUDGET:,} tokens.", param="reasoning_effort")
    out["thinking"] = {"type": "enabled", "budget_tokens": min(max(LEAST_BUDGET, int(cap * _SHARES[effort])), cap - 1)}
