"""How well a candidate suits: parts from 0 to 1, each weighed, together 1 at the most.

**Quality** is the lower end of what benchmarks say about the skills that the task needs, from 1 for the best so evidenced of all models
that do such tasks; where none of them was measured, how widely a model is sold and how new it is stand in, and count half. **Cost** falls
with the logarithm of what a call of the workload costs, from 1 at the cheap end of all models that do such tasks to 0 at the dear end; no
known price is 0. **Latency** is what this gateway measured, **carbon** what a call is estimated to emit; **fit** is the share of what helps
with the task that the model is known to have.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest

from backend.matching.ask import Weights
from backend.matching.candidates import Selection
from backend.matching.columns import Columns
from backend.matching.offer_costs import UNKNOWN
from backend.matching.quality import Mix

UNMEASURED = 0.35
"""What latency and carbon count where nobody measured: less than the middle, and the same for all."""
SOLD_AS_FAST = 0.50
"""What latency counts where nobody measured and the name says that its maker sells it as the quick one of its family."""
_QUICKEST_MS, _SLOWEST_MS = 100.0, 20_000.0
_LEAST_GRAMS, _MOST_GRAMS = 0.01, 100.0
_MANY_SELLERS = 16
_OLD_DAYS = 3 * 365
PARTS = ("quality", "fit", "cost", "latency", "carbon")


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate: a model by place with its offer (row). `parts` in the order of `PARTS`, 0 to 1; `score` is their weighed sum."""

    place: int
    row: int
    cost_nano: int | None
    given_away: bool
    score: float
    parts: tuple[float, ...]
    latency_ms: float | None
    grams: float | None
    kin: tuple[int, ...]
    """Places of the same model in other guises, which stood behind it."""


class Scoring:
    """Scores of all candidates of a selection, by their number.

    Args:
        helpful: bits of capabilities that serve the task.
        latency: row → measured milliseconds. grams: place → CO2e of one call. None where nothing is known of anybody.
    """

    def __init__(
        self,
        columns: Columns,
        selection: Selection,
        mix: Mix,
        helpful: Sequence[int],
        weights: Weights,
        latency: Callable[[int], float | None] | None = None,
        grams: Callable[[int], float | None] | None = None,
    ) -> None:
        self._columns = columns
        self._selection = selection
        places = selection.places
        self._latencies = [latency(row) for row in selection.rows] if latency is not None else [None] * len(places)
        self._grams_of = grams
        # An estimate takes a while, so those that decide nothing are made for what is shown alone.
        self._grams = [grams(place) for place in places] if grams is not None and weights.carbon else [None] * len(places)
        self._parts = (
            self._quality(mix),
            self._fit(helpful),
            self._cost(),
            [latency_part(measured, columns.fast[place]) for measured, place in zip(self._latencies, places, strict=True)],
            [carbon_part(emitted) for emitted in self._grams] if weights.carbon else [UNMEASURED] * len(places),
        )
        a, b, c, d, e = weights.quality, weights.fit, weights.cost, weights.latency, weights.carbon
        self._scores = [a * q + b * f + c * p + d * t + e * g for q, f, p, t, g in zip(*self._parts, strict=True)]

    def _quality(self, mix: Mix) -> list[float]:
        places = self._selection.places
        counted = self._columns.quality.counted(mix) if mix else None
        best = max((counted[place] for place in self._selection.doers), default=0.0) if counted is not None else 0.0
        if counted is None or best <= 0:
            return [_standing_in(self._columns, place) for place in places]
        return [counted[place] / best for place in places]

    def _cost(self) -> list[float]:
        costs, scale = self._selection.costs, self._selection.cost_scale
        part = {cost: cost_part(cost, scale) for cost in set(costs)}  # many cost the same
        return [part[cost] for cost in costs]

    def _fit(self, helpful: Sequence[int]) -> list[float]:
        if not helpful:
            return [1.0] * len(self._selection.places)
        wanted, can = sum(helpful), self._columns.capabilities
        return [(can[place] & wanted).bit_count() / len(helpful) for place in self._selection.places]

    def best(self, most: int) -> tuple[list[Scored], int]:
        """So many of the best, one of each kin, and how many there are. Of equals the cheaper, the unpriced last; does not depend on the
        order of the candidates."""
        kin, places, scores = self._columns.kin, self._selection.places, self._scores
        heads: dict[int, int] = {}
        for number, place in enumerate(places):
            head = heads.get(kin[place])
            if head is None or scores[number] > scores[head] or (scores[number] == scores[head] and self._key(number) < self._key(head)):
                heads[kin[place]] = number
        chosen = sorted(_best_scored(most, heads.values(), scores), key=self._key)[:most]
        shown = {kin[places[number]] for number in chosen}
        behind: dict[int, list[int]] = {one: [] for one in shown}
        for number, place in enumerate(places):
            if kin[place] in shown and heads[kin[place]] != number:
                behind[kin[place]].append(number)
        return [self._shown(number, sorted(behind[kin[places[number]]], key=self._key)) for number in chosen], len(heads)

    def _key(self, number: int) -> tuple[float, bool, int, int, str]:
        cost, id = self._selection.costs[number], self._columns.models[self._selection.places[number]].id
        # What has the shorter name is the model itself rather than one of its variants.
        return -self._scores[number], cost == UNKNOWN, cost, len(id), id

    def _shown(self, number: int, behind: Sequence[int]) -> Scored:
        selection = self._selection
        cost, place = selection.costs[number], selection.places[number]
        grams = self._grams_of(place) if self._grams_of is not None else None
        return Scored(
            place,
            selection.rows[number],
            None if cost == UNKNOWN else cost,
            bool(self._columns.free[selection.rows[number]]),
            self._scores[number],
            (*(part[number] for part in self._parts[:-1]), carbon_part(grams)),
            self._latencies[number],
            grams,
            tuple(selection.places[other] for other in behind),
        )


def _standing_in(columns: Columns, place: int) -> float:
    """For what nobody measured: who sells a model and when it came say little, but not nothing."""
    model = columns.models[place]
    sold = min(1.0, math.log(1 + model.providers) / math.log(1 + _MANY_SELLERS))
    days = None if model.release_date is None or columns.newest is None else (columns.newest - model.release_date).days
    new = 0.0 if days is None else max(0.0, 1 - days / _OLD_DAYS)
    return 0.5 * (sold + new) / 2


def _best_scored(most: int, numbers: Collection[int], scores: Sequence[float]) -> Iterable[int]:
    """So many of them, and those whose score equals the last one's."""
    if len(numbers) <= most:
        return numbers
    least = nlargest(most, [scores[number] for number in numbers])[-1]
    return [number for number in numbers if scores[number] >= least]


def cost_part(nano: int, scale: tuple[int, int] | None) -> float:
    """1 cheap, 0 dear or unknown. What is given away counts as cheap, too: it is confirmed to cost nothing."""
    if nano == UNKNOWN or scale is None:
        return 0.0
    return _falling(nano, *scale) if nano > 0 else 1.0


def latency_part(measured_ms: float | None, sold_as_fast: bool) -> float:
    """1 quick, 0 slow."""
    if measured_ms is not None:
        return _falling(measured_ms, _QUICKEST_MS, _SLOWEST_MS)
    return SOLD_AS_FAST if sold_as_fast else UNMEASURED


def carbon_part(grams: float | None) -> float:
    """1 little, 0 much."""
    return UNMEASURED if grams is None else _falling(grams, _LEAST_GRAMS, _MOST_GRAMS)


def _falling(value: float, best: float, worst: float) -> float:
    return min(1.0, max(0.0, 1 - math.log(max(value, 1e-12) / best) / math.log(worst / best)))
