"""What a row of the store says beside what it is: its price over two years, how good it is, how soon it answers. Pure.

Such marks come after the rows, because they are read from the database and from results that may have to be weighed first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from backend.benchmarks.scores import Scores, SkillScore
from backend.pricing.history import PriceSeries
from state.price_history import COMPONENTS, sound_steps
from state.step_chart import OfferSteps, PriceStep, price_on, step_path, steps_sentence
from state.views import counted, milliseconds_text

DAYS = 730
SPARK = (80, 16)
"""Width and height of the small chart."""
FEW = 15
"""A score that may be this many points off and more rests on few results."""
FEW_RESULTS = "few results"


@dataclass(slots=True)
class RowMarks:
    """`spark` is an SVG path within `SPARK`, and `spark_end` how far down it ends; empty where nothing is known, or no price is in force.
    `quality` is `78 ± 2`, or few results in words; empty is not measured. The `_said` are the same in words.
    """

    spark: str = ""
    spark_end: str = ""
    spark_said: str = ""
    quality: str = ""
    quality_said: str = ""
    first_token: str = ""


Quality = Callable[[str], tuple[str, str]]
"""Model id → the text of its quality and the same in words."""


def marks_of(
    offers: Mapping[str, str], series: Mapping[str, PriceSeries], quality: Quality, first: Mapping[str, float | None], today: date
) -> dict[str, RowMarks]:
    """By slug. `offers`: the offer whose price each row shows; `series`: what an input token cost there over time; `first`: milliseconds
    until the first token, as this gateway measured them."""
    found = {}
    for slug, offer in offers.items():
        spark = _spark(sound_steps(series[offer]) if offer in series else (), today)
        milliseconds = first.get(slug)
        found[slug] = RowMarks(*spark, *quality(slug), "" if milliseconds is None else milliseconds_text(milliseconds))
    return found


def quality_of(scores: Scores, benchmark: str, name: str) -> Quality:
    """Of all results together, or of those on one benchmark, which has this name."""
    on = scores.on(benchmark)

    def alone(slug: str) -> tuple[str, str]:
        score = on.get(slug)
        return ("", "") if score is None else (f"{score:.0f}", f"{score:.0f} of 100 on {name or benchmark}")

    return alone if benchmark else lambda slug: quality_text(scores.overall(slug))


def quality_text(score: SkillScore | None) -> tuple[str, str]:
    """`78 ± 2`, and between which scores it is on how many results."""
    if score is None:
        return "", ""
    results = counted(score.results, "result")
    own = f", {score.self_reported} by its maker" if score.self_reported else ""
    said = f"quality {score.score:.0f}, between {score.low:.0f} and {score.high:.0f}, {results}{own}"
    return (FEW_RESULTS if is_thin(score) else f"{score.score:.0f} ± {(score.high - score.low) / 2:.0f}"), said


def is_thin(score: SkillScore) -> bool:
    """Whether the evidence is too little to print a number as if it were known."""
    return (score.high - score.low) / 2 >= FEW


def soonest(offers: Sequence[tuple[str, str]], measured: Mapping[tuple[str, str], float]) -> float | None:
    """Milliseconds to the first token at whoever was quickest of these (provider, upstream id)."""
    return min((measured[offer] for offer in offers if offer in measured), default=None)


def _spark(steps: Sequence[PriceStep], today: date) -> tuple[str, str, str]:
    first = today - timedelta(days=DAYS)
    # What held on the first day began before it.
    recent = [*[step for step in steps if step.day <= first][-1:], *[step for step in steps if step.day > first]]
    top = max((step.nano for step in recent if step.nano is not None), default=0)
    if not top:
        return "", "", ""
    offer = OfferSteps("", tuple(recent))
    now = price_on(offer, today)
    end = "" if now is None else f"{round((1 - now / top) * SPARK[1], 1):g}"
    return step_path(recent, first, today, *SPARK), end, steps_sentence(COMPONENTS["input"], offer)
