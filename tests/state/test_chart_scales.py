"""Axes with round numbers, and labels that do not lie over each other."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.chart_scales import day_place, day_ticks, log_place, powers, round_steps, spread


@pytest.mark.parametrize(
    ("top", "marks"),
    [
        (1_000_000_000, [0, 250_000_000, 500_000_000, 750_000_000, 1_000_000_000]),
        (1_040, [0, 500, 1_000, 1_500]),
        (3, [0, 1, 2, 3]),
        (0, [0, 1]),
    ],
)
def test_an_axis_of_prices_begins_at_nothing_and_ends_at_a_round_number(top: int, marks: list[int]) -> None:
    assert round_steps(top) == marks


@given(st.integers(1, 10**15))
def test_every_price_lies_on_its_axis_and_the_marks_are_few(top: int) -> None:
    marks = round_steps(top)
    assert marks[0] == 0
    assert top <= marks[-1] <= 3 * top + 3
    assert 2 <= len(marks) <= 6
    assert len({after - before for before, after in pairwise(marks)}) == 1


@given(st.floats(1e-9, 1e6), st.floats(1, 1e6))
def test_a_logarithmic_axis_encloses_what_it_is_for(low: float, factor: float) -> None:
    high = low * factor
    marks = powers(low, high)
    assert marks == sorted(set(marks))
    assert -1e-6 <= log_place(low, marks[0], marks[-1]) <= log_place(high, marks[0], marks[-1]) <= 1 + 1e-6


def test_a_logarithmic_axis_has_no_place_for_nothing() -> None:
    with pytest.raises(ValueError, match="positive"):
        powers(0, 1)


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.integers(0, 4000))
def test_the_days_named_are_few_and_in_order(first: date, days: int) -> None:
    last = first + timedelta(days=days)
    ticks = day_ticks(first, last)
    assert len(ticks) <= 6
    assert [tick.at for tick in ticks] == sorted(tick.at for tick in ticks)
    assert all(0 <= tick.at <= 1 for tick in ticks)


def test_a_day_is_named_by_its_month() -> None:
    ticks = day_ticks(date(2025, 1, 1), date(2026, 7, 1))
    assert [tick.text for tick in ticks] == ["Jan 25", "Jul 25", "Jan 26", "Jul 26"]
    assert ticks[-1].at == 1
    assert day_place(date(2024, 1, 1), date(2025, 1, 1), date(2026, 1, 1)) == 0


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.01, 0.2))
def test_labels_keep_their_distance_their_order_and_the_plot(wanted: list[float], apart: float) -> None:
    places = spread(wanted, apart)
    assert all(0 <= place <= 1 for place in places)
    least = apart if len(wanted) < 2 else min(apart, 1 / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    for low, high in pairwise(order):
        assert places[high] - places[low] >= least - 1e-9


def test_a_label_with_room_stays_where_it_belongs() -> None:
    assert spread([0.2, 0.9, 0.5], 0.1) == [0.2, 0.9, 0.5]
