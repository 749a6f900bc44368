"""The bundled results: a CSV of facts out of public leaderboards, each row with its source, date and licence."""

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from backend.benchmarks.current import BUNDLED
from backend.benchmarks.definitions import define
from backend.benchmarks.records import BenchmarkRecord, ResultRecord
from backend.benchmarks.variants import split_variant

DATA_DATE = date(2026, 11, 20)
"""When the file was collected."""

_STATED_ID = re.compile(r"\bmodel_id=([^;]+)")
_BY_THE_BENCHMARK = re.compile(r"^submitted by Sierra$")


@dataclass(frozen=True, slots=True)
class Reading:
    benchmarks: tuple[BenchmarkRecord, ...]
    results: tuple[ResultRecord, ...]


def read(path: Path = BUNDLED) -> Reading:
    """Every benchmark and result of the file; a row twice is one result, whose last value counts."""
    benchmarks: dict[str, BenchmarkRecord] = {}
    results: dict[str, ResultRecord] = {}
    for row in _rows(path):
        benchmark = define(row)
        benchmarks.setdefault(benchmark.id, benchmark)
        result = _result(row, benchmark)
        results[result.id] = result
    return Reading(tuple(benchmarks.values()), tuple(results.values()))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _result(row: dict[str, str], benchmark: BenchmarkRecord) -> ResultRecord:
    stated = _STATED_ID.search(row["notes"])
    variant = split_variant(row["model_name_as_published"], row["source_dataset"], row["notes"])[1]
    return ResultRecord(
        benchmark_id=benchmark.id,
        published_name=row["model_name_as_published"],
        score=float(row["score"]),
        measured_on=_day(row["run_date_or_published"]),
        source_url=row["source_url"],
        dataset=row["source_dataset"],
        licence=row["source_licence"],
        reported_by=row["reported_by"],
        self_reported=is_self_reported(row["reported_by"]),
        variant=variant,
        stated_id=stated.group(1).strip() if stated else None,
        notes=row["notes"],
    )


def is_self_reported(reported_by: str) -> bool:
    """Whether the vendor says it of his own model, or nobody says who ran it: whoever submits to a board chooses what he submits."""
    text = reported_by.casefold()
    if _BY_THE_BENCHMARK.match(reported_by):
        return False
    return any(word in text for word in ("self-reported", "vendor", "submitted by", "submitters", "llm-stats"))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
