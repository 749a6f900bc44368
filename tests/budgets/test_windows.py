"""Windows: days tile time without a gap, and every window is a run of them, in every zone and on every odd day."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.budgets.windows import check_window, day_of, days_of, period_of, rolling_days, start_of
from backend.kernel.errors import BadRequest

ZONES = sorted(name for name in available_timezones() if not name.startswith(("right/", "posix/", "localtime", "Factory")))
zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.integers(-2_208_988_800, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
days = st.dates(date(1900, 1, 1), date(2100, 1, 1))
windows = st.sampled_from(["calendar_month", "calendar_week", "calendar_day", "lifetime"]) | st.integers(1, 999).map(
    lambda count: f"rolling_{count}d"
)


@pytest.mark.case("B8")
@settings(max_examples=200, deadline=None)
@given(instants, zones)
@example(datetime(2018, 11, 4, 3, 30, tzinfo=UTC), ZoneInfo("America/Sao_Paulo"))
@example(datetime(2011, 12, 30, 12, 0, tzinfo=UTC), ZoneInfo("Pacific/Apia"))
@example(datetime(2006, 10, 29, 2, 32, tzinfo=UTC), ZoneInfo("America/St_Johns"))
def test_every_instant_belongs_to_exactly_one_day(instant: datetime, zone: ZoneInfo) -> None:
    day = day_of(instant, zone)
    assert start_of(day, zone) <= instant < start_of(day + timedelta(days=1), zone)


@pytest.mark.case("B8")
@settings(max_examples=200, deadline=None)
@given(days, zones)
@example(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo"))
@example(date(2011, 12, 30), ZoneInfo("Pacific/Apia"))
@example(date(1919, 3, 31), ZoneInfo("America/Toronto"))
def test_a_day_begins_with_the_first_instant_that_is_not_before_it(day: date, zone: ZoneInfo) -> None:
    start = start_of(day, zone)
    assert start.astimezone(zone).date() >= day
    assert (start - timedelta(microseconds=1)).astimezone(zone).date() < day
    assert start <= start_of(day + timedelta(days=1), zone)


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
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 7, 1), 24),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),
        ("America/Sao_Paulo", date(2018, 2, 17), 25),
        ("Pacific/Apia", date(2011, 12, 30), 0),
        ("Pacific/Kiritimati", date(2026, 7, 1), 24),
        ("Etc/GMT+12", date(2026, 7, 1), 24),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(zone: str, day: date, hours: float) -> None:
    where = ZoneInfo(zone)
    assert start_of(day + timedelta(days=1), where) - start_of(day, where) == timedelta(hours=hours)


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
