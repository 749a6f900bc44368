"""Which model for this task: the door to matching and suggestions. Reads only; answers from columns in memory."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from backend.carbon.footprint import Footprint, Unknown
from backend.carbon.service import Emissions
from backend.catalog.schemas import ModelSummary
from backend.catalog.service import CatalogService
from backend.kernel.clock import Clock
from backend.kernel.db import Database, patiently
from backend.kernel.memory import give_back_soon
from backend.matching import repository
from backend.matching.ask import Constraints, Question, Weights, weights_for
from backend.matching.candidates import Reading, RuledOut, select
from backend.matching.columns import CAPABILITY_BIT, Columns, ModelFacts, OfferFacts, Scores, Source, senses_of
from backend.matching.parse import TaskFound, Understood, understand
from backend.matching.quality import Mix, Quality
from backend.matching.score import Scored, Scoring
from backend.matching.suggest import Suggestions, suggest
from backend.matching.taxonomy import Task
from backend.matching.usual import Stated, tokens_of, workload_for
from backend.matching.wanted import may_speak, one_kind, skill_mix, speaks, workload_of
from backend.pricing.book import PriceBook
from backend.pricing.cost import Cost
from backend.pricing.workload import Workload, per_million_blended

MOST_RESULTS = 50
MOST_SUGGESTED = 20
KEPT_TEXTS = 500
"""How many readings of texts are remembered; each is pure, so that remembering changes nothing."""
BATCH = "Costs are those of an answer at once; who sells a model for less in batches stands among its suggestions."
NO_TOKENS = "A price per token says nothing of work that is billed by the picture, second or character, so that limit is left out."

Latency = Callable[[], Mapping[tuple[str, str], float]]
"""(Provider, upstream id) → milliseconds that this gateway measured just now."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One answer. `variants`: ids of the same model in other guises that stood behind it; `footprint`: what a call is estimated to emit."""

    model: ModelSummary
    offer_id: str
    provider: str
    scored: Scored
    quality: Quality
    variants: tuple[str, ...]
    blended_nano: int | None
    unspoken: tuple[str, ...]
    footprint: Footprint | None


@dataclass(frozen=True, slots=True)
class Match:
    """`total` candidates were found, variants counted once; `results` are the best of them."""

    results: tuple[Ranked, ...]
    total: int
    considered: int
    ruled_out: dict[str, RuledOut]
    understood: Understood
    tasks: tuple[Task, ...]
    other_steps: tuple[str, ...]
    constraints: Constraints
    weights: Weights
    workload: Workload
    columns: Columns
    notes: tuple[str, ...] = ()
    """What was asked for and is not in force, a sentence each."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """Suggestions with what is needed to show them. `latencies`: milliseconds by provider and upstream id; `sellers`: names by id."""

    model: ModelSummary
    workload: Workload
    suggestions: Suggestions
    columns: Columns
    latencies: Mapping[tuple[str, str], float]
    sellers: Mapping[str, str]

    @property
    def offer_reference(self) -> int | None:
        return self.suggestions.offer_reference

    def blended(self, nano: int | None) -> int | None:
        """Nano-dollars per 1M tokens of the workload's mix."""
        return None if nano is None else _blended(nano, self.workload)

    def latency_delta(self, row: int) -> float | None:
        """Milliseconds more than the offer in question takes; None unless both were measured here."""
        own = self.suggestions.row
        before = None if own is None else _measured(self.columns, self.latencies, own)
        after = _measured(self.columns, self.latencies, row)
        return None if before is None or after is None else after - before


class Benchmark(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class Benchmarks(Protocol):
    """Benchmarks as far as matching looks at them."""

    async def scores(self) -> Scores:
        """The same object for as long as nothing has changed."""
        ...

    async def catalogue(self) -> Sequence[Benchmark]: ...


class Carbon(Protocol):
    """Emissions as far as matching looks at them."""

    async def prepare(self) -> None: ...
    def emissions(self, model_ids: Iterable[str]) -> Sequence[Emissions | None]:
        """Called in a thread."""
        ...

    def per_call(self, model_id: str, output_tokens: int) -> Footprint | Unknown: ...


class MatchingService:
    """`match` and `suggestions` never touch the database once the columns stand; these are built on first use and when something changed.

    Args:
        benchmarks: None where there are none; answers then say that they are missing.
        configured: ids of providers that calls can be sent to.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        catalog: CatalogService,
        prices: PriceBook,
        *,
        benchmarks: Benchmarks | None = None,
        configured: Callable[[], Collection[str]] = tuple,
        latency: Latency | None = None,
        carbon: Carbon | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._catalog = catalog
        self._prices = prices
        self._benchmarks = benchmarks
        self._configured = configured
        self._latency = latency
        self._carbon = carbon
        self._columns: Columns | None = None
        self._version: object = None
        self._emissions: tuple[Columns, Sequence[Emissions | None]] | None = None
        self._building = asyncio.Lock()
        self._texts: OrderedDict[str, Understood] = OrderedDict()

    async def columns(self) -> Columns:
        """Today's columns; the first call, and the first after a change, waits for them."""
        scores = await self._benchmarks.scores() if self._benchmarks is not None else None
        version = (self._catalog.version, self._prices.version, scores)
        if self._columns is None or version != self._version:
            async with self._building:
                if self._columns is None or version != self._version:
                    if self._carbon is not None:
                        await self._carbon.prepare()
                    self._columns, self._version = await self._build(scores), version
                    give_back_soon()
        return self._columns

    async def _build(self, scores: Scores | None) -> Columns:
        sold = list(self._catalog.sold())
        benchmarks = await self._benchmarks.catalogue() if self._benchmarks is not None else ()
        with patiently():
            async with self._db.read() as session:
                models = {
                    row.id: ModelFacts(tuple(row.languages), tuple(row.capabilities_denied), row.licence)
                    async for row in repository.models(session)
                }
                offers = {
                    row.id: OfferFacts(row.region, row.context_tokens, senses_of((*row.capabilities, *row.modalities_in)))
                    async for row in repository.offers(session)
                }
        named = {benchmark.id: benchmark.name for benchmark in benchmarks}

        def build() -> Columns:
            understand("")  # what texts are read with takes a tenth of a second to make
            return Columns(Source(sold, self._prices.cards(), models, offers, scores, named, self._catalog.as_of()))

        return await asyncio.to_thread(build)

    async def _grams(self, columns: Columns, output_tokens: int) -> Callable[[int], float | None] | None:
        """Place → what a call emits there. Thousands of estimates, so made in a thread when they are first needed, and kept."""
        carbon = self._carbon
        if carbon is None:
            return None
        async with self._building:
            if self._emissions is None or self._emissions[0] is not columns:
                ids = [model.id for model in columns.models]
                self._emissions = columns, await asyncio.to_thread(carbon.emissions, ids)
            emissions = self._emissions[1]

        def grams(place: int) -> float | None:
            found = emissions[place]
            return None if found is None else found.start + output_tokens * found.each

        return grams

    def read(self, text: str) -> Understood:
        """How a text is understood; the same text always the same way."""
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = understand(text)
            if len(self._texts) > KEPT_TEXTS:
                self._texts.popitem(last=False)
        return known

    def usual(self, text: str) -> Workload:
        """What a call of such a task is reckoned as where nobody states it."""
        read = self.read(text)
        return workload_of({}, read, one_kind(read)[0])

    async def match(self, question: Question) -> Match:
        """The models that suit a task, the best first, with who was ruled out by what."""
        columns = await self.columns()
        read = self.read(question.text)
        if question.tasks:
            read = replace(read, tasks=tuple(TaskFound(task, 1.0) for task in question.tasks), recognised=True)
        tasks, other_steps = one_kind(read)
        workload = workload_of(question.stated, read, tasks)
        asked = question.constraints.with_text(read)
        notes: tuple[str, ...] = (BATCH,) if any(said.kind == "serviceTier" for said in read.said) else ()
        if asked.limits_tokens and not tokens_of(workload):
            asked, notes = asked.without_token_limits(), (*notes, NO_TOKENS)
        weights = weights_for(question.preferences, read)
        now = self._clock.now()
        measured = self._latency() if self._latency is not None else {}
        reading = Reading(
            columns.costs.per_call(workload, now),
            tokens_of(workload),
            lambda place: may_speak(columns, place, asked),
            self._configured() if asked.configured_only else (),
            lambda row: _measured(columns, measured, row),
        )
        selection = select(columns, tasks, asked, reading)
        mix = skill_mix(tasks, read, asked.languages)
        made = workload.usage.total_output
        scoring = Scoring(
            columns,
            selection,
            mix,
            sorted({CAPABILITY_BIT[word] for task in tasks for word in task.helpful}),
            weights,
            reading.latency if measured else None,
            await self._grams(columns, made),
        )
        best, total = scoring.best(max(1, min(question.limit, MOST_RESULTS)))
        return Match(
            results=tuple(_shown(columns, one, mix, workload, asked, self._footprint(columns, one, made)) for one in best),
            total=total,
            considered=selection.considered,
            ruled_out=selection.ruled_out,
            understood=read,
            tasks=tasks,
            other_steps=other_steps,
            constraints=asked,
            weights=weights,
            workload=workload,
            columns=columns,
            notes=notes,
        )

    def _footprint(self, columns: Columns, one: Scored, output_tokens: int) -> Footprint | None:
        found = None if self._carbon is None else self._carbon.per_call(columns.models[one.place].id, output_tokens)
        return found if isinstance(found, Footprint) else None

    async def suggestions(self, name: str, stated: Stated | None = None, most: int = 5) -> "Suggested | None":
        """What could be taken instead of the model (or the one offer) that a name stands for; None if there is no such name.

        Args:
            stated: of the workload that is compared; the rest is what is usual for models of its kind.
        """
        columns = await self.columns()
        summary = self._catalog.summary(name)
        place = None if summary is None else columns.place.get(summary.id)
        if summary is None or place is None:
            return None
        used = workload_for(summary.mode, stated or {})
        now = self._clock.now()
        found = suggest(
            columns,
            place,
            columns.row.get(name),
            columns.costs.per_call(used, now),
            lambda row: columns.costs.in_tiers(row, used, now),
            max(1, min(most, MOST_SUGGESTED)),
        )
        latencies = self._latency() if self._latency is not None else {}
        return Suggested(summary, used, found, columns, latencies, self._catalog.provider_names())


def _shown(columns: Columns, one: Scored, mix: Mix, workload: Workload, asked: Constraints, footprint: Footprint | None) -> Ranked:
    offer, nano, place = columns.offers[one.row], one.cost_nano, one.place
    return Ranked(
        columns.models[place],
        offer.id,
        offer.provider,
        one,
        columns.quality.of(place, mix),
        tuple(columns.models[other].id for other in one.kin),
        None if nano is None else _blended(nano, workload),
        tuple(tag for tag in asked.languages if speaks(columns, place, tag) is None),
        footprint,
    )


def _measured(columns: Columns, measured: Mapping[tuple[str, str], float], row: int) -> float | None:
    if not measured:
        return None
    offer = columns.offers[row]
    return measured.get((offer.provider, offer.upstream_id))


def _blended(nano: int, workload: Workload) -> int | None:
    return per_million_blended(Cost(nano, (), "priced", ()), workload) if tokens_of(workload) else None
