"""Calls and a metering service on a real database and a real journal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.kernel.ids import new_id
from backend.metering.record import AttemptRecord, CallRecord
from backend.metering.service import MeteringService
from backend.observability.metrics import Metrics
from backend.settings import Settings

NOON_US = 1_784_116_800_000_000
"""2026-07-15 12:00 UTC, where the tests' clock begins."""


def a_call(**changes: Any) -> CallRecord:
    call = CallRecord(new_id("event"), "req_1", "ten_1", None, "key_1", "chat.completions", NOON_US)
    call.requested_model = call.route = "fast"
    call.provider, call.model, call.offer_id = "acme", "gpt-fake", "acme/gpt-fake"
    for name, value in changes.items():
        setattr(call, name, value)
    return call


def completed(call: CallRecord) -> tuple[CallRecord, list[AttemptRecord]]:
    call.outcome, call.status, call.attempts = "completed", 200, 1
    call.input_tokens, call.output_tokens, call.usage_source = 10, 5, "provider"
    call.charged_nano = call.provider_cost_nano = 20_000
    call.price_ids, call.price_state, call.tags = ("prc_1",), "priced", ("team-a",)
    return call, [AttemptRecord(1, "acme", "gpt-fake", "acme/gpt-fake", "completed", 200, usage={"input": 10, "output": 5})]


@asynccontextmanager
async def open_metering(database: Database, data_dir: Path, clock: Clock) -> AsyncIterator[MeteringService]:
    service = MeteringService(database, clock, EventBus(), Settings(data_dir=data_dir), Metrics())
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@pytest.fixture
async def metering(database: Database, tmp_path: Path, clock: Clock) -> AsyncIterator[MeteringService]:
    async with open_metering(database, tmp_path, clock) as service:
        yield service


async def rows(database: Database, table: str = "call") -> list[dict[str, Any]]:
    async with database.read() as session:
        return [dict(row) for row in (await session.execute(sa.text(f'SELECT * FROM "{table}"'))).mappings()]
