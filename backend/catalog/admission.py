"""What of a record the store can hold: texts of a length, numbers of a size, addresses that a person may click."""

import json
import re
from dataclasses import replace
from typing import Any

from backend.catalog.names import canonical
from backend.catalog.records import OfferRecord
from backend.pricing.quotes import Quote

_PROVIDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TEXTS = {
    "name": 500, "description": 4000, "creator": 64, "family": 120, "base_model": 255, "mode": 32, "knowledge_cutoff": 10, "licence": 120,
    "region": 64, "status": 16,
}  # fmt: skip
_MOST_TOKENS = 10**12
_MOST_EXTRA = 20_000
_MOST_QUOTES = 1000
_AMOUNT = 64


def admitted(record: OfferRecord) -> OfferRecord | None:
    """The record with what can be kept of it (no NUL characters, which PostgreSQL cannot hold), or None if its offer cannot have an id."""
    if not _PROVIDER.fullmatch(record.provider) or "\x00" in record.upstream_id:
        return None
    try:
        canonical(record.upstream_id)
        canonical(record.offer_id)
    except ValueError:
        return None
    changed: dict[str, Any] = {}
    for name, most in _TEXTS.items():
        text = getattr(record, name)
        if text and (len(text) > most or "\x00" in text):
            changed[name] = text.replace("\x00", "")[:most]
    for name in ("context_tokens", "max_output_tokens"):
        count = getattr(record, name)
        if count is not None and not 0 < count <= _MOST_TOKENS:
            changed[name] = None
    if record.extra:
        extra = json.dumps(record.extra, default=str)
        if len(extra) > _MOST_EXTRA:
            changed["extra"] = {}
        elif "\\u0000" in extra:
            changed["extra"] = json.loads(extra.replace("\\u0000", ""))
    kept = [quote for quote in map(_quote, record.quotes[:_MOST_QUOTES]) if quote is not None]
    if len(kept) != len(record.quotes) or any(one is not other for one, other in zip(kept, record.quotes, strict=True)):
        changed["quotes"] = tuple(kept)
    return replace(record, **changed) if changed else record


def _quote(quote: Quote) -> Quote | None:
    tier = quote.tier
    texts = (
        (quote.amount, _AMOUNT), (quote.component, 40), (quote.unit, 16), (tier.service_tier, 24), (tier.time_window, 64),
        (tier.region, 64), (tier.variant, 64),
    )  # fmt: skip
    if any(text is not None and (len(text) > most or "\x00" in text) for text, most in texts) or len(tier.text) > 160:
        return None
    amount = quote.usd_per_million
    if not amount.is_finite() or (amount and not -30 <= amount.adjusted() <= 18) or len(amount.as_tuple().digits) > 40:
        return None
    if any(
        number is not None and not 0 <= number <= most for number, most in ((tier.context_above, _MOST_TOKENS), (tier.cache_ttl, 2**31))
    ):
        return None
    url = quote.source_url
    if url is not None and (len(url) > 2000 or "\x00" in url or not url.startswith(("https://", "http://"))):
        return replace(quote, source_url=None)
    return quote
