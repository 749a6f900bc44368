"""How honest the intervals are: results that were left out fall into what was predicted without them."""

import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.benchmarks import scoring
from backend.benchmarks.scores import Measured, counted
from backend.benchmarks.skills import GENERAL

COLUMNS = [
    "id",
    "model_id",
    "benchmark_id",
    "variant",
    "score",
    "self_reported",
    "family",
    "skill",
    "language",
    "scale_worst",
    "scale_best",
]
Place = tuple[str, str, str]


@pytest.fixture
def observations(catalog_file: Path) -> list[scoring.Observation]:
    """What counts for general skills of everything that ships."""
    with sqlite3.connect(f"file:{catalog_file}?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT r.id, model_id, benchmark_id, variant, score, self_reported, family, skill, language, scale_worst, scale_best"
            " FROM benchmark_result r JOIN benchmark b ON b.id = r.benchmark_id WHERE model_id IS NOT NULL AND skill IS NOT NULL"
        ).fetchall()
    results = [Measured.of(SimpleNamespace(**dict(zip(COLUMNS, row, strict=True)), measured_on=None), {}) for row in rows]
    return [
        scoring.Observation(one.model, one.skill, one.benchmark, one.family, scoring.log_odds(one.value), bool(one.self_reported))
        for one in counted([one for one in results if one is not None])
        if one.skill in GENERAL
    ]


@pytest.mark.soak
def test_nine_tenths_of_held_out_results_fall_into_their_intervals(
    observations: list[scoring.Observation], record_property: Callable[[str, object], None]
) -> None:
    inside: dict[bool, list[bool]] = defaultdict(list)
    for seed in (1, 2):
        places: dict[Place, list[scoring.Observation]] = defaultdict(list)
        for one in observations:
            places[one.model, one.skill, one.family].append(one)
        left_out = set(random.Random(seed).sample(sorted(places), len(places) // 10))
        kept = [one for one in observations if (one.model, one.skill, one.family) not in left_out]
        models = scoring._models(kept)
        items = scoring._solve(models)
        fit = scoring.estimate(kept)
        for place in sorted(left_out):
            one = places[place][0]
            if one.item not in items or one.model not in fit.general:
                continue
            made = fit.skills[one.model].get(one.skill)
            general = fit.general[one.model]
            mean, variance = (made.mean, made.variance) if made else (general.mean, general.variance + scoring.SKILL_VARIANCE)
            variance += items[one.item].doubt + scoring.RESULT_VARIANCE + (scoring.SELF_REPORTED_VARIANCE if one.self_reported else 0)
            inside[one.self_reported].append(abs(one.value - items[one.item].ease - mean) <= 1.645 * variance**0.5)
    for vendor, name in ((False, "independent"), (True, "self_reported")):
        share = sum(inside[vendor]) / len(inside[vendor])
        record_property(name, f"{share:.3f} of {len(inside[vendor])}")
        assert share >= 0.9
