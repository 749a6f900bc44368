"""Which of the store's price rows holds already what a source states, so that the same word twice is one row."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.pricing.evidence import WITHDRAWN, Evidence
from backend.pricing.outliers import is_jump
from backend.pricing.weighing import quote_of

Place = tuple[str, str, str, str, str]
"""offer, source, component, unit, tier"""


def match_held(items: list[Evidence], held: dict[Place, list[dict[str, Any]]], rows: dict[int, dict[str, Any]], now: datetime) -> None:
    """Pair each stated price with the row that holds it already; a changed amount remembers what was said before."""
    taken: dict[Place, set[datetime]] = {}
    # Those with a date first: where a source says since when, it needs not say so once more without.
    dated: set[Place] = set()
    for item in sorted(items, key=lambda item: item.quote.effective_at is None):
        quote = item.quote
        place = (item.offer_id, item.source, *item.place)
        if quote.effective_at is None and place in dated:
            items.remove(item)
            continue
        if quote.effective_at is not None and quote.effective_at <= now and (quote.expires_at is None or quote.expires_at > now):
            dated.add(place)
        candidates = held.get(place, [])
        instants = taken.setdefault(place, {row["effective_at"] for row in candidates})
        wanted = quote.effective_at
        alike = [row for row in candidates if Decimal(row["usd_per_million"]) == quote.usd_per_million]
        same = next((row for row in alike if row["effective_at"] == wanted), None)
        rewritten = None if same is not None else next((row for row in candidates if row["effective_at"] == wanted), None)
        if rewritten is not None and wanted is not None and wanted > now:
            # One that is to come may be announced anew. Nobody was charged with it, so its row can be written again.
            candidates.remove(rewritten)
            rows[id(item)] = rewritten
            item.id = rewritten["id"]
            continue
        if rewritten is not None and quote.expires_at is not None and quote.expires_at <= now:
            # What was charged is not told anew.
            items.remove(item)
            continue
        # Undated, or the source rewrote a dated price: what we know is that it is so from now on.
        from_now = wanted is None or rewritten is not None
        if same is None and from_now:
            same = next((row for row in alike if _counts(row, now)), None)
        if same is not None:
            candidates.remove(same)
            rows[id(item)] = same
            item.id = same["id"]
            item.approved = bool((same["extra"] or {}).get("approved"))
            item.passed = same["status"] not in ("quarantined", "rejected", WITHDRAWN)
            if same["status"] == "rejected":
                item.status, item.reason = "rejected", same["reason"]
            item.quote = replace(quote, effective_at=same["effective_at"])
            previous = (same["extra"] or {}).get("previous")
            item.previous = Decimal(previous) if previous else None
        current = [row for row in candidates if row["status"] not in ("quarantined", "rejected") and _counts(row, now)]
        current.sort(key=lambda row: row["effective_at"])
        if same is None and from_now:
            item.quote = replace(quote, effective_at=now)
            if current:
                item.previous = Decimal(current[-1]["usd_per_million"])
        if same is None:
            begins = item.quote.effective_at or now
            if begins in instants:
                # One instant, two prices: its first word counts.
                items.remove(item)
                continue
            instants.add(begins)
        if current and is_jump(item) and not item.approved:
            # A jump waits for a person; until then the price before it goes on.
            before = current[-1]
            candidates.remove(before)
            kept = replace(item, quote=quote_of(before), previous=None, id=before["id"], approved=True, status="observed", reason=None)
            rows[id(kept)] = before
            items.append(kept)


def _counts(row: dict[str, Any], now: datetime) -> bool:
    """Whether its day has come and it has not ended."""
    return bool(row["effective_at"] <= now and (row["expires_at"] is None or row["expires_at"] > now))
