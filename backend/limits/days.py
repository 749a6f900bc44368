"""Days of a time zone, for daily quotas: from one local midnight to the next, whatever the clocks do in between."""

from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class LocalDay:
    """`number` counts days; `start` and `end` are seconds since 1970, the end belonging to the next day."""

    number: int
    start: int
    end: int


def local_day(zone: str, at: float) -> LocalDay:
    """The day of `zone` in which the instant `at` (seconds since 1970) lies."""
    last = _last_of_zone.get(zone)
    if last is None or not last.start <= at < last.end:
        last = _last_of_zone[zone] = day_number(zone, datetime.fromtimestamp(at, ZoneInfo(zone)).toordinal())
        if at >= last.end:
            # A midnight that the clocks passed twice: the later one ends the day.
            last = _last_of_zone[zone] = day_number(zone, last.number + 1)
    return last


@lru_cache(maxsize=1024)
def day_number(zone: str, number: int) -> LocalDay:
    """The day of `zone` with that proleptic ordinal."""
    return LocalDay(number, _midnight(zone, number), _midnight(zone, number + 1))


def _midnight(zone: str, number: int) -> int:
    return int(datetime.combine(date.fromordinal(number), time(), ZoneInfo(zone)).timestamp())


_last_of_zone: dict[str, LocalDay] = {}
