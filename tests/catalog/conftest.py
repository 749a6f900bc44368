"""Small sources made by hand, and the whole catalog as it ships."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.catalog.records import AliasRecord, OfferRecord, SourceReading
from backend.catalog.service import CatalogService
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.pricing.quotes import Quote
from backend.pricing.tiers import BASE, Tier


@dataclass
class Notebook:
    """A price source that says what the test writes into it."""

    name: str = "notebook"
    offers: list[OfferRecord] = field(default_factory=list)
    aliases: list[AliasRecord] = field(default_factory=list)
    day: date | None = None
    reads: int = 0
    label: str = "Notebook"
    url: str = "about:notebook"
    licence: str = "none"

    def content_hash(self) -> str:
        return f"{abs(hash((self.name, repr(self.offers), repr(self.aliases)))):x}"

    def data_date(self) -> date | None:
        return self.day

    def read(self) -> SourceReading:
        self.reads += 1
        return SourceReading(self.name, len(self.offers), tuple(self.offers), tuple(self.aliases))


def quote(component: str, usd: str, tier: Tier = BASE, **more: Any) -> Quote:
    return Quote(component, "token", Decimal(usd), usd, tier, **more)


def offer(offer_id: str, paid: str | None = None, made: str | None = None, *more: Quote, **facts: Any) -> OfferRecord:
    provider, _, upstream_id = offer_id.partition("/")
    quotes = [quote(component, usd) for component, usd in (("input", paid), ("output", made)) if usd is not None]
    return OfferRecord(provider, upstream_id, quotes=(*quotes, *more), **facts)


@pytest.fixture(scope="session")
def served_catalog(catalog_file: Path) -> Path:
    """The whole catalog."""
    return catalog_file


@pytest.fixture
async def catalog(catalog_database_url: str, clock: FixedClock, events: EventBus) -> AsyncIterator[CatalogService]:
    """The service over everything that ships with Bourse."""
    db = Database.open(catalog_database_url, events)
    service = CatalogService(db, clock)
    assert await service.load()
    yield service
    await db.close()
