"""A PostgreSQL that takes connections and says nothing: nobody waits for it longer than he wants to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from backend.kernel.db import Database, patience
from backend.kernel.errors import StorageUnavailable
from backend.kernel.events import EventBus
from tests.rig.postgres import Postgres


@pytest.fixture
async def frozen(postgres: Postgres, postgres_url: str) -> AsyncIterator[Database]:
    """Two open connections to a cluster that stands still."""
    opened = Database.open(postgres_url, EventBus())
    await asyncio.gather(opened.ping(), opened.ping())
    postgres.freeze()
    yield opened
    postgres.freeze(thaw=True)
    await opened.close()


@pytest.mark.case("D3")
async def test_who_is_served_gets_503_in_time_and_a_task_that_is_told_to_end_ends(frozen: Database, postgres: Postgres) -> None:
    before = patience.set(0.2)
    async with asyncio.timeout(20):
        with pytest.raises(StorageUnavailable) as refused:
            await frozen.ping()
    patience.reset(before)
    assert refused.value.retry_after == 2
    task = asyncio.create_task(frozen.ping())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()
    postgres.freeze(thaw=True)
    async with asyncio.timeout(20):
        await frozen.ping()
