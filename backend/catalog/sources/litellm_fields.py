"""The grammar of the LiteLLM map's field names: what a field prices, per what, and under which conditions.

    field   := head ("_above_" N "k_tokens")? ("_above_1hr")? ("_" tier)? | head "_" resolution
    head    := direction "_cost_per_" thing | "cache_creation_input" … "token_cost" | "cache_read_input" … "token_cost" | a named extra

Suffixes come in any order. `parse_field` answers None for a field that is no price; the caller decides whether it is a fact.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from backend.pricing.tiers import Tier

_SERVICE = {
    "batches": "batch", "flex": "flex", "priority": "priority", "balanced": "balanced", "ultrafast": "ultrafast", "decisions": "decisions",
}  # fmt: skip
_CONTEXT = re.compile(r"_above_(\d+)k_tokens")
_HOUR = "_above_1hr"
_TIER = re.compile(rf"_({'|'.join(_SERVICE)})(?=_|$)")
_INTERVAL = re.compile(r"_above_(\d+)s_interval$")
_RESOLUTION = re.compile(r"_(\d+(?:\.\d+)?[kK]|\d{3,4}p?)$")

_HEADS: dict[str, tuple[str, str, int]] = {
    "input_cost_per_token": ("input", "token", 1),
    "output_cost_per_token": ("output", "token", 1),
    "output_cost_per_reasoning_token": ("reasoning", "token", 1),
    "cache_read_input_token_cost": ("cache_read", "token", 1),
    "input_cost_per_token_cache_hit": ("cache_read", "token", 1),
    "explicit_cache_read_input_token_cost": ("cache_read", "token", 1),
    "cache_creation_input_token_cost": ("cache_write", "token", 1),
    "cache_read_input_audio_token_cost": ("cache_read_audio", "token", 1),
    "cache_creation_input_audio_token_cost": ("cache_write_audio", "token", 1),
    "cache_read_input_image_token_cost": ("cache_read_image", "token", 1),
    "input_cost_per_audio_token": ("audio_in", "token", 1),
    "output_cost_per_audio_token": ("audio_out", "token", 1),
    "input_cost_per_image_token": ("image_in", "token", 1),
    "output_cost_per_image_token": ("image_out", "token", 1),
    "input_cost_per_video_token": ("video_in", "token", 1),
    "output_cost_per_video_token": ("video_out", "token", 1),
    "input_cost_per_audio_per_second": ("audio_in", "second", 1),
    "input_cost_per_video_per_second": ("video_in", "second", 1),
    "output_cost_per_video_per_second": ("video_out", "second", 1),
    "input_cost_per_second": ("input", "second", 1),
    "output_cost_per_second": ("output", "second", 1),
    "cost_per_second": ("compute", "second", 1),
    "input_cost_per_character": ("input", "character", 1),
    "output_cost_per_character": ("output", "character", 1),
    "input_cost_per_image": ("image_in", "image", 1),
    "output_cost_per_image": ("image_out", "image", 1),
    "input_cost_per_pixel": ("image_in", "pixel", 1),
    "output_cost_per_pixel": ("image_out", "pixel", 1),
    "input_cost_per_query": ("input", "query", 1),
    "input_cost_per_request": ("request", "request", 1),
    "input_cost_per_text_message": ("text_message", "message", 1),
    "citation_cost_per_token": ("citation", "token", 1),
    "google_maps_grounding_cost_per_query": ("maps_grounding", "query", 1),
    "ocr_cost_per_page": ("ocr", "page", 1),
    "ocr_cost_per_credit": ("ocr", "credit", 1),
    "annotation_cost_per_page": ("annotation", "page", 1),
    "code_interpreter_cost_per_session": ("code_interpreter", "session", 1),
    "computer_use_input_cost_per_1k_tokens": ("computer_use_in", "token", 1000),
    "computer_use_output_cost_per_1k_tokens": ("computer_use_out", "token", 1000),
    "file_search_cost_per_1k_calls": ("file_search", "query", 1000),
    "file_search_cost_per_gb_per_day": ("storage", "gb_day", 1),
    "vector_store_cost_per_gb_per_day": ("storage", "gb_day", 1),
}


@dataclass(frozen=True, slots=True)
class PricedField:
    """What one field prices. The field's number holds for `per` units."""

    component: str
    unit: str
    per: int
    tier: Tier


@lru_cache(maxsize=1024)
def parse_field(field: str) -> PricedField | None:
    """The meaning of a field's name, or None if it does not follow the grammar."""
    context = service = ttl = variant = None
    head = field
    if match := _CONTEXT.search(head):
        context, head = int(match.group(1)) * 1000, head.replace(match.group(), "", 1)
    if _HOUR in head:
        ttl, head = 3600, head.replace(_HOUR, "", 1)
    if match := _INTERVAL.search(head):
        variant, head = f"longer than {match.group(1)} s", head[: match.start()]
    if head not in _HEADS and (match := _TIER.search(head)):
        service, head = _SERVICE[match.group(1)], head[: match.start()] + head[match.end() :]
    if head not in _HEADS and variant is None and (match := _RESOLUTION.search(head)):
        variant, head = match.group(1), head[: match.start()]
    if head == "explicit_cache_read_input_token_cost":
        variant = "explicit"
    known = _HEADS.get(head)
    if known is None:
        return None
    component, unit, per = known
    return PricedField(component, unit, per, Tier(context, service, None, None, ttl, variant))


FACTS = frozenset({
    "litellm_provider", "mode", "max_tokens", "max_input_tokens", "max_output_tokens", "deprecation_date", "source", "metadata", "comment",
    "supported_modalities", "supported_output_modalities", "supported_regions", "supported_audio_formats", "supported_endpoints",
})  # fmt: skip
"""Fields that become columns of their own (or, for `source`, the price's address)."""

NESTED_PRICES = frozenset({
    "tiered_pricing", "off_peak_pricing", "search_context_cost_per_query", "guardrail_cost_per_unit", "regional_endpoint_uplift_multiplier",
    "regional_processing_uplift_multiplier_eu", "regional_processing_uplift_multiplier_us", "provider_specific_entry",
})  # fmt: skip
"""Prices that are written as lists, objects or multipliers of other prices."""

CAPABILITY_FIELDS: dict[str, str] = {
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_vision": "vision",
    "supports_image_input": "vision",
    "supports_reasoning": "reasoning",
    "supports_response_schema": "structured_output",
    "supports_native_structured_output": "structured_output",
    "supports_prompt_caching": "prompt_caching",
    "supports_web_search": "web_search",
    "supports_computer_use": "computer_use",
    "supports_pdf_input": "pdf_input",
    "supports_audio_input": "audio_input",
    "supports_audio_output": "audio_output",
    "supports_video_input": "video_input",
    "supports_url_context": "url_context",
    "supports_system_messages": "system_messages",
    "supports_assistant_prefill": "assistant_prefill",
    "supports_sampling_params": "temperature",
}

KEPT = frozenset({
    "audio_transcription_config", "bedrock_converse_supports_strict_tools", "bedrock_output_config_effort_ceiling",
    "default_reasoning_effort", "gemini_audio_only_live",
    "gemini_native_audio", "input_dbu_cost_per_token", "output_dbu_cost_per_token", "output_vector_size", "prompt_cache_min_tokens",
    "reasoning_effort_levels", "rpm", "rules", "search_free_requests", "thinking_always_on", "token_count_framing", "token_count_model",
    "token_count_tokenizer", "tpm", "use_openai_responses_path", "uses_embed_content", "vertex_ai_audio_api", "web_search_billing_unit",
})  # fmt: skip
"""Fields without a column that are kept in the offer's `extra` as they are, and understood to be no price in dollars. (DBU amounts are
Databricks units, not money; the map carries the same prices in dollars beside them.) So is every `supports_…` not named above."""


def is_known(field: str) -> bool:
    """Whether the field is understood; the others are kept in `extra` as well, and counted."""
    return (
        field in FACTS
        or field in NESTED_PRICES
        or field in KEPT
        or field in CAPABILITY_FIELDS
        or field.startswith("supports_")
        or parse_field(field) is not None
    )
