"""Price against quality: dots with what the evidence allows around them, and the line of those that nobody beats on both. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.kernel.money import NANO_PER_USD, format_usd
from backend.pricing.equivalence import listed
from state.chart_scales import Tick, log_place, powers


@dataclass(frozen=True, slots=True)
class Priced:
    """One model: its price (nano-dollars, above 0), its score and the interval around it (0–100), and whether it was chosen."""

    id: str
    name: str
    nano: int
    score: float
    low: float
    high: float
    chosen: bool = True


@dataclass(slots=True)
class Dot:
    """A model in the plot; places from 0 to 1, dear to the right and good to the top. `read` is what is read out."""

    id: str = ""
    name: str = ""
    at: float = 0.0
    height: float = 0.0
    low: float = 0.0
    high: float = 0.0
    chosen: bool = False
    front: bool = False
    read: str = ""


@dataclass(slots=True)
class Scatter:
    """Everything that a browser draws; no dots is nothing to draw. `front` are the corners of the line, [place, height].

    `rows` of the table: name, price, score, the interval around it, whether nobody beats it.
    """

    sentence: str = ""
    dots: list[Dot] = field(default_factory=list)
    front: list[list[float]] = field(default_factory=list)
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def pareto_front(models: Sequence[Priced]) -> list[Priced]:
    """Those that no other is cheaper than and as good, or better and as cheap; from the cheapest to the best."""
    front: list[Priced] = []
    for one in sorted(models, key=lambda model: (model.nano, -model.score, model.id)):
        if not front or one.score > front[-1].score:
            front.append(one)
    return front


def scatter(models: Sequence[Priced], measure: str, per: str = "a call") -> Scatter:
    """`measure` is what the score is of, as in "coding", and `per` what the price is for."""
    if not models:
        return Scatter()
    marks = powers(min(one.nano for one in models) / NANO_PER_USD, max(one.nano for one in models) / NANO_PER_USD)
    floor = int(min(one.low for one in models) // 10 * 10)
    ceiling = min(100, max(floor + 20, -int(-max(one.high for one in models) // 10) * 10))
    front = pareto_front(models)
    on_front = {one.id for one in front}

    def height(score: float) -> float:
        return min(1.0, max(0.0, (score - floor) / (ceiling - floor)))

    def across(nano: int) -> float:
        return min(1.0, max(0.0, log_place(nano / NANO_PER_USD, marks[0], marks[-1])))

    shown = sorted(models, key=lambda model: (not model.chosen, model.nano))
    dots = [
        Dot(
            id=one.id,
            name=one.name,
            at=across(one.nano),
            height=height(one.score),
            low=height(one.low),
            high=height(one.high),
            chosen=one.chosen,
            front=one.id in on_front,
            read=f"{one.name}: {format_usd(one.nano)} {per}, {measure} {one.score:.0f}, between {one.low:.0f} and {one.high:.0f}",
        )
        for one in shown
    ]
    step = 10 if ceiling - floor <= 60 else 20
    return Scatter(
        sentence=front_sentence(models, front, measure),
        dots=dots,
        front=[[across(one.nano), height(one.score)] for one in front],
        x_ticks=[Tick(log_place(mark, marks[0], marks[-1]), format_usd(round(mark * NANO_PER_USD))) for mark in marks],
        y_ticks=[Tick(height(score), str(score)) for score in range(-(-floor // step) * step, ceiling + 1, step)],
        rows=[
            [one.name, format_usd(one.nano), f"{one.score:.0f}", f"{one.low:.0f}–{one.high:.0f}", "yes" if one.id in on_front else "no"]
            for one in shown
        ],
    )


def front_sentence(models: Sequence[Priced], front: Sequence[Priced], measure: str) -> str:
    """Which of the chosen models nothing beats on price and on that measure at once."""
    chosen = [one for one in models if one.chosen]
    best = [one.name for one in front if one.chosen]
    if not best:
        return f"For each of these there is a model that is cheaper and as good, or better and as cheap, in {measure}"
    if len(best) == len(chosen):
        return f"No other model beats {'it' if len(best) == 1 else 'any of these'} on price and {measure} at once"
    return f"Nothing beats {listed(best)} on price and {measure} at once"
