"""Where things stand in a chart: axes with round numbers, days with their names, labels that do not lie over each other. Pure.

Places are from 0 to 1, left to right and bottom to top; the browser multiplies them by the room that it has.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

_ROUND = (1, 2, 2.5, 5, 10)


@dataclass(slots=True)
class Tick:
    """A mark on an axis with its words."""

    at: float = 0.0
    text: str = ""


def round_steps(top: int, parts: int = 4) -> list[int]:
    """About as many equal steps from 0 to the first round number at or above `top`; [0, 1] where there is nothing to show."""
    if top <= 0:
        return [0, 1]
    rough = top / parts
    size = 10 ** math.floor(math.log10(rough))
    step = next(max(1, round(factor * size)) for factor in _ROUND if factor * size >= rough * 0.999)
    return [step * number for number in range(-(-top // step) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Marks of a logarithmic axis that encloses both, its ends among them: powers of ten, with 2 and 5 between where those are few."""
    if not 0 < low <= high:
        raise ValueError("a logarithmic axis has positive ends, the lower one first")
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    marks = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
    first = max(mark for mark in marks if mark <= low * (1 + 1e-9))
    last = min(mark for mark in marks if mark >= high * (1 - 1e-9))
    if first == last:
        last = marks[marks.index(last) + 1]
    inside = [mark for mark in marks if first <= mark <= last]
    if len(inside) > 5:
        inside = [mark for mark in inside if mark in (first, last) or math.isclose(math.log10(mark) % 1, 0, abs_tol=1e-9)]
    return inside


def log_place(value: float, low: float, high: float) -> float:
    """Where a value stands between two marks of a logarithmic axis."""
    return math.log(value / low) / math.log(high / low)


def day_place(day: date, first: date, last: date) -> float:
    """Where a day stands between two others; those outside stand at the end."""
    return min(1.0, max(0.0, (day - first).days / max(1, (last - first).days)))


def day_ticks(first: date, last: date, most: int = 5) -> list[Tick]:
    """Beginnings of months (or quarters, halves, years) between two days, no more than that, as `Jan 26`."""
    months = (last.year - first.year) * 12 + last.month - first.month
    every = next((step for step in (1, 3, 6, 12, 24, 60) if months // step < most), 120)
    found = []
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        day = date(number // 12, number % 12 + 1, 1)
        if day >= first and number % every == 0:
            found.append(Tick(day_place(day, first, last), f"{day:%b %y}"))
    return found


def spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Places near the wanted ones, in their order, within 0 and 1 and so far apart as labels need; closer where there are too many."""
    if len(wanted) > 1:
        apart = min(apart, 1 / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    places = [0.0] * len(wanted)
    floor = 0.0
    for number in order:
        floor = places[number] = min(1.0, max(wanted[number], floor))
        floor += apart
    ceiling = 1.0
    for number in reversed(order):
        ceiling = places[number] = min(places[number], ceiling)
        ceiling -= apart
    return [max(0.0, place) for place in places]
