"""Which of a model's offers are drawn over time, and what their steps are. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

from backend.pricing.equivalence import listed
from backend.pricing.history import PriceHistory, PriceSeries
from state.step_chart import OfferSteps, PriceStep, StepChart, step_chart, step_path, steps_sentence

MOST_LINES = 5
COMPONENTS = {"input": "Input price", "output": "Output price"}
"""What can be drawn, and what it is called in the title."""
SPARK = (64, 16)
"""Width and height of a small chart in a row."""


def history_chart(
    history: PriceHistory, component: str, *, own_offer: str | None, sellers: Mapping[str, str], today: date
) -> tuple[StepChart, str]:
    """The chart of one component's base price per token, and what to know about it.

    The line in colour is the maker's own offer, or else the one that is known to have changed most. `sellers`: names by offer id.
    """
    drawn = [
        (one, steps)
        for one in history.series
        if one.leading and not one.tier and (one.component, one.unit) == (component, "token") and (steps := sound_steps(one))
    ]
    drawn.sort(key=lambda pair: (pair[0].offer_id != own_offer, -_moves(pair[1]), pair[1][-1].nano or 0, pair[0].offer_id))
    chosen: list[tuple[PriceSeries, tuple[PriceStep, ...]]] = []
    seen: set[str] = set()
    for one, steps in drawn:
        seller = sellers.get(one.offer_id, one.offer_id)
        if len(chosen) < MOST_LINES and seller not in seen and (not chosen or _moves(steps)):
            seen.add(seller)
            chosen.append((one, steps))
    lines = [OfferSteps(sellers.get(one.offer_id, one.offer_id), steps, main=number == 0) for number, (one, steps) in enumerate(chosen)]
    chart = step_chart(COMPONENTS[component], lines, today, unwatched=history.unwatched)
    return chart, _about([one for one, _ in chosen], len(drawn) - len(chosen)) if chart.lines else ""


def spark_lines(history: PriceHistory, component: str, today: date) -> dict[str, list[str]]:
    """By offer id, of those whose price is known to have moved: the path of a small chart of the same days for all, and its sentence."""
    moved = {
        one.offer_id: steps
        for one in history.series
        if one.leading and not one.tier and (one.component, one.unit) == (component, "token") and _moves(steps := sound_steps(one))
    }
    first = min((steps[0].day for steps in moved.values()), default=today)
    return {
        offer_id: [
            step_path(steps, first, today, *SPARK),
            steps_sentence(COMPONENTS[component], OfferSteps(offer_id, steps)),
        ]
        for offer_id, steps in moved.items()
    }


def sound_steps(series: PriceSeries) -> tuple[PriceStep, ...]:
    """Steps with a day, without what was taken back or cannot be right; where a price ended without another, there is none."""
    steps: list[PriceStep] = []
    ended: date | None = None
    for step in series.steps:
        if step.start is None or step.doubt is not None or step.reverted:
            continue
        if ended is not None and ended < step.start:
            steps.append(PriceStep(ended, None))
        ended = step.end
        if not steps or steps[-1].nano != step.nano_per_million:
            steps.append(PriceStep(step.start, step.nano_per_million))
    if ended is not None:
        steps.append(PriceStep(ended, None))
    return tuple(steps)


def _moves(steps: Sequence[PriceStep]) -> int:
    known = [step.nano for step in steps if step.nano is not None]
    return sum(before != after for before, after in pairwise(known))


def _about(drawn: Sequence[PriceSeries], left: int) -> str:
    dated = {step.dated_by for one in drawn for step in one.steps}
    parts = ["Dollars per million tokens."]
    if "map" in dated:
        parts.append(
            "A step is the day on which a public price map said so; the seller's own change lies between its look before and that."
        )
    parts.append(f"From {listed(sorted({one.source for one in drawn}))}.")
    if left:
        parts.append(f"{left} more offer{' is' if left == 1 else 's are'} in the list below.")
    return " ".join(parts)
