"""Offers and their prices as a model's page shows them: one row per offer, and on demand one row per distinct price."""

from dataclasses import dataclass
from datetime import datetime

from backend.catalog.schemas import OfferView, PriceLineView
from backend.pricing.doubt import UNCONFIRMED
from backend.pricing.evidence import OPERATOR
from state.views import date_text, origin_text, price_note, price_text, status_text

STALE_DAYS = 30
"""A price that nobody has confirmed for longer than this is said to be old."""


@dataclass(slots=True)
class OfferRow:
    """One offer; prices in USD per 1M tokens, empty when there is none."""

    id: str = ""
    provider: str = ""
    detail: str = ""
    input: str = ""
    output: str = ""
    cached: str = ""
    batch: str = ""
    price_note: str = ""
    evidence: str = ""
    tone: str = ""


@dataclass(slots=True)
class PriceRow:
    """One price of an offer under one condition, with everybody who says so."""

    key: str = ""
    label: str = ""
    tier: str = ""
    amount: str = ""
    unit: str = ""
    sources: str = ""
    since: str = ""
    status: str = ""
    tone: str = ""
    reason: str = ""


def offer_row(offer: OfferView, now: datetime) -> OfferRow:
    evidence, tone = evidence_text(offer, now)
    parts = [
        offer.id,
        offer.region or "",
        origin_text(offer.price_source, offer.price_as_of),
        *(f"{amount} {unit}" for _, amount, unit in other_prices(offer)[:1]),
    ]
    if offer.doubt is not None:
        parts.append(offer.doubt)
    if offer.deprecation_date:
        parts.append(f"{'retired' if offer.deprecation_date <= now.date() else 'retires'} {date_text(offer.deprecation_date)}")
    elif offer.status != "active":
        parts.append(status_text(offer.status)[0])
    return OfferRow(
        id=offer.id,
        provider=offer.provider_name,
        detail=" · ".join(dict.fromkeys(part for part in parts if part)),
        input=price_text(offer.input_nano),
        output=price_text(offer.output_nano),
        cached=price_text(offer.cache_read_nano),
        batch=price_text(offer.batch_input_nano),
        price_note=price_note(offer.price_state, offer.input_nano, offer.output_nano),
        evidence=evidence,
        tone=tone,
    )


def other_prices(offer: OfferView) -> list[tuple[str, str, str]]:
    """(what, amount, unit) of the prices in force of an offer that is not sold by the token: ("Image", "$0.04", "per image")."""
    if offer.price_state != "priced" or offer.input_nano is not None or offer.output_nano is not None:
        return []
    rows = [row for row in price_rows(offer.prices) if row.status == "in force"]
    return [(row.label, f"${row.amount}", row.unit) for row in rows]


def evidence_text(offer: OfferView, now: datetime) -> tuple[str, str]:
    """How well a price is supported, and the tone of saying so: `3 of 3 agree`, `1 source, 41 days old`, `set here`, `unconfirmed`."""
    if offer.price_state == "quarantined":
        return "in quarantine", "bad"
    if not offer.price_sources:
        return "no source", "plain"
    if offer.doubt is not None:
        return UNCONFIRMED, "warn"
    if offer.price_source == OPERATOR:
        # It goes before all others, so how many say otherwise is no warning.
        return "set here", "good"
    days = (now - offer.price_observed_at).days if offer.price_observed_at else 0
    age = f", {days} days old" if days > STALE_DAYS else ""
    if offer.price_sources == 1:
        return f"1 source{age}", "warn" if age else "plain"
    agree = f"{offer.price_agreement} of {offer.price_sources} agree{age}"
    return agree, "warn" if age or offer.price_agreement * 2 <= offer.price_sources else "good"


def price_rows(lines: tuple[PriceLineView, ...]) -> list[PriceRow]:
    """Lines that say the same are one row, in the service's order: what is in force first."""
    same: dict[tuple[object, ...], list[PriceLineView]] = {}
    for line in lines:
        held_back = line.reason if line.status == "quarantined" else None
        same.setdefault((line.component, line.tier, line.unit, line.nano_per_million, line.status, held_back), []).append(line)
    return [_price_row(str(number), group) for number, group in enumerate(same.values())]


def _price_row(key: str, group: list[PriceLineView]) -> PriceRow:
    line = group[0]
    if any(one.in_force for one in group):
        status, tone = "in force", "good"
    elif line.status == "quarantined":
        status, tone = "in quarantine", "bad"
    elif line.status == "announced":
        status, tone = "announced", "info"
    else:
        status, tone = "not used", "plain"
    stated, _, per = line.amount.partition(" per ")
    per_token = line.unit == "token"
    return PriceRow(
        key=key,
        label=line.label,
        tier=line.tier_label,
        amount=price_text(line.nano_per_million, digits=15) if per_token else stated,
        unit="per 1M tokens" if per_token else f"per {per}" if line.currency == "USD" else f"{line.currency} per {per}",
        sources=", ".join(dict.fromkeys(one.source for one in group)),
        since=date_text(min(one.effective_at for one in group)),
        status=status,
        tone=tone,
        reason="" if status == "in force" else line.reason or "",
    )
