"""Fields of a body that let a call cost more than can be bounded from here, or be answered by somebody who was not priced.

Unknown fields pass through, but not these: a budget that they go past would not hold, nor would the models that a key may use.
See docs/decisions/0014-fields-without-a-bound.md.
"""

from collections.abc import Mapping
from typing import Any

_OTHERS = "lets another model or provider answer than the one that is priced"
_FEES = "brings fees for searches or tools, which nobody knows before"
_RATES = "changes the price of the tokens"
_PICTURES = "changes what a picture costs, beside 'size', 'n' and 'quality'"
_CAPS = "is a cap on the answer beside the one that is priced ('max_tokens')"
_ELSEWHERE = "may name content that is elsewhere, of unknown size"

_REASONS: dict[str, str] = {
    # OpenRouter, and the LiteLLM proxy
    "models": _OTHERS,
    "route": _OTHERS,
    "provider": _OTHERS,
    "preset": _OTHERS,
    "fallbacks": _OTHERS,
    "plugins": _FEES,
    # OpenAI and Perplexity, xAI, DashScope
    "web_search_options": _FEES,
    "search_parameters": _FEES,
    "enable_search": _FEES,
    "search_options": _FEES,
    # Tools that run at the provider
    "tools": _FEES,
    # Anthropic
    "speed": _RATES,
    "inference_geo": _RATES,
    # Images in an answer cost ten times its text, where that price is known at all
    "modalities": _RATES,
    # Gemini
    "extra_body": _ELSEWHERE,
    "cached_content": _ELSEWHERE,
    # Azure OpenAI
    "data_sources": _ELSEWHERE,
    # llama.cpp and text-generation-inference
    "n_predict": _CAPS,
    "max_new_tokens": _CAPS,
    # Pictures of Together, DeepInfra, fal and xAI
    **dict.fromkeys(("width", "height", "steps", "num_inference_steps", "num_images", "image_size", "resolution"), _PICTURES),
}
NAMES = frozenset(_REASONS)
_NONE: frozenset[str] = frozenset()
_ON_WHEN_EMPTY = frozenset({"web_search_options", "search_parameters"})
"""An empty object means: with the defaults. OpenAI's own examples switch searching on with `web_search_options={}`."""
_BOUNDED_TOOLS = frozenset({None, "function", "custom"})
_BOUNDED_MODALITIES = frozenset({"text", "audio"})


def unbounded_fields(body: Mapping[str, Any]) -> frozenset[str]:
    """Which of `NAMES` are in the body and mean something there."""
    if NAMES.isdisjoint(body):
        return _NONE
    return frozenset([name for name in NAMES.intersection(body) if _means_something(name, body[name])])


def reason(name: str) -> str:
    return _REASONS[name]


def _means_something(name: str, value: Any) -> bool:
    if name == "tools" and isinstance(value, list):
        return any(isinstance(tool, dict) and not _is_one_of(tool.get("type"), _BOUNDED_TOOLS) for tool in value)
    if name == "modalities" and isinstance(value, list):
        return not all(_is_one_of(modality, _BOUNDED_MODALITIES) for modality in value)
    return bool(value) or (name in _ON_WHEN_EMPTY and value == {})


def _is_one_of(value: Any, known: frozenset[str | None]) -> bool:
    return (value is None or isinstance(value, str)) and value in known
