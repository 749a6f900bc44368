"""OpenRouter's public list of models, `/api/v1/models`: what one seller sells, in its own words, USD per token as text."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from backend.catalog.records import OfferRecord, SourceReading
from backend.catalog.sources.feed import each, listing, mapping, number, parse_feed
from backend.pricing.quotes import Quote
from backend.pricing.tiers import BASE, Tier

_MILLION = Decimal(1_000_000)
_PRICES: dict[str, tuple[str, str, Tier]] = {
    "prompt": ("input", "token", BASE),
    "completion": ("output", "token", BASE),
    "internal_reasoning": ("reasoning", "token", BASE),
    "input_cache_read": ("cache_read", "token", BASE),
    "input_cache_write": ("cache_write", "token", BASE),
    "input_cache_write_1h": ("cache_write", "token", Tier(cache_ttl=3600)),
    "request": ("request", "request", BASE),
    "image": ("image_in", "image", BASE),
    "audio": ("audio_in", "token", BASE),
    "web_search": ("web_search", "query", BASE),
}
_NO_PRICE = frozenset({"discount", "overrides", "image_output", "image_token", "audio_output", "input_audio_cache"})
"""Known, and not read: what they are counted in is not stated."""
_CAPABILITIES = {"tools": "tools", "structured_outputs": "structured_output", "reasoning": "reasoning", "temperature": "temperature"}
_INPUT_CAPABILITIES = {"image": "vision", "file": "pdf_input", "audio": "audio_input", "video": "video_input"}
_MODALITIES = {"file": "pdf"}


def read_models(text: bytes, source: str) -> SourceReading:
    """Every model of the list.

    Raises:
        FeedUnreadable: this is not that list.
    """
    data = listing(mapping(parse_feed(text), "the answer").get("data"), "data")
    unknown: dict[str, int] = {}
    entries = [(str(entry.get("id")) if isinstance(entry, dict) else f"entry {n}", entry) for n, entry in enumerate(data)]
    offers, refused = each(entries, lambda name, entry: _offer(name, entry, unknown))
    return SourceReading(source, read=len(data), offers=tuple(offers), unknown=unknown, refused=refused)


def _offer(name: str, entry: dict[str, Any], unknown: dict[str, int]) -> OfferRecord:
    if not isinstance(entry["id"], str):
        raise TypeError("the id is no text")
    architecture = entry.get("architecture") or {}
    taken, given = (tuple(architecture.get(f"{way}_modalities") or ()) for way in ("input", "output"))
    parameters = entry.get("supported_parameters")
    capabilities = {} if parameters is None else {ours: theirs in parameters for theirs, ours in _CAPABILITIES.items()}
    capabilities |= {ours: word in taken for word, ours in _INPUT_CAPABILITIES.items() if taken}
    top = entry.get("top_provider") or {}
    return OfferRecord(
        provider="openrouter",
        upstream_id=name,
        name=_text(entry.get("name")),
        description=_text(entry.get("description")),
        mode="image_generation" if given == ("image",) else "chat" if "text" in given or not given else None,
        capabilities=capabilities,
        modalities_in=tuple(_MODALITIES.get(word, str(word)) for word in taken),
        modalities_out=tuple(str(word) for word in given),
        context_tokens=_count(entry.get("context_length")),
        max_output_tokens=_count(top.get("max_completion_tokens")),
        release_date=_day(entry.get("created")),
        knowledge_cutoff=_text(entry.get("knowledge_cutoff")),
        deprecation_date=_date(entry.get("expiration_date")),
        quotes=tuple(_quotes(name, entry.get("pricing") or {}, unknown)),
    )


def _quotes(name: str, pricing: dict[str, Any], unknown: dict[str, int]) -> Iterator[Quote]:
    free = name.endswith(":free")
    for field, stated in pricing.items():
        if field not in _PRICES:
            if field not in _NO_PRICE:
                unknown[field] = unknown.get(field, 0) + 1
            continue
        amount = number(str(stated))
        # -1 stands for "depends on where it is routed"; a zero that is no list price of a token says "not charged apart".
        if amount is None or amount == -1 or (amount == 0 and field not in ("prompt", "completion")):
            continue
        component, unit, tier = _PRICES[field]
        source_url = f"https://openrouter.ai/{name}"
        yield Quote(component, unit, amount * _MILLION, str(stated), tier, confirmed_free=free and amount == 0, source_url=source_url)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) and value > 0 else None


def _day(value: Any) -> date | None:
    return datetime.fromtimestamp(int(value), UTC).date() if isinstance(value, int) and 0 < value < 2**33 else None


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10]) if value else None
    except ValueError:
        return None
