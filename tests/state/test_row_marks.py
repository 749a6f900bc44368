"""What stands beside a row: the price over two years, how good it is, how soon it answers."""

from datetime import date

import pytest

from backend.benchmarks.scores import Scores, SkillScore
from backend.pricing.history import PriceSeries, Step
from state.row_marks import SPARK, RowMarks, marks_of, quality_of, quality_text, soonest

USD = 1_000_000_000
TODAY = date(2026, 11, 21)
NOTHING = quality_of(Scores({}, {}, {}), "", "")


def series(*steps: tuple[str, int], ended: str | None = None) -> PriceSeries:
    ends = [*[None] * (len(steps) - 1), date.fromisoformat(ended) if ended else None]
    told = [Step(date.fromisoformat(day), end, str(usd), usd * USD, "seller", None) for (day, usd), end in zip(steps, ends, strict=True)]
    return PriceSeries("acme/m", "input", "Input", "token", "", "", "acme", tuple(told), True)


def drawn(found: PriceSeries) -> RowMarks:
    return marks_of({"m": "acme/m"}, {"acme/m": found}, NOTHING, {}, TODAY)["m"]


def test_a_cut_within_two_years_is_drawn_and_said() -> None:
    marks = drawn(series(("2020-01-01", 4), ("2025-11-21", 1)))
    assert marks.spark == "M0 0 H40 V12 H80"
    assert marks.spark_end == "12"
    assert marks.spark_said == "Input price fell from $4.00 to $1.00 in one step"


def test_what_changed_before_is_neither_drawn_nor_said() -> None:
    marks = drawn(series(("2020-01-01", 9), ("2022-01-01", 3)))
    assert (marks.spark, marks.spark_end) == (f"M0 0 H{SPARK[0]}", "0")
    assert marks.spark_said == "Input price has been $3.00 since 1 Jan 2022"


def test_a_line_that_nobody_continues_has_no_end_and_one_that_never_was_is_empty() -> None:
    marks = drawn(series(("2025-01-01", 2), ended="2026-01-01"))
    assert marks.spark
    assert marks.spark_end == ""
    assert marks_of({"m": "acme/m", "n": ""}, {}, NOTHING, {}, TODAY) == {"m": RowMarks(), "n": RowMarks()}


@pytest.mark.parametrize(
    ("score", "text", "said"),
    [
        (SkillScore(78.2, 76, 80, 12, 0), "78 ± 2", "quality 78, between 76 and 80, 12 results"),
        (SkillScore(60, 44, 76, 1, 1), "few results", "quality 60, between 44 and 76, 1 result, 1 by its maker"),
        (None, "", ""),
    ],
)
def test_a_wide_interval_is_said_in_words(score: SkillScore | None, text: str, said: str) -> None:
    assert quality_text(score) == (text, said)


def test_by_one_benchmark_quality_is_the_score_on_it() -> None:
    quality = quality_of(Scores({}, {"m": SkillScore(50, 45, 55, 9, 0)}, {"mmlu": {"m": 71.6}}), "mmlu", "MMLU")
    assert quality("m") == ("72", "72 of 100 on MMLU")
    assert quality("n") == ("", "")


def test_the_first_token_is_that_of_the_quickest_seller_here() -> None:
    measured = {("openai", "m"): 410.4, ("azure", "m"): 1390.0, ("other", "x"): 1.0}
    offers = [("openai", "m"), ("azure", "m"), ("bedrock", "m")]
    assert soonest(offers, measured) == 410.4
    assert soonest(offers, {}) is None
    marks = marks_of({"m": "openai/m", "n": ""}, {}, NOTHING, {"m": 1390.0, "n": None}, TODAY)
    assert (marks["m"].first_token, marks["n"].first_token) == ("1.4 s", "")
