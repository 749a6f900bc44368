"""The shape in which anybody may hand in models and prices: CSV with a header, or YAML or JSON with a list of the same fields.

    provider,model,input,output                     per 1M tokens, in USD or the line's `currency`
    acme,acme-large,2.50,10

`docs/ingestion.md` names every field. Price Runner's CSV (`model_name, provider, price_per_token, …`) is the same shape with other words:
its one price is that of input, for one token.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import yaml

from backend.catalog.providers import provider_id
from backend.catalog.records import OfferRecord, SourceReading
from backend.catalog.sources.feed import FeedUnreadable, each, not_endless, number
from backend.kernel.errors import BourseError
from backend.pricing.currency import Rate, usd_rate
from backend.pricing.quotes import Quote

_MILLION = Decimal(1_000_000)
_OTHER_WORDS = {"model_name": "model", "upstream_id": "model"}
_PRICES = {
    "input": "input", "output": "output", "cache_read": "cache_read", "cache_write": "cache_write", "reasoning": "reasoning",
    "audio_in": "audio_in", "audio_out": "audio_out",
}  # fmt: skip
"""Per 1M tokens, by component."""
FIELDS = frozenset(_PRICES) | {
    "provider", "model", "name", "description", "mode", "family", "creator", "capabilities", "modalities_in", "modalities_out",
    "context_tokens", "max_output_tokens", "release_date", "deprecation_date", "knowledge_cutoff", "licence", "open_weights", "region",
    "free", "currency", "effective_at", "source_url", "price_per_token",
}  # fmt: skip
_MOST_YAML = 8 * 1024**2
_MOST_LEVELS = 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})


def read_table(text: bytes, source: str, day: date) -> SourceReading:
    """Every line, whichever of the three it is. Amounts in another currency count at the ECB's rate of `day`, or of the day from which they
    hold if that is earlier; what was stated stays beside them.

    Raises:
        FeedUnreadable: it is none of them, or names no provider and model.
    """
    placed = list(not_endless(rows_of(text)))
    unknown: dict[str, int] = {}
    for _, row in placed:
        for field in row.keys() - FIELDS:
            unknown[field] = unknown.get(field, 0) + 1
    entries = [(f"{place}, {row.get('provider', '?')}/{row.get('model', '?')}", row) for place, row in placed]
    rates = _Rates(day)
    offers, refused = each(entries, lambda _, row: _offer(row, rates))
    return SourceReading(source, read=len(placed), offers=tuple(offers), unknown=unknown, refused=refused)


class _Rates:
    """Each rate is looked up once: a list has thousands of lines and a few currencies."""

    def __init__(self, day: date) -> None:
        self._day = day
        self._known: dict[tuple[str, date], Rate] = {}

    def of(self, currency: str, effective: date | None) -> Rate:
        day = self._day if effective is None else min(effective, self._day)
        if (currency, day) not in self._known:
            self._known[currency, day] = usd_rate(currency, day)
        return self._known[currency, day]


def rows_of(text: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines by our names of fields, each with its place in the text; what is empty is left out."""
    try:
        whole = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FeedUnreadable("this is no text in UTF-8") from None
    first = next((line for line in whole.splitlines() if line.strip()), "")
    words = {_OTHER_WORDS.get(word, word) for word in (part.strip().strip('"').lower() for part in first.split(","))}
    if {"provider", "model"} <= words:
        lines = csv.DictReader(io.StringIO(whole, newline=""))
        found: Iterator[tuple[str, Any]] = ((f"line {lines.line_num}", row) for row in lines)
    else:
        found = ((f"entry {n}", row) for n, row in enumerate(_listed(whole), 1))
    for place, row in found:
        if not isinstance(row, Mapping):
            raise FeedUnreadable("a line of it is no mapping of fields")
        named = {str(name).strip().lower(): value for name, value in row.items() if name is not None}
        yield place, {_OTHER_WORDS.get(name, name): value for name, value in named.items() if value not in (None, "", [])}


def _listed(text: str) -> list[Any]:
    if len(text) > _MOST_YAML:
        raise FeedUnreadable(f"as YAML or JSON it may have {_MOST_YAML // 1024**2} MiB; CSV may be longer")
    try:
        # Whoever builds the value calls himself for every level, and written in C he ends the process: so levels are counted first.
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_LEVELS:
                raise FeedUnreadable(f"it is nested more than {_MOST_LEVELS} levels deep")
        value = yaml.load(text, Loader=_LOADER)
    except FeedUnreadable:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FeedUnreadable(f"this is neither CSV with the columns provider and model nor YAML: {str(error)[:200]}") from None
    if isinstance(value, dict):
        value = value.get("models")
    if not isinstance(value, list):
        raise FeedUnreadable("there is no list of models in it, and no header with the columns provider and model")
    return value


def _offer(row: Mapping[str, Any], rates: _Rates) -> OfferRecord:
    for needed in ("provider", "model"):
        if needed not in row:
            raise ValueError(f"{needed} is missing")
    provider = provider_id("_".join(str(row["provider"]).strip().lower().split()))
    return OfferRecord(
        provider=provider,
        upstream_id=str(row["model"]).strip(),
        name=_text(row, "name"),
        description=_text(row, "description"),
        creator=_text(row, "creator"),
        family=_text(row, "family"),
        mode=_text(row, "mode"),
        capabilities=dict.fromkeys(_words(row, "capabilities"), True),
        modalities_in=_words(row, "modalities_in"),
        modalities_out=_words(row, "modalities_out"),
        context_tokens=_count(row, "context_tokens"),
        max_output_tokens=_count(row, "max_output_tokens"),
        release_date=_day(row, "release_date"),
        deprecation_date=_day(row, "deprecation_date"),
        knowledge_cutoff=_text(row, "knowledge_cutoff"),
        open_weights=_yes(row, "open_weights"),
        licence=_text(row, "licence"),
        region=_text(row, "region"),
        quotes=tuple(_quotes(row, rates)),
        extra={field: str(row[field])[:500] for field in sorted(row.keys() - FIELDS)[:50]},
    )


def _quotes(row: Mapping[str, Any], rates: _Rates) -> Iterator[Quote]:
    currency = str(row.get("currency", "USD")).strip().upper()
    free = _yes(row, "free") is True
    day = _day(row, "effective_at")
    effective = None if day is None else datetime.combine(day, time(), tzinfo=UTC)
    stated = [(field, component, Decimal(1)) for field, component in _PRICES.items()]
    for field, component, times in [*stated, ("price_per_token", "input", _MILLION)]:
        if field not in row or (field == "price_per_token" and "input" in row):
            continue
        text = str(row[field]).strip().removeprefix("$")
        amount = number(text)
        if amount is None:
            raise ValueError(f"{field} is no price: {text[:40]!r}")
        extra: dict[str, Any] = {} if times != 1 else {"per": int(_MILLION)}
        usd = amount * times
        if currency != "USD":
            rate = _rate(rates, currency, day)
            usd, extra = usd * rate.usd, {**extra, "conversion": rate.text}
        yield Quote(
            component, "token", usd, text, currency=currency,
            effective_at=effective, source_url=_text(row, "source_url"), confirmed_free=free and amount == 0, extra=extra,
        )  # fmt: skip


def _rate(rates: _Rates, currency: str, day: date | None) -> Rate:
    try:
        return rates.of(currency, day)
    except BourseError as error:
        raise ValueError(error.message) from None


def _text(row: Mapping[str, Any], field: str) -> str | None:
    return str(row[field]).strip() or None if field in row else None


def _words(row: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = row.get(field, ())
    words = value if isinstance(value, list | tuple) else str(value).replace(";", "|").split("|")
    return tuple(sorted({word for item in words if (word := str(item).strip().lower())}))


def _count(row: Mapping[str, Any], field: str) -> int | None:
    if field not in row:
        return None
    amount = number(str(row[field]).strip().replace("_", ""))
    if amount is None or amount <= 0 or amount != int(amount):
        raise ValueError(f"{field} is no whole number above 0: {str(row[field])[:40]!r}")
    return int(amount)


def _day(row: Mapping[str, Any], field: str) -> date | None:
    value = row.get(field)
    if isinstance(value, datetime):
        return value.date()
    return value if value is None or isinstance(value, date) else date.fromisoformat(str(value).strip())


def _yes(row: Mapping[str, Any], field: str) -> bool | None:
    if field not in row:
        return None
    word = str(row[field]).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{field} is neither true nor false: {word[:40]!r}")
    return word in _TRUE
