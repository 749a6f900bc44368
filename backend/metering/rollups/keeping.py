"""How long rollups are kept: hours and days for ever, minutes for two days."""

from datetime import datetime, timedelta

from backend.kernel.db import Database
from backend.metering.rollups import repository

MINUTES_KEPT = timedelta(hours=48)
"""So far back minutes are read; what is older is told by hours, and where an edge lies within an hour by the ledger itself."""
_GRACE = timedelta(hours=1)
"""So much later they are deleted: whoever reads at this moment still finds all of what he counts on."""
_SERIES_AT_ONCE = 500


async def delete_old_minutes(db: Database, now: datetime) -> None:
    """In many short transactions. Several processes may do it at once; late calls may bring old minutes back until the next time."""
    before = int((now - MINUTES_KEPT - _GRACE).timestamp())
    last = b""
    while True:
        async with db.read() as session:
            ids = await repository.series_ids(session, after=last, limit=_SERIES_AT_ONCE)
        if not ids:
            return
        async with db.write() as unit:
            await repository.delete_minutes(unit.session, ids, before)
        last = ids[-1]
