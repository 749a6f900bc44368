"""How well models do a mix of skills, by what benchmarks say and how sure that is.

The estimate is the mean of the skills' scores by their shares. Its lower end takes the errors of measured skills as independent of each
other, and adds those of unmeasured ones in full: nobody knows in which direction they go. What counts is the lower end.
"""

import math
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.matching.columns import Columns, SkillScore

Mix = tuple[tuple[str, float], ...]
"""Skills with their shares, together 1."""

UNMEASURED_ERROR = 16.0
"""How far off, of 100, a skill may be that nobody measured where others were: of 1,039 measured skills, guessed from the others of their
model, one in twenty lies further below the guess. Half of what is uncertain about these others comes on top."""
OTHER_LANGUAGE_ERROR = 10.0
"""What is added where other languages were measured, and not the one that is needed."""
MIDDLE = 50.0
NOTHING_KNOWN = 25.0
"""What a model is taken for of which no benchmark says anything; it may as well be nothing."""
_KEPT_MIXES = 64


@dataclass(frozen=True, slots=True)
class Quality:
    """0 to 100. `counted` is what a score uses, `coverage` the share of the wanted skills that were measured, `results` how many results
    that rests on, `self_reported` how many of these the vendor reports."""

    score: float
    low: float
    high: float
    counted: float
    coverage: float
    results: int
    self_reported: int
    skills: Mapping[str, "SkillScore"] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _SkillColumn:
    """Over all places: the estimate less the error where unmeasured, and the squared error where measured."""

    least: "array[float]"
    squared: "array[float]"


class QualityColumns:
    """Qualities of all models for any mix, kept for the mixes that were asked for last."""

    def __init__(self, columns: "Columns") -> None:
        self._columns = columns
        self._measured = frozenset(skill for skills in columns.skills for skill in skills)
        self._skills: dict[str, _SkillColumn] = {}
        self._mixes: OrderedDict[Mix, array[float]] = OrderedDict()

    def counted(self, mix: Mix) -> "array[float]":
        """By place, 0 to 100."""
        found = self._mixes.get(mix)
        if found is None:
            found = self._mixes[mix] = self._combine(mix)
            if len(self._mixes) > _KEPT_MIXES:
                self._mixes.popitem(last=False)
        return found

    def _combine(self, mix: Mix) -> "array[float]":
        least = [0.0] * len(self._columns.models)
        squared = list(least)
        shares: dict[str, tuple[float, float]] = {}
        for skill, share in mix:
            kind = self._kind(skill)
            once, twice = shares.get(kind, (0.0, 0.0))
            shares[kind] = (once + share, twice + share * share)
        for kind, (once, twice) in shares.items():
            column = self._skills.get(kind)
            if column is None:
                column = self._skills[kind] = self._column(kind)
            least = [total + once * value for total, value in zip(least, column.least, strict=True)]
            squared = [total + twice * value for total, value in zip(squared, column.squared, strict=True)]
        root = math.sqrt
        return array("d", [max(0.0, total - root(error)) for total, error in zip(least, squared, strict=True)])

    def _kind(self, skill: str) -> str:
        """All languages that nobody measured are one column: there are as many tags as anybody thinks of."""
        base, language, _ = skill.partition(":")
        return f"{base}:" if language and skill not in self._measured else skill

    def _column(self, skill: str) -> _SkillColumn:
        least, squared = array("d"), array("d")
        for place in range(len(self._columns.models)):
            known = _measured(self._columns.skills[place], skill)
            if known is None:
                overall = self._columns.overall[place]
                least.append(_guess(overall) - _error(overall))
                squared.append(0.0)
            else:
                score, down, _ = known
                least.append(score)
                squared.append(down * down)
        return _SkillColumn(least, squared)

    def of(self, place: int, mix: Mix) -> Quality:
        """The same for one model, with what it is made of."""
        skills, overall = self._columns.skills[place], self._columns.overall[place]
        score = down = up = coverage = unsure = 0.0
        results = self_reported = 0
        used: dict[str, SkillScore] = {}
        missing: list[str] = []
        for skill, share in mix:
            known = _measured(skills, skill)
            if known is None:
                missing.append(skill)
                score += share * _guess(overall)
                unsure += share * _error(overall)
                continue
            value, below, above = known
            shown = skill if skill in skills else skill.partition(":")[0]
            found = skills[shown]
            if shown == skill:
                coverage += share
            else:
                missing.append(skill)
            # By the name of what was measured: what holds for other languages is no score in this one.
            used[shown] = found
            results += found.results
            self_reported += found.self_reported
            score += share * value
            down += (share * below) ** 2
            up += (share * above) ** 2
        low = max(0.0, score - unsure - math.sqrt(down))
        high = min(100.0, score + unsure + math.sqrt(up))
        if not mix:
            return Quality(NOTHING_KNOWN, 0.0, 100.0, 0.0, 0.0, 0, 0)
        return Quality(score, low, high, low, min(1.0, round(coverage, 3)), results, self_reported, used, tuple(missing))


def _measured(skills: Mapping[str, "SkillScore"], skill: str) -> tuple[float, float, float] | None:
    """Score, and how far it may be below and above; of a language that was not measured, what others say, and less sure."""
    found = skills.get(skill)
    if found is not None:
        return found.score, found.score - found.low, found.high - found.score
    if ":" in skill and (found := skills.get(skill.partition(":")[0])) is not None:
        return found.score, found.score - found.low + OTHER_LANGUAGE_ERROR, found.high - found.score + OTHER_LANGUAGE_ERROR
    return None


def _guess(overall: "SkillScore | None") -> float:
    """Of a skill that nobody measured: half of the way from the middle to what else is known."""
    return NOTHING_KNOWN if overall is None else (MIDDLE + overall.score) / 2


def _error(overall: "SkillScore | None") -> float:
    return NOTHING_KNOWN if overall is None else UNMEASURED_ERROR + (overall.score - overall.low) / 2


def in_order(mix: Mapping[str, float]) -> Mix:
    """The shares as they are compared and kept: scaled to 1, by name."""
    whole = sum(mix.values())
    return tuple(sorted((skill, share / whole) for skill, share in mix.items())) if whole else ()


def strongest(skills: Mapping[str, "SkillScore"], most: int = 2) -> Sequence[str]:
    """The skills of which most is certain, the best first."""
    return sorted(skills, key=lambda skill: (-skills[skill].low, skill))[:most]
