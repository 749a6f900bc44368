"""The bundled file as it ships: every row is understood, and nothing is counted for a skill that is none."""

from collections import Counter

import pytest

from backend.benchmarks.definitions import define
from backend.benchmarks.skills import SKILLS
from backend.benchmarks.source import Reading, is_self_reported, read


@pytest.fixture(scope="module")
def reading() -> Reading:
    return read()


def test_every_row_is_a_result_of_a_benchmark_with_source_and_licence(reading: Reading) -> None:
    ids = {benchmark.id for benchmark in reading.benchmarks}
    # One row stands in the file twice.
    assert (len(reading.results), len(ids)) == (19_844, len(reading.benchmarks))
    assert all(result.benchmark_id in ids for result in reading.results)
    assert all(result.source_url.startswith("https://") and result.licence and result.reported_by for result in reading.results)
    assert {result.dataset for result in reading.results if result.measured_on is None} == {"models.dev"}


def test_a_benchmark_is_one_metric_of_one_version_of_one_source(reading: Reading) -> None:
    named = Counter((one.dataset, one.name, one.metric, one.version) for one in reading.benchmarks)
    assert set(named.values()) == {1}
    releases = {one.version for one in reading.benchmarks if one.name == "LiveBench: Coding"}
    assert len(releases) == 10
    players = {one.version for one in reading.benchmarks if one.name == "tau2-bench retail"}
    assert {"gpt-5.2", "gpt-4.1-2025-04-14"} <= players


def test_lower_is_better_where_it_is(reading: Reading) -> None:
    lower = {one.name.split()[0]: one for one in reading.benchmarks if one.skill and one.direction == "lower"}
    assert set(lower) == {"EuroEval", "Open", "Vectara"}
    by_id = {one.id: one for one in reading.benchmarks}
    rank, errors = by_id["euroeval-danish-rank-score-2026-04-17"], lower["Open"]
    assert (rank.normalised(1), rank.normalised(3), rank.normalised(6)) == (100, 50, 0)
    assert errors.normalised(5) == 95
    assert by_id["bfcl-v4-overall-acc"].normalised(77.47) == pytest.approx(77.47)


def test_only_what_measures_a_skill_counts_for_one(reading: Reading) -> None:
    skilled = [one for one in reading.benchmarks if one.skill]
    assert {one.skill for one in skilled} == set(SKILLS)
    assert all(one.scale_worst is not None and one.scale_best is not None for one in skilled)
    assert not [one.id for one in skilled if one.unit in ("USD", "seconds", "x real time", "words")]
    assert not [one.id for one in skilled if "average" in one.name.lower() or "pass^4" in one.metric]
    assert {one.language for one in skilled if one.skill == "multilingual"} >= {"da", "de", "is", "sq", None}


def test_scores_lie_on_their_scales(reading: Reading) -> None:
    by_id = {one.id: one for one in reading.benchmarks}
    off = []
    for result in reading.results:
        one = by_id[result.benchmark_id]
        if one.skill and one.scale_worst is not None and one.scale_best is not None:
            low, high = sorted((one.scale_worst, one.scale_best))
            if not low <= result.score <= high + 0.15:
                off.append((one.id, result.score))
    assert off == []


@pytest.mark.parametrize(
    ("reported_by", "vendor"),
    [
        ("Berkeley BFCL", False),
        ("submitted by Sierra", False),
        ("submitted by Anthropic", True),
        ("vendor self-reported or as linked", True),
        ("OpenAI (vendor-run)", True),
        ("MTEB submitters", True),
        ("aider maintainers", False),
    ],
)
def test_whoever_submits_to_a_board_reports_himself(reported_by: str, vendor: bool) -> None:
    assert is_self_reported(reported_by) is vendor


def test_an_unknown_benchmark_of_a_vendor_has_no_direction_and_no_scale() -> None:
    row = {"benchmark": "FLEURS", "metric": "score", "unit": "points", "scale_max": "100.0", "run_date_or_published": "2025-07-19",
           "source_dataset": "llm-stats (llm-leaderboard repo)", "source_licence": "CC BY 4.0", "notes": ""}  # fmt: skip
    made = define(row)
    assert (made.direction, made.scale_best, made.skill) == ("unknown", None, None)
