"""Which results count, which variant they are of, and what is said of it."""

from datetime import date

import pytest

from backend.benchmarks.scores import Measured, Scores, counted

DAY = date(2026, 1, 1)


def result(model: str, benchmark: str = "b", value: float = 50, variant: str = "", **more: object) -> Measured:
    given = {"family": benchmark, "skill": "coding", "language": None, "measured_on": DAY, "self_reported": False} | more
    return Measured(id=f"{model}/{benchmark}/{variant}/{value}", model=model, benchmark=benchmark, variant=variant, value=value, **given)  # type: ignore[arg-type]


def test_a_model_counts_as_it_comes_though_a_variant_scored_more() -> None:
    told = [result("m", value=40), result("m", value=70, variant="high"), result("m", value=20, variant="low")]
    assert [(one.value, one.variant) for one in counted(told)] == [(40, "")]


def test_without_a_plain_result_the_best_variant_counts_and_is_named() -> None:
    told = [result("m", value=70, variant="high"), result("m", value=20, variant="low"), *(result(other) for other in "xyz")]
    assert [one.value for one in counted(told) if one.model == "m"] == [70]
    score = Scores.build(told).skill("m", "coding")
    assert score is not None
    assert (score.results, score.variants) == (1, ("high",))


def test_function_calls_and_prompts_are_both_ways_it_comes() -> None:
    told = [result("m", value=60, variant="fc"), result("m", value=65, variant="prompt"), result("m", value=90, variant="fc thinking")]
    assert [one.variant for one in counted(told)] == ["prompt"]


def test_of_two_results_the_newer_counts_and_an_independent_one_before_the_vendors() -> None:
    old, new = result("m", value=80), result("m", value=60, measured_on=date(2026, 2, 1))
    boast = result("m", value=99, measured_on=date(2026, 3, 1), self_reported=True)
    assert counted([old, new, boast]) == counted([boast, new, old]) == [new]


def test_scores_are_between_their_bounds_and_say_what_they_rest_on() -> None:
    told = [result(model, benchmark, value) for model, value in (("low", 20), ("mid", 50), ("high", 90)) for benchmark in "abc"]
    told.append(result("high", "d", 95, self_reported=True))
    scores = Scores.build(told)
    low, mid, high = (scores.skill(name, "coding") for name in ("low", "mid", "high"))
    assert low is not None
    assert mid is not None
    assert high is not None
    assert low.score < mid.score < high.score
    assert 0 < high.low < high.score < high.high < 100
    assert (high.results, high.self_reported, mid.self_reported) == (4, 1, 0)
    assert scores.overall("high") is not None
    assert scores.skill("high", "maths") is None
    assert (scores.overall("nobody"), dict(scores.skills("nobody"))) == (None, {})


def test_each_benchmark_has_the_normalised_scores_of_its_models() -> None:
    scores = Scores.build([result("m", "a", 80), result("n", "a", 30), result("m", "b", 10)])
    assert dict(scores.on("a")) == {"m": 80, "n": 30}
    assert dict(scores.on("nothing")) == {}


def test_a_language_is_a_skill_of_its_own_beside_the_whole() -> None:
    told = [
        result(model, f"eu-{language}", value, skill="multilingual", language=language, family="eu")
        for model, value in (("m", 90), ("n", 30))
        for language in ("da", "sv")
    ]
    skills = Scores.build(told).skills("m")
    assert set(skills) == {"multilingual", "multilingual:da", "multilingual:sv"}
    assert (skills["multilingual"].results, skills["multilingual:da"].results) == (2, 1)


def test_hearing_and_embedding_make_no_overall_score() -> None:
    scores = Scores.build([result("m", skill="speech"), result("n", skill="embeddings")])
    assert (scores.overall("m"), scores.overall("n")) == (None, None)
    assert scores.models == ["m", "n"]


def test_what_has_no_skill_is_on_its_benchmark_alone() -> None:
    scores = Scores.build([result("m", skill=None)])
    assert (dict(scores.skills("m")), scores.on("b")["m"]) == ({}, pytest.approx(50))
