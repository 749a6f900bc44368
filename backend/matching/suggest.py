"""What could be taken instead of a model: cheaper but similar, better for the same money, and the same model at a cheaper offer.

Models are near each other when they can do the same, hold about as much and do about as well in the skills that both were measured in. A
model that shares no evidence with the one in question is suggested only where nobody shares any, and says so.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from backend.benchmarks.scoring import RESULT_VARIANCE, log_odds, score_of
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES
from backend.matching.columns import Columns
from backend.matching.offer_costs import UNKNOWN

CHEAPER = 0.8
"""At most this part of the cost counts as cheaper."""
SAME_MONEY = 1.05
WORTH_A_MOVE = 0.99
"""Another offer is cheaper at this part of the cost, or less."""
SIMILAR = 0.6
"""At least so near, of 1."""
WORSE_AT_MOST = 6.0
"""By so many points, of 100, a similar model may do worse on average."""
BETTER_AT_LEAST = 2.0
_SHARE_OF_ABILITIES, _SHARE_OF_CONTEXT, _SHARE_OF_EVIDENCE = 0.35, 0.10, 0.55
_CONTEXT_OCTAVES = 4.0
"""Contexts that differ by a factor of 16 have nothing in common."""
_NINE_TENTHS = 1.645
"""Standard errors on either side that enclose nine tenths."""
_SPREAD = 40.0
"""Points of difference at which two models do not do alike at all."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A difference of scores, 0 to 100; `low` and `high` enclose nine tenths of what is probable."""

    name: str
    before: float
    after: float
    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Lost:
    """What one has and the other is not known to have, in the words of the catalog. `context`: tokens, before and after."""

    capabilities: tuple[str, ...] = ()
    modalities_in: tuple[str, ...] = ()
    modalities_out: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    context: tuple[int, int] | None = None
    open_weights: bool = False

    def __bool__(self) -> bool:
        return bool(self.capabilities or self.modalities_in or self.modalities_out or self.languages or self.context or self.open_weights)


@dataclass(frozen=True, slots=True)
class Instead:
    """Another model. `overall` is the mean difference over `skills`, those that both were measured in; None without any."""

    place: int
    row: int
    cost_nano: int
    similarity: float
    overall: Delta | None
    skills: tuple[Delta, ...]
    benchmarks: tuple[Delta, ...]
    lost: Lost
    gained: Lost

    @property
    def certain(self) -> bool:
        """Whether it does better for nine tenths certain."""
        return self.overall is not None and self.overall.low > 0


@dataclass(frozen=True, slots=True)
class Cheaper:
    """The same model elsewhere, or in another service tier (None: the usual one)."""

    row: int
    tier: str | None
    cost_nano: int
    given_away: bool
    doubtful: bool
    context: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Each list has a `why_…` where it is empty: a sentence without a full stop."""

    place: int
    row: int | None
    cost_nano: int | None
    similar: tuple[Instead, ...]
    why_no_similar: str | None
    better: tuple[Instead, ...]
    why_no_better: str | None
    offers: tuple[Cheaper, ...]
    why_no_offer: str | None
    offer_reference: int | None
    """What the offers are cheaper than, nano-dollars."""


def suggest(
    columns: Columns, place: int, named_row: int | None, costs: Sequence[int], tiers: Callable[[int], Mapping[str, int]], most: int = 5
) -> Suggestions:
    """All three lists for a model, or for one offer of it.

    Args:
        costs: by row, nano-dollars for one call of the workload, `UNKNOWN` where that is not known.
        tiers: row → what the call costs in the other service tiers of that offer.
    """
    row = named_row if named_row is not None else cheapest_row(columns, place, costs)
    nano = costs[row] if row is not None and costs[row] != UNKNOWN else None
    offers, why_no_offer, reference = _cheaper_offers(columns, place, named_row, costs, tiers, most)
    if nano is None or nano <= 0:
        why = "it is given away" if nano == 0 else "its price for this workload is not known, so there is nothing to compare with"
        return Suggestions(place, row, nano, (), why, (), why, offers, why_no_offer, reference)
    others = list(_others(columns, place, costs))
    similar, why_no_similar = _similar(columns, place, nano, others, most)
    better, why_no_better = _better(columns, place, nano, others, most)
    return Suggestions(place, row, nano, similar, why_no_similar, better, why_no_better, offers, why_no_offer, reference)


def cheapest_row(columns: Columns, place: int, costs: Sequence[int]) -> int | None:
    """The model's cheapest offer for these costs, what is given away and what has no price last; None where nobody sells it."""
    rows = columns.rows_of(place)
    return columns.cheapest(rows, costs) if rows else None


def _others(columns: Columns, place: int, costs: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Place, row and cost of what could take its place at all: of its kind, on sale for a known price, and not itself in another guise."""
    mine, kin, cheapest = columns.likeness[place], columns.kin, columns.by_place(costs).cheapest
    for like, places in columns.alike.items():
        if (
            like.mode != mine.mode
            or like.status in ("retired", "deprecated")
            or like.guard != mine.guard
            or like.simulated != mine.simulated
        ):
            continue
        for other in places:
            row = cheapest[other]
            if row >= 0 and costs[row] > 0 and kin[other] != kin[place]:
                yield other, row, costs[row]


def _similar(
    columns: Columns, place: int, nano: int, others: list[tuple[int, int, int]], most: int
) -> tuple[tuple[Instead, ...], str | None]:
    cheaper = [other for other in others if other[2] <= CHEAPER * nano]
    if not cheaper:
        return (), f"nothing of its kind costs at least {100 * (1 - CHEAPER):.0f} % less"
    compared = [(change, *other) for other in cheaper if (change := mean_change(columns, place, other[0])) is not None]
    if compared:
        near = [(similarity(columns, place, one[1]), *one[1:]) for one in compared if one[0] >= -WORSE_AT_MOST]
        why = f"whatever is cheaper and was measured in the same skills does worse by more than {WORSE_AT_MOST:.0f} points or can do less"
    else:
        near = [(similarity(columns, place, one[0]), *one) for one in cheaper]
        why = "nothing cheaper shares a benchmark with it or can do the same"
    chosen = [one for one in near if one[0] >= SIMILAR]
    if not chosen:
        return (), why
    # Of about equally near ones the cheaper first: a third of the price is worth a tenth of nearness.
    chosen.sort(key=lambda one: (-(one[0] + 0.1 * min(2.0, math.log(nano / one[3], 3))), one[3], columns.models[one[1]].id))
    return _as_instead(columns, place, [one[1:] for one in chosen], most), None


def _better(
    columns: Columns, place: int, nano: int, others: list[tuple[int, int, int]], most: int
) -> tuple[tuple[Instead, ...], str | None]:
    if not columns.skills[place]:
        return (), "no benchmark says how good it is"
    found = []
    for other, row, cost in others:
        if cost > SAME_MONEY * nano or not _can_as_much(columns, place, other):
            continue
        change = mean_change(columns, place, other)
        if change is not None and change >= BETTER_AT_LEAST:
            delta = overall_delta(columns, place, other)
            assert delta is not None
            found.append((delta.low, other, row, cost))
    if not found:
        return (), "nothing for the same money was measured better in the skills that both were measured in, and can do as much"
    found.sort(key=lambda one: (-one[0], one[3], columns.models[one[1]].id))
    return _as_instead(columns, place, [one[1:] for one in found], most), None


def _can_as_much(columns: Columns, place: int, other: int) -> bool:
    mine, theirs = columns.likeness[place], columns.likeness[other]
    return not (mine.takes & ~theirs.takes or mine.gives & ~theirs.gives)


def _as_instead(columns: Columns, place: int, chosen: Sequence[tuple[int, int, int]], most: int) -> tuple[Instead, ...]:
    """The first of each kin."""
    seen: set[int] = set()
    shown: list[Instead] = []
    for other, row, cost in chosen:
        if columns.kin[other] in seen:
            continue
        seen.add(columns.kin[other])
        skills = skill_deltas(columns, place, other)
        shown.append(
            Instead(
                other,
                row,
                cost,
                round(similarity(columns, place, other), 4),
                overall_delta(columns, place, other),
                skills,
                benchmark_deltas(columns, place, other),
                lost(columns, place, other),
                lost(columns, other, place),
            )
        )
        if len(shown) == most:
            break
    return tuple(shown)


def similarity(columns: Columns, one: int, other: int) -> float:
    """0 to 1, the same in both directions."""
    a, b = columns.likeness[one], columns.likeness[other]
    both = (a.capabilities & b.capabilities).bit_count() + (a.takes & b.takes).bit_count() + (a.gives & b.gives).bit_count()
    either = (a.capabilities | b.capabilities).bit_count() + (a.takes | b.takes).bit_count() + (a.gives | b.gives).bit_count()
    first, second = columns.contexts[one], columns.contexts[other]
    context = max(0.0, 1 - abs(math.log2(first / second)) / _CONTEXT_OCTAVES) if first and second else 0.5
    mine, theirs = columns.base_skills[one], columns.base_skills[other]
    shared = mine.keys() & theirs.keys()
    evidence = 0.0
    if shared:
        apart = math.fsum(abs(mine[skill].score - theirs[skill].score) for skill in shared) / len(shared)
        # One skill in common says less than several.
        evidence = max(0.0, 1 - apart / _SPREAD) * len(shared) / (len(shared) + 1)
    abilities = both / either if either else 1.0
    if not columns.skills[one] and not columns.skills[other]:
        return (_SHARE_OF_ABILITIES * abilities + _SHARE_OF_CONTEXT * context) / (_SHARE_OF_ABILITIES + _SHARE_OF_CONTEXT)
    return _SHARE_OF_ABILITIES * abilities + _SHARE_OF_CONTEXT * context + _SHARE_OF_EVIDENCE * evidence


def mean_change(columns: Columns, one: int, other: int) -> float | None:
    """The mean difference over all skills that both were measured in, single languages aside; None without any."""
    mine, theirs = columns.base_skills[one], columns.base_skills[other]
    shared = mine.keys() & theirs.keys()
    return math.fsum(theirs[skill].score - mine[skill].score for skill in shared) / len(shared) if shared else None


def overall_delta(columns: Columns, one: int, other: int) -> Delta | None:
    """The mean over all skills that both were measured in, whose errors are taken as independent; None without any."""
    deltas = skill_deltas(columns, one, other)
    if not deltas:
        return None
    count = len(deltas)
    change = sum(delta.change for delta in deltas) / count
    down = math.sqrt(sum((delta.change - delta.low) ** 2 for delta in deltas)) / count
    up = math.sqrt(sum((delta.high - delta.change) ** 2 for delta in deltas)) / count
    before, after = sum(delta.before for delta in deltas) / count, sum(delta.after for delta in deltas) / count
    return Delta("overall", before, after, change, change - down, change + up)


def skill_deltas(columns: Columns, one: int, other: int) -> tuple[Delta, ...]:
    """Per skill that both were measured in, by name."""
    first, second = columns.base_skills[one], columns.base_skills[other]
    found = []
    for skill, a in first.items():
        if (b := second.get(skill)) is None:
            continue
        change = b.score - a.score
        down = math.hypot(b.score - b.low, a.high - a.score)
        up = math.hypot(b.high - b.score, a.score - a.low)
        found.append(Delta(skill, a.score, b.score, change, change - down, change + up))
    return tuple(found)


def benchmark_deltas(columns: Columns, one: int, other: int) -> tuple[Delta, ...]:
    """Per benchmark that both took, by name; scores are normalised. The interval is what a difference on this one benchmark says of the
    skill behind it, by the error that the benchmarks' own estimates give to a single result."""
    first, second = columns.results[one], columns.results[other]
    off = _NINE_TENTHS * math.sqrt(2 * RESULT_VARIANCE)
    found = []
    for benchmark in sorted(first.keys() & second.keys()):
        a, b = first[benchmark], second[benchmark]
        middle = log_odds(b)
        found.append(Delta(benchmark, a, b, b - a, min(b, score_of(middle - off)) - a, max(b, score_of(middle + off)) - a))
    return tuple(found)


def lost(columns: Columns, one: int, other: int) -> Lost:
    """What `one` has and `other` is not known to have."""
    a, b = columns.models[one], columns.models[other]
    tongues, theirs = _languages(columns, one), _languages(columns, other)
    first, second = columns.contexts[one], columns.contexts[other]
    return Lost(
        tuple(word for word in CAPABILITIES if word in a.capabilities and word not in b.capabilities),
        tuple(word for word in MODALITIES if word in a.modalities_in and word not in b.modalities_in),
        tuple(word for word in MODALITIES if word in a.modalities_out and word not in b.modalities_out),
        tuple(sorted(tongues - theirs)) if theirs else (),
        (first, second) if first and second and second < first else None,
        bool(a.open_weights) and b.open_weights is False,
    )


def _languages(columns: Columns, place: int) -> frozenset[str]:
    measured = {skill.partition(":")[2] for skill in columns.skills[place] if skill.startswith("multilingual:")}
    return columns.languages[place] | measured


def _cheaper_offers(
    columns: Columns, place: int, named_row: int | None, costs: Sequence[int], tiers: Callable[[int], Mapping[str, int]], most: int
) -> tuple[tuple[Cheaper, ...], str | None, int | None]:
    """Against the offer that was named, else the maker's own, else the dearest."""
    rows = [row for row in columns.rows_of(place) if costs[row] != UNKNOWN]
    reference = named_row if named_row is not None else columns.row.get(columns.models[place].own_offer or "")
    if reference is None or costs[reference] == UNKNOWN:
        if named_row is not None:
            return (), "the price of this offer for this workload is not known", None
        if not rows:
            return (), "nobody sells it at a known price for this workload", None
        reference = max(rows, key=lambda row: (costs[row], row))
    paid = costs[reference]
    found = [
        Cheaper(row, None, costs[row], bool(columns.free[row]), bool(columns.doubtful[row]), _smaller(columns, reference, row))
        for row in rows
        if row != reference and costs[row] <= WORTH_A_MOVE * paid
    ]
    for row in {reference, *rows}:
        found += [
            Cheaper(row, tier, cost, False, bool(columns.doubtful[row]), _smaller(columns, reference, row))
            for tier, cost in tiers(row).items()
            if cost <= WORTH_A_MOVE * min(paid, costs[row])
        ]
    if not found:
        only = len(rows) == 1
        why = "nobody else sells it at a known price" if only else f"{columns.offers[reference].id} is its cheapest offer already"
        return (), why, paid
    found.sort(key=lambda one: (one.doubtful, one.given_away, one.cost_nano, one.row, one.tier or ""))
    # A dated snapshot beside its plain name is another offer of the same seller, but no other way to pay less.
    ways: dict[tuple[str, str | None, str | None], Cheaper] = {}
    for one in found:
        ways.setdefault((columns.offers[one.row].provider, columns.regions[one.row], one.tier), one)
    return tuple(list(ways.values())[:most]), None, paid


def _smaller(columns: Columns, reference: int, row: int) -> tuple[int, int] | None:
    before, after = columns.offer_contexts[reference], columns.offer_contexts[row]
    return (before, after) if before and after and after < before else None
