"""What follows from results: never less for a better one, never more certain for a vendor's word than for an independent one."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.benchmarks.scoring import GENERAL_VARIANCE, SKILL_VARIANCE, Estimate, Fit, Observation, estimate, log_odds, score_of

MODELS, SKILLS, ITEMS = "abcdef", ("coding", "maths"), range(4)


def seen(model: str, skill: str, item: int, score: float, *, vendor: bool = False, family: str = "") -> Observation:
    return Observation(model, skill, f"{skill}-{item}", family or f"{skill}-{item}", log_odds(score), vendor)


results = st.lists(
    st.builds(
        seen,
        st.sampled_from(MODELS),
        st.sampled_from(SKILLS),
        st.sampled_from(ITEMS),
        st.floats(2, 98),
        vendor=st.booleans(),
        family=st.sampled_from(["", "shared"]),
    ),
    min_size=1,
    max_size=24,
    unique_by=lambda one: (one.model, one.item),
)


def of(fit: Fit, one: Observation) -> Estimate:
    return fit.skills[one.model][one.skill]


@settings(max_examples=60, deadline=None)
@given(results, st.floats(0.05, 3), st.data())
def test_a_better_result_never_lowers_the_skill_or_the_whole(told: list[Observation], better: float, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(told) - 1))
    one = told[position]
    raised = [*told[:position], replace(one, value=one.value + better), *told[position + 1 :]]
    before, after = estimate(told), estimate(raised)
    assert of(after, one).mean >= of(before, one).mean - 1e-3
    assert after.general[one.model].mean >= before.general[one.model].mean - 1e-3
    assert of(after, one).variance == pytest.approx(of(before, one).variance)


@settings(max_examples=60, deadline=None)
@given(results, st.sampled_from(MODELS), st.sampled_from(SKILLS), st.floats(2, 98))
def test_a_vendors_word_never_makes_it_as_certain_as_an_independent_result(
    told: list[Observation], model: str, skill: str, score: float
) -> None:
    added = seen(model, skill, 99, score)
    independent, vendor = estimate([*told, added]), estimate([*told, replace(added, self_reported=True)])
    assert of(vendor, added).variance > of(independent, added).variance
    assert vendor.general[model].variance > independent.general[model].variance


@settings(max_examples=30, deadline=None)
@given(results, st.randoms(use_true_random=False))
def test_the_order_of_results_does_not_matter(told: list[Observation], chance: random.Random) -> None:
    shuffled = list(told)
    chance.shuffle(shuffled)
    assert estimate(shuffled) == estimate(told)


def others(score: float = 50) -> list[Observation]:
    return [seen(model, "coding", item, score) for model in "uvwxyz" for item in range(8)]


def test_one_good_result_is_drawn_further_to_the_middle_and_less_certain_than_eight() -> None:
    one = estimate([*others(), seen("a", "coding", 0, 90)]).skills["a"]["coding"]
    eight = estimate([*others(), *(seen("a", "coding", item, 90) for item in range(8))]).skills["a"]["coding"]
    assert 50 < score_of(one.mean) < score_of(eight.mean) < 90
    assert one.variance > 2 * eight.variance


def test_no_number_of_a_vendors_results_is_as_good_as_two_independent_ones() -> None:
    many = estimate([*others(), *(seen("a", "coding", item, 90, vendor=True) for item in range(8))]).skills["a"]["coding"]
    two = estimate([*others(), *(seen("a", "coding", item, 90) for item in range(2))]).skills["a"]["coding"]
    assert many.variance > two.variance
    assert many.mean < two.mean


def test_a_family_weighs_as_one_result_and_what_is_independent_goes_before_what_the_vendor_says() -> None:
    releases = [seen("a", "coding", item, 90, family="bench") for item in range(8)]
    once = estimate([*others(), releases[0]]).skills["a"]["coding"]
    assert estimate([*others(), *releases]).skills["a"]["coding"].variance == pytest.approx(once.variance, rel=0.1)
    boast = seen("a", "coding", 1, 99, vendor=True, family="bench")
    assert estimate([*others(), releases[0], boast]).skills["a"]["coding"] == once


def test_a_hard_benchmark_is_not_held_against_who_took_it() -> None:
    """Everybody scores 20 on one and 80 on the other; who took only the hard one is as good as who took only the easy one."""
    told = [seen(model, "coding", item, (20, 80)[item]) for model in "uvwxyz" for item in (0, 1)]
    fit = estimate([*told, seen("hard", "coding", 0, 20), seen("easy", "coding", 1, 80)])
    assert fit.skills["hard"]["coding"].mean == pytest.approx(fit.skills["easy"]["coding"].mean, abs=0.02)


def test_what_is_known_of_other_skills_helps_where_little_is() -> None:
    told = [seen(model, skill, item, 50) for model in "uvwxyz" for skill in SKILLS for item in range(4)]
    alone = estimate([*told, seen("a", "maths", 0, 60)]).skills["a"]["maths"]
    known = estimate([*told, seen("a", "maths", 0, 60), *(seen("a", "coding", item, 95) for item in range(4))]).skills["a"]["maths"]
    assert known.mean > alone.mean
    assert known.variance < alone.variance < GENERAL_VARIANCE + SKILL_VARIANCE


def test_nothing_measured_is_nothing() -> None:
    assert estimate([]) == Fit({}, {})
