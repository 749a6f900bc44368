"""Results in the store: the same file twice changes nothing, and names find models that arrive later. On each database."""

import csv
import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.audit.service import AuditService
from backend.benchmarks import current
from backend.benchmarks.ingest import ingest_bundled
from backend.benchmarks.records import BenchmarkRecord, ResultRecord
from backend.benchmarks.schemas import IngestReport
from backend.benchmarks.service import BenchmarkService
from backend.catalog.ingest import ingest
from backend.identity.principal import ANONYMOUS, system
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, PermissionDenied
from tests.budgets.witness import Witness
from tests.catalog.conftest import Notebook, offer

ADMIN = system("test")
ROW = {
    "model_name_as_published": "Acme One",
    "benchmark": "LiveBench: Coding",
    "metric": "category average",
    "score": "60",
    "unit": "percent",
    "scale_max": "100",
    "run_date_or_published": "2026-01-08",
    "source_url": "https://livebench.ai",
    "source_dataset": "LiveBench",
    "source_licence": "Apache-2.0",
    "reported_by": "LiveBench",
    "notes": "",
}
CODING = "livebench-coding-category-average-2026-01-08"


def file_of(folder: Path, *rows: dict[str, str], name: str = "results.csv.gz") -> Path:
    path = folder / name
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ROW.keys())
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    return path


async def sell(database: Database, clock: FixedClock, *names: str) -> None:
    await ingest(database, clock, [Notebook(offers=[offer(f"acme/{name}", "1", "2") for name in names])])


@pytest.fixture
def service(database: Database, clock: FixedClock) -> BenchmarkService:
    return BenchmarkService(database, clock, AuditService(clock))


def result(name: str = "Acme One", score: float = 55, benchmark: str = CODING, **more: Any) -> ResultRecord:
    told = {"measured_on": None, "source_url": "https://acme.example", "dataset": "ours", "licence": "CC0-1.0", "reported_by": "us"}
    return ResultRecord(benchmark, name, score, **{**told, "self_reported": False, **more})


async def test_the_same_file_and_catalog_twice_change_nothing(
    database: Database, clock: FixedClock, tmp_path: Path, service: BenchmarkService, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, {}, {"model_name_as_published": "Nobody's"})
    monkeypatch.setattr(current, "BUNDLED", path)
    await sell(database, clock, "acme-one")
    assert not await current.is_current(database)
    report = await ingest_bundled(database, clock, path=path)
    assert (report.read, report.benchmarks, report.matched, report.models) == (2, 1, 1, 1)
    assert await current.is_current(database)
    assert (await ingest_bundled(database, clock, path=path)).skipped
    before = await service.of_model("acme-one")
    clock.advance(timedelta(days=1))
    assert not (await ingest_bundled(database, clock, path=path, force=True)).skipped
    assert await service.of_model("acme-one") == before
    [only] = before.results
    assert (only.score, only.normalised, only.dataset, only.licence, only.counts) == (60, 60, "LiveBench", "Apache-2.0", True)
    assert before.overall is not None
    assert set(before.skills) == {"coding"}


async def test_a_model_that_arrives_later_finds_its_results_and_a_corrected_score_is_taken_over(
    database: Database, clock: FixedClock, tmp_path: Path, service: BenchmarkService
) -> None:
    await sell(database, clock, "acme-two")
    await ingest_bundled(database, clock, path=file_of(tmp_path, {}))
    assert (await service.of_model("acme-one")).results == []
    first = await service.scores()
    clock.advance(timedelta(seconds=1))
    await sell(database, clock, "acme-two", "acme-one")
    report = await ingest_bundled(database, clock, path=file_of(tmp_path, {"score": "61"}, name="newer.csv.gz"))
    assert (report.results, report.matched) == (1, 1)
    await service.changed()
    assert await service.scores() is not first
    [only] = (await service.of_model("acme-one")).results
    assert only.score == 61


async def test_what_left_the_file_leaves_the_store_but_not_what_an_operator_added(
    database: Database, clock: FixedClock, tmp_path: Path, service: BenchmarkService
) -> None:
    await sell(database, clock, "acme-one")
    await ingest_bundled(database, clock, path=file_of(tmp_path, {}, {"benchmark": "LiveBench: Reasoning"}))
    mine = BenchmarkRecord("ours", "Ours", "share", "", "maths", None, "higher", "percent", 0, 100, "ours", "ours", "CC0-1.0")
    await service.ingest(ADMIN, [result(), result(benchmark="ours")], [mine])
    clock.advance(timedelta(seconds=1))
    report = await ingest_bundled(database, clock, path=file_of(tmp_path, {}, name="less.csv.gz"))
    assert (report.benchmarks, report.results) == (2, 3)
    assert {view.id: view.results for view in await service.catalogue()} == {CODING: 2, "ours": 1}
    await service.changed()
    assert set((await service.scores()).skills("acme-one")) == {"coding", "maths"}


async def test_results_are_added_once_audited_and_an_unknown_name_is_said(
    database: Database, clock: FixedClock, tmp_path: Path, service: BenchmarkService, witness: Witness
) -> None:
    await sell(database, clock, "acme-one")
    await ingest_bundled(database, clock, path=file_of(tmp_path, {}))
    before = await service.scores()
    told = [result(), result("Stranger 7B"), result("Stranger 7B")]
    report = await service.ingest(ADMIN, told)
    assert report == IngestReport(3, 2, 0, 1, 0, 0, 1, ("Stranger 7B",))
    scores = await service.scores()
    assert scores is not before
    again = await service.ingest(ADMIN, told)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 3)
    assert await service.scores() is scores
    changed = await service.ingest(ADMIN, [result(score=56)])
    assert (changed.created, changed.updated, changed.unchanged) == (0, 1, 0)
    assert await service.scores() is not scores
    actors = witness.run("SELECT actor FROM audit_entry WHERE action = 'benchmark.ingest'")
    assert [tuple(row) for row in actors] == [("system:test",), ("system:test",)]


@pytest.mark.parametrize(
    ("results", "benchmarks", "param"),
    [
        ([result(benchmark="nothing")], [], "results"),
        ([result(score=5600)], [], "results"),
        ([result()] * 1001, [], "results"),
        ([result()], [BenchmarkRecord(CODING, "x", "y", "", None, None, "higher", "z", 0, 1, "f", "d", "l")], "benchmarks"),
        ([result()], [BenchmarkRecord("new", "x", "y", "", None, None, "lower", "z", 0, 1, "f", "d", "l")], "benchmarks"),
        ([result()], [BenchmarkRecord("new", "x", "y", "", None, None, "lower", "z", 0, None, "f", "d", "l")], "benchmarks"),
    ],
)
async def test_what_cannot_be_is_refused_as_a_whole(
    sqlite_database: Database,
    clock: FixedClock,
    tmp_path: Path,
    results: list[ResultRecord],
    benchmarks: list[BenchmarkRecord],
    param: str,
) -> None:
    await ingest_bundled(sqlite_database, clock, path=file_of(tmp_path, {}))
    service = BenchmarkService(sqlite_database, clock, AuditService(clock))
    before = await service.catalogue()
    with pytest.raises(BadRequest) as refused:
        await service.ingest(ADMIN, results, benchmarks)
    assert refused.value.param == param
    assert await service.catalogue() == before


async def test_only_a_super_admin_adds_results(sqlite_database: Database, clock: FixedClock) -> None:
    service = BenchmarkService(sqlite_database, clock, AuditService(clock))
    with pytest.raises(PermissionDenied):
        await service.ingest(ANONYMOUS, [result()])
