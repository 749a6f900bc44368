"""What an operator's prices of one offer do to each other. Pure; rows are dictionaries as they are stored, changed in place.

A price ends where a later one of its component and tier begins, and goes on as he said if that one is taken back before its day. What was
to begin within a newer one's time is taken back by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from backend.pricing.ending import ended
from backend.pricing.evidence import WITHDRAWN

Row = dict[str, Any]
_SAID = "until"
"""In `extra`: when he said that the price ends, where another that begins before has moved its end."""


def place_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Two prices of one place are never in force at once."""
    return row["offer_id"], row["component"], row["unit"], row["tier"]


def own_end(row: Mapping[str, Any]) -> datetime | None:
    """When he said that it ends, whatever has been announced since."""
    extra = row["extra"] or {}
    if _SAID not in extra:
        return row["expires_at"]  # type: ignore[no-any-return]
    return None if extra[_SAID] is None else datetime.fromisoformat(extra[_SAID])


def add(mine: list[Row], new: Row, now: datetime) -> None:
    """State one more price beside those in `mine` that have not ended."""
    for before in mine:
        if before["effective_at"] >= new["effective_at"] and _meet(before, new):
            before.update(ended(before, new["effective_at"], now, "replaced"))
    mine.append(new)
    _settle(mine, now)


def take_back(mine: Sequence[Row], row: Row, now: datetime) -> None:
    """End a price of `mine` now; what it would have replaced on a day to come goes on."""
    row.update(ended(row, now, now, "taken back"))
    _settle(mine, now)


def _meet(one: Row, other: Row) -> bool:
    """Whether both are of one place and there is a time in which both are meant."""
    return place_of(one) == place_of(other) and all(
        end is None or begin < end for begin, end in ((one["effective_at"], own_end(other)), (other["effective_at"], own_end(one)))
    )


def _settle(mine: Iterable[Row], now: datetime) -> None:
    """Each ends when he said, or where the next one begins."""
    going_on = [row for row in mine if row["status"] != WITHDRAWN and (row["expires_at"] is None or row["expires_at"] > now)]
    for row in going_on:
        said = own_end(row)
        following = [
            later["effective_at"] for later in going_on if place_of(later) == place_of(row) and later["effective_at"] > row["effective_at"]
        ]
        end = min((moment for moment in (said, *following) if moment is not None), default=None)
        if end == row["expires_at"]:
            continue
        row["extra"] = {**(row["extra"] or {}), _SAID: said.isoformat() if said else None}
        row["expires_at"] = end
        if end is not None:
            row.update(ended(row, end, now, "replaced"))
