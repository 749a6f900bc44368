"""Benchmarks for the rest of the house: scores from memory, results and the catalogue from the database."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from backend.audit.service import AuditService
from backend.benchmarks import repository
from backend.benchmarks.ingest import differences, result_row
from backend.benchmarks.recognise import Recogniser
from backend.benchmarks.records import BenchmarkRecord, ResultRecord, normalised
from backend.benchmarks.schemas import BenchmarkView, IngestReport, ModelBenchmarks, ResultView
from backend.benchmarks.scores import Measured, Scores, counted
from backend.catalog import repository as catalog
from backend.identity.principal import Principal, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database, patiently
from backend.kernel.errors import BadRequest
from backend.kernel.memory import give_back_soon

MAX_RESULTS = 1000
"""In one ingestion."""


class BenchmarkService:
    """Scores are built on first use and kept until results change; `changed` says that they may have."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._scores: Scores | None = None
        self._version: object = None
        self._stale = True
        self._building = asyncio.Lock()

    async def changed(self) -> None:
        """Look at the store before the next answer."""
        self._stale = True

    async def scores(self) -> Scores:
        """The scores of now; the same object for as long as nothing has changed. From memory, but after a change."""
        if self._scores is None or self._stale:
            async with self._building:
                if self._scores is None or self._stale:
                    await self._load()
        assert self._scores is not None
        return self._scores

    async def _load(self) -> None:
        # Before reading: a change that comes meanwhile makes it stale again.
        self._stale = False
        try:
            with patiently():
                async with self._db.read() as session:
                    version = await repository.version(session)
                    if self._scores is not None and version == self._version:
                        return
                    shared: dict[str, str] = {}
                    results = [found async for row in repository.measured(session) if (found := Measured.of(row, shared)) is not None]
            self._scores = await asyncio.to_thread(Scores.build, results)
            self._version = version
            give_back_soon()
        except BaseException:
            self._stale = True
            raise

    async def of_model(self, model_id: str) -> ModelBenchmarks:
        """Every result of a model, by the id that the catalog gives it, and what follows from them; nothing known is an empty answer."""
        async with self._db.read() as session:
            rows = await repository.of_model(session, model_id)
        scaled = [found for row in rows if (found := Measured.of(row, {})) is not None]
        used = {result.id for result in counted(scaled)}
        results = [
            ResultView(
                id=row.id,
                benchmark=row.benchmark_id,
                name=row.name,
                metric=row.metric,
                version=row.version,
                skill=row.skill,
                language=row.language,
                direction=row.direction,
                unit=row.unit,
                score=row.score,
                normalised=normalised(row.score, row.scale_worst, row.scale_best),
                published_name=row.published_name,
                variant=row.variant,
                measured_on=row.measured_on,
                source_url=row.source_url,
                dataset=row.dataset,
                licence=row.licence,
                reported_by=row.reported_by,
                self_reported=row.self_reported,
                notes=row.notes,
                counts=row.id in used and row.skill is not None,
            )
            for row in rows
        ]
        scores = await self.scores()
        return ModelBenchmarks(model_id, scores.overall(model_id), dict(scores.skills(model_id)), results)

    async def catalogue(self) -> list[BenchmarkView]:
        """Every benchmark, by id."""
        async with self._db.read() as session:
            rows = await repository.catalogue(session)
        fields = BenchmarkView.__slots__
        return [BenchmarkView(**{name: getattr(row, name) for name in fields}) for row in rows]

    async def ingest(
        self, principal: Principal, results: Sequence[ResultRecord], benchmarks: Sequence[BenchmarkRecord] = ()
    ) -> IngestReport:
        """Keep results, and benchmarks that they need; what is there already with the same values stays untouched.

        Raises:
            PermissionDenied: the principal is no super admin. BadRequest: too many at once, a benchmark that nobody knows, or one of ours.
        """
        require_super_admin(principal, "add benchmark results")
        if len(results) > MAX_RESULTS or len(benchmarks) > MAX_RESULTS:
            raise BadRequest(f"At most {MAX_RESULTS} results at once.", param="results")
        for record in benchmarks:
            _check_scale(record)
        async with self._db.write() as unit:
            await catalog.lock_ingestion(unit, self._db.dialect)
            now = await repository.next_moment(unit.session, self._clock.now())
            wanted = {record.id: {**_columns(record), "origin": "operator"} for record in benchmarks}
            asked = sorted(wanted.keys() | {record.benchmark_id for record in results})
            known = await repository.stored_of(unit.session, repository.BENCHMARK, asked)
            for record_id in asked:
                if record_id not in known and record_id not in wanted:
                    raise BadRequest(f"There is no benchmark {record_id[:100]!r}; define it in `benchmarks`.", param="results")
                if record_id in wanted and known.get(record_id, {}).get("origin", "operator") != "operator":
                    raise BadRequest(f"The benchmark {record_id[:100]!r} ships with Bourse and cannot be redefined.", param="benchmarks")
            scales = {**known, **wanted}
            for result in results:
                _check_score(result, scales[result.benchmark_id])
            recogniser = Recogniser.build(*await repository.names(unit.session))
            told = {record.id: {**result_row(record, recogniser), "origin": "operator"} for record in results}
            stored = await repository.stored_of(unit.session, repository.RESULT, list(told))
            new_benchmarks, changed_benchmarks = differences(wanted, known, now)
            fresh, changed = differences(told, stored, now)
            for target, inserts, updates in (
                (repository.BENCHMARK, new_benchmarks, changed_benchmarks),
                (repository.RESULT, fresh, changed),
            ):
                await catalog.insert(unit.session, target, inserts)
                await catalog.update(unit.session, target, updates)
            report = IngestReport(
                received=len(results),
                created=len(fresh),
                updated=len(changed),
                unchanged=len(results) - len(fresh) - len(changed),
                benchmarks_created=len(new_benchmarks),
                benchmarks_updated=len(changed_benchmarks),
                matched=sum(row["model_id"] is not None for row in told.values()),
                unmatched=tuple(sorted({row["published_name"] for row in told.values() if row["model_id"] is None})),
            )
            if fresh or changed or new_benchmarks or changed_benchmarks:
                defined = len(new_benchmarks) + len(changed_benchmarks)
                await self._audit.record(
                    unit,
                    principal,
                    "benchmark.ingest",
                    "benchmarks",
                    created=report.created,
                    updated=report.updated,
                    defined=defined,
                    benchmarks=asked[:20],
                )
                await unit.mark_changed()
        await self.changed()
        return report


_SLACK = 0.1
"""How far beyond its scale a score may be: a rank may exceed the worst that is expected."""


def _check_scale(record: BenchmarkRecord) -> None:
    worst, best = record.scale_worst, record.scale_best
    if (worst is None) != (best is None):
        raise BadRequest(f"The benchmark {record.id!r} needs both ends of its scale, or none.", param="benchmarks")
    if worst is not None and best is not None and (worst == best or (best > worst) != (record.direction == "higher")):
        raise BadRequest(f"The scale of {record.id!r} does not go with its direction: {record.direction} is better.", param="benchmarks")


def _check_score(record: ResultRecord, benchmark: Mapping[str, Any]) -> None:
    """A share sent as a percentage, or the other way round, would be taken for the best or worst there is."""
    worst, best = benchmark["scale_worst"], benchmark["scale_best"]
    if worst is None or best is None:
        return
    low, high = min(worst, best), max(worst, best)
    slack = (high - low) * _SLACK
    if not low - slack <= record.score <= high + slack:
        raise BadRequest(
            f"{record.score:g} is not on the scale of {record.benchmark_id!r}, which is from {worst:g} (worst) to {best:g} (best).",
            param="results",
        )


def _columns(record: BenchmarkRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in BenchmarkRecord.__slots__}
