"""Histograms of milliseconds: parts add up to the whole, and a quantile is as near as promised."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from backend.metering.rollups.histogram import (
    RELATIVE_ERROR,
    Histogram,
    bucket_of,
    count,
    encoded,
    merge,
    merge_encoded,
    quantile,
    total_ms,
)

MILLISECONDS = st.integers(0, 2**22)


@given(MILLISECONDS)
def test_a_bucket_holds_what_its_edges_say(value: int) -> None:
    bucket = bucket_of(value)
    if value == 0:
        assert bucket == 0
    else:
        assert 2 ** (bucket - 1) <= value**8 < 2**bucket


@given(st.lists(MILLISECONDS, max_size=60), st.integers(0, 60), st.randoms(use_true_random=False))
def test_merging_parts_in_any_order_gives_exactly_the_whole(values: list[int], cut: int, chance: random.Random) -> None:
    whole: Histogram = {}
    count(whole, values)
    chance.shuffle(values)
    parts: list[Histogram] = [{}, {}]
    count(parts[0], values[:cut])
    count(parts[1], values[cut:])
    merged: Histogram = {}
    merge(merged, parts[1])
    merge_encoded(merged, encoded(parts[0]))
    assert merged == whole


@given(st.lists(MILLISECONDS, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_within_its_relative_error_of_the_exact_one(values: list[int], share: float) -> None:
    histogram: Histogram = {}
    count(histogram, values)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    found = quantile(histogram, share)
    assert found is not None
    assert abs(found - exact) <= RELATIVE_ERROR * exact + 1e-9
    if exact < 12:
        assert found == exact


def test_nothing_measured_has_no_quantile_and_what_is_absurd_has_a_bucket() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({4: 0}, 0.5) is None
    assert bucket_of(-5) == 0
    assert bucket_of(10**12) == bucket_of(2**22)


@given(st.lists(MILLISECONDS, max_size=60))
def test_the_time_of_all_calls_together_is_within_the_same_error(values: list[int]) -> None:
    histogram: Histogram = {}
    count(histogram, values)
    assert abs(total_ms(histogram) - sum(values)) <= sum(values) * RELATIVE_ERROR + 1e-6
