"""An OpenAI-shaped chat body as the body of `generateContent`.

What Gemini has no word for is refused rather than lost (`dropping` says what becomes of it then). Sources:
ai.google.dev/api/generate-content (GenerateContentRequest, GenerationConfig, ThinkingConfig), ai.google.dev/api/caching (Tool,
ToolConfig), and for what efforts mean ai.google.dev/gemini-api/docs/openai.
"""

from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.dropping import Vocabulary, check_choice
from backend.providers.gemini_media import Fetched
from backend.providers.gemini_messages import conversation
from backend.providers.gemini_schema import gemini_schema
from backend.providers.gemini_thinking import thinking_config, wants_signatures

_PLAIN = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_SAID = frozenset(_PLAIN) | {
    "messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "n", "logprobs", "top_logprobs",
    "tools", "tool_choice", "response_format", "reasoning_effort", "reasoning", "thinking", "safety_settings", "cached_content",
    "extra_body", "modalities", "parallel_tool_calls",
}  # fmt: skip
VOCABULARY = Vocabulary("Gemini's models", _SAID)
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def gemini_body(
    body: Mapping[str, Any],
    model: str,
    cap: int | None,
    *,
    fetched: Mapping[str, Fetched] = {},
    buckets: tuple[str, ...] = (),
    knows_ids: bool = False,
) -> dict[str, Any]:
    """The body for Gemini; the caller's is not changed.

    Args:
        model: the upstream's own id, whose family decides how thinking is asked for.
        cap: the most tokens of an answer, thoughts included.
        fetched, buckets: as in `gemini_media.media_part`.
        knows_ids: the server takes ids of calls, where the model does.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, where something cannot be said.
    """
    VOCABULARY.check(body)
    is_new = wants_signatures(model)
    said = conversation(body["messages"], fetched=fetched, buckets=buckets, signed=is_new, ids=is_new and knows_ids)
    config = _generation(body, model, cap)
    extra = _extra(body)
    whole: dict[str, Any] = {"contents": said.contents, "generationConfig": config}
    if said.system is not None:
        whole["systemInstruction"] = said.system
    _tools(body, whole)
    for name, ours, theirs in (("safety_settings", "safetySettings", list), ("cached_content", "cachedContent", str)):
        value = body.get(name) or extra.get(name)
        if value:
            if not isinstance(value, theirs):
                raise BadRequest(f"'{name}' must be a {'list' if theirs is list else 'text'}.", param=name)
            whole[ours] = value
    if "thinking_config" in extra:
        config["thinkingConfig"] = extra["thinking_config"]
    return whole


def _generation(body: Mapping[str, Any], model: str, cap: int | None) -> dict[str, Any]:
    config = {ours: body[name] for name, ours in _PLAIN.items() if body.get(name) is not None}
    if cap is not None:
        config["maxOutputTokens"] = cap
    stop = body.get("stop")
    if stop:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if (body.get("n") or 1) > 1:
        config["candidateCount"] = body["n"]
    if body.get("logprobs"):
        config["responseLogprobs"] = True
        if body.get("top_logprobs"):
            config["logprobs"] = body["top_logprobs"]
    elif body.get("top_logprobs"):
        raise UnsupportedParameter("'top_logprobs' needs 'logprobs'.", param="top_logprobs")
    thinking = thinking_config(body, model)
    if thinking:
        config["thinkingConfig"] = thinking
    _format(body.get("response_format"), config)
    modalities = body.get("modalities")
    if modalities and modalities != ["text"]:
        if not isinstance(modalities, list) or not set(map(str, modalities)) <= {"text", "image"}:
            raise UnsupportedParameter("This provider answers in texts and images only.", param="modalities")
        config["responseModalities"] = [modality.upper() for modality in modalities]
    return config


def _format(form: Any, config: dict[str, Any]) -> None:
    kind = form.get("type") if isinstance(form, dict) else None
    if form is None or kind == "text":
        return
    if kind not in ("json_object", "json_schema"):
        raise BadRequest("'response_format' is of type text, json_object or json_schema.", param="response_format")
    config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        given = form.get("json_schema")
        schema = given.get("schema") if isinstance(given, dict) else None
        if schema is None:
            raise BadRequest("The JSON schema is missing.", param="response_format.json_schema.schema")
        config["responseJsonSchema"] = gemini_schema(schema, "response_format.json_schema.schema")


def _tools(body: Mapping[str, Any], whole: dict[str, Any]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not tools:
        check_choice(body)
        return
    if not isinstance(tools, list):
        raise BadRequest("'tools' must be a list.", param="tools")
    if body.get("parallel_tool_calls") is False:
        raise UnsupportedParameter("Gemini's models cannot be told to call one tool at a time.", param="parallel_tool_calls")
    whole["tools"] = [{"functionDeclarations": [_declaration(tool, f"tools[{index}]") for index, tool in enumerate(tools)]}]
    if choice is not None and choice != "auto":
        whole["toolConfig"] = {"functionCallingConfig": _calling(choice)}


def _declaration(tool: Any, where: str) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type", "function") != "function":
        raise UnsupportedParameter("Only functions can be offered to this provider as tools.", param=where)
    if not isinstance(function.get("name"), str):
        raise BadRequest("A function needs its name.", param=f"{where}.function.name")
    declared: dict[str, Any] = {"name": function["name"]}
    if function.get("description"):
        declared["description"] = function["description"]
    if function.get("parameters"):
        declared["parametersJsonSchema"] = gemini_schema(function["parameters"], f"{where}.function.parameters")
    return declared


def _calling(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "function":
        return {"mode": "ANY", "allowedFunctionNames": [_name(choice, "tool_choice")]}
    if kind == "allowed_tools" and isinstance(choice.get("allowed_tools"), dict):
        allowed = choice["allowed_tools"]
        names = [_name(tool, "tool_choice.allowed_tools.tools") for tool in allowed.get("tools") or ()]
        # AUTO takes no names; VALIDATED is free to answer in words as well.
        return {"mode": "ANY" if allowed.get("mode") == "required" else "VALIDATED", "allowedFunctionNames": names}
    raise BadRequest("'tool_choice' is auto, none, required or the name of a function.", param="tool_choice")


def _name(tool: Any, where: str) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise BadRequest("A function needs its name.", param=where)
    return name


def _extra(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """`extra_body.google` of Google's own OpenAI-compatible API; the gateway lets it through where the operator allows it."""
    given = body.get("extra_body")
    google = given.get("google") if isinstance(given, dict) else None
    if given and (not isinstance(google, dict) or set(given) != {"google"}):
        raise UnsupportedParameter("Only 'google' is known in 'extra_body'.", param="extra_body")
    unknown = set(google or ()) - {"thinking_config", "safety_settings", "cached_content"}
    if unknown:
        raise UnsupportedParameter("This cannot be said to this provider.", param=f"extra_body.google.{min(unknown)}")
    return google or {}
