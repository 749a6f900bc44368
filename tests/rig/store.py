"""The whole catalog and its prices in memory, read once for all tests of a process that only look."""

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from backend.catalog.service import CatalogService
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.pricing.book import PriceBook
from tests.rig.schema import sqlite_url


class Store(NamedTuple):
    """Both answer from memory; the database that they were read from is closed. Nobody may move the clock."""

    catalog: CatalogService
    prices: PriceBook
    clock: FixedClock


@cache
def store_in_memory(catalog_file: Path) -> Store:
    """The store of that file on a Wednesday noon in July."""

    async def read(copy: Path) -> Store:
        clock = FixedClock(datetime(2026, 7, 15, 12, 0, tzinfo=UTC))
        db = Database.open(sqlite_url(copy), EventBus())
        store = Store(CatalogService(db, clock), PriceBook(db, clock), clock)
        await store.catalog.load()
        await store.prices.load()
        await db.close()
        return store

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(read(Path(shutil.copy(catalog_file, folder))))
