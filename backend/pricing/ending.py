"""How a price ends, whoever ends it: its source that no longer states it, or a person."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.pricing.evidence import WITHDRAWN


def ended(row: Mapping[str, Any], at: datetime, now: datetime, reason: str) -> dict[str, Any]:
    """The columns of a stored price that ends at `at`, or before if it was to end before.

    What was never in force, because its day was still to come or because it waited for a person, is withdrawn from now on.
    """
    begins, ends = row["effective_at"], row["expires_at"]
    last = at if ends is None else min(at, ends)
    if row["status"] == "quarantined" or (last <= begins and (begins > now or row["status"] == "announced")):
        return {"status": WITHDRAWN, "in_force": False, "reason": reason, "expires_at": min(last, now)}
    if last > now:
        return {"status": row["status"], "in_force": row["in_force"], "reason": row["reason"], "expires_at": last}
    status = "observed" if row["status"] == "announced" else row["status"]
    return {"status": status, "in_force": False, "reason": reason, "expires_at": max(last, begins)}
