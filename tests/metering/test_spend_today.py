"""Today's spend beside yesterday's by the same time, in the tenant's own days."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.identity.principal import Principal, Role, system
from backend.identity.tables import Tenant
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import NotFound
from backend.metering.schemas import SpendToday
from tests.metering.conftest import a_call, completed, open_metering

NEW_YORK = ZoneInfo("America/New_York")
Spend = Callable[..., Awaitable[SpendToday]]
NOW = datetime(2026, 11, 2, 10, 0, tzinfo=NEW_YORK)
"""Ten in the morning after the day on which the clock went back, which had 25 hours."""


@pytest.fixture
async def spend(database: Database, tmp_path: Path) -> Spend:
    """What the service answers at `now` when those calls were charged."""

    async def spend(charges: dict[datetime, int], now: datetime = NOW, who: Principal | None = None) -> SpendToday:
        async with database.write() as unit:
            unit.session.add(Tenant(id="ten_a", slug="a", name="A", timezone="America/New_York", created_at=now))
        async with open_metering(database, tmp_path, FixedClock(now.astimezone(UTC))) as service:
            for at, nano in charges.items():
                call, attempts = completed(a_call(tenant_id="ten_a", created_us=round(at.timestamp() * 1_000_000)))
                call.charged_nano = nano
                service.record(call, attempts)
            await service.flush()
            return await service.spend_today(who or system("test"), "ten_a")

    return spend


async def test_a_day_begins_at_the_tenants_midnight_and_yesterday_ends_at_this_time_of_day(spend: Spend) -> None:
    midnight = datetime(2026, 11, 2, tzinfo=NEW_YORK)
    before = datetime(2026, 11, 1, tzinfo=NEW_YORK)
    second = timedelta(seconds=1)
    found = await spend(
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
    assert (found.today.charged_nano, found.today.calls) == (11, 2)
    assert (found.yesterday.charged_nano, found.yesterday.calls) == (11_000, 2)


async def test_on_a_day_of_25_hours_yesterday_is_never_counted_as_today(spend: Spend) -> None:
    last_minute = datetime(2026, 11, 1, 23, 59, tzinfo=NEW_YORK)
    saturday_night = datetime(2026, 10, 31, 23, 59, tzinfo=NEW_YORK)
    found = await spend({last_minute - timedelta(minutes=1): 1, saturday_night: 10}, now=last_minute)
    assert (found.today.charged_nano, found.yesterday.charged_nano) == (1, 10)


async def test_another_tenants_spend_does_not_exist(spend: Spend) -> None:
    stranger = Principal(kind="user", id="usr_x", tenant_id="ten_b", role=Role.OWNER)
    with pytest.raises(NotFound):
        await spend({}, who=stranger)
