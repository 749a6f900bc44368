"""When a day begins in an IANA time zone: the one rule for budgets, daily quotas, reports and charts. Pure.

A day begins at the first instant whose local date is not before it and lasts until the next day begins, so days never overlap and leave
nothing out, whatever clocks do at midnight: a day is 23, 24 or 25 hours long, and one that a country skipped is empty.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


def day_of(instant: datetime, zone: ZoneInfo) -> date:
    """The local day that an instant belongs to."""
    day = instant.astimezone(zone).date()
    # Where clocks fall back over midnight, the hour before it comes twice; the second one is of the new day already.
    return day + _DAY if instant >= start_of(day + _DAY, zone) else day


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant, in UTC, whose local date is not before `day`."""
    midnight = datetime.combine(day, time.min, zone)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == midnight.replace(tzinfo=None):
        return instant
    # Midnight does not exist: clocks jump over it. The jump lies within a day before the instant that fold 0 gave.
    before, after = instant - 2 * _DAY, instant
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).date() >= day:
            after = middle
        else:
            before = middle
    return after


@dataclass(frozen=True, slots=True)
class LocalDay:
    """`number` counts days (the date's ordinal); `start` and `end` are seconds since 1970, the end belonging to the next day."""

    number: int
    start: int
    end: int


def local_day(zone: str, at: float) -> LocalDay:
    """As `day_of`, for a caller that asks again and again: the day in which an instant (seconds since 1970) lies, from memory mostly."""
    last = _last_of_zone.get(zone)
    if last is None or not last.start <= at < last.end:
        last = _last_of_zone[zone] = day_number(zone, day_of(datetime.fromtimestamp(at, UTC), ZoneInfo(zone)).toordinal())
    return last


@lru_cache(maxsize=1024)
def day_number(zone: str, number: int) -> LocalDay:
    """The day of a zone with that ordinal."""
    day, where = date.fromordinal(number), ZoneInfo(zone)
    return LocalDay(number, int(start_of(day, where).timestamp()), int(start_of(day + _DAY, where).timestamp()))


_last_of_zone: dict[str, LocalDay] = {}
