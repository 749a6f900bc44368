"""Which thresholds of a budget are to be reported now: each once per period, and for a rolling window once per crossing. Pure."""

from collections.abc import Sequence
from datetime import date

from backend.budgets.windows import rolling_days

_PARTS = 1_000_000


def thresholds(warn_at: Sequence[float]) -> tuple[float, ...]:
    """Shares of the limit in rising order; the last is the limit itself."""
    return (*sorted({share for share in warn_at if share < 1}), 1.0)


def level_of(warn_at: Sequence[float], spent_nano: int, limit_nano: int) -> int:
    """How many thresholds are reached."""
    return sum(is_reached(share, spent_nano, limit_nano) for share in thresholds(warn_at))


def is_reached(share: float, spent_nano: int, limit_nano: int) -> bool:
    return spent_nano * _PARTS >= round(share * _PARTS) * limit_nano


def reported_level(window: str, first_day: date, level: int, alert_from: date | None, alert_level: int) -> int:
    """How many of the thresholds count as reported already, when those of the period that began on `alert_from` were.

    A new calendar period begins with none. A rolling window slides on: what is still reached was reported, what fell back was not.
    """
    if alert_from == first_day:
        return alert_level
    return min(alert_level, level) if rolling_days(window) is not None else 0
