"""Who can do it at all: a model is either a candidate, with the offers that remain of it, or ruled out by the first thing that it fails."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import and_
from typing import NamedTuple

from backend.matching.ask import Constraints
from backend.matching.columns import CAPABILITY_BIT, MODALITY_BIT, Columns, Likeness, SortedOut, bits
from backend.matching.offer_costs import UNKNOWN
from backend.matching.taxonomy import Task, Way

REASONS: dict[str, str] = {
    "kind": "made for something else",
    "simulated": "simulated, for trying things out",
    "retired": "retired",
    "deprecated": "deprecated",
    "modality": "does not take or give what is needed",
    "capability": "lacks a capability that is needed",
    "weights": "its weights are not as asked",
    "creator": "its maker was not asked for",
    "context": "holds fewer tokens than needed",
    "licence": "its licence is not stated or another one",
    "language": "does not state or show a language that is needed",
    "not_sold": "nobody is known to sell it",
    "provider": "sold by other providers only",
    "configured": "no provider that is configured here sells it",
    "taking": "those who sell it are not known to take what is needed, as others are",
    "region": "no offer states the region",
    "unpriced": "its price is not known, and a price was asked for",
    "price": "costs more",
    "doubtful": "costs more, but for a price that nobody confirms",
    "latency": "answers slower here, or was never measured and that was asked for",
}
"""In the order in which they are looked at."""
_EXAMPLES = 3
_KEPT = 16
"""Kinds of questions whose able models are kept."""


@dataclass(frozen=True, slots=True)
class RuledOut:
    """How many models, and the best known of them."""

    count: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class Selection:
    """`cost_scale`: what a call costs at the cheap and at the dear end of `doers`."""

    considered: int
    doers: list[int]
    """Places of models that do such tasks at all, whatever else was asked for."""
    places: list[int]
    """The candidates; as flat lists, because thousands of small objects for every question would be felt."""
    rows: list[int]
    """The cheapest remaining offer of each."""
    costs: list[int]
    """What one call costs there, `UNKNOWN` where that is not known."""
    ruled_out: dict[str, RuledOut]
    cost_scale: tuple[int, int] | None


class Reading(NamedTuple):
    """What is known just now of what columns do not hold.

    `costs`: by row, nano-dollars for one call, `UNKNOWN` where that is not known. `tokens`: of one call. `speaks`: place →
    whether it may be taken for the languages that are asked for. `configured`: ids of providers that calls can be sent to here. `latency`:
    row → measured milliseconds.
    """

    costs: Sequence[int]
    tokens: int
    speaks: Callable[[int], bool]
    configured: Collection[str]
    latency: Callable[[int], float | None]


def select(columns: Columns, tasks: Sequence[Task], asked: Constraints, now: Reading) -> Selection:
    """Look at every model."""
    # Who has configured nobody else may try everything out with what is simulated.
    nobody_else = asked.configured_only and columns.simulators.issuperset(now.configured)
    gate = _Gate(tasks, asked, simulated=bool(asked.providers) or nobody_else)
    doers, able, kinds = _sorted_out(columns, gate)
    ruled = {reason: list(out) for reason, out in kinds.items()}
    able = _each(columns, able, asked, gate.context, now, ruled)
    places, rows = _offers(columns, able, asked, now, ruled, _taken_in(tasks, asked))
    shown = {
        reason: RuledOut(len(out), [columns.models[place].id for place in sorted(out)[:_EXAMPLES]])
        for reason in REASONS
        if (out := ruled.get(reason))
    }
    return Selection(len(columns.models), doers, places, rows, [now.costs[row] for row in rows], shown, _scale(columns, doers, now.costs))


def _sorted_out(columns: Columns, gate: "_Gate") -> SortedOut:
    """The same for all questions that differ in nothing that the gate looks at: most ask for one of a few kinds."""
    kept = columns.sorted_out.get(gate.key)
    if kept is None:
        ruled: dict[str, list[int]] = {}
        doers: list[int] = []
        able: list[int] = []
        for likeness, alike in columns.alike.items():
            reason = gate.reason(likeness)
            if reason not in ("kind", "simulated"):
                doers += alike
            if reason is None:
                able += alike
            else:
                ruled.setdefault(reason, []).extend(alike)
        kept = columns.sorted_out[gate.key] = (sorted(doers), sorted(able), ruled)
        if len(columns.sorted_out) > _KEPT:
            columns.sorted_out.popitem(last=False)
    else:
        columns.sorted_out.move_to_end(gate.key)
    return kept


_Needs = tuple[frozenset[str], int, int, int]
"""Of a way: modes, and bits of what is taken, given and able."""


class _Gate:
    """What is asked of a model that many others are asked, too, so that those alike are looked at once."""

    def __init__(self, tasks: Sequence[Task], asked: Constraints, *, simulated: bool) -> None:
        self._asked = asked
        self._simulated_too = simulated
        self._ways = [[_needs(way) for way in task.ways] for task in tasks]
        self._fitting: dict[str, list[list[_Needs]]] = {}
        self._guards_welcome = any(task.id == "moderation" for task in tasks)
        self._takes = bits(asked.modalities_in, MODALITY_BIT)
        self._gives = bits(asked.modalities_out, MODALITY_BIT)
        self._capabilities = bits(asked.capabilities, CAPABILITY_BIT)
        self.key = (
            *(task.id for task in tasks),
            *(asked.modes, asked.modalities_in, asked.modalities_out, asked.capabilities, asked.creators, asked.not_creators),
            *(asked.open_weights, asked.include_deprecated, simulated),
        )
        """All that `reason` looks at."""
        self.context = max([asked.context_min or 0, *(task.context_tokens for task in tasks)])

    def reason(self, like: Likeness) -> str | None:
        asked = self._asked
        fitting = self._fitting.get(like.mode)
        if fitting is None:
            fitting = self._fitting[like.mode] = [[way for way in ways if like.mode in way[0]] for ways in self._ways]
        if not all(fitting) or (asked.modes and like.mode not in asked.modes) or (like.guard and not self._guards_welcome):
            return "kind"
        if like.simulated and not self._simulated_too:
            return "simulated"
        if like.status == "retired" or (like.status == "deprecated" and not asked.include_deprecated):
            return like.status
        if self._takes & ~like.takes or self._gives & ~like.gives:
            return "modality"
        for ways in fitting:
            open_ways = [way for way in ways if not (way[1] & ~like.takes or way[2] & ~like.gives)]
            if not open_ways:
                return "modality"
            if all(way[3] & ~like.capabilities for way in open_ways):
                return "capability"
        if self._capabilities & ~like.capabilities:
            return "capability"
        if asked.open_weights is not None and like.open_weights is not asked.open_weights:
            return "weights"
        if (asked.creators and like.creator not in asked.creators) or like.creator in asked.not_creators:
            return "creator"
        return None


def _needs(way: Way) -> _Needs:
    return (
        frozenset(way.modes),
        bits(way.modalities_in, MODALITY_BIT),
        bits(way.modalities_out, MODALITY_BIT),
        bits(way.capabilities, CAPABILITY_BIT),
    )


def _taken_in(tasks: Sequence[Task], asked: Constraints) -> frozenset[str]:
    """What the tasks take in whichever way they are done, and what is asked for, by the names of abilities and modalities."""
    return asked.capabilities.union(asked.modalities_in, *((*way.capabilities, *way.modalities_in) for task in tasks for way in task.ways))


def _each(columns: Columns, able: list[int], asked: Constraints, context: int, now: Reading, ruled: dict[str, list[int]]) -> list[int]:
    """What is asked of every model by itself."""
    # Where nobody states languages, none can be missing.
    languages = asked.languages if asked.strict or columns.states_languages else ()
    if not (context or asked.licences or languages):
        return able
    left: list[int] = []
    for place in able:
        if context and columns.contexts[place] < context:
            ruled.setdefault("context", []).append(place)
        elif asked.licences and (columns.licences[place] or "").casefold() not in asked.licences:
            ruled.setdefault("licence", []).append(place)
        elif languages and not now.speaks(place):
            ruled.setdefault("language", []).append(place)
        else:
            left.append(place)
    return left


def _offers(
    columns: Columns, able: list[int], asked: Constraints, now: Reading, ruled: dict[str, list[int]], words: Collection[str]
) -> tuple[list[int], list[int]]:
    """Places that have an offer left, and which. `words`: what must be taken in, by the names of abilities and modalities."""
    sieves = _sieves(columns, asked, now, words)
    first, costs, cheapest = columns.first, now.costs, columns.by_place(now.costs).cheapest
    passing: Sequence[bool] = [True] * len(columns.offers)
    for _, marks in sieves:
        passing = list(map(and_, passing, marks))
    places: list[int] = []
    chosen: list[int] = []
    for place in able:
        row = cheapest[place]
        # Of some of its offers the cheapest is the cheapest of all, if it is one of them.
        if row >= 0 and passing[row]:
            places.append(place)
            chosen.append(row)
            continue
        sold = range(first[place], first[place + 1])
        rows = [row for row in sold if passing[row]]
        if rows:
            places.append(place)
            chosen.append(columns.cheapest(rows, costs))
        else:
            ruled.setdefault(_stopped_by(sold, sieves), []).append(place)
    return places, chosen


def _stopped_by(rows: Sequence[int], sieves: Sequence[tuple[str, Sequence[bool]]]) -> str:
    """The first sieve that lets nothing through of what those before it left."""
    reason = "not_sold"
    for name, marks in sieves:
        if not rows:
            break
        rows, reason = [row for row in rows if marks[row]], name
    return reason


def _sieves(columns: Columns, asked: Constraints, now: Reading, words: Collection[str]) -> list[tuple[str, Sequence[bool]]]:
    """What is asked of offers: the reason for those that fail, and by row who does not. Nothing for what is not asked."""
    offers, costs = columns.offers, now.costs
    sieves: list[tuple[str, Sequence[bool]]] = []
    if asked.providers or asked.not_providers:
        sieves.append(("provider", [_from(offer.provider, asked) for offer in offers]))
    if asked.configured_only:
        sieves.append(("configured", [offer.provider in now.configured for offer in offers]))
    if (taking := columns.taking(words)) is not None:
        sieves.append(("taking", taking))
    if (wanted := asked.region) is not None:
        sieves.append(("region", [_within(region, wanted) for region in columns.regions]))
    if (least := asked.context_min) is not None:
        sieves.append(("context", [(tokens or least) >= least for tokens in columns.offer_contexts]))
    if asked.limits_tokens:
        sieves.append(("unpriced", [cost != UNKNOWN for cost in costs]))
        sieves.append(("price", _affordable(columns, asked, now)))
        # A limit is kept by prices that can be relied on.
        sieves.append(("doubtful", [not doubtful for doubtful in columns.doubtful]))
    if asked.max_latency_ms is not None:
        sieves.append(("latency", [_quick(now.latency(row), asked) for row in range(len(offers))]))
    return sieves


def _from(provider: str, asked: Constraints) -> bool:
    return (not asked.providers or provider in asked.providers) and provider not in asked.not_providers


def _within(region: str | None, wanted: str) -> bool:
    if region is None:
        return False
    return region == wanted or region.startswith(f"{wanted}-") or (wanted == "eu" and region.startswith("europe"))


def _affordable(columns: Columns, asked: Constraints, now: Reading) -> Sequence[bool]:
    marks = [True] * len(columns.offers)
    if asked.max_blended_nano is not None:
        # So much per 1M tokens bounds the cost of a call of so many.
        most = asked.max_blended_nano * now.tokens // 1_000_000
        marks = [cost <= most for cost in now.costs]
    if (paid := asked.max_input_nano) is not None:
        marks = [
            mark and offer.input_nano is not None and offer.input_nano <= paid for mark, offer in zip(marks, columns.offers, strict=True)
        ]
    if (made := asked.max_output_nano) is not None:
        marks = [
            mark and offer.output_nano is not None and offer.output_nano <= made for mark, offer in zip(marks, columns.offers, strict=True)
        ]
    return marks


def _quick(measured: float | None, asked: Constraints) -> bool:
    assert asked.max_latency_ms is not None
    return not asked.strict if measured is None else measured <= asked.max_latency_ms


def _scale(columns: Columns, doers: list[int], costs: Sequence[int]) -> tuple[int, int] | None:
    least = columns.by_place(costs).least
    cheapest = sorted([paid for place in doers if (paid := least[place])])
    if not cheapest:
        return None
    return cheapest[len(cheapest) // 20], max(cheapest[len(cheapest) * 19 // 20], cheapest[len(cheapest) // 20] + 1)
