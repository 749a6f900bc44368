"""One offer's evidence weighed anew after a person changed something about it, by the same rules as an ingestion."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from backend.kernel.money import NANO_PER_USD
from backend.pricing.consensus import decide
from backend.pricing.evidence import OPERATOR, WITHDRAWN, Evidence, described, rank_of
from backend.pricing.quotes import Quote
from backend.pricing.stated import tier_of

Row = Mapping[str, Any]
Readings = Mapping[str, tuple[date | None, datetime]]
"""By source: the day that its newest reading describes, if it says, and when that was."""
PATTERN_RANK = 10
"""At most, of who knows an offer only by a pattern."""


def evidence_of(row: Row, offer: Row, readings: Readings) -> Evidence:
    """A price row as material of `consensus` and `outliers`."""
    extra = row["extra"] or {}
    source, exact = row["source"], extra.get("matched_by") is None
    rank = rank_of(source)
    return Evidence(
        offer_id=offer["id"],
        model_id=offer["model_id"],
        family=None,
        mode=offer["mode"],
        source=source,
        rank=rank if exact else min(rank, PATTERN_RANK),
        as_of=described(*readings.get(source, (None, row["observed_at"]))),
        quote=quote_of(row),
        exact=exact,
        id=row["id"],
        status=row["status"],
        in_force=row["in_force"],
        reason=row["reason"],
        approved=source == OPERATOR or bool(extra.get("approved")),
        passed=row["status"] not in ("quarantined", "rejected", WITHDRAWN),
    )


def quote_of(row: Row) -> Quote:
    """What a price row says."""
    return Quote(
        component=row["component"],
        unit=row["unit"],
        usd_per_million=Decimal(row["usd_per_million"]),
        amount=row["amount"],
        tier=tier_of(row),
        currency=row["currency"],
        effective_at=row["effective_at"],
        expires_at=row["expires_at"],
        source_url=row["source_url"],
        confirmed_free=row["confirmed_free"],
        extra=row["extra"] or {},
    )


def weighed(offer: Row, rows: Sequence[Row], readings: Readings, now: datetime) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Which rows change, with their new columns, and the columns of the offer."""
    items = {row["id"]: evidence_of(row, offer, readings) for row in rows}
    consensus = decide(items.values(), now)
    changes = []
    for row in rows:
        item = items[row["id"]]
        decided = {"status": item.status, "in_force": item.in_force, "reason": item.reason}
        if any(row[name] != value for name, value in decided.items()):
            changes.append({"id": row["id"], **decided})
    return changes, {
        "price_state": consensus.state,
        "input_nano": nano(consensus.input),
        "output_nano": nano(consensus.output),
        "price_agreement": consensus.agreement,
        "price_sources": consensus.sources,
    }


def nano(usd: Decimal | None) -> Any:
    """Nano-dollars, rounded up; None for None."""
    return None if usd is None else int((usd * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))
