"""Models side by side for one workload: which offer is cheapest, what equals what, and where they break even. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

from backend.pricing.cost import PriceCard
from backend.pricing.doubt import standing
from backend.pricing.equivalence import equivalence_sentence, listed, unpriced_sentence
from backend.pricing.schemas import Comparison, Equivalence, ModelCost, OfferCost, PricedPart
from backend.pricing.workload import Workload, cost_per_call, per_day, per_million_blended, per_month

_FAR = 1_000_000
"""Output tokens between two measured points of a straight line; enough for rounding up to a nano-dollar not to bend it."""


def cost_at_offer(offer_id: str, provider: str, card: PriceCard | None, workload: Workload, at: datetime) -> OfferCost:
    """What the workload costs at one offer; `card` is None where no price of it is known."""
    if card is None:
        return OfferCost(offer_id, provider, "unpriced", None, None, None, None, missing=("card",))
    cost = cost_per_call(card, workload, at=at)
    parts = tuple(
        PricedPart(part.bucket, part.quantity, part.line.nano_per_million, part.line.service_tier, part.line.region) for part in cost.parts
    )
    # Nothing of this work is billed by an offer that counts images or seconds only. That is no gift: what it would cost is not known.
    missing = cost.missing or (() if parts or cost.state == "free" else _asked(workload))
    if missing:
        return OfferCost(offer_id, provider, "unpriced", None, None, None, None, parts, missing)
    return OfferCost(
        offer_id,
        provider,
        cost.state,
        cost.nano,
        per_day(cost.nano, workload),
        per_month(cost.nano, workload),
        per_million_blended(cost, workload),
        parts,
        fallback=_fallback(parts, workload),
    )


def _fallback(parts: Sequence[PricedPart], workload: Workload) -> str | None:
    """Where the usual price is taken, because the tier or region that was asked for has none; None where that is nowhere."""
    said = []
    if parts and (tier := workload.service_tier) is not None:
        said.append(_taken(tier, f"no {tier} one", [part.bucket for part in parts if part.service_tier is not None], len(parts)))
    if parts and (region := workload.region) is not None:
        said.append(_taken(region, f"none for {region}", [part.bucket for part in parts if part.region is not None], len(parts)))
    return ", ".join(text for text in said if text) or None


def _taken(word: str, none: str, own: Sequence[str], of: int) -> str:
    """`own`: the buckets that have a price of their own there, of so many."""
    if len(own) == of:
        return ""
    return f"{word} price for {listed([bucket.replace('_', ' ') for bucket in own])} only" if own else f"usual price, {none}"


def _asked(workload: Workload) -> tuple[str, ...]:
    """The buckets that a call of it fills."""
    return tuple(bucket for bucket, used in workload.usage._asdict().items() if used)


def cheapest_first(offers: Sequence[OfferCost]) -> tuple[OfferCost, ...]:
    """Sold before given away before doubtful before unpriced, then those who price the tier or region that was asked for, then by cost;
    equals stay in the order given."""
    return tuple(sorted(offers, key=lambda offer: (standing(offer.state, offer.doubt), offer.fallback is not None, offer.nano or 0)))


def compare(models: Sequence[ModelCost], cards: dict[str, PriceCard], workload: Workload, at: datetime) -> Comparison:
    """`cards`: of the offers, by id."""
    pairs = tuple(_equivalence(a, b, cards, workload, at) for a, b in combinations(models, 2))
    return Comparison(workload, at, tuple(models), pairs, equivalence_sentence(models))


def _equivalence(a: ModelCost, b: ModelCost, cards: dict[str, PriceCard], workload: Workload, at: datetime) -> Equivalence:
    one, other = a.best, b.best
    if one is None or other is None:
        return Equivalence(
            a.model_id, b.model_id, None, None, "; ".join(unpriced_sentence(model) for model in (a, b) if model.best is None)
        )
    assert one.nano is not None
    assert other.nano is not None
    if not other.nano or not one.nano:
        free = [model.name for model, offer in ((a, one), (b, other)) if not offer.nano]
        return Equivalence(a.model_id, b.model_id, None, None, f"{' and '.join(free)} cost{'s' if len(free) == 1 else ''} nothing")
    calls = one.nano / other.nano
    first, second = _line(cards[one.offer_id], workload, at), _line(cards[other.offer_id], workload, at)
    even = _break_even(first, second)
    text = f"1 call of {a.name} = {_shown(calls)} call{'' if _shown(calls) == '1' else 's'} of {b.name}"
    if even is not None and first is not None and second is not None:
        longer, shorter = (a, b) if first.slope < second.slope else (b, a)
        text += f"; {longer.name} is cheaper above {even:,} output tokens, {shorter.name} below"
    return Equivalence(a.model_id, b.model_id, calls, even, text)


class _Line(NamedTuple):
    """What a call costs over the length of its answer: nano-dollars without any, and per output token."""

    silent: int
    slope: Fraction


def _break_even(one: _Line | None, other: _Line | None) -> int | None:
    if one is None or other is None or one.slope == other.slope:
        return None
    tokens = (other.silent - one.silent) / (one.slope - other.slope)
    return round(tokens) if 0 < tokens <= 10_000_000 else None


def _line(card: PriceCard, workload: Workload, at: datetime) -> _Line | None:
    """Bands follow the prompt alone, so that it is straight; None where no answer is billed by its length, or its price is not known."""
    far = cost_per_call(card, replace(workload, output_tokens=_FAR), at=at)
    if far.state != "priced" or all(part.bucket != "output" for part in far.parts):
        return None
    silent = cost_per_call(card, replace(workload, output_tokens=0), at=at)
    if silent.state != "priced":
        return None
    return _Line(silent.nano, Fraction(far.nano - silent.nano, _FAR))


def _shown(ratio: float) -> str:
    """Three digits, and no exponent: 0.0612, 16.7, 1,250."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}" if ratio >= 0.001 else f"{ratio:.6f}".rstrip("0")
