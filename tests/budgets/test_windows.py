"""Windows: every one is a run of whole days, in every zone and on every odd day."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.budgets.windows import check_window, days_of, period_of, rolling_days
from backend.kernel.days import day_of
from backend.kernel.errors import BadRequest
from tests.kernel.test_days import days, instants, zones

windows = st.sampled_from(["calendar_month", "calendar_week", "calendar_day", "lifetime"]) | st.integers(1, 999).map(
    lambda count: f"rolling_{count}d"
)


@settings(max_examples=200, deadline=None)
@given(windows, instants, zones)
def test_a_period_holds_its_own_instant_and_ends_where_the_next_begins(window: str, instant: datetime, zone: ZoneInfo) -> None:
    day = day_of(instant, zone)
    period = period_of(window, day, zone)
    assert period.first <= day <= period.last
    assert period.starts is None or period.starts <= instant
    assert period.ends is None or instant < period.ends
    assert (period.first, period.last) == days_of(window, day)
    if window.startswith("calendar"):
        following = period_of(window, period.last + timedelta(days=1), zone)
        assert following.first == period.last + timedelta(days=1)
        assert following.starts == period.ends
        assert all(days_of(window, inside) == (period.first, period.last) for inside in (period.first, period.last))


@given(st.integers(1, 999), days)
def test_a_rolling_window_counts_today_and_the_days_before(count: int, day: date) -> None:
    first, last = days_of(f"rolling_{count}d", day)
    assert last == day
    assert (last - first).days == count - 1


@pytest.mark.case("B8")
@pytest.mark.parametrize(
    ("window", "instant", "zone", "starts", "ends"),
    [
        ("calendar_month", "2026-07-31T23:59:59", "UTC", "2026-07-01T00:00", "2026-08-01T00:00"),
        ("calendar_month", "2026-07-31T23:59:59", "Pacific/Kiritimati", "2026-07-31T10:00", "2026-08-31T10:00"),
        ("calendar_month", "2026-08-01T11:59:59", "Etc/GMT+12", "2026-07-01T12:00", "2026-08-01T12:00"),
        ("calendar_month", "2028-02-29T12:00", "UTC", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("calendar_month", "2026-12-31T23:00", "Europe/Berlin", "2026-12-31T23:00", "2027-01-31T23:00"),
        ("calendar_week", "2026-07-13T00:00", "UTC", "2026-07-13T00:00", "2026-07-20T00:00"),
        ("calendar_week", "2026-07-12T23:59", "UTC", "2026-07-06T00:00", "2026-07-13T00:00"),
        ("calendar_week", "2026-03-28T12:00", "Europe/Berlin", "2026-03-22T23:00", "2026-03-29T22:00"),
        ("calendar_day", "2026-10-25T00:30", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("rolling_7d", "2026-07-15T12:00", "UTC", "2026-07-09T00:00", "2026-07-16T00:00"),
        ("rolling_1d", "2026-07-15T12:00", "Asia/Kathmandu", "2026-07-14T18:15", "2026-07-15T18:15"),
    ],
)
def test_periods_of_known_instants(window: str, instant: str, zone: str, starts: str, ends: str) -> None:
    where = ZoneInfo(zone)
    period = period_of(window, day_of(datetime.fromisoformat(instant).replace(tzinfo=UTC), where), where)
    assert period.starts == datetime.fromisoformat(starts).replace(tzinfo=UTC)
    assert period.ends == datetime.fromisoformat(ends).replace(tzinfo=UTC)


def test_a_lifetime_never_resets() -> None:
    now = datetime(2026, 7, 15, tzinfo=UTC)
    period = period_of("lifetime", now.date(), ZoneInfo("UTC"))
    assert (period.starts, period.ends) == (None, None)


@pytest.mark.parametrize(
    "text", ["", "month", "rolling_0d", "rolling_1000d", "rolling_d", "rolling_-1d", "rolling_7", "rolling_٣d", "CALENDAR_DAY"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    assert rolling_days(text) is None
    with pytest.raises(BadRequest, match="A window is"):
        check_window(text)
