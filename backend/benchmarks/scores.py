"""Scores of every model and skill, made once of all results and kept in memory as a whole."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby
from types import MappingProxyType
from typing import Any

from backend.benchmarks.records import normalised
from backend.benchmarks.scoring import Estimate, Observation, estimate, log_odds, score_of
from backend.benchmarks.skills import GENERAL, in_language

Z_90 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class SkillScore:
    """All scores are 0–100, higher is better; 50 is the middle of the models measured.

    `low` and `high` enclose nine tenths of what is probable. `results` counts what the score rests on, `self_reported` how many of them
    come from the vendor. `variants`: how the model was asked where it was not asked as it comes (`high`, `thinking`), each once.
    """

    score: float
    low: float
    high: float
    results: int
    self_reported: int
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """One result of a model that the catalog knows, on a benchmark with a scale; `value` is normalised, 0–100."""

    id: str
    model: str
    benchmark: str
    family: str
    skill: str | None
    language: str | None
    variant: str
    value: float
    measured_on: date | None
    self_reported: bool

    @classmethod
    def of(cls, row: Any, shared: dict[str, str]) -> "Measured | None":
        """From a row of results joined with their benchmarks; None where the scale is unknown. `shared` holds once what many rows say."""
        value = normalised(row.score, row.scale_worst, row.scale_best)
        if value is None:
            return None
        return cls(
            row.id,
            shared.setdefault(row.model_id, row.model_id),
            shared.setdefault(row.benchmark_id, row.benchmark_id),
            shared.setdefault(row.family, row.family),
            shared.setdefault(row.skill, row.skill),
            shared.setdefault(row.language, row.language),
            shared.setdefault(row.variant, row.variant),
            value,
            row.measured_on,
            row.self_reported,
        )


_NONE: Mapping[str, SkillScore] = MappingProxyType({})
_ON_NONE: Mapping[str, float] = MappingProxyType({})


class Scores:
    """Never changes; a new one is built when results or models have changed. No I/O."""

    def __init__(self, skills: dict[str, dict[str, SkillScore]], overall: dict[str, SkillScore], on: dict[str, dict[str, float]]) -> None:
        self._skills = skills
        self._overall = overall
        self._on = on

    @classmethod
    def build(cls, results: Iterable[Measured]) -> "Scores":
        """From every result whose model is known and whose benchmark has a scale; pure, takes some hundred milliseconds."""
        chosen = counted(results)
        variants = {(result.model, result.benchmark): result.variant for result in chosen}
        on: dict[str, dict[str, float]] = defaultdict(dict)
        seen: dict[str, list[Observation]] = defaultdict(list)
        for result in chosen:
            on[result.benchmark][result.model] = result.value
            if result.skill is None:
                continue
            told = partial(
                Observation,
                result.model,
                item=result.benchmark,
                family=result.family,
                value=log_odds(result.value),
                self_reported=result.self_reported,
            )
            seen["" if result.skill in GENERAL else result.skill].append(told(skill=result.skill))
            if result.language is not None:
                spoken = in_language(result.skill, result.language)
                seen[spoken].append(told(skill=spoken))
        skills: dict[str, dict[str, SkillScore]] = defaultdict(dict)
        overall: dict[str, SkillScore] = {}
        for group in sorted(seen):
            fit = estimate(seen[group])
            for model, made in fit.skills.items():
                skills[model] |= {skill: _score(one, variants) for skill, one in made.items()}
            if group == "":
                overall = {model: _score(one, variants) for model, one in fit.general.items()}
        return cls(dict(skills), overall, dict(on))

    def skill(self, model_id: str, skill: str) -> SkillScore | None:
        """None where nothing says anything of that skill of that model."""
        return self._skills.get(model_id, _NONE).get(skill)

    def skills(self, model_id: str) -> Mapping[str, SkillScore]:
        """Every skill that something is known of, by name; a skill in one language is named `multilingual:da`."""
        return self._skills.get(model_id, _NONE)

    def overall(self, model_id: str) -> SkillScore | None:
        """Of a language model: all its general skills together; None for what was never measured in one."""
        return self._overall.get(model_id)

    def on(self, benchmark_id: str) -> Mapping[str, float]:
        """Model id to normalised score on one benchmark, empty for an unknown one or one without a scale."""
        return self._on.get(benchmark_id, _ON_NONE)

    @property
    def models(self) -> Sequence[str]:
        """Every model with a score."""
        return sorted(self._skills)


def counted(results: Iterable[Measured]) -> list[Measured]:
    """One result per model and benchmark: as the model comes if that was measured, else its best variant; of several, what somebody
    independent ran, then the newest."""
    ordered = sorted(results, key=lambda result: (result.model, result.benchmark))
    return [_best(list(group)) for _, group in groupby(ordered, key=lambda result: (result.model, result.benchmark))]


_AS_IT_COMES = frozenset({"", "fc", "prompt"})
"""Variants that nobody has to ask or pay more for."""


def _best(results: list[Measured]) -> Measured:
    newest: dict[str, Measured] = {}
    for result in sorted(results, key=lambda result: (not result.self_reported, result.measured_on or date.min, result.id)):
        newest[result.variant] = result
    default = [result for result in newest.values() if result.variant in _AS_IT_COMES]
    return max(default or newest.values(), key=lambda result: (result.value, result.variant))


def _score(made: Estimate, variants: Mapping[tuple[str, str], str]) -> SkillScore:
    spread = Z_90 * made.variance**0.5
    how = {variants.get((seen.model, seen.item), "") for seen in made.used} - {""}
    return SkillScore(
        score=score_of(made.mean),
        low=score_of(made.mean - spread),
        high=score_of(made.mean + spread),
        results=len(made.used),
        self_reported=sum(seen.self_reported for seen in made.used),
        variants=tuple(sorted(how)),
    )
