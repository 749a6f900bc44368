"""The `genai-prices` package: dated prices, context tiers, time-of-day prices. Imported only while it is read (8 MB)."""

import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.catalog.providers import provider_id
from backend.catalog.records import OfferRecord, SourceReading
from backend.catalog.sources import BUNDLED_ON, file_hash
from backend.catalog.sources.feed import FeedUnreadable, each, listing, parse_feed
from backend.pricing.quotes import Quote
from backend.pricing.tiers import BASE, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

SINCE_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""The start of a price that was in force before the first dated change that the source knows."""

_M, _K = Decimal(1_000_000), Decimal(1_000)
_PRICES: dict[str, tuple[str, str, Decimal, Tier]] = {
    "input_mtok": ("input", "token", _M, BASE),
    "output_mtok": ("output", "token", _M, BASE),
    "cache_read_mtok": ("cache_read", "token", _M, BASE),
    "cache_write_mtok": ("cache_write", "token", _M, BASE),
    "cache_write_1h_mtok": ("cache_write", "token", _M, Tier(cache_ttl=3600)),
    "output_reasoning_mtok": ("reasoning", "token", _M, BASE),
    "output_citation_mtok": ("citation", "token", _M, BASE),
    "input_audio_mtok": ("audio_in", "token", _M, BASE),
    "output_audio_mtok": ("audio_out", "token", _M, BASE),
    "cache_audio_read_mtok": ("cache_read_audio", "token", _M, BASE),
    "input_image_mtok": ("image_in", "token", _M, BASE),
    "output_image_mtok": ("image_out", "token", _M, BASE),
    "cache_image_read_mtok": ("cache_read_image", "token", _M, BASE),
    "input_video_mtok": ("video_in", "token", _M, BASE),
    "output_video_mtok": ("video_out", "token", _M, BASE),
    "input_mchars": ("input", "character", _M, BASE),
    "audio_hours": ("input", "second", Decimal(3600), BASE),
    "input_audio_hours": ("input", "second", Decimal(3600), BASE),
    "requests_kcount": ("request", "request", _K, BASE),
    "web_searches_kcount": ("web_search", "query", _K, BASE),
    "storage_searches_kcount": ("file_search", "query", _K, BASE),
    "input_text_messages_kcount": ("text_message", "message", _K, BASE),
    "input_document_kpages": ("ocr", "page", _K, BASE),
    "input_annotated_document_kpages": ("annotation", "page", _K, BASE),
}
_SERVICE = {"batch": "batch", "priority": "priority", "flex": "flex", "fast": "fast", "default": None}
_GOOGLES_OWN = re.compile(
    r"gem|learnlm|lyria|veo|imagen|palm|text-|chat-bison|nano-banana|deep-research|med|chirp|multimodalembedding", re.IGNORECASE
)
"""One provider of theirs stands for both of Google's; what others made is sold on Vertex AI only."""
_SERVICE_OF_PROVIDER = {"openai-decisions": ("openai", "decisions")}
_URL = re.compile(r"https?://[^\s,)]+")


class GenaiPrices:
    name = "genai-prices"
    label = "genai-prices"
    url = "https://github.com/pydantic/genai-prices"
    licence = "MIT"

    def content_hash(self) -> str:
        spec = importlib.util.find_spec("genai_prices")
        if spec is None or spec.origin is None:
            raise FileNotFoundError("genai-prices is not installed")
        return file_hash(Path(spec.origin).parent / "data.py")

    def data_date(self) -> date | None:
        """The newest past date that the data itself mentions is not the day it was made; the day of its package is."""
        return BUNDLED_ON

    def read(self) -> SourceReading:
        from genai_prices.data import providers

        return _reading(providers, self.name)


def read_data(text: bytes, source: str) -> SourceReading:
    """Every model of the project's `data.json`; what is wrong in one spoils its provider, since the package reads no less.

    Raises:
        FeedUnreadable: this is not its data.
    """
    from genai_prices.types import _providers_from_raw  # the package has no public door to its format; a test holds that it works

    raw = listing(parse_feed(text), "the data")
    named = [(str(entry.get("id")) if isinstance(entry, dict) else f"entry {n}", entry) for n, entry in enumerate(raw)]
    providers, refused = each(named, lambda _, entry: _providers_from_raw([entry])[0])
    if not providers:
        raise FeedUnreadable("this is not the data of genai-prices: no provider in it can be read")
    reading = _reading(providers, source)
    return replace(reading, refused=reading.refused | refused)


def _reading(providers: "Iterable[Provider]", source: str) -> SourceReading:
    unknown: Counter[str] = Counter()
    entries = [(f"{provider.id}/{model.id}", (provider, model)) for provider in providers for model in provider.models]
    offers, refused = each(entries, lambda _, pair: _offer_of(pair[0], pair[1], unknown))
    return SourceReading(source, read=len(entries), offers=tuple(offers), unknown=dict(unknown), refused=refused)


def _offer_of(provider: "Provider", model: "ModelInfo", unknown: Counter[str]) -> OfferRecord:
    seller, service = _SERVICE_OF_PROVIDER.get(provider.id, (provider_id(provider.id), None))
    upstream_id = model.id
    if provider.id == "google" and not _GOOGLES_OWN.match(model.id):
        seller = "vertex_ai"
    if provider.id.startswith("huggingface_"):
        seller = "huggingface"
        upstream_id = f"{model.id}:{provider.id.removeprefix('huggingface_')}"
    comment_url = _URL.search(model.price_comments or "")
    source_url = comment_url.group().rstrip(".") if comment_url else next(iter(provider.pricing_urls or ()), None)
    return OfferRecord(
        provider=seller,
        upstream_id=upstream_id,
        name=model.name,
        description=model.description,
        context_tokens=model.context_window,
        status="deprecated" if model.deprecated else None,
        quotes=tuple(quotes_of(model, source_url, unknown, Tier(service_tier=service))),
        also_matches=_matcher(model),
        extra={"price_comments": model.price_comments} if model.price_comments else {},
    )


def _matcher(model: "ModelInfo") -> Callable[[str], bool]:
    return lambda upstream_id: bool(model.match.is_match(upstream_id.lower()))


def quotes_of(model: "ModelInfo", source_url: str | None, unknown: Counter[str], base: Tier = BASE) -> Iterator[Quote]:
    """All prices of a model. Dated ones carry `effective_at` and, when followed by another, `expires_at`.

    `base` is the tier of what is no variant: not empty where one of their providers is another's service tier.
    A dated list replaces the whole list before it, so a component that is missing in the later one ends there too.
    """
    from genai_prices.types import ConditionalPrice, ModelPrice, StartDateConstraint, TimeOfDateConstraint

    listed = [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else list(model.prices)
    dated = [entry for entry in listed if not isinstance(entry.constraint, TimeOfDateConstraint)]
    starts = [_midnight(e.constraint.start_date) if isinstance(e.constraint, StartDateConstraint) else None for e in dated]
    for index, (entry, start) in enumerate(zip(dated, starts, strict=True)):
        following = starts[index + 1] if index + 1 < len(starts) else None
        effective = start or (SINCE_ALWAYS if following else None)
        yield from _quotes(entry.prices, base, effective, following, source_url, unknown)
    for entry in listed:
        if isinstance(entry.constraint, TimeOfDateConstraint):
            window = f"{_clock(entry.constraint.start_time)}-{_clock(entry.constraint.end_time)}"
            yield from _quotes(entry.prices, Tier(time_window=window), starts[-1] if starts else None, None, source_url, unknown)
    yield from _variants(model, source_url, unknown)


def _variants(model: "ModelInfo", source_url: str | None, unknown: Counter[str]) -> Iterator[Quote]:
    from genai_prices.types import StartDateConstraint

    groups: dict[Tier, list[tuple[datetime | None, ModelPrice]]] = {}
    for variant in model.price_variants or ():
        tier = _variant_tier(variant.when)
        start = _midnight(variant.constraint.start_date) if isinstance(variant.constraint, StartDateConstraint) else None
        groups.setdefault(tier, []).append((start, variant.prices))
    for tier, entries in groups.items():
        if tier == BASE:
            continue
        # Variants stand newest first there, dated lists oldest first.
        entries.sort(key=lambda entry: entry[0] or SINCE_ALWAYS)
        for index, (start, prices) in enumerate(entries):
            following = entries[index + 1][0] if index + 1 < len(entries) else None
            yield from _quotes(prices, tier, start or (SINCE_ALWAYS if following else None), following, source_url, unknown)


def _variant_tier(when: dict[str, str]) -> Tier:
    service: str | None = None
    region: str | None = None
    other: list[str] = []
    for key, value in when.items():
        if key in ("processing", "service_tier", "speed"):
            service = _SERVICE.get(value, value)
        elif key == "route":
            region = value.rpartition("/")[2]
        else:
            other.append(f"{key.replace('_', ' ')} {value}")
    return Tier(service_tier=service, region=region, variant=", ".join(other) or None)


def _quotes(
    prices: "ModelPrice", tier: Tier, effective: datetime | None, expires: datetime | None, source_url: str | None, unknown: Counter[str]
) -> Iterator[Quote]:
    from genai_prices.types import TieredPrices

    for key, value in vars(prices).items():
        if value is None or key.startswith("_"):
            continue
        meaning = _PRICES.get(key)
        if meaning is None:
            unknown[key] += 1
            continue
        component, unit, per, own = meaning
        bands: list[tuple[int | None, Any]] = [(None, value)]
        if isinstance(value, TieredPrices):
            bands = [(None, value.base), *((band.start, band.price) for band in value.tiers)]
        for above, amount in bands:
            yield Quote(
                component=component,
                unit=unit,
                usd_per_million=Decimal(amount) * _M / per,
                amount=str(amount),
                tier=Tier(above, tier.service_tier, tier.time_window, tier.region, own.cache_ttl, tier.variant),
                effective_at=effective,
                expires_at=expires,
                source_url=source_url,
                extra={"per": int(per)},
            )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _clock(value: time) -> str:
    utc = datetime.combine(date(1970, 1, 1), value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    return f"{utc:%H:%M}"
