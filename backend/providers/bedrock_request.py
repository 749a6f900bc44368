"""An OpenAI-shaped chat body into a body of Bedrock's Converse, which has one shape for all models.

What both can say is said; what only OpenAI's API has is refused by name (`dropping` says what becomes of it then). What belongs to one
family of models goes into `additionalModelRequestFields`, under the name that the family has for it. Sources:
docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html; for the families …/userguide/model-parameters.html and
…/nova/latest/nova2-userguide.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.bedrock_messages import cache_point, marked_at_its_end, translated
from backend.providers.dropping import Vocabulary, check_choice
from backend.providers.nested_hints import MARKS, STRICT, TOOL_MARKS

_SAID_ELSEWHERE = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "temperature", "top_p", "top_k",
    "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "service_tier", "thinking",
})  # fmt: skip
VOCABULARY = Vocabulary("Bedrock's models", _SAID_ELSEWHERE | {MARKS, TOOL_MARKS, STRICT})
_TIERS = {"default": "default", "flex": "flex", "priority": "priority"}
_TOP_K = (
    ("anthropic.", lambda k: {"top_k": k}),
    ("mistral.", lambda k: {"top_k": k}),
    ("cohere.", lambda k: {"k": k}),
    ("amazon.nova", lambda k: {"inferenceConfig": {"topK": k}}),
)
_THINKING = (("anthropic.", lambda thinking: {"thinking": thinking}),)
_EFFORTS = (
    ("openai.gpt-oss", lambda effort: {"reasoning_effort": effort}),
    ("deepseek.v3", lambda effort: {"reasoning_effort": effort}),
    ("amazon.nova-2", lambda effort: {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}),
)
"""By a part of the model's id, what its family calls it."""
_ALWAYS_THINK = ("openai.gpt-oss", "deepseek.r1")


def converse_body(body: Mapping[str, Any], model: str, cap: int | None) -> dict[str, Any]:
    """The body for `converse` and `converse-stream`; the one given is not changed.

    Args:
        cap: the most tokens of the answer.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    body = marked_at_its_end(body)
    VOCABULARY.check(body)
    system, messages = translated(body["messages"])
    out: dict[str, Any] = {"messages": messages}
    if system:
        out["system"] = system
    inference = _inference(body, cap)
    if inference:
        out["inferenceConfig"] = inference
    _set_tools(out, body)
    _set_format(out, body.get("response_format"))
    tier = body.get("service_tier")
    if tier not in (None, "auto"):
        if not isinstance(tier, str) or tier not in _TIERS:
            raise UnsupportedParameter(f"For Bedrock's models 'service_tier' is auto, {', '.join(_TIERS)}.", param="service_tier")
        out["serviceTier"] = {"type": _TIERS[tier]}
    more: dict[str, Any] = {}
    if body.get("top_k") is not None:
        more |= _of_family(_TOP_K, model, "top_k", body["top_k"])
    if body.get("thinking") is not None:
        more |= _of_family(_THINKING, model, "thinking", body["thinking"])
    effort = body.get("reasoning_effort")
    if effort == "none" and any(family in model for family in _ALWAYS_THINK):
        raise UnsupportedParameter("This model cannot be kept from thinking.", param="reasoning_effort")
    if effort not in (None, "none"):
        if effort not in ("low", "medium", "high"):
            raise UnsupportedParameter("For Bedrock's models 'reasoning_effort' is none, low, medium or high.", param="reasoning_effort")
        more |= _of_family(_EFFORTS, model, "reasoning_effort", effort)
    if more:
        out["additionalModelRequestFields"] = more
    return out


def _inference(body: Mapping[str, Any], cap: int | None) -> dict[str, Any]:
    temperature = body.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        raise UnsupportedParameter("For Bedrock's models 'temperature' is from 0 to 1.", param="temperature")
    stop = body.get("stop")
    said = {
        "maxTokens": cap or body.get("max_completion_tokens") or body.get("max_tokens"),
        "temperature": temperature,
        "topP": body.get("top_p"),
        "stopSequences": [stop] if isinstance(stop, str) else stop,
    }
    return {name: value for name, value in said.items() if value is not None}


def _of_family(families: Any, model: str, field: str, value: Any) -> dict[str, Any]:
    for part, said in families:
        if part in model:
            fields: dict[str, Any] = said(value)
            return fields
    raise UnsupportedParameter(f"This model has no '{field}' on Bedrock.", param=field)


def _set_tools(out: dict[str, Any], body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if not tools:
        check_choice(body)
        return
    if not isinstance(tools, list):
        raise BadRequest("'tools' must be a list.", param="tools")
    choice = body.get("tool_choice")
    if choice == "none":
        # Converse has no word for it. It refuses calls in the history where there are no tools.
        if any("toolUse" in block or "toolResult" in block for message in out["messages"] for block in message["content"]):
            raise UnsupportedParameter("Bedrock's models cannot be shown calls of tools that they may not call.", param="tool_choice")
        return
    if body.get("parallel_tool_calls") is False:
        raise UnsupportedParameter("Bedrock's models cannot be told to call one tool at a time.", param="parallel_tool_calls")
    config: dict[str, Any] = {"tools": []}
    for number, tool in enumerate(tools):
        config["tools"] += _tool(tool, f"tools[{number}]")
    if choice is not None:
        config["toolChoice"] = _tool_choice(choice)
    out["toolConfig"] = config


def _tool(tool: Any, at: str) -> list[dict[str, Any]]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type", "function") != "function":
        raise UnsupportedParameter("Only tools of type 'function' can be translated for Bedrock.", param=at)
    spec: dict[str, Any] = {"name": function.get("name")}
    if function.get("description"):
        spec["description"] = function["description"]
    spec["inputSchema"] = {"json": function.get("parameters") or {"type": "object", "properties": {}}}
    if function.get("strict") is True:
        spec["strict"] = True
    mark = tool.get("cache_control") or function.get("cache_control")
    return [{"toolSpec": spec}, *([cache_point(mark, f"{at}.cache_control")] if mark is not None else [])]


def _tool_choice(choice: Any) -> dict[str, Any]:
    if choice == "auto":
        return {"auto": {}}
    if choice == "required":
        return {"any": {}}
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"tool": {"name": function["name"]}}
    raise UnsupportedParameter("For Bedrock's models 'tool_choice' is auto, none, required or a function.", param="tool_choice")


def _set_format(out: dict[str, Any], form: Any) -> None:
    kind = form.get("type") if isinstance(form, dict) else form
    if kind is None or kind == "text":
        return
    if kind != "json_schema":
        raise UnsupportedParameter("Bedrock's models answer in JSON by a schema only: use json_schema.", param="response_format")
    given = form.get("json_schema")
    if not isinstance(given, dict) or not isinstance(given.get("schema"), dict):
        raise BadRequest("'response_format' of type json_schema needs 'json_schema' with a 'schema'.", param="response_format.json_schema")
    told = {"schema": orjson.dumps(given["schema"]).decode()}
    told |= {name: given[name] for name in ("name", "description") if isinstance(given.get(name), str)}
    out["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": told}}}
