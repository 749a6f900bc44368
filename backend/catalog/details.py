"""One model as its page shows it: rows of the database turned into the plain views of `schemas`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from backend.catalog.creators import creator_name
from backend.catalog.languages import language_name
from backend.catalog.schemas import CapabilityState, Fact, ModelDetail, ModelSummary, OfferView, PriceLineView
from backend.catalog.taxonomy import CAPABILITIES, FORMATS, MODALITIES, MODES, STATUSES
from backend.kernel.money import format_usd
from backend.pricing.schemas import PriceOrigin
from backend.pricing.tiers import COMPONENTS, UNITS, Tier, compact_count

Row = Mapping[str, Any]


def model_detail(
    summary: ModelSummary,
    row: Row,
    offers: Sequence[Row],
    prices: Sequence[Row],
    aliases: Sequence[str],
    origins: Sequence[PriceOrigin],
) -> ModelDetail:
    """`origins`: of the offers, in the order in which they are shown; those without one come last."""
    place = {origin.offer_id: (number, origin) for number, origin in enumerate(origins)}
    by_offer: dict[str, list[Row]] = defaultdict(list)
    for price in prices:
        by_offer[price["offer_id"]].append(price)
    found = [(*place.get(offer["id"], (len(place), PriceOrigin(offer["id"]))), offer) for offer in offers]
    views = tuple(
        offer_view(offer, by_offer[offer["id"]], origin) for _, origin, offer in sorted(found, key=lambda one: (one[0], one[1].offer_id))
    )
    denied = set(row["capabilities_denied"])
    return ModelDetail(
        summary=summary,
        description=row["description"],
        family=row["family"],
        licence=row["licence"],
        max_output_tokens=row["max_output_tokens"],
        knowledge_cutoff=row["knowledge_cutoff"],
        deprecation_date=row["deprecation_date"],
        supported_formats=tuple(row["supported_formats"]),
        languages=tuple(row["languages"]),
        facts=_facts(row),
        capability_matrix=tuple(
            CapabilityState(word, label, True if word in row["capabilities"] else False if word in denied else None)
            for word, label in CAPABILITIES.items()
        ),
        offers=views,
        aliases=tuple(aliases),
        headline=_headline(summary, views),
        updated_at=row["updated_at"],
    )


def offer_view(offer: Row, prices: Sequence[Row], origin: PriceOrigin) -> OfferView:
    """`prices`: all current evidence about the offer, in force or not."""

    def in_force(component: str, tier: str = "") -> int | None:
        return next(
            (
                p["nano_per_million"]
                for p in prices
                if p["in_force"] and p["component"] == component and p["unit"] == "token" and p["tier"] == tier
            ),
            None,
        )

    return OfferView(
        id=offer["id"],
        provider_id=offer["provider_id"],
        provider_name=offer["provider_name"],
        upstream_id=offer["upstream_id"],
        region=offer["region"],
        context_tokens=offer["context_tokens"],
        max_output_tokens=offer["max_output_tokens"],
        capabilities=tuple(offer["capabilities"]),
        deprecation_date=offer["deprecation_date"],
        status=offer["status"],
        price_state=offer["price_state"],
        input_nano=offer["input_nano"],
        output_nano=offer["output_nano"],
        cache_read_nano=in_force("cache_read"),
        batch_input_nano=in_force("input", Tier(service_tier="batch").text),
        price_agreement=offer["price_agreement"],
        price_sources=offer["price_sources"],
        price_observed_at=max((p["observed_at"] for p in prices if p["in_force"]), default=None),
        prices=tuple(sorted((price_line(p) for p in prices), key=_line_order)),
        price_source=origin.source,
        price_as_of=origin.as_of,
        doubt=origin.doubt,
    )


def price_line(price: Row) -> PriceLineView:
    tier = Tier(*(price[name] for name in ("context_above", "service_tier", "time_window", "region", "cache_ttl", "variant")))
    return PriceLineView(
        component=price["component"],
        label=COMPONENTS.get(price["component"], str(price["component"])),
        unit=price["unit"],
        tier=price["tier"],
        tier_label=tier.label,
        usd_per_million=price["usd_per_million"],
        nano_per_million=price["nano_per_million"],
        amount=f"{price['amount']} per {_per(price)}",
        currency=price["currency"],
        source=price["source"],
        source_url=price["source_url"],
        effective_at=price["effective_at"],
        observed_at=price["observed_at"],
        status=price["status"],
        in_force=price["in_force"],
        reason=price["reason"],
    )


_TIMES = {60: "minute", 3600: "hour"}


def _per(price: Row) -> str:
    per = (price["extra"] or {}).get("per", 1)
    if price["unit"] == "second" and per in _TIMES:
        return _TIMES[per]
    unit = UNITS.get(price["unit"], price["unit"])
    return price["unit"].replace("_", " ") if per == 1 else f"{per:,} {unit}"


_COMPONENT_ORDER = {component: number for number, component in enumerate(COMPONENTS)}


def _line_order(line: PriceLineView) -> tuple[bool, bool, str, int, str]:
    return (not line.in_force, bool(line.tier), line.tier, _COMPONENT_ORDER.get(line.component, 99), line.source)


_FACT_LABELS = {
    "mode": "Kind",
    "creator": "Made by",
    "family": "Family",
    "modalities_in": "Takes in",
    "modalities_out": "Gives out",
    "context_tokens": "Context",
    "max_output_tokens": "Longest answer",
    "release_date": "Released",
    "knowledge_cutoff": "Knows until",
    "deprecation_date": "Ends",
    "status": "Status",
    "open_weights": "Weights",
    "licence": "Licence",
    "supported_formats": "Formats",
    "languages": "Languages",
}


_LABELS: dict[str, dict[str, str]] = {
    "mode": MODES,
    "status": STATUSES,
    "modalities_in": MODALITIES,
    "modalities_out": MODALITIES,
    "supported_formats": FORMATS,
}


def _facts(row: Row) -> tuple[Fact, ...]:
    sources: Mapping[str, str] = row["facts"]
    facts = []
    for name, label in _FACT_LABELS.items():
        value = row[name]
        if value is None or value == []:
            continue
        facts.append(Fact(name, label, _shown(name, value), sources.get(name, "derived")))
    return tuple(facts)


def _shown(name: str, value: Any) -> str:
    if name in ("context_tokens", "max_output_tokens"):
        return f"{compact_count(value)} tokens"
    if name == "open_weights":
        return "open" if value else "closed"
    labels = _LABELS.get(name, {})
    if name == "languages":
        return ", ".join(language_name(tag) for tag in value)
    if isinstance(value, list):
        return ", ".join(labels.get(str(word), str(word)) for word in value)
    if name == "creator":
        return creator_name(value) or str(value)
    return labels.get(str(value), str(value))


def _headline(summary: ModelSummary, offers: Sequence[OfferView]) -> str:
    """ "Sold by 23 providers from $0.15 in and $0.60 out per million tokens"."""
    priced = [offer for offer in offers if offer.price_state in ("priced", "free")]
    sellers = f"{summary.providers} {'provider' if summary.providers == 1 else 'providers'}"
    if not priced:
        return f"Named by {sellers}; nobody states a price that can be believed"
    if summary.input_nano is None and summary.output_nano is None:
        return f"Sold by {sellers}; priced by other units than tokens"
    parts = []
    if summary.input_nano is not None:
        parts.append(f"{format_usd(summary.input_nano)} in")
    if summary.output_nano is not None:
        parts.append(f"{format_usd(summary.output_nano)} out")
    return f"Sold by {sellers} from {' and '.join(parts)} per million tokens"
