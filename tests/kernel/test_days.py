"""Days tile time without a gap, in every zone and on every odd day, whoever asks in whichever way."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.kernel.days import LocalDay, day_number, day_of, local_day, start_of

ZONES = sorted(name for name in available_timezones() if not name.startswith(("right/", "posix/", "localtime", "Factory")))
zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.integers(-2_208_988_800, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
days = st.dates(date(1900, 1, 1), date(2100, 1, 1))


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
@settings(max_examples=200, deadline=None)
@given(instants, zones)
@example(datetime(2018, 11, 4, 3, 30, tzinfo=UTC), ZoneInfo("America/Sao_Paulo"))
@example(datetime(2006, 10, 29, 2, 32, tzinfo=UTC), ZoneInfo("America/St_Johns"))
@example(datetime(1919, 3, 31, 4, 45, tzinfo=UTC), ZoneInfo("America/Toronto"))
def test_seconds_and_instants_agree_on_the_day(instant: datetime, zone: ZoneInfo) -> None:
    day = day_of(instant, zone)
    seconds = LocalDay(day.toordinal(), int(start_of(day, zone).timestamp()), int(start_of(day + timedelta(days=1), zone).timestamp()))
    assert local_day(zone.key, instant.timestamp()) == day_number(zone.key, day.toordinal()) == seconds


def test_a_day_that_is_remembered_ends_with_its_last_second() -> None:
    day = date(2026, 10, 25).toordinal()
    end = day_number("Europe/Berlin", day).end
    assert [local_day("Europe/Berlin", at).number - day for at in (end - 1, end - 0.5, end, end - 1)] == [0, 0, 1, 0]
