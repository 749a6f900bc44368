"""A row of the price table as people see it."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from backend.pricing.schemas import StatedPrice
from backend.pricing.tiers import COMPONENTS, Tier

TIER_COLUMNS = ("context_above", "service_tier", "time_window", "region", "cache_ttl", "variant")


def tier_of(row: Mapping[str, Any]) -> Tier:
    """The conditions of a row."""
    return Tier(*(row[name] for name in TIER_COLUMNS))


def stated_price(row: Mapping[str, Any], reading: tuple[date | None, datetime] | None) -> StatedPrice:
    """`reading`: the day that the row's source describes and when it was read last."""
    extra = row["extra"] or {}
    data_date, read_at = reading or (None, row["observed_at"])
    return StatedPrice(
        id=row["id"],
        component=row["component"],
        label=COMPONENTS.get(row["component"], str(row["component"])),
        unit=row["unit"],
        tier=row["tier"],
        tier_label=tier_of(row).label,
        amount=row["amount"],
        per=int(extra.get("per", 1)),
        currency=row["currency"],
        usd_per_million=row["usd_per_million"],
        nano_per_million=row["nano_per_million"],
        source=row["source"],
        source_url=row["source_url"],
        effective_at=row["effective_at"],
        observed_at=row["observed_at"],
        expires_at=row["expires_at"],
        status=row["status"],
        in_force=row["in_force"],
        reason=row["reason"],
        data_date=data_date,
        read_at=read_at,
        conversion=extra.get("conversion"),
    )
