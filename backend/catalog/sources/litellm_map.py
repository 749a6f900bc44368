"""The price map inside the `litellm` wheel, read as a file: importing litellm would cost seconds and 185 MB."""

import importlib.metadata
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from backend.catalog.providers import provider_id
from backend.catalog.records import OfferRecord, SourceReading
from backend.catalog.sources import BUNDLED_ON, file_hash
from backend.catalog.sources.feed import each, mapping, parse_feed
from backend.catalog.sources.litellm_fields import CAPABILITY_FIELDS, FACTS, NESTED_PRICES, is_known, parse_field
from backend.pricing.quotes import Quote
from backend.pricing.tiers import Tier
from backend.pricing.windows import parse as parse_window

MAP = "model_prices_and_context_window_backup.json"
_NOT_OFFERS = frozenset({"sample_spec", "fallback_generalizations"})
_MILLION = Decimal(1_000_000)
_VARIANT_SEGMENT = re.compile(
    r"^(?:low|medium|high|xhigh|max|auto|standard|hd|\d+-x-\d+|max-x-max|\d+-steps|max-steps|\d+-month-commitment)$", re.IGNORECASE
)
_REGION_SEGMENT = re.compile(r"^(?:[a-z]{2}(?:-gov)?-[a-z]+-\d|\*|us|eu|global|global-standard|us-gov)$")
_GEO_PREFIX = re.compile(r"^(us-gov|us|eu|au|jp|apac|global)\.[a-z]")
_MODES = {"responses": "chat"}
_URL = re.compile(r"^https?://")
Number = Decimal | int


def bundled_map() -> Path:
    """Where the installed wheel keeps its map.

    Raises:
        FileNotFoundError: if litellm is not installed or carries no map.
    """
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("litellm is not installed")
    return Path(spec.origin).parent / MAP


class LiteLlmMap:
    name = "litellm"
    label = "LiteLLM price map"
    url = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"
    licence = "MIT"

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or bundled_map()
        self._bundled = path is None

    def content_hash(self) -> str:
        return file_hash(self._path)

    def data_date(self) -> date | None:
        """The map does not date itself; the wheel's version says which map it is (see `version`)."""
        return BUNDLED_ON if self._bundled else None

    def version(self) -> str:
        return importlib.metadata.version("litellm")

    def read(self) -> SourceReading:
        return read_map(self._path.read_bytes(), self.name)


def read_map(text: bytes, source: str) -> SourceReading:
    """Every entry of a map in LiteLLM's shape.

    Raises:
        FeedUnreadable: this is no such map.
    """
    raw = mapping(parse_feed(text), "the map")
    unknown: Counter[str] = Counter()
    # Keys that name their provider come first: they are the more specific of two spellings of one offer.
    entries = [
        (key, entry)
        for key, entry in sorted(raw.items(), key=lambda item: "/" not in item[0])
        if key not in _NOT_OFFERS and isinstance(entry, dict) and entry.get("litellm_provider")
    ]
    for _, entry in entries:
        unknown.update(field for field in entry if not is_known(field))
    found, refused = each(entries, offer_of)
    offers: dict[str, OfferRecord] = {}
    for offer in found:
        known = offers.get(offer.offer_id)
        offers[offer.offer_id] = offer if known is None else _joined(known, offer)
    return SourceReading(source, read=len(raw), offers=tuple(offers.values()), unknown=dict(unknown), refused=refused)


def offer_of(key: str, entry: dict[str, Any]) -> OfferRecord:
    """One entry of the map as a record; `extra` keeps every field that has no place of its own."""
    provider = provider_id(str(entry["litellm_provider"]))
    upstream_id, region, variant = _place(key, provider)
    source_url = _source_url(entry)
    capabilities: dict[str, bool] = {}
    for field, capability in CAPABILITY_FIELDS.items():
        if isinstance(value := entry.get(field), bool):
            capabilities[capability] = value or capabilities.get(capability, False)
    extra = {
        field: _plain(value)
        for field, value in entry.items()
        if field not in FACTS and field not in CAPABILITY_FIELDS and parse_field(field) is None
        and (field not in NESTED_PRICES or field == "provider_specific_entry")
    }  # fmt: skip
    for field in ("metadata", "comment", "supported_regions", "supported_endpoints"):
        if entry.get(field):
            extra[field] = _plain(entry[field])
    mode = str(entry.get("mode") or "chat")
    return OfferRecord(
        provider=provider,
        upstream_id=upstream_id,
        mode=_MODES.get(mode, mode),
        capabilities=capabilities,
        modalities_in=_words(entry.get("supported_modalities")),
        modalities_out=_words(entry.get("supported_output_modalities")),
        formats=tuple(f"audio/{word}" for word in _words(entry.get("supported_audio_formats"))),
        context_tokens=_count(entry.get("max_input_tokens")) or _count(entry.get("max_tokens")),
        max_output_tokens=_count(entry.get("max_output_tokens")),
        deprecation_date=_date(entry.get("deprecation_date")),
        region=region,
        aliases=(key,),
        quotes=tuple(quotes_of(entry, source_url, variant)),
        extra=extra,
    )


def _joined(first: OfferRecord, second: OfferRecord) -> OfferRecord:
    """Two entries of one offer (image sizes, commitments, a second spelling): the first one's facts, both ones' prices."""
    places = {(quote.component, quote.unit, quote.tier) for quote in first.quotes}
    added = tuple(quote for quote in second.quotes if (quote.component, quote.unit, quote.tier) not in places)
    return replace(
        first,
        capabilities={**second.capabilities, **first.capabilities},
        context_tokens=first.context_tokens or second.context_tokens,
        max_output_tokens=first.max_output_tokens or second.max_output_tokens,
        deprecation_date=first.deprecation_date or second.deprecation_date,
        aliases=first.aliases + second.aliases,
        quotes=first.quotes + added,
        extra={**second.extra, **first.extra},
    )


def quotes_of(entry: dict[str, Any], source_url: str | None = None, variant: str | None = None) -> Iterator[Quote]:
    """Every price of an entry, tiers and nested forms included; the same price under two spellings comes once."""
    seen: set[tuple[str, str, str]] = set()
    for quote in _all_quotes(entry, source_url, variant):
        place = (quote.component, quote.unit, quote.tier.text)
        if place not in seen:
            seen.add(place)
            yield quote


def _all_quotes(entry: dict[str, Any], source_url: str | None, variant: str | None) -> Iterator[Quote]:
    flat = list(_flat(_heard_once(entry), source_url, variant))
    yield from flat
    for band in entry.get("tiered_pricing") or ():
        start = int(band["range"][0]) if "range" in band else 0
        yield from _flat(band, source_url, variant, context_above=start or None)
    if off_peak := entry.get("off_peak_pricing"):
        yield from _flat(off_peak, source_url, variant, time_window=_window(off_peak["windows"]))
    for size, amount in (entry.get("search_context_cost_per_query") or {}).items():
        yield _quote("web_search", "query", amount, 1, Tier(variant=size.removeprefix("search_context_size_")), source_url)
    for kind, amount in (entry.get("guardrail_cost_per_unit") or {}).items():
        yield _quote("guardrail", "policy_unit", amount, 1, Tier(variant=kind), source_url)
    # Derived lines come last, so that a stated price is never replaced by a computed one.
    for tier_field, value, factor in _multipliers(entry):
        for quote in flat:
            if quote.unit != "token" or getattr(quote.tier, tier_field) is not None:
                continue
            tier = Tier(
                quote.tier.context_above,
                value if tier_field == "service_tier" else quote.tier.service_tier,
                quote.tier.time_window,
                value if tier_field == "region" else quote.tier.region,
                quote.tier.cache_ttl,
                quote.tier.variant,
            )
            yield Quote(
                quote.component, quote.unit, quote.usd_per_million * factor, _text(quote.usd_per_million * factor / _MILLION), tier,
                source_url=source_url, extra={"multiplier": _text(factor)},
            )  # fmt: skip


def _heard_once(entry: dict[str, Any]) -> dict[str, Any]:
    """A transcription bills one second of sound once, though the map writes its price under input, output or both. Where both are more
    than zero, LiteLLM charges the output one."""
    if entry.get("mode") != "audio_transcription" or "output_cost_per_second" not in entry:
        return entry
    rest = {field: amount for field, amount in entry.items() if field != "output_cost_per_second"}
    return rest | {"input_cost_per_second": entry["output_cost_per_second"] or rest.get("input_cost_per_second", 0)}


def _flat(
    entry: dict[str, Any], source_url: str | None, variant: str | None, *, context_above: int | None = None, time_window: str | None = None
) -> Iterator[Quote]:
    for field, amount in entry.items():
        parsed = parse_field(field)
        if parsed is None or isinstance(amount, bool) or not isinstance(amount, Decimal | int):
            continue
        tier = parsed.tier
        tier = Tier(
            tier.context_above if tier.context_above is not None else context_above,
            tier.service_tier,
            time_window,
            None,
            tier.cache_ttl,
            ", ".join(word for word in (variant, tier.variant) if word) or None,
        )
        yield _quote(parsed.component, parsed.unit, amount, parsed.per, tier, source_url)


def _multipliers(entry: dict[str, Any]) -> Iterator[tuple[str, str, Decimal]]:
    for field, region in (
        ("regional_processing_uplift_multiplier_eu", "eu"),
        ("regional_processing_uplift_multiplier_us", "us"),
        ("regional_endpoint_uplift_multiplier", "regional"),
    ):
        if isinstance(factor := entry.get(field), Decimal | int):
            yield "region", region, Decimal(factor)
    specific = entry.get("provider_specific_entry") or {}
    if isinstance(factor := specific.get("us"), Decimal | int):
        yield "region", "us", Decimal(factor)
    if isinstance(factor := specific.get("fast"), Decimal | int):
        yield "service_tier", "fast", Decimal(factor)


def _quote(component: str, unit: str, amount: Number, per: int, tier: Tier, source_url: str | None) -> Quote:
    return Quote(component, unit, Decimal(amount) * _MILLION / per, _text(Decimal(amount)), tier, source_url=source_url)


def _place(key: str, provider: str) -> tuple[str, str | None, str | None]:
    """Upstream id, region and price variant in a key: `azure/hd/1024-x-1024/dall-e-3` is `dall-e-3` in the variant `hd, 1024-x-1024`."""
    segments = key.split("/")
    variants: list[str] = []
    while len(segments) > 1 and _VARIANT_SEGMENT.match(segments[0]):
        variants.append(segments.pop(0))
    if len(segments) > 1 and (provider_id(segments[0]) == provider or segments[0].replace("-", "_") == provider):
        segments.pop(0)
    region = None
    kept: list[str] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if not last and _VARIANT_SEGMENT.match(segment):
            variants.append(segment)
        elif not last and _REGION_SEGMENT.match(segment):
            if segment != "*":
                region = segment
                kept.append(segment)
        else:
            kept.append(segment)
    upstream_id = "/".join(kept)
    if region is None and provider.startswith("bedrock") and (match := _GEO_PREFIX.match(kept[-1])):
        region = match.group(1)
    return upstream_id, region, ", ".join(variants) or None


def _window(windows: list[dict[str, Any]]) -> str:
    parts = []
    for window in windows:
        hours = window["hours_utc"]
        spans = ",".join([hours] if isinstance(hours, str) else hours)
        days = window.get("weekdays")
        parts.append(f"{min(days)}-{max(days)} {spans}" if days else spans)
    text = ";".join(parts)
    parse_window(text)
    return text


def _source_url(entry: dict[str, Any]) -> str | None:
    source = entry.get("source")
    return source if isinstance(source, str) and _URL.match(source) else None


def _words(value: Any) -> tuple[str, ...]:
    return tuple(str(word).lower() for word in value) if isinstance(value, list) else ()


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) and value > 0 else None


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(str(value)) if value else None
    except ValueError:
        return None


def _text(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(value: Any) -> Any:
    """The same without Decimals, so that it fits a JSON column."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
