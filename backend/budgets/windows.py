"""Which days a budget's window covers, in an IANA time zone. Pure; days are local dates, edges are instants in UTC.

Spending is kept in day buckets, and every window is a run of whole local days: `calendar_month`, `calendar_week` (from Monday),
`calendar_day`, `rolling_<N>d` (today and the N - 1 days before) and `lifetime`. When a day begins is said in `kernel/days.py`.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from backend.kernel.days import start_of
from backend.kernel.errors import BadRequest

CALENDAR = ("calendar_month", "calendar_week", "calendar_day")
LIFETIME = "lifetime"
_DAY = timedelta(days=1)
_FIRST_DAY = date(1, 1, 1)
_LAST_DAY = date(9998, 12, 31)
_MOST_ROLLING_DAYS = 999


@dataclass(frozen=True, slots=True)
class Period:
    """The days `first` to `last` count (both included). From `starts` on (None: since ever) until `ends` (None: for ever)."""

    first: date
    last: date
    starts: datetime | None
    ends: datetime | None


def check_window(window: str) -> str:
    """The window itself.

    Raises:
        BadRequest: there is no such window.
    """
    if window not in CALENDAR and window != LIFETIME and rolling_days(window) is None:
        raise BadRequest("A window is calendar_month, calendar_week, calendar_day, rolling_<N>d (1 to 999) or lifetime.", param="window")
    return window


def rolling_days(window: str) -> int | None:
    """The N of `rolling_<N>d`; None for every other text."""
    digits = window.removeprefix("rolling_").removesuffix("d")
    if f"rolling_{digits}d" != window or not digits.isascii() or not digits.isdigit() or digits[0] == "0":
        return None
    return int(digits) if int(digits) <= _MOST_ROLLING_DAYS else None


def period_of(window: str, day: date, zone: ZoneInfo) -> Period:
    """The days that count on a local day. A rolling window ends with that day: then its oldest day drops out."""
    first, last = days_of(window, day)
    return Period(
        first,
        last,
        None if first == _FIRST_DAY else start_of(first, zone),
        None if last == _LAST_DAY else start_of(last + _DAY, zone),
    )


def days_of(window: str, day: date) -> tuple[date, date]:
    """The first and the last day that count on a local day, without their instants."""
    match window:
        case "calendar_day":
            return day, day
        case "calendar_week":
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=6)
        case "calendar_month":
            return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])
        case "lifetime":
            return _FIRST_DAY, _LAST_DAY
        case _:
            back = rolling_days(window)
            if back is None:
                raise ValueError(f"not a window: {window}")
            return day - timedelta(days=back - 1), day
