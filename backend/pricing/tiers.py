"""The words of a price: components, units, and the tier (the conditions under which a price applies)."""

from dataclasses import dataclass, fields
from functools import lru_cache

COMPONENTS: dict[str, str] = {
    "input": "Input",
    "output": "Output",
    "cache_read": "Cached input, read",
    "cache_write": "Cached input, written",
    "reasoning": "Reasoning",
    "audio_in": "Audio in",
    "audio_out": "Audio out",
    "image_in": "Image in",
    "image_out": "Image out",
    "video_in": "Video in",
    "video_out": "Video out",
    "cache_read_audio": "Cached audio, read",
    "cache_write_audio": "Cached audio, written",
    "cache_read_image": "Cached image, read",
    "request": "Per request",
    "text_message": "Text message",
    "web_search": "Web search",
    "file_search": "File search",
    "maps_grounding": "Maps grounding",
    "citation": "Citations",
    "ocr": "Document reading",
    "annotation": "Document annotation",
    "computer_use_in": "Computer use, in",
    "computer_use_out": "Computer use, out",
    "code_interpreter": "Code interpreter",
    "guardrail": "Guardrail",
    "storage": "Storage",
    "compute": "Compute time",
}

SURCHARGES = frozenset({
    "web_search", "file_search", "maps_grounding", "code_interpreter", "computer_use_in", "computer_use_out", "guardrail", "storage",
    "compute", "citation",
})  # fmt: skip
"""Components that come on top of a call's price; an offer of which only these are known is not priced."""

UNITS: dict[str, str] = {
    "token": "tokens",
    "image": "images",
    "pixel": "pixels",
    "second": "seconds",
    "character": "characters",
    "page": "pages",
    "query": "queries",
    "request": "requests",
    "session": "sessions",
    "credit": "credits",
    "message": "messages",
    "policy_unit": "policy units",
    "gb_day": "GB-days",
}

SERVICE_TIERS: dict[str, str] = {
    "batch": "batch",
    "flex": "flex",
    "priority": "priority",
    "balanced": "balanced",
    "ultrafast": "ultra-fast",
    "fast": "fast mode",
    "decisions": "decisions",
}
"""Known words; a source may bring others and they are kept as they are."""


@dataclass(frozen=True, slots=True)
class Tier:
    """When a price applies; None means always.

    `context_above`: total input tokens of the call exceed it. `time_window`: see `backend.pricing.windows`. `cache_ttl`: seconds that
    a cache write lives. `variant`: resolution, quality, search depth and the like.
    """

    context_above: int | None = None
    service_tier: str | None = None
    time_window: str | None = None
    region: str | None = None
    cache_ttl: int | None = None
    variant: str | None = None

    @property
    def text(self) -> str:
        """Canonical text, empty for the base price: what the `tier` column holds and what makes two prices comparable."""
        return _text_of(self)

    @property
    def label(self) -> str:
        """For people: "above 200k tokens, batch"; empty for the base price."""
        parts: list[str] = []
        if self.context_above is not None:
            parts.append(f"above {compact_count(self.context_above)} tokens")
        if self.service_tier is not None:
            parts.append(SERVICE_TIERS.get(self.service_tier, self.service_tier))
        if self.time_window is not None:
            parts.append(f"at {self.time_window} UTC")
        if self.region is not None:
            parts.append(f"region {self.region}")
        if self.cache_ttl is not None:
            hours, rest = divmod(self.cache_ttl, 3600)
            parts.append(f"kept {hours} h" if hours and not rest else f"kept {self.cache_ttl // 60} min")
        if self.variant is not None:
            parts.append(self.variant)
        return ", ".join(parts)


BASE = Tier()


@lru_cache(maxsize=4096)
def _text_of(tier: Tier) -> str:
    return ";".join(f"{field.name}={value}" for field in fields(tier) if (value := getattr(tier, field.name)) is not None)


def compact_count(number: int) -> str:
    """128000 → "128k", 1048576 → "1.05M", 199999 → "200k"."""
    for size, suffix in ((1_000_000, "M"), (1_000, "k")):
        if number >= size * 0.9995:
            return f"{number / size:.3g}{suffix}" if number / size < 1000 else f"{number / size:.0f}{suffix}"
    return str(number)
