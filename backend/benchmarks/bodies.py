"""The shapes of questions and answers over HTTP, which the API's document shows. Scores are 0–100 and higher is better unless `score` says
the raw number that was published."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from backend.benchmarks.records import BenchmarkRecord, ResultRecord
from backend.benchmarks.schemas import BenchmarkView, IngestReport, ModelBenchmarks, ResultView
from backend.benchmarks.scores import SkillScore
from backend.catalog.names import slug
from backend.kernel.asked import Asked, Day

Skill = Literal[
    "coding", "reasoning", "knowledge", "maths", "multilingual", "vision", "tools", "instruction_following", "long_context",
    "hallucination", "speech", "embeddings",
]  # fmt: skip
BenchmarkId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,159}$", examples=["aider-polyglot-percent-correct-2-tries"])]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$", examples=["da"])]
Raw = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Text = Annotated[str, Field(min_length=1, max_length=120)]


class ScaleBody(TypedDict):
    """The raw scores that mean 0 and 100."""

    worst: float
    best: float


class BenchmarkBody(TypedDict):
    """One metric of one version. `skill` is null for what is no skill: cost, speed, parts and averages of other benchmarks; `scale` where
    the source does not say what is best. `results` of which `matched` are of models that the catalog knows, `models` of them."""

    id: str
    name: str
    metric: str
    version: str | None
    skill: str | None
    language: str | None
    direction: str
    unit: str
    scale: ScaleBody | None
    family: str
    dataset: str
    licence: str
    results: int
    matched: int
    models: int


class BenchmarksBody(TypedDict):
    object: Literal["list"]
    data: list[BenchmarkBody]
    total: int
    offset: int
    limit: int
    has_more: bool


class SkillScoreBody(TypedDict):
    """`low` and `high` enclose nine tenths of what is probable; `results` counts what the score rests on, `selfReported` those of them that
    come from the vendor; `variants` says how the model was asked where it was not asked as it comes."""

    score: float
    low: float
    high: float
    results: int
    selfReported: int
    variants: list[str]


class ResultBody(TypedDict):
    """One published number. `score` is what was published, `normalized` the same as 0–100; `counts`: whether a skill's score uses it."""

    benchmark: str
    name: str
    metric: str
    version: str | None
    skill: str | None
    language: str | None
    direction: str
    unit: str
    score: float
    normalized: float | None
    publishedName: str
    variant: str | None
    date: str | None
    sourceUrl: str
    dataset: str
    licence: str
    reportedBy: str
    selfReported: bool
    counts: bool
    notes: str


class ModelBenchmarksBody(TypedDict):
    """`skills` by name, one in one language as `multilingual:da`. Nothing measured: no skills and no results."""

    id: str
    name: str
    overall: SkillScoreBody | None
    skills: dict[str, SkillScoreBody]
    results: list[ResultBody]


class IngestBody(TypedDict):
    """`unmatched`: published names that no model of the catalog answers to; their results are kept until one does."""

    object: Literal["ingestion"]
    received: int
    created: int
    updated: int
    unchanged: int
    benchmarksCreated: int
    benchmarksUpdated: int
    matched: int
    unmatched: list[str]


class _Strict(Asked):
    model_config = ConfigDict(str_strip_whitespace=True)


class ResultIn(_Strict):
    """One published number."""

    model: str = Field(min_length=1, max_length=255, description="the model's name as published", examples=["gpt-4o"])
    modelId: str | None = Field(None, min_length=1, max_length=255, description="the catalog's id or alias, where the name alone is not it")
    benchmark: BenchmarkId
    score: Raw = Field(description="the raw score, on the benchmark's own scale")
    variant: str = Field("", max_length=64, description="effort, thinking or calling mode: high, thinking-32k, fc; empty: as it comes")
    date: Day
    sourceUrl: str = Field(max_length=1000, pattern=r"^https?://[!-~]+$")
    dataset: Text
    licence: Text
    reportedBy: Text
    selfReported: bool = Field(True, description="whether the model's vendor says so; false if somebody independent ran it")
    notes: str = Field("", max_length=500)

    def record(self) -> ResultRecord:
        return ResultRecord(
            self.benchmark, self.model, self.score, self.date, self.sourceUrl, self.dataset, self.licence, self.reportedBy,
            self.selfReported, self.variant, self.modelId, self.notes,
        )  # fmt: skip


class BenchmarkIn(_Strict):
    """A benchmark that Bourse does not know yet. Without a scale its results are shown, but count for no skill."""

    id: BenchmarkId
    name: str = Field(min_length=1, max_length=160)
    metric: Text
    version: str = Field("", max_length=64)
    skill: Skill | None = None
    language: Language | None = None
    direction: Literal["higher", "lower"]
    unit: str = Field(min_length=1, max_length=64, examples=["percent"])
    scaleWorst: Raw | None = None
    scaleBest: Raw | None = None
    family: str | None = Field(None, min_length=1, max_length=120, description="what it shares with others; its name if not given")
    dataset: Text
    licence: Text

    @field_validator("name")
    @classmethod
    def _nameable(cls, name: str) -> str:
        slug(name)
        return name

    def record(self) -> BenchmarkRecord:
        return BenchmarkRecord(
            self.id, self.name, self.metric, self.version, self.skill, self.language, self.direction, self.unit, self.scaleWorst,
            self.scaleBest, slug(self.family or self.name)[:120], self.dataset, self.licence,
        )  # fmt: skip


class IngestIn(_Strict):
    results: list[ResultIn] = Field(min_length=1, max_length=1000)
    benchmarks: list[BenchmarkIn] = Field(default_factory=list, max_length=100)


def benchmark_body(view: BenchmarkView) -> BenchmarkBody:
    scale: ScaleBody | None = None
    if view.scale_worst is not None and view.scale_best is not None:
        scale = {"worst": view.scale_worst, "best": view.scale_best}
    return {
        "id": view.id,
        "name": view.name,
        "metric": view.metric,
        "version": view.version or None,
        "skill": view.skill,
        "language": view.language,
        "direction": view.direction,
        "unit": view.unit,
        "scale": scale,
        "family": view.family,
        "dataset": view.dataset,
        "licence": view.licence,
        "results": view.results,
        "matched": view.matched,
        "models": view.models,
    }


def score_body(score: SkillScore) -> SkillScoreBody:
    return {
        "score": round(score.score, 1),
        "low": round(score.low, 1),
        "high": round(score.high, 1),
        "results": score.results,
        "selfReported": score.self_reported,
        "variants": list(score.variants),
    }


def result_body(view: ResultView) -> ResultBody:
    return {
        "benchmark": view.benchmark,
        "name": view.name,
        "metric": view.metric,
        "version": view.version or None,
        "skill": view.skill,
        "language": view.language,
        "direction": view.direction,
        "unit": view.unit,
        "score": view.score,
        "normalized": None if view.normalised is None else round(view.normalised, 2),
        "publishedName": view.published_name,
        "variant": view.variant or None,
        "date": None if view.measured_on is None else view.measured_on.isoformat(),
        "sourceUrl": view.source_url,
        "dataset": view.dataset,
        "licence": view.licence,
        "reportedBy": view.reported_by,
        "selfReported": view.self_reported,
        "counts": view.counts,
        "notes": view.notes,
    }


def model_body(name: str, found: ModelBenchmarks) -> ModelBenchmarksBody:
    return {
        "id": found.model_id,
        "name": name,
        "overall": None if found.overall is None else score_body(found.overall),
        "skills": {skill: score_body(score) for skill, score in found.skills.items()},
        "results": [result_body(result) for result in found.results],
    }


def ingest_body(report: IngestReport) -> IngestBody:
    return {
        "object": "ingestion",
        "received": report.received,
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "benchmarksCreated": report.benchmarks_created,
        "benchmarksUpdated": report.benchmarks_updated,
        "matched": report.matched,
        "unmatched": list(report.unmatched),
    }
