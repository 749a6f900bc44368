"""What the benchmarks tell the rest of the house."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from backend.benchmarks.scores import SkillScore


@dataclass(frozen=True, slots=True)
class BenchmarkView:
    """A benchmark of the catalogue. `models` and `results` count what is there, `matched` the results whose model the catalog knows."""

    id: str
    name: str
    metric: str
    version: str
    skill: str | None
    language: str | None
    direction: str
    unit: str
    scale_worst: float | None
    scale_best: float | None
    family: str
    dataset: str
    licence: str
    results: int
    matched: int
    models: int


@dataclass(frozen=True, slots=True)
class ResultView:
    """One published number. `normalised`: 0–100, higher is better, None without a scale; `counts`: whether a skill's score uses it."""

    id: str
    benchmark: str
    name: str
    metric: str
    version: str
    skill: str | None
    language: str | None
    direction: str
    unit: str
    score: float
    normalised: float | None
    published_name: str
    variant: str
    measured_on: date | None
    source_url: str
    dataset: str
    licence: str
    reported_by: str
    self_reported: bool
    notes: str
    counts: bool


@dataclass(frozen=True, slots=True)
class ModelBenchmarks:
    """What is known of one model: every result, the newest first in each benchmark, and what follows for its skills."""

    model_id: str
    overall: SkillScore | None
    skills: dict[str, SkillScore]
    results: Sequence[ResultView]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingestion did. `unmatched`: published names that no model of the catalog answers to; their results are kept."""

    received: int
    created: int
    updated: int
    unchanged: int
    benchmarks_created: int
    benchmarks_updated: int
    matched: int
    unmatched: tuple[str, ...]
