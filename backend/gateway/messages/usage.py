"""What a call used, as Anthropic counts: `input_tokens` without what was read from the cache or written to it."""

from typing import Any

from backend.pricing.usage import Usage

_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


def usage_to_anthropic(usage: Usage, tier: Any = None) -> dict[str, Any]:
    """Of a whole message, or of `message_start`. `tier`: as a chat answer names it."""
    return {
        **usage_so_far(usage),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "service_tier": _TIERS.get(tier) if isinstance(tier, str) else None,
    }


def usage_so_far(usage: Usage) -> dict[str, Any]:
    """Of `message_delta`: all of it, because the counts of `message_start` may have been estimated."""
    told: dict[str, Any] = {
        "input_tokens": usage.input + usage.audio_input,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.total_output,
    }
    if usage.reasoning:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return told
