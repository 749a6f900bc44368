"""A chat body without what only some providers understand: how calls in other protocols than chat's are put to the others. Pure.

Left out are marks for the prompt cache and signed thoughts, which nobody else could use, and so an order to clear thoughts away; said
otherwise are Anthropic's ways to ask for thoughts, pictures in the results of tools, and results that are errors. Several messages of
the assistant's in a row become one.
"""

from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import BadRequest, UnsupportedParameter

_LEFT_OUT = frozenset({"cache_control", "output_config", "anthropic_beta", "context_management"})
MARKS = "cache_control"
THOUGHTS = "thinking_blocks"
THINKING = "thinking"
SIGNED_CALLS = "extra_content"
ALL = frozenset({MARKS, THOUGHTS, THINKING, SIGNED_CALLS})
_LOW, _MEDIUM = 4096, 16_384
"""Tokens: up to the one little thought is meant, from the other on much."""
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh"}


def plain(body: Mapping[str, Any], known: frozenset[str]) -> Mapping[str, Any]:
    """The body for a provider that knows no more than `known` of what OpenAI's chat has no word for; the one given is not changed.

    Raises:
        UnsupportedParameter: with `param`.
    """
    edits = body["context_management"]["edits"] if "context_management" in body else ()
    if any(not edit["type"].startswith("clear_thinking_") for edit in edits):
        raise UnsupportedParameter("This provider clears nothing away from its prompt.", param="context_management")
    out = {name: value for name, value in body.items() if name not in _LEFT_OUT}
    effort = _effort(body)
    if THINKING not in known or (effort is not None and _object(body, "thinking").get("budget_tokens") is None):
        out.pop("thinking", None)
        if effort is not None:
            out["reasoning_effort"] = effort
    if body.get("tools"):
        out["tools"] = [{name: value for name, value in tool.items() if name != "cache_control"} for tool in body["tools"]]
    messages: list[dict[str, Any]] = []
    for message in body["messages"]:
        _add(messages, message, known)
    out["messages"] = _with_pictures(messages)
    return out


def _effort(body: Mapping[str, Any]) -> str | None:
    """What `reasoning_effort` comes near to what is asked for; None where nothing is, or where the model may decide."""
    thinking, effort = _object(body, "thinking"), _object(body, "output_config").get("effort")
    budget = thinking.get("budget_tokens")
    if effort is not None:
        if not isinstance(effort, str) or effort not in _EFFORTS:
            raise BadRequest(f"An effort is one of {', '.join(_EFFORTS)}.", param="output_config.effort")
        return _EFFORTS[effort]
    if budget is not None and type(budget) is not int:
        raise BadRequest("'budget_tokens' is a number of tokens.", param="thinking.budget_tokens")
    if thinking.get("type") != "enabled" or budget is None:
        return None
    return "low" if budget <= _LOW else "medium" if budget < _MEDIUM else "high"


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Of a body of `/v1/responses` as it was sent: only `/v1/messages` knows the field and has looked at it."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f"'{name}' must be an object.", param=name)
    return value or {}


def _add(messages: list[dict[str, Any]], message: Mapping[str, Any], known: frozenset[str]) -> None:
    told = {name: value for name, value in message.items() if name not in ("cache_control", "thinking_blocks", "is_error")}
    content = message.get("content")
    if isinstance(content, list):
        told["content"] = [_part(part, known) for part in content]
    if message.get("tool_calls"):
        dropped = ("cache_control",) if SIGNED_CALLS in known else ("cache_control", "extra_content")
        told["tool_calls"] = [{name: value for name, value in call.items() if name not in dropped} for call in message["tool_calls"]]
    if SIGNED_CALLS not in known:
        told.pop("extra_content", None)
    if message.get("is_error"):
        told["content"] = _as_error(told["content"])
    last = messages[-1] if messages else None
    if last is not None and last["role"] == told["role"] == "assistant":
        messages[-1] = _joined(last, told)
    else:
        messages.append(told)


def _part(part: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    told = {name: value for name, value in part.items() if name != "cache_control" or MARKS in known}
    file = part.get("file")
    if isinstance(file, dict) and "filename" not in file and isinstance(file.get("file_data"), str):
        told["file"] = {"filename": "document.pdf" if "application/pdf" in file["file_data"][:32] else "document", **file}
    return told


def _as_error(content: Any) -> Any:
    if isinstance(content, str):
        return content if content[:5].lower() == "error" else f"Error: {content}"
    return [{"type": "text", "text": "Error:"}, *content]


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both as one message: what was said, and then what was called."""
    content = _parts(first.get("content")) + _parts(second.get("content"))
    calls = [*first.get("tool_calls", ()), *second.get("tool_calls", ())]
    own = "".join([message.get("reasoning_content", "") for message in (first, second)])
    told = {**first, **second, "content": content or (None if calls else "")}
    told.pop("reasoning_content", None)
    if calls:
        told["tool_calls"] = calls
        if own:
            told["reasoning_content"] = own
    return told


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content or ())


def _with_pictures(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tools answer in texts only: what they show comes after their results, as if the user showed it."""
    out: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for message in [*messages, None]:
        if shown and (message is None or message["role"] != "tool"):
            following = _parts(message["content"]) if message is not None and message["role"] == "user" else None
            out.append({"role": "user", "content": shown + (following or [])})
            shown = []
            if following is not None:
                continue
        if message is None:
            break
        content = message.get("content")
        if message["role"] == "tool" and isinstance(content, list):
            pictures = [part for part in content if part.get("type") != "text"]
            texts = [part for part in content if part.get("type") == "text"]
            if pictures:
                named = {"type": "text", "text": f"What the tool showed for call {message['tool_call_id']}:"}
                shown += [named, *pictures]
                texts = texts or [{"type": "text", "text": "Shown in the message that follows."}]
            message = {**message, "content": "\n".join([part["text"] for part in texts])}
        out.append(message)
    return out
