"""From results of many benchmarks to one estimate per model and skill, with how sure it is. The formula is in docs/benchmarks.md.

A result is read as `ability of the model in the skill - difficulty of the benchmark`, on the log-odds scale, because benchmarks are of
unequal difficulty and hardly two models took the same ones. A model's skills lie around its general ability, and that around the middle of
all models: so little evidence is drawn towards what else is known, and then towards the middle. Everything is estimated together. Weights
depend on who measured what, never on what came out: so a better result never lowers the skill that it measures.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

GENERAL_VARIANCE = 1.0
"""How far models lie apart in general, in squared log-odds."""
SKILL_VARIANCE = 0.2
"""How far a model's skills lie apart."""
DIFFICULTY_VARIANCE = 9.0
"""How far benchmarks lie apart: so far that nearly nothing is presumed of them."""
RESULT_VARIANCE = 0.3
"""How far one benchmark of a skill is from saying the whole of it, when somebody independent ran it."""
SELF_REPORTED_VARIANCE = 0.5
"""What is added when the vendor says it himself."""
VENDOR_VARIANCE = 0.3
"""What all results of one vendor may have in common, such as choosing what to publish: no number of them gets below it."""
SWEEPS = 300
TOLERANCE = 1e-5
_EDGE = 0.01


@dataclass(frozen=True, slots=True)
class Observation:
    """One result; `value` is in log-odds."""

    model: str
    skill: str
    item: str
    family: str
    value: float
    self_reported: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """In log-odds; 0 is the middle. `used` are the observations that counted."""

    mean: float
    variance: float
    used: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """`skills`: by model and skill, where there is a result; `general`: by model."""

    skills: Mapping[str, Mapping[str, Estimate]]
    general: Mapping[str, Estimate]


@dataclass(slots=True)
class _Cell:
    """One skill of one model: what counted of it with its weight, and the ability that follows."""

    pairs: list[tuple[Observation, float]]
    precision: float
    ability: float = 0.0
    told: float = 0.0
    """What the results alone say of the ability, as of the last turn."""


@dataclass(slots=True)
class _Model:
    cells: dict[str, _Cell]
    general: float = 0.0


@dataclass(slots=True)
class _Item:
    """One benchmark: who took it with which result, and how easy it is."""

    rows: list[tuple[_Cell, float, float]]
    known: float = 1 / DIFFICULTY_VARIANCE
    ease: float = 0.0

    @property
    def doubt(self) -> float:
        """How unsure it is how easy it is, as a variance: few models, much doubt."""
        return 1 / self.known


def log_odds(normalised: float) -> float:
    """Of a score from 0 to 100; nothing is quite impossible and nothing quite certain."""
    share = min(1 - _EDGE, max(_EDGE, normalised / 100))
    return math.log(share / (1 - share))


def score_of(value: float) -> float:
    """The score from 0 to 100 of a value in log-odds."""
    return 100 / (1 + math.exp(-value))


def estimate(observations: Iterable[Observation]) -> Fit:
    """Every model's abilities. Skills that are estimated together are presumed to go together; the order does not matter."""
    models = _models(observations)
    items = _solve(models)
    skills: dict[str, dict[str, Estimate]] = {}
    general: dict[str, Estimate] = {}
    for name, model in models.items():
        told = {skill: sum(1 / (1 / weight + items[seen.item].doubt) for seen, weight in cell.pairs) for skill, cell in model.cells.items()}
        passed = {skill: 1 / (SKILL_VARIANCE + 1 / precision) for skill, precision in told.items()}
        known = 1 / GENERAL_VARIANCE + sum(passed.values())
        skills[name] = {
            skill: Estimate(
                cell.ability,
                # Its own results, and what its other skills say of it.
                1 / (told[skill] + 1 / (SKILL_VARIANCE + 1 / (known - passed[skill]))),
                tuple(seen for seen, _ in cell.pairs),
            )
            for skill, cell in model.cells.items()
        }
        everything = tuple(seen for cell in model.cells.values() for seen, _ in cell.pairs)
        general[name] = Estimate(model.general, 1 / known, everything)
    return Fit(skills, general)


def _models(observations: Iterable[Observation]) -> dict[str, _Model]:
    groups: dict[str, dict[str, list[Observation]]] = defaultdict(lambda: defaultdict(list))
    for seen in sorted(observations, key=lambda seen: (seen.model, seen.skill, seen.item, seen.self_reported, seen.value)):
        groups[seen.model][seen.skill].append(seen)
    return {model: _Model({skill: _cell(group) for skill, group in skills.items()}) for model, skills in groups.items()}


def _cell(group: Sequence[Observation]) -> _Cell:
    pairs = weighted(group)
    return _Cell(pairs, sum(weight for _, weight in pairs))


def weighted(group: Sequence[Observation]) -> list[tuple[Observation, float]]:
    """What counts of a model's observations in one skill, and how much. A family weighs as much as one result however many it has; what
    somebody independent measured is not asked of the vendor."""
    families: dict[str, list[Observation]] = defaultdict(list)
    for seen in group:
        families[seen.family].append(seen)
    pairs: list[tuple[Observation, float]] = []
    for members in families.values():
        counted = [seen for seen in members if not seen.self_reported] or members
        for seen in counted:
            variance = RESULT_VARIANCE + (SELF_REPORTED_VARIANCE if seen.self_reported else 0.0)
            pairs.append((seen, 1 / variance / len(counted)))
    told = sum(weight for seen, weight in pairs if seen.self_reported)
    share = 1 / (1 + told * VENDOR_VARIANCE)
    return [(seen, weight * share if seen.self_reported else weight) for seen, weight in pairs]


def _solve(models: Mapping[str, _Model]) -> dict[str, _Item]:
    """The most probable abilities, into `models`, and how easy benchmarks are: each given the other in turn, until nothing moves."""
    items: dict[str, _Item] = {}
    for model in models.values():
        for cell in model.cells.values():
            for seen, weight in cell.pairs:
                item = items.setdefault(seen.item, _Item([]))
                item.rows.append((cell, seen.value, weight))
                item.known += weight
    # Each cell's own results with their benchmarks, looked up once.
    places = {id(cell): [(items[seen.item], seen.value, weight) for seen, weight in cell.pairs] for model in models.values()
              for cell in model.cells.values()}  # fmt: skip
    for _ in range(SWEEPS):
        for item in items.values():
            item.ease = sum([weight * (value - cell.ability) for cell, value, weight in item.rows]) / item.known
        for model in models.values():
            for cell in model.cells.values():
                cell.told = sum([weight * (value - item.ease) for item, value, weight in places[id(cell)]]) / cell.precision
        if max((_settle(model) for model in models.values()), default=0.0) < TOLERANCE:
            break
    return items


def _settle(model: _Model) -> float:
    """A model's abilities given what its results say; how far the furthest of them moved."""
    top, bottom = 0.0, 1 / GENERAL_VARIANCE
    for cell in model.cells.values():
        passed = 1 / (SKILL_VARIANCE + 1 / cell.precision)
        top, bottom = top + passed * cell.told, bottom + passed
    model.general = top / bottom
    moved = 0.0
    for cell in model.cells.values():
        new = (cell.precision * cell.told + model.general / SKILL_VARIANCE) / (cell.precision + 1 / SKILL_VARIANCE)
        moved = max(moved, abs(new - cell.ability))
        cell.ability = new
    return moved
