"""What somebody's work costs at each offer of one model, and what it emits. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from backend.carbon.footprint import WORLD, Footprint, Unknown
from backend.kernel.money import format_usd
from backend.pricing.doubt import UNCONFIRMED
from backend.pricing.schemas import ModelCost, OfferCost
from backend.pricing.workload import Workload
from state.views import UNPRICED, counted

MOST_OFFERS = 6


@dataclass(slots=True)
class OfferLine:
    """What the work costs at one offer; `best` is the cheapest."""

    id: str = ""
    seller: str = ""
    call: str = ""
    month: str = ""
    best: bool = False


def offer_lines(cost: ModelCost, sellers: Mapping[str, str], own_offer: str | None) -> list[OfferLine]:
    """The cheapest offer of each seller, and the maker's own wherever it stands."""
    kept: list[OfferCost] = []
    seen: set[str] = set()
    for offer in cost.offers:
        if offer.state == "unpriced" or (offer.provider in seen and offer.offer_id != own_offer):
            continue
        if len(kept) < MOST_OFFERS or offer.offer_id == own_offer:
            seen.add(offer.provider)
            kept.append(offer)
    best = cost.best
    return [
        OfferLine(
            offer.offer_id,
            sellers.get(offer.provider, offer.provider)
            + (", the maker" if offer.offer_id == own_offer else "")
            + (f", {UNCONFIRMED}" if offer.doubt is not None else ""),
            money(offer.nano),
            money(offer.month),
            best is offer,
        )
        for offer in kept
    ]


def beside_tokens(workload: Workload) -> str:
    """What a call is beside its tokens in and out: `1 picture`, `60 seconds`; empty where it is nothing else."""
    amounts = (
        (workload.images, "picture", ""),
        (math.ceil(workload.seconds), "second", ""),
        (workload.characters, "character", ""),
        (workload.audio_input_tokens, "token heard", "tokens heard"),
        (workload.audio_output_tokens, "token spoken", "tokens spoken"),
    )
    return ", ".join(counted(amount, one, more) for amount, one, more in amounts if amount)


def a_call(workload: Workload) -> str:
    """What a call is reckoned as: `1,000 tokens in, 500 out`, `100 tokens in, 1 picture`."""
    said = [
        f"{amount:,} {word}"
        for amount, word in ((workload.input_tokens, "tokens in"), (workload.output_tokens, "out"), (workload.reasoning_tokens, "thought"))
        if amount
    ]
    return ", ".join(part for part in (*said, beside_tokens(workload)) if part) or "nothing"


def calculator_sentence(cost: ModelCost, sellers: Mapping[str, str], beside: str = "") -> str:
    """`This work costs $14.54 a month at Poe`; `beside`: what a call is beside tokens."""
    best, work = cost.best, f"This work ({beside} a call)" if beside else "This work"
    if best is None:
        return "Nobody states a price that covers this work"
    seller = sellers.get(best.provider, best.provider) + (f", {UNCONFIRMED}" if best.doubt is not None else "")
    return f"{work} costs {money(best.month)} a month at {seller}" if best.nano else f"{seller} gives this work away, within its limits"


def money(nano: int | None) -> str:
    return UNPRICED if nano is None else format_usd(nano) if nano else "free"


def carbon_text(found: Footprint | Unknown) -> str:
    """A range with its unit, what it rests on and by which method; or why nothing can be said."""
    if isinstance(found, Unknown):
        return f"Emissions: {found.reason}"
    zone = "the world's mean electricity" if found.zone == WORLD else f"electricity of {found.zone}"
    return (
        f"A call emits {span_text(found.grams_low, found.grams_high)} g CO₂e and takes {span_text(found.wh_low, found.wh_high)} Wh: "
        f"{zone}, {found.method}, {found.basis}."
    )


def span_text(low: float, high: float) -> str:
    """`0.35–0.57` in two digits; one number where both are the same."""
    ends = [f"{end:.2g}" if end < 100 else f"{end:,.0f}" for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else "–".join(ends)
