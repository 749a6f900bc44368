"""Prices over time as steps, one line per offer: what is drawn, what is said, and the table behind. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from state.chart_scales import Tick, day_place, day_ticks, round_steps, spread
from state.views import date_text, price_text

_LABELS_APART = 0.09
"""Of the plot's height: one line of text."""
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_GONE = "no price"


@dataclass(frozen=True, slots=True)
class PriceStep:
    """From that day on it cost that many nano-dollars per 1M tokens; None: nobody stated a price any more."""

    day: date
    nano: int | None


@dataclass(frozen=True, slots=True)
class OfferSteps:
    """The price of one offer over time, oldest first. One of a chart is the `main` one: the sentence is about it."""

    name: str
    steps: tuple[PriceStep, ...]
    main: bool = False


@dataclass(slots=True)
class StepLine:
    """`points`: [place in time, height] where a step begins, height None where there is no price.

    `amount` is the price now, said with the name at the line's end at the height `label_at`; empty where there is none.
    """

    name: str = ""
    main: bool = False
    points: list[list[float | None]] = field(default_factory=list)
    amount: str = ""
    label_at: float = 0.0


@dataclass(slots=True)
class Stop:
    """What is read out at one place in time."""

    at: float = 0.0
    title: str = ""
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class StepChart:
    """Everything that a browser draws; empty `lines` is nothing to draw.

    `rows` of the table: day, offer, price before, price after. `unwatched`: the ends of a stretch in which nobody looked, or nothing.
    """

    sentence: str = ""
    lines: list[StepLine] = field(default_factory=list)
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    unwatched: list[float] = field(default_factory=list)


def step_chart(what: str, offers: Sequence[OfferSteps], today: date, unwatched: tuple[date, date] | None = None) -> StepChart:
    """`what` is "Input price" or the like; prices are USD per 1M tokens. Offers without any step are left out.

    `unwatched`: from one day to another nobody looked, and the chart says so.
    """
    drawn = sorted((one for one in offers if one.steps), key=lambda one: not one.main)
    amounts = [step.nano for one in drawn for step in one.steps if step.nano is not None]
    if not amounts:
        return StepChart()
    first = min(one.steps[0].day for one in drawn)
    last = max(today, *(one.steps[-1].day for one in drawn))
    marks = round_steps(max(amounts))
    top = marks[-1]
    lines = [_line(one, first, last, top) for one in drawn]
    standing = [line for line in lines if line.amount]
    for line, place in zip(standing, spread([line.label_at for line in standing], _LABELS_APART), strict=True):
        line.label_at = place
    return StepChart(
        sentence=steps_sentence(what, drawn[0]),
        lines=lines,
        x_ticks=day_ticks(first, last),
        y_ticks=[Tick(mark / top, price_text(mark)) for mark in marks],
        stops=_stops(drawn, first, last),
        rows=_rows(drawn),
        unwatched=_within(unwatched, first, last) if unwatched else [],
    )


def steps_sentence(what: str, offer: OfferSteps) -> str:
    """`Input price fell from $1.00 to $0.25 in four steps`; where it never moved, since when it is known."""
    known = [step for step in offer.steps if step.nano is not None]
    if not known:
        return f"Nobody stated the {what[0].lower()}{what[1:]} of {offer.name}"
    moves = [(before.nano, after.nano) for before, after in pairwise(known) if before.nano != after.nano]
    start, end = known[0].nano or 0, known[-1].nano or 0
    if not moves:
        return f"{what} has been ${price_text(end)} since {date_text(known[0].day)}"
    count = _COUNTS[len(moves)] if len(moves) < len(_COUNTS) else str(len(moves))
    steps = f"in {count} step{'' if len(moves) == 1 else 's'}"
    directions = {(after or 0) > (before or 0) for before, after in moves}
    if start == end:
        return f"{what} is ${price_text(end)} again after {count} steps"
    verb = "went" if len(directions) > 1 else "rose" if True in directions else "fell"
    return f"{what} {verb} from ${price_text(start)} to ${price_text(end)} {steps}"


def price_on(offer: OfferSteps, day: date) -> int | None:
    """What it cost that day; None before the first step and while there was no price."""
    found: int | None = None
    for step in offer.steps:
        if step.day > day:
            break
        found = step.nano
    return found


def _within(days: tuple[date, date], first: date, last: date) -> list[float]:
    ends = [day_place(day, first, last) for day in days]
    return ends if ends[1] > ends[0] else []


def _line(offer: OfferSteps, first: date, last: date, top: int) -> StepLine:
    points: list[list[float | None]] = [
        [day_place(step.day, first, last), None if step.nano is None else step.nano / top] for step in offer.steps
    ]
    end = offer.steps[-1].nano
    points.append([1.0, None if end is None else end / top])
    return StepLine(
        name=offer.name,
        main=offer.main,
        points=points,
        amount="" if end is None else price_text(end, digits=4),
        label_at=0.0 if end is None else end / top,
    )


def _stops(offers: Sequence[OfferSteps], first: date, last: date) -> list[Stop]:
    days = sorted({step.day for one in offers for step in one.steps} | {last})
    stops = []
    for day in days:
        lines = []
        for one in offers:
            if one.steps[0].day <= day:
                nano = price_on(one, day)
                lines.append(f"{one.name} {_GONE if nano is None else '$' + price_text(nano)}")
        stops.append(Stop(day_place(day, first, last), date_text(day), lines))
    return stops


def _rows(offers: Sequence[OfferSteps]) -> list[list[str]]:
    found: list[tuple[date, list[str]]] = []
    for one in offers:
        before: int | None = None
        for number, step in enumerate(one.steps):
            old = "—" if number == 0 else _GONE if before is None else price_text(before)
            found.append((step.day, [date_text(step.day), one.name, old, _GONE if step.nano is None else price_text(step.nano)]))
            before = step.nano
    return [row for _, row in sorted(found, key=lambda pair: pair[0], reverse=True)]


def step_path(steps: Sequence[PriceStep], first: date, last: date, width: int, height: int) -> str:
    """The steps as an SVG path without axes, from nothing at the bottom to their own highest price at the top."""
    top = max((step.nano for step in steps if step.nano is not None), default=0)
    if not top:
        return ""
    path: list[str] = []
    drawing = False
    for step in steps:
        across = round(day_place(step.day, first, last) * width, 1)
        if drawing:
            path.append(f"H{across:g}")
        if step.nano is not None:
            down = round((1 - step.nano / top) * height, 1)
            path.append(f"V{down:g}" if drawing else f"M{across:g} {down:g}")
        drawing = step.nano is not None
    return " ".join([*path, f"H{width}"] if drawing else path)
