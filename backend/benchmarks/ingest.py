"""Reading the bundled results into the store, by difference, and matching every published name with the catalog's models.

Names are matched anew whenever the catalog was read anew: a model that arrives later finds the results that waited for it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend.benchmarks import repository
from backend.benchmarks.current import BUNDLED, SOURCE, digest_of, last_reading, reading_of
from backend.benchmarks.recognise import Recogniser
from backend.benchmarks.records import ResultRecord
from backend.benchmarks.source import DATA_DATE, read
from backend.catalog import repository as catalog
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.ids import new_id

LISTS_BASES = frozenset({"EuroEval", "EvalPlus", "NVIDIA/RULER"})
"""Sources that measure base models beside the instruct models made of them."""


@dataclass(frozen=True, slots=True)
class Report:
    """`read`: results in the file; `matched`: of all in the store, those whose model the catalog knows; `models`: how many such models."""

    read: int = 0
    benchmarks: int = 0
    results: int = 0
    matched: int = 0
    models: int = 0
    skipped: bool = False


async def ingest_bundled(db: Database, clock: Clock, *, force: bool = False, path: Path = BUNDLED) -> Report:
    """Bring the store up to the bundled file; the same file and catalog twice changes nothing. Results of operators are only matched."""
    digest = await asyncio.to_thread(digest_of, path)
    async with db.read() as session:
        reading = await reading_of(session, digest)
        if not force and await last_reading(session) == reading:
            return Report(skipped=True)
        names = await repository.names(session)
        benchmarks = await repository.stored(session, repository.BENCHMARK)
        results = await repository.stored(session, repository.RESULT)
        started = clock.now()
        moment = await repository.next_moment(session, started)
    plan = await asyncio.to_thread(_plan, path, names, benchmarks, results, moment)
    async with db.write() as unit:
        await catalog.lock_ingestion(unit, db.dialect)
        await repository.delete(unit.session, repository.RESULT, plan.gone_results)
        for target, fresh, changed in plan.rows:
            await catalog.insert(unit.session, target, fresh)
            await catalog.update(unit.session, target, changed)
        await repository.delete(unit.session, repository.BENCHMARK, plan.gone_benchmarks)
        run = {
            "id": new_id("run"),
            "source": SOURCE,
            "content_hash": reading,
            "data_date": DATA_DATE if path == BUNDLED else None,
            "started_at": started,
            "finished_at": clock.now(),
            "read": plan.report.read,
            "kept": plan.report.results,
            "merged": plan.report.matched,
            "quarantined": 0,
            "error": None,
        }
        await catalog.insert(unit.session, catalog.RUN, [run])
        await unit.mark_changed()
    return plan.report


Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Plan:
    rows: list[tuple[sa.Table, Rows, Rows]]
    gone_results: list[str]
    gone_benchmarks: list[str]
    report: Report


def _plan(
    path: Path, names: tuple[list[Any], list[Any], list[Any]], benchmarks: Mapping[str, Any], results: Mapping[str, Any], now: datetime
) -> _Plan:
    reading = read(path)
    recogniser = Recogniser.build(*names, published={record.published_name for record in reading.results})
    wanted = {record.id: asdict(record) | {"origin": "bundled"} for record in reading.benchmarks}
    told = {record.id: result_row(record, recogniser) | {"origin": "bundled"} for record in reading.results}
    for row in results.values():
        if row["origin"] != "bundled":
            found = recogniser.recognise(row["published_name"], row["stated_id"], row["variant"])
            told[row["id"]] = {**row, "model_id": found.model_id}
            wanted.setdefault(row["benchmark_id"], benchmarks[row["benchmark_id"]])
    for row in benchmarks.values():
        if row["origin"] != "bundled":
            wanted[row["id"]] = row
    rows = [
        (repository.BENCHMARK, *differences(wanted, benchmarks, now)),
        (repository.RESULT, *differences(told, results, now)),
    ]
    matched = [row["model_id"] for row in told.values() if row["model_id"] is not None]
    return _Plan(
        rows,
        [key for key in results if key not in told],
        [key for key in benchmarks if key not in wanted],
        Report(len(reading.results), len(wanted), len(told), len(matched), len(set(matched))),
    )


def result_row(record: ResultRecord, recogniser: Recogniser) -> dict[str, Any]:
    """The row of a result, with the model that its name means. What the name itself says of the variant counts as said."""
    lists_bases = record.dataset in LISTS_BASES
    found = recogniser.recognise(record.published_name, record.stated_id, record.variant, lists_bases=lists_bases)
    return {"id": record.id} | asdict(record) | {"variant": found.variant[:64], "model_id": found.model_id}


def differences(wanted: Mapping[str, Mapping[str, Any]], stored: Mapping[str, Mapping[str, Any]], now: datetime) -> tuple[Rows, Rows]:
    """Rows to insert, and rows to update: those of which a column would change. `updated_at` tells when that last was."""
    fresh: Rows = []
    changed: Rows = []
    for key, row in wanted.items():
        values = {name: value for name, value in row.items() if name not in ("created_at", "updated_at")}
        before = stored.get(key)
        if before is None:
            fresh.append({**values, "created_at": now, "updated_at": now})
        elif any(before[name] != value for name, value in values.items()):
            changed.append({**values, "updated_at": now})
    return fresh, changed
