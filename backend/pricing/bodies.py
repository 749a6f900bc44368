"""The shapes of answers, which the API's document shows and the functions beside them make. USD unless a name says otherwise."""

from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from backend.kernel.money import usd_from_nano
from backend.pricing.schemas import Comparison, Equivalence, ModelCost, ModelPrices, OfferCost, OfferPrices, StatedPrice
from backend.pricing.tiers import UNITS
from backend.pricing.workload import Workload


class PriceBody(TypedDict):
    """One stated price. `price` is USD for one unit, `normalizedPerMillion` for a million of them; `amount` is what the source says, in
    `currency` for `per` units. `ageDays`: since the day its source describes, or since it was read where the source does not say."""

    id: str
    component: str
    label: str
    unit: str
    tier: str
    tierLabel: str
    price: float
    normalizedPerMillion: float
    usdPerMillion: str
    amount: str
    per: int
    currency: str
    conversion: str | None
    source: str
    sourceUrl: str | None
    effectiveAt: str
    observedAt: str
    expiresAt: str | None
    dataDate: str | None
    ageDays: int
    status: str
    inForce: bool
    reason: str | None


class Agreement(TypedDict):
    agree: int
    sources: int


class OfferPricesBody(TypedDict):
    """`inForce`, `announced`, `quarantined` and `others` together are all that is stated of the offer and has not ended. `doubt` says why
    its price is unconfirmed; null where nothing speaks against it."""

    offer: str
    provider: str
    status: str
    priceState: str
    agreement: Agreement
    doubt: str | None
    inForce: list[PriceBody]
    announced: list[PriceBody]
    quarantined: list[PriceBody]
    others: list[PriceBody]


class ModelPricesBody(TypedDict):
    """`price` and what is beside it are of the cheapest offer's leading component, unconfirmed ones aside; null where nothing is priced.
    `normalizedPerMillionTokens` is null where it is not sold by the token."""

    modelId: str
    name: str
    currency: str
    offer: str | None
    component: str | None
    unit: str | None
    price: float | None
    source: str | None
    effectiveAt: str | None
    normalizedPerMillionTokens: float | None
    ageDays: int | None
    offers: list[OfferPricesBody]


class WorkloadBody(TypedDict):
    inputTokens: int
    outputTokens: int
    callsPerDay: float
    cacheShare: float
    cacheWriteShare: float
    reasoningTokens: int
    audioInputTokens: int
    audioOutputTokens: int
    images: int
    seconds: float
    characters: int
    serviceTier: str | None
    region: str | None


class PartBody(TypedDict):
    """`serviceTier` and `region` are those that the price is of; null: the usual one."""

    bucket: str
    quantity: float
    normalizedPerMillion: float
    cost: float
    serviceTier: str | None
    region: str | None


class OfferCostBody(TypedDict):
    """What is unpriced has null for every amount, and `missing` says what has no price ("card": nothing at all). `source` says whose word
    the price is and `asOf` of which day; `doubt` why it is unconfirmed, null where nothing speaks against it. `fallback` says where the
    tier or region that was asked for has no price and the usual one is taken, null where it has."""

    offer: str
    provider: str
    state: str
    perCall: float | None
    perDay: float | None
    perMonth: float | None
    perMillionBlended: float | None
    source: str | None
    asOf: str | None
    doubt: str | None
    fallback: str | None
    parts: list[PartBody]
    missing: list[str]


class ModelCostBody(OfferCostBody):
    """The cheapest offer of a model, and how the other offers compare."""

    modelId: str
    name: str
    asked: str
    otherOffers: list[OfferCostBody]


class PairBody(TypedDict):
    """One call of `a` costs as much as `calls` of `b`; at `breakEvenOutputTokens` both cost the same."""

    a: str
    b: str
    calls: float | None
    breakEvenOutputTokens: int | None
    text: str


class ComparisonBody(TypedDict):
    headline: str
    currency: str
    at: str
    workload: WorkloadBody
    cheapest: str | None
    models: list[ModelCostBody]
    equivalence: list[PairBody]


def model_prices_body(prices: ModelPrices, now: datetime) -> ModelPricesBody:
    lead = prices.lead
    return {
        "modelId": prices.model_id,
        "name": prices.name,
        "currency": "USD",
        "offer": prices.lead_offer,
        "component": lead.component if lead else None,
        "unit": lead.unit if lead else None,
        "price": _one(lead) if lead else None,
        "source": lead.source if lead else None,
        "effectiveAt": lead.effective_at.isoformat() if lead else None,
        "normalizedPerMillionTokens": _usd(lead.nano_per_million) if lead and lead.unit == "token" else None,
        "ageDays": lead.age_days(now) if lead else None,
        "offers": [_offer_body(offer, now) for offer in prices.offers],
    }


def _offer_body(offer: OfferPrices, now: datetime) -> OfferPricesBody:
    shown = [(price, price_body(price, now)) for price in offer.prices]
    return {
        "offer": offer.id,
        "provider": offer.provider,
        "status": offer.status,
        "priceState": offer.state,
        "agreement": {"agree": offer.agreement, "sources": offer.sources},
        "doubt": offer.doubt,
        "inForce": [body for price, body in shown if price.in_force],
        "announced": [body for price, body in shown if price.status == "announced"],
        "quarantined": [body for price, body in shown if price.status == "quarantined"],
        "others": [body for price, body in shown if not price.in_force and price.status not in ("announced", "quarantined")],
    }


def price_body(price: StatedPrice, now: datetime) -> PriceBody:
    return {
        "id": price.id,
        "component": price.component,
        "label": price.label,
        "unit": price.unit,
        "tier": price.tier,
        "tierLabel": price.tier_label,
        "price": _one(price),
        "normalizedPerMillion": _usd(price.nano_per_million),
        "usdPerMillion": price.usd_per_million,
        "amount": f"{price.amount} per {_per(price)}",
        "per": price.per,
        "currency": price.currency,
        "conversion": price.conversion,
        "source": price.source,
        "sourceUrl": price.source_url,
        "effectiveAt": price.effective_at.isoformat(),
        "observedAt": price.observed_at.isoformat(),
        "expiresAt": price.expires_at.isoformat() if price.expires_at else None,
        "dataDate": price.data_date.isoformat() if price.data_date else None,
        "ageDays": price.age_days(now),
        "status": price.status,
        "inForce": price.in_force,
        "reason": price.reason,
    }


def comparison_body(comparison: Comparison) -> ComparisonBody:
    priced = [
        (best.doubt is not None, best.nano, model.model_id)
        for model in comparison.models
        if (best := model.best) is not None and best.nano is not None
    ]
    return {
        "headline": comparison.headline,
        "currency": "USD",
        "at": comparison.at.isoformat(),
        "workload": workload_body(comparison.workload),
        "cheapest": min(priced)[2] if priced else None,
        "models": [_model_cost_body(model) for model in comparison.models],
        "equivalence": [_pair_body(pair) for pair in comparison.pairs],
    }


def workload_body(workload: Workload) -> WorkloadBody:
    return {
        "inputTokens": workload.input_tokens,
        "outputTokens": workload.output_tokens,
        "callsPerDay": workload.calls_per_day,
        "cacheShare": workload.cache_share,
        "cacheWriteShare": workload.cache_write_share,
        "reasoningTokens": workload.reasoning_tokens,
        "audioInputTokens": workload.audio_input_tokens,
        "audioOutputTokens": workload.audio_output_tokens,
        "images": workload.images,
        "seconds": workload.seconds,
        "characters": workload.characters,
        "serviceTier": workload.service_tier,
        "region": workload.region,
    }


_NO_OFFER = OfferCost("", "", "unpriced", None, None, None, None, missing=("offer",))


def _model_cost_body(model: ModelCost) -> ModelCostBody:
    first, *others = model.offers or (_NO_OFFER,)
    return {
        **_offer_cost_body(first),
        "modelId": model.model_id,
        "name": model.name,
        "asked": model.asked,
        "otherOffers": [_offer_cost_body(offer) for offer in others],
    }


def _offer_cost_body(offer: OfferCost) -> OfferCostBody:
    return {
        "offer": offer.offer_id,
        "provider": offer.provider,
        "state": offer.state,
        "perCall": _usd(offer.nano),
        "perDay": _usd(offer.day),
        "perMonth": _usd(offer.month),
        "perMillionBlended": _usd(offer.blended),
        "source": offer.origin.source,
        "asOf": offer.origin.as_of.isoformat() if offer.origin.as_of else None,
        "doubt": offer.doubt,
        "fallback": offer.fallback,
        "parts": [
            {
                "bucket": part.bucket,
                "quantity": part.quantity,
                "normalizedPerMillion": _usd(part.nano_per_million),
                "cost": part.quantity * part.nano_per_million / 1e15,
                "serviceTier": part.service_tier,
                "region": part.region,
            }
            for part in offer.parts
        ],
        "missing": list(offer.missing),
    }


def _pair_body(pair: Equivalence) -> PairBody:
    return {"a": pair.a, "b": pair.b, "calls": pair.calls, "breakEvenOutputTokens": pair.break_even_output, "text": pair.text}


def _one(price: StatedPrice) -> float:
    return float(usd_from_nano(price.nano_per_million).scaleb(-6))


def _per(price: StatedPrice) -> str:
    return price.unit.replace("_", " ") if price.per == 1 else f"{price.per:,} {UNITS.get(price.unit, price.unit)}"


def _usd(nano: int | None) -> Any:
    """A JSON number, or None for what has no price."""
    return None if nano is None else float(usd_from_nano(nano))
