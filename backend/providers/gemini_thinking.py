"""How much a model is asked to think: by a level from Gemini 3 on, by a budget of tokens in 2.5, not at all before.

Sources: ai.google.dev/gemini-api/docs/thinking and the table of efforts in ai.google.dev/gemini-api/docs/openai.
"""

import re
from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import BadRequest, UnsupportedParameter

_VERSION = re.compile(r"gemini-(\d+)(?:[.-](\d+))?")
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576}


def wants_signatures(model: str) -> bool:
    """Whether the model refuses calls of the running turn that are not signed."""
    version = _version(model)
    return version is None or version >= (3, 0)


def thinking_config(body: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """What OpenAI's `reasoning_effort`, OpenRouter's `reasoning` or Anthropic's `thinking` ask for; None where nothing does.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    effort, budget, shown, param = _asked(body)
    if effort is None and budget is None:
        return None
    version = _version(model)
    if version is not None and version < (2, 5):
        if effort == "none" or budget == 0:
            return None
        raise UnsupportedParameter("This model does not think.", param=param)
    is_pro = "pro" in model
    if budget is None and effort is not None and (version is None or version >= (3, 0)):
        return _level(effort, (3, 1) if version is None else version, param, is_pro=is_pro, shown=shown)
    if budget is None:
        budget = _BUDGETS[effort or "medium"]
    if budget == 0 and is_pro:
        raise UnsupportedParameter("This model cannot be kept from thinking.", param=param)
    return {"thinkingBudget": budget, "includeThoughts": shown and budget != 0}


def _level(effort: str, version: tuple[int, int], param: str, *, is_pro: bool, shown: bool) -> dict[str, Any]:
    if effort == "none":
        if is_pro:
            raise UnsupportedParameter("This model cannot be kept from thinking.", param=param)
        return {"thinkingLevel": "MINIMAL", "includeThoughts": False}
    level = "high" if effort == "xhigh" else effort
    if is_pro:
        # Pro knows no minimal, and before 3.1 nothing between low and high.
        level = "low" if level == "minimal" else "high" if level == "medium" and version < (3, 1) else level
    return {"thinkingLevel": level.upper(), "includeThoughts": shown}


def _asked(body: Mapping[str, Any]) -> tuple[str | None, int | None, bool, str]:
    """Effort, budget, whether the thoughts are shown, and the field that says so."""
    reasoning, thinking = body.get("reasoning"), body.get("thinking")
    for name in ("reasoning", "thinking"):
        if body.get(name) is not None and not isinstance(body[name], dict):
            raise BadRequest(f"'{name}' must be an object.", param=name)
    if isinstance(thinking, dict):
        _say_it_once(body, "thinking", "reasoning", "reasoning_effort")
        if thinking.get("type") == "disabled":
            return "none", None, False, "thinking"
        budget = _tokens(thinking.get("budget_tokens"), "thinking.budget_tokens") or -1
        return None, budget, thinking.get("display") != "omitted", "thinking"
    effort, param, tokens, shown = body.get("reasoning_effort"), "reasoning_effort", None, True
    if isinstance(reasoning, dict):
        if any(reasoning.get(name) is not None for name in ("effort", "max_tokens", "enabled")) and reasoning.get("effort") != effort:
            _say_it_once(body, "reasoning", "reasoning_effort")
        if reasoning.get("effort") is not None and reasoning.get("max_tokens") is not None:
            raise BadRequest("'reasoning' has either an 'effort' or 'max_tokens'.", param="reasoning")
        effort, param = reasoning.get("effort") or effort, "reasoning"
        tokens = _tokens(reasoning.get("max_tokens"), "reasoning.max_tokens")
        shown = not reasoning.get("exclude")
        if reasoning.get("enabled") is False:
            return "none", None, False, param
        if reasoning.get("enabled") is True and effort is None and tokens is None:
            tokens = -1
    if effort is not None and not (isinstance(effort, str) and effort in _BUDGETS):
        raise BadRequest(f"The effort is one of {', '.join(_BUDGETS)}.", param=param)
    return (None if tokens is not None else effort), tokens, shown, param


def _say_it_once(body: Mapping[str, Any], said: str, *others: str) -> None:
    for name in others:
        if body.get(name) is not None:
            raise UnsupportedParameter(f"'{said}' says already how much to think.", param=name)


def _tokens(value: Any, param: str) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise BadRequest("A budget of thoughts is a number of tokens.", param=param)
    return value


def _version(model: str) -> tuple[int, int] | None:
    """None for a name that does not tell, such as gemini-flash-latest or a tuned model's: taken for a new one."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None
