"""Announced days: what is to come comes into force without a network, as a run of its own."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from backend.audit.service import AuditService
from backend.catalog.ingest import Progress, bring_up
from backend.identity.principal import system
from backend.jobs.run import Ask, run
from backend.jobs.service import IngestionService
from backend.jobs.tables import IngestionReport
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import InternalError
from backend.kernel.http import OutboundClient
from backend.settings import Settings
from tests.catalog.conftest import Notebook, offer, quote
from tests.fakes.feed_server import FeedServer

SETTINGS = Settings.model_validate({"ingestion": {"webhook": {"url": "http://127.0.0.1:9/"}}})


async def test_an_announced_day_is_a_run_of_its_own_and_is_told(
    server: FeedServer, http: OutboundClient, shipped: Any, sqlite_database: Database, clock: FixedClock
) -> None:
    async def here(ask: Ask, progress: Progress | None) -> IngestionReport | None:
        return await run(sqlite_database, clock, http, ask, shipped=shipped, progress=progress)

    service = IngestionService(sqlite_database, clock, AuditService(clock), SETTINGS, run=here)
    day = clock.now().date() + timedelta(days=2)
    listed = f"provider,model,input,output,effective_at\nacme,soon-1,2,8,\nacme,soon-2,2,8,\nacme,soon-1,1,4,{day}\n".encode()
    await service.upload(system("test"), "ours", listed)
    assert await service.run_day(system("ingestion")) is None
    clock.advance(timedelta(days=2, minutes=1))
    came = await service.run_day(system("ingestion"))
    assert came is not None
    assert (came.trigger, came.outcome, came.webhook, came.sources) == ("day", "changed", "waiting", [])
    assert came.difference is not None
    assert [(one.offer, one.component, one.after) for one in came.difference.largest] == [
        ("acme/soon-1", "input", "1"),
        ("acme/soon-1", "output", "4"),
    ]
    assert await service.run_day(system("ingestion")) is None
    assert server.asked == [], "it needs no network"


async def test_a_day_that_fails_is_tried_again_in_an_hour(sqlite_database: Database, clock: FixedClock) -> None:
    asked: list[Ask] = []

    async def here(ask: Ask, progress: Progress | None) -> IngestionReport | None:
        asked.append(ask)
        raise InternalError("The ingestion took longer than 900 s.")

    soon = clock.now() + timedelta(days=1)
    list_of_one = [Notebook("acme", offers=[offer("acme/a", None, None, quote("input", "1", effective_at=soon))])]
    await bring_up(sqlite_database, clock, list_of_one)
    clock.advance(timedelta(days=1))
    service = IngestionService(sqlite_database, clock, AuditService(clock), SETTINGS, run=here)
    for _ in range(2):
        with suppress(InternalError):
            await service.run_day(system("ingestion"))
    assert len(asked) == 1
    clock.advance(timedelta(hours=1))
    with pytest.raises(InternalError):
        await service.run_day(system("ingestion"))
