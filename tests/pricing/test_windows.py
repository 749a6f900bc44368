from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.windows import applies, parse

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
MINUTES = st.integers(0, 7 * 1440 - 1)


def test_a_window_runs_over_midnight_and_leaves_its_end_out() -> None:
    inside = [
        applies("16:30-00:30", MONDAY + timedelta(hours=h, minutes=m)) for h, m in ((16, 29), (16, 30), (23, 59), (0, 0), (0, 29), (0, 30))
    ]
    assert inside == [False, True, True, True, True, False]


def test_deepseeks_windows_of_2026_cover_weekends_whole() -> None:
    window = "1-5 00:00-01:00,04:00-06:00,10:00-00:00;6-7 00:00-00:00"
    friday, saturday = MONDAY + timedelta(days=4), MONDAY + timedelta(days=5)
    assert [applies(window, friday + timedelta(hours=h)) for h in (0, 1, 4, 6, 10, 23)] == [True, False, True, False, True, True]
    assert all(applies(window, saturday + timedelta(hours=h)) for h in range(48))


def test_an_instant_is_read_in_utc_whatever_its_zone() -> None:
    in_beijing = datetime(2026, 11, 17, 0, 45, tzinfo=timezone(timedelta(hours=8)))
    assert applies("16:30-00:30", in_beijing)


@given(MINUTES, st.integers(0, 1439), st.integers(0, 1439))
def test_a_window_and_its_complement_split_the_day(minute: int, start: int, end: int) -> None:
    if start == end:
        return
    one, other = (f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in ((start, end), (end, start)))
    at = MONDAY + timedelta(minutes=minute)
    assert applies(one, at) != applies(other, at)


@pytest.mark.parametrize("text", ["", "noon", "25:00-26:00", "8-9 00:00-01:00", "00:00", "00:00-01:00;"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        parse(text)
