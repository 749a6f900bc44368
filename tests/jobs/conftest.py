"""A server of lists, and ingestions in this process over a small store."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import date, timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest

from backend.catalog.sources import PriceSource
from backend.jobs.run import Ask, Upload, run
from backend.jobs.sources import Feed
from backend.jobs.tables import IngestionReport
from backend.kernel.addresses import AddressPolicy
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.http import OutboundClient
from tests.catalog.conftest import Notebook, offer
from tests.fakes.feed_server import FeedServer

Ingest = Callable[..., Awaitable[IngestionReport]]


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as opened:
        yield opened


@pytest.fixture
async def http() -> AsyncIterator[OutboundClient]:
    client = OutboundClient(AddressPolicy((IPv4Network("127.0.0.1/32"),)))
    yield client
    await client.close()


@pytest.fixture
def shipped() -> Sequence[PriceSource]:
    """What stands for everything that ships with Bourse: two small sources."""
    public = Notebook("litellm", day=date(2026, 7, 1), offers=[offer("openai/gpt-9", "2.5", "10"), offer("acme/big-1", "1", "2")])
    return [Notebook("sandbox", offers=[offer("sandbox/chat", "0.5", "1.5")]), public]


def feed_of(server: FeedServer, path: str, name: str = "ours", **more: Any) -> Feed:
    return Feed(name, server.url(path), more.pop("format", None), more.pop("every", 3600.0), more.pop("enabled", True))


@pytest.fixture
def pauses() -> list[float]:
    """How long a fetch would have waited between tries."""
    return []


@pytest.fixture
def ingest(
    sqlite_database: Database, clock: FixedClock, http: OutboundClient, shipped: Sequence[PriceSource], pauses: list[float]
) -> Ingest:
    """`await ingest(feed, …, uploads=…, dry_run=…)`: one ingestion, a second after the one before, and its report."""

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def carry_out(*feeds: Feed, db: Database = sqlite_database, **more: Any) -> IngestionReport:
        uploads = tuple(Upload(*one) for one in more.pop("uploads", ()))
        clock.advance(timedelta(seconds=1))
        ask = Ask("person", "usr_ann", feeds=feeds, uploads=uploads, **more)
        report = await run(db, clock, http, ask, pause=pause, shipped=shipped)
        assert report is not None
        return report

    return carry_out
