"""What is done without being asked."""

import asyncio
from typing import Any

import pytest

from backend.ingestion_settings import IngestionSettings, WebhookSettings
from backend.jobs import schedule as schedules
from backend.jobs.schedule import Schedule
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.http import OutboundClient


class Looks:
    """Stands where the service is, and counts."""

    def __init__(self, enough: int) -> None:
        self.left = enough
        self.done = asyncio.Event()

    async def run_due(self, _: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()
        raise RuntimeError("a look that fails does not end the looking")


async def test_it_looks_again_and_again_whatever_happens_and_ends_with_the_process(
    sqlite_database: Database, clock: FixedClock, http: OutboundClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(schedules, "LOOK_JITTER_SECONDS", None)
    looks = Looks(3)
    settings = IngestionSettings(enabled=True, webhook=WebhookSettings(url="http://127.0.0.1:9/"))
    async with Schedule(sqlite_database, clock, http, looks, settings).running():  # type: ignore[arg-type]
        await asyncio.wait_for(looks.done.wait(), 20)
    assert [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


class Days(Looks):
    """Nothing but days may be asked for."""

    async def run_day(self, _: Any) -> None:
        await Looks.run_due(self, _)

    async def run_due(self, _: Any) -> None:
        pytest.fail("fetching is off")


async def test_switched_off_announced_days_come_all_the_same(
    sqlite_database: Database, clock: FixedClock, http: OutboundClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "DAY_SECONDS", 0.01)
    monkeypatch.setattr(schedules, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(schedules, "LOOK_JITTER_SECONDS", None)
    days = Days(3)
    async with Schedule(sqlite_database, clock, http, days, IngestionSettings()).running():  # type: ignore[arg-type]
        await asyncio.wait_for(days.done.wait(), 20)
