"""Today's spend beside yesterday's by the same time, in the tenant's own days."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from backend.identity.principal import Principal, Role, system
from backend.identity.tables import Tenant
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import NotFound
from backend.kernel.events import EventBus
from backend.metering.schemas import SpendToday
from backend.metering.service import MeteringService
from backend.metering.tables import Call
from backend.observability.metrics import Metrics
from backend.settings import Settings

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 2, 10, 0, tzinfo=NEW_YORK)
"""Ten in the morning after the day on which the clock went back, which had 25 hours."""


async def spend(database: Database, charges: dict[datetime, int], now: datetime = NOW, who: Principal | None = None) -> SpendToday:
    """What the service answers at `now` when those calls were charged."""
    async with database.write() as unit:
        await unit.session.execute(sa.delete(Tenant))
        unit.session.add(Tenant(id="ten_a", slug="a", name="A", timezone="America/New_York", created_at=now))
        for number, (at, nano) in enumerate(charges.items()):
            call = {"id": f"evt_{number}", "request_id": "r", "tenant_id": "ten_a", "key_id": "k", "endpoint": "/", "requested_model": "m"}
            unit.session.add(Call(**call, created_at=at, outcome="completed", status=200, charged_nano=nano))
    service = MeteringService(database, FixedClock(now.astimezone(UTC)), EventBus(), Settings(), Metrics())
    return await service.spend_today(who or system("test"), "ten_a")


async def test_a_day_begins_at_the_tenants_midnight_and_yesterday_ends_at_this_time_of_day(database: Database) -> None:
    midnight = datetime(2026, 11, 2, tzinfo=NEW_YORK)
    before = datetime(2026, 11, 1, tzinfo=NEW_YORK)
    second = timedelta(seconds=1)
    found = await spend(
        database,
        {
            NOW - second: 1,
            midnight: 10,
            midnight.astimezone(UTC) - second: 100,
            before: 1_000,
            before.astimezone(UTC) + timedelta(hours=10) - second: 10_000,
            before.astimezone(UTC) + timedelta(hours=10): 100_000,
            before.astimezone(UTC) - second: 1_000_000,
        },
    )
    assert (found.nano, found.calls) == (11, 2)
    assert (found.yesterday_nano, found.yesterday_calls) == (11_000, 2)


async def test_on_a_day_of_25_hours_yesterday_is_never_counted_as_today(sqlite_database: Database) -> None:
    last_minute = datetime(2026, 11, 1, 23, 59, tzinfo=NEW_YORK)
    saturday_night = datetime(2026, 10, 31, 23, 59, tzinfo=NEW_YORK)
    found = await spend(sqlite_database, {last_minute - timedelta(minutes=1): 1, saturday_night: 10}, now=last_minute)
    assert (found.nano, found.yesterday_nano) == (1, 10)


async def test_another_tenants_spend_does_not_exist(sqlite_database: Database) -> None:
    stranger = Principal(kind="user", id="usr_x", tenant_id="ten_b", role=Role.OWNER)
    with pytest.raises(NotFound):
        await spend(sqlite_database, {}, who=stranger)
