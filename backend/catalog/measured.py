"""What the catalog takes from benchmarks: one score per model for filters and sorting, results of one model, languages it was measured in.

Benchmarks know the catalog, not the other way round, so what they offer is described here and handed in.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from backend.catalog.schemas import BY_VALUE, Evidence, StoreQuery
from backend.catalog.service import CatalogService
from backend.kernel.errors import BadRequest

SPEAKS_FROM = 50.0
"""The score in a language from which a model counts as speaking it: as well as the middle of the models measured in it."""
_IN_LANGUAGE = "multilingual:"
MMLU = ("openai-simple-evals-mmlu-accuracy", "llm-stats-mmlu-score")
"""Benchmarks that `mmlu_score` is taken from, the independent one first. They do not compare: one evaluator against what vendors say."""


class Mmlu(NamedTuple):
    """0 to 100, and the id of the benchmark that it is from."""

    score: float
    source: str


class SkillScore(Protocol):
    @property
    def score(self) -> float: ...
    @property
    def low(self) -> float: ...


class Scores(Protocol):
    """All scores are 0–100, higher is better."""

    def overall(self, model_id: str) -> SkillScore | None: ...
    def skills(self, model_id: str) -> Mapping[str, SkillScore]: ...
    def on(self, benchmark_id: str) -> Mapping[str, float]: ...


ScoresNow = Callable[[], Awaitable[Scores]]
"""The scores of now: the same object for as long as nothing has changed."""


class Results(Protocol):
    @property
    def results(self) -> Sequence[Any]: ...


class Benchmark(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def skill(self) -> str | None: ...
    @property
    def language(self) -> str | None: ...


Catalogue = Callable[[], Awaitable[Sequence[Benchmark]]]
"""Every benchmark there is."""

ResultsOf = Callable[[str], Awaitable[Results]]
"""A model's results on benchmarks, the newest first in each."""


@dataclass(frozen=True, slots=True)
class Choosable:
    """A benchmark that models can be chosen by, and how many of the catalog's models have a result on it. `called` tells it from others of
    the same version, and `name` from all. `direction`: higher or lower is better where it is published; scores are always higher."""

    id: str
    called: str
    version: str
    direction: str
    skill: str | None
    language: str | None
    models: int

    @property
    def name(self) -> str:
        return f"{self.called} ({self.version})" if self.version else self.called


class Measured:
    """Nothing of the benchmarks is loaded before somebody reads the catalog over HTTP or looks at the store."""

    def __init__(self, catalog: CatalogService, scores: ScoresNow, results: ResultsOf, catalogue: Catalogue) -> None:
        self._catalog = catalog
        self._scores = scores
        self._results = results
        self._catalogue = catalogue
        self.revision = 0
        """Grows whenever scores or the catalog have changed."""
        self._known: tuple[Scores | None, str] = (None, "")
        self._overall: dict[str, float] = {}
        self._at_least: dict[str, float] = {}
        self._languages: dict[str, tuple[str, ...]] = {}
        self._on: dict[str, Mapping[str, float]] = {}
        self._benchmarks: tuple[Choosable, ...] = ()
        self._named_for: int = -1

    async def evidence(self, query: StoreQuery) -> Evidence:
        """What the query needs to be answered.

        Raises:
            BadRequest: no model has a result on the benchmark that it names.
        """
        scores = await self.refresh()
        if not query.benchmark:
            by_score, by_value = query.asks_for_scores, query.sort == BY_VALUE
            return Evidence(self._overall if by_score else {}, self._languages, self._at_least if by_value else {})
        found = self._on.get(query.benchmark)
        if found is None:
            found = scores.on(query.benchmark)
            if not found:
                raise BadRequest("No model has a result on that benchmark: GET /benchmarks names those there are.", param="benchmark")
            self._on[query.benchmark] = found
        name = next((one.name for one in await self.benchmarks() if one.id == query.benchmark), "")
        return Evidence(found, self._languages, found, name)

    @property
    def at_hand(self) -> Evidence:
        """What a query that asks for no evidence can be told beside, as it was last read; nothing before somebody read it."""
        return Evidence(languages=self._languages)

    async def benchmarks(self) -> Sequence[Choosable]:
        """Every benchmark with a scale on which a model of the catalog has a result, those with most models first."""
        scores, revision = await self.refresh(), self.revision
        if self._named_for != revision:
            sold = {model_id for model_id in self._models()}
            known = [(one, models) for one in await self._catalogue() if (models := len(sold & scores.on(one.id).keys()))]
            times = Counter((one.name, one.version) for one, _ in known)
            found = []
            for one, models in known:
                called = f"{one.name}: {one.metric}" if times[one.name, one.version] > 1 else one.name
                found.append(Choosable(one.id, called, one.version, one.direction, one.skill, one.language, models))
            self._benchmarks, self._named_for = tuple(sorted(found, key=lambda one: (-one.models, one.name, one.id))), revision
        return self._benchmarks

    async def languages(self, model_id: str) -> tuple[str, ...]:
        """Languages in which the model scored at least `SPEAKS_FROM`, as BCP 47 tags; empty where it was not measured."""
        await self.refresh()
        return self._languages.get(model_id, ())

    async def metrics(self, model_id: str) -> list[dict[str, Any]]:
        """One result per benchmark: the one that its scores count, or the newest. `score` is 0–100, higher is better; without a scale it is
        what was published, in `unit`."""
        found: dict[str, Any] = {}
        for result in (await self._results(model_id)).results:
            held = found.get(result.benchmark)
            if held is None or (result.counts and not held.counts):
                found[result.benchmark] = result
        return [
            {
                "benchmarkId": result.benchmark,
                "score": result.score if result.normalised is None else round(result.normalised, 2),
                "unit": result.unit if result.normalised is None else "0-100",
                "name": result.name,
                "version": result.version,
                "skill": result.skill,
                "variant": result.variant,
                "measuredOn": result.measured_on,
                "reportedBy": result.reported_by,
                "selfReported": result.self_reported,
                "sourceUrl": result.source_url,
            }
            for result in found.values()
        ]

    async def mmlu(self) -> Mapping[str, Mmlu]:
        """By model, on the first benchmark of `MMLU` that the model has a score on."""
        scores = await self.refresh()
        found: dict[str, Mmlu] = {}
        for benchmark_id in MMLU:
            for model_id, score in scores.on(benchmark_id).items():
                found.setdefault(model_id, Mmlu(score, benchmark_id))
        return found

    async def refresh(self) -> Scores:
        """The scores of now, with what follows from them; the first time, and after a change, it takes a second or more, in a thread."""
        scores, version = await self._scores(), self._catalog.version
        if self._known[0] is not scores or self._known[1] != version:
            overall: dict[str, float] = {}
            at_least: dict[str, float] = {}
            languages: dict[str, tuple[str, ...]] = {}
            for model_id in self._models():
                if (whole := scores.overall(model_id)) is not None:
                    overall[model_id], at_least[model_id] = whole.score, whole.low
                spoken = spoken_languages(scores.skills(model_id))
                if spoken:
                    languages[model_id] = spoken
            self._overall, self._at_least, self._languages, self._on = overall, at_least, languages, {}
            self._known = (scores, version)
            self.revision += 1
        return scores

    def _models(self) -> Iterable[str]:
        return (model.id for model, _ in self._catalog.sold())


def spoken_languages(skills: Mapping[str, SkillScore]) -> tuple[str, ...]:
    """The languages among skills such as `multilingual:da` whose score is good enough."""
    spoken = (
        name.removeprefix(_IN_LANGUAGE) for name, skill in skills.items() if name.startswith(_IN_LANGUAGE) and skill.score >= SPEAKS_FROM
    )
    return tuple(sorted(spoken))
