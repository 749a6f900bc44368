"""Reading the ledger: newest first, in the tenant's own day, and nobody else's."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.tables import Tenant
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import NotFound
from backend.kernel.events import EventBus
from backend.metering.events import CompletionFinished
from backend.metering.service import MeteringService
from tests.metering.conftest import NOON_US, a_call, completed

VIEWER = Principal(kind="user", id="usr_1", tenant_id="ten_1", role=Role.VIEWER)
HOUR_US = 3_600_000_000


async def test_recent_calls_come_newest_first_and_of_this_tenant_only(metering: MeteringService) -> None:
    for minute, tenant in enumerate(["ten_1", "ten_2", "ten_1", "ten_1"]):
        metering.record(*completed(a_call(tenant_id=tenant, request_id=f"r{minute}", created_us=NOON_US + minute)))
    await metering.flush()
    assert [call.request_id for call in await metering.recent_calls(VIEWER, "ten_1")] == ["r3", "r2", "r0"]
    assert len(await metering.recent_calls(VIEWER, "ten_1", limit=1)) == 1
    [call, *_] = await metering.recent_calls(VIEWER, "ten_1")
    assert (call.outcome, call.input_tokens, call.output_tokens, call.charged_nano) == ("completed", 10, 5, 20_000)


@pytest.mark.case("Z3")
@pytest.mark.parametrize(
    "principal",
    [
        ANONYMOUS,
        Principal(kind="user", id="u", tenant_id="ten_2", role=Role.OWNER),
        Principal(kind="user", id="u", tenant_id="ten_1", role=None),
    ],
)
async def test_others_find_nothing_whether_the_tenant_exists_or_not(metering: MeteringService, principal: Principal) -> None:
    metering.record(*completed(a_call()))
    await metering.flush()
    for tenant in ("ten_1", "ten_nobody"):
        with pytest.raises(NotFound):
            await metering.recent_calls(principal, tenant)
        with pytest.raises(NotFound):
            await metering.spend_today(principal, tenant)
    assert len(await metering.recent_calls(system("test"), "ten_1")) == 1


@pytest.mark.parametrize(
    ("zone", "hours", "expected"),
    [
        ("UTC", [-13, -12, 0], 2),  # noon: the day began 12 h ago
        ("America/New_York", [-9, -8, 0], 2),  # 08:00 there
        ("Pacific/Kiritimati", [-3, -2, 0], 2),  # 02:00 of the next day there, UTC+14
        ("Asia/Kathmandu", [-18, -17, 0], 2),  # 17:45 there
    ],
)
async def test_today_is_the_tenants_own_day(
    metering: MeteringService, database: Database, zone: str, hours: list[int], expected: int
) -> None:
    async with database.write() as unit:
        unit.session.add(Tenant(id="ten_1", slug="t", name="T", timezone=zone, created_at=datetime.now(UTC)))
    for hour in hours:
        metering.record(*completed(a_call(created_us=NOON_US + hour * HOUR_US)))
    await metering.flush()
    today = await metering.spend_today(VIEWER, "ten_1")
    assert (today.today.calls, today.today.charged_nano) == (expected, expected * 20_000)


@pytest.mark.parametrize(
    ("now", "zone", "hours_of_today"),
    [
        (datetime(2026, 3, 29, 10, 0, tzinfo=UTC), "Europe/Berlin", 11),  # clocks went forward at 02:00
        (datetime(2026, 10, 25, 11, 0, tzinfo=UTC), "Europe/Berlin", 13),  # and back at 03:00
        (datetime(2026, 9, 6, 14, 0, tzinfo=UTC), "America/Santiago", 10),  # midnight itself was skipped: the day began at 01:00
    ],
)
async def test_a_day_with_a_clock_change_begins_at_its_first_instant(
    metering: MeteringService, database: Database, clock: FixedClock, now: datetime, zone: str, hours_of_today: int
) -> None:
    clock.advance(now - clock.now())
    async with database.write() as unit:
        unit.session.add(Tenant(id="ten_1", slug="t", name="T", timezone=zone, created_at=datetime.now(UTC)))
    assert now - (await metering.spend_today(VIEWER, "ten_1")).since == timedelta(hours=hours_of_today)


async def test_subscribers_hear_of_a_finished_call_at_once(metering: MeteringService) -> None:
    heard: list[CompletionFinished] = []
    events: EventBus = metering._events
    events.subscribe(CompletionFinished, heard.append)
    call, attempts = completed(a_call())
    metering.record(call, attempts)
    assert [event.call.id for event in heard] == [call.id]


async def test_recording_what_cannot_be_written_down_raises_nothing(metering: MeteringService, capfd: pytest.CaptureFixture[str]) -> None:
    call, attempts = completed(a_call())
    ticket = metering.open_call(call)
    call.charged_nano = 2**70  # more than the line's format can say
    metering.record(call, attempts, ticket)
    said = capfd.readouterr()
    assert "journal.final_line_lost" in said.out + said.err
    assert call.id in said.out + said.err
