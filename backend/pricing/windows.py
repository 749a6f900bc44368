"""Time-of-day prices: windows in UTC, written as text and asked "does it apply now?".

Grammar: parts joined by `;`, each `[D[-D] ]HH:MM-HH:MM[,HH:MM-HH:MM…]`, where D is an ISO weekday (1 = Monday). A window whose end is
not after its start runs over midnight; `00:00-00:00` is the whole day; the end is not part of it. Weekdays count where the moment lies.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

_SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@lru_cache(maxsize=256)
def parse(window: str) -> tuple[tuple[frozenset[int], int, int], ...]:
    """Spans as (ISO weekdays, first minute, end minute), none running over midnight.

    Raises:
        ValueError: if the text does not follow the grammar.
    """
    spans: list[tuple[frozenset[int], int, int]] = []
    for part in window.split(";"):
        days, _, times = part.strip().rpartition(" ")
        weekdays = _weekdays(days) if days else frozenset(range(1, 8))
        for text in times.split(","):
            match = _SPAN.fullmatch(text)
            if match is None:
                raise ValueError(f"not a time window: {window!r}")
            h1, m1, h2, m2 = map(int, match.groups())
            start, end = h1 * 60 + m1, h2 * 60 + m2
            if start > 1440 or end > 1440:
                raise ValueError(f"not a time window: {window!r}")
            if end > start:
                spans.append((weekdays, start, end))
            else:
                spans.append((weekdays, start, 1440))
                if end:
                    spans.append((weekdays, 0, end))
    return tuple(spans)


def _weekdays(text: str) -> frozenset[int]:
    first, _, last = text.partition("-")
    days = range(int(first), int(last or first) + 1)
    if not days or min(days) < 1 or max(days) > 7:
        raise ValueError(f"not weekdays: {text!r}")
    return frozenset(days)


def applies(window: str, at: datetime) -> bool:
    """Whether the instant `at` (aware) lies in the window."""
    utc = at.astimezone(UTC)
    minute, weekday = utc.hour * 60 + utc.minute, utc.isoweekday()
    return any(weekday in days and start <= minute < end for days, start, end in parse(window))
