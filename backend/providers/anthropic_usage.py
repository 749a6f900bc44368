"""Anthropic's `usage` into disjoint buckets and into OpenAI's overlapping shape, so that no token is counted twice.

`input_tokens` has neither what was read from the cache nor what was written to it: those are beside it. `cache_creation` splits what was
written by how long it lives; `output_tokens` includes the thinking. Source: types/usage.py of the official Python SDK.
"""

from typing import Any

from backend.pricing.usage import Usage

_MAX_COUNT = 2**31 - 1
_CUMULATIVE = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def merged(start: dict[str, Any], later: Any) -> dict[str, Any]:
    """The usage of `message_start` with that of a `message_delta`.

    The counts are cumulative, so the larger one is the later one: servers that speak this API leave some out, or put 0 in one of the two.
    """
    if not isinstance(later, dict):
        return start
    whole = start | {name: value for name, value in later.items() if value is not None}
    for name in _CUMULATIVE:
        counts = [usage[name] for usage in (start, later) if _is_count(usage.get(name))]
        if counts:
            whole[name] = max(counts)
    return whole


def usage_from_anthropic(usage: Any) -> Usage | None:
    """None where input or output were not counted."""
    if not isinstance(usage, dict) or not _is_count(usage.get("input_tokens")) or not _is_count(usage.get("output_tokens")):
        return None
    split = usage.get("cache_creation")
    parts: dict[str, Any] = split if isinstance(split, dict) else {}
    for_an_hour, usual = _count(parts.get("ephemeral_1h_input_tokens")), _count(parts.get("ephemeral_5m_input_tokens"))
    total = usage.get("cache_creation_input_tokens")
    written = _count(total) if _is_count(total) else for_an_hour + usual
    for_an_hour = min(for_an_hour, written)
    details = usage.get("output_tokens_details")
    output = _count(usage["output_tokens"])
    reasoning = min(_count(details.get("thinking_tokens")) if isinstance(details, dict) else 0, output)
    return Usage(
        input=_count(usage["input_tokens"]),
        cache_read=_count(usage.get("cache_read_input_tokens")),
        cache_write=written - for_an_hour,
        cache_write_1h=for_an_hour,
        output=output - reasoning,
        reasoning=reasoning,
    )


def tier_from_anthropic(usage: Any) -> str | None:
    """OpenAI's word for the service tier that the call was served in."""
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return {"standard": "default", "priority": "priority", "flex": "flex"}.get(tier) if isinstance(tier, str) else None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _count(value: Any) -> int:
    return value if _is_count(value) else 0
