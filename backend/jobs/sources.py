"""Which texts about models and prices are in force: what ships with Bourse, unless something newer was fetched or handed in."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from backend.catalog.ingest import bundled_sources
from backend.catalog.records import SourceReading
from backend.catalog.sources import PriceSource
from backend.catalog.sources.formats import NOTHING, read_text
from backend.ingestion_settings import IngestionSettings
from backend.jobs import repository
from backend.kernel.db import Database


@dataclass(frozen=True, slots=True)
class Known:
    """A public list that Bourse knows by name."""

    label: str
    url: str
    format: str
    licence: str


KNOWN = {
    "litellm": Known(
        "LiteLLM price map",
        "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json",
        "litellm",
        "MIT",
    ),
    "genai-prices": Known(
        "genai-prices",
        "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json",
        "genai-prices",
        "MIT",
    ),
    "models.dev": Known("models.dev", "https://models.dev/api.json", "models.dev", "MIT"),
    "openrouter": Known("OpenRouter", "https://openrouter.ai/api/v1/models", "openrouter", "as its terms say; facts"),
}


@dataclass(frozen=True, slots=True)
class Feed:
    """A source that can be fetched. `format` is None where the text decides."""

    name: str
    url: str
    format: str | None
    every: float
    enabled: bool


def feeds(settings: IngestionSettings) -> dict[str, Feed]:
    """Every source that has an address, by name; `every` in seconds."""
    found: dict[str, Feed] = {}
    for name in [*KNOWN, *(name for name in settings.sources if name not in KNOWN)]:
        known, given = KNOWN.get(name), settings.sources.get(name)
        url = given.url if given is not None else None
        if url is None and known is not None:
            url = known.url
        if url is None:
            continue
        every = (given and given.every) or settings.every
        stated = given.format if given is not None else None
        kind = stated or (known.format if known is not None else None)
        found[name] = Feed(name, url, kind, every.total_seconds(), given is None or given.enabled)
    return found


class KeptCopy:
    """A price source out of the last good text. `body` is gzip; None where only the hash is asked for."""

    def __init__(self, row: Any, reading: SourceReading | None = None) -> None:
        self.name: str = row["name"]
        known = KNOWN.get(self.name)
        self.label = known.label if known is not None else self.name
        self.url = row["url"] or "about:uploaded"
        self.licence = known.licence if known is not None else "the operator's own"
        self._format: str = row["format"]
        self._hash: str = row["body_hash"]
        self._checked_at: datetime = row["checked_at"]
        # Amounts in other currencies keep the rate of the day on which the text came, however often it is read.
        self._fetched_on: date = (row["fetched_at"] or row["checked_at"]).date()
        self._body: bytes | None = row.get("body")
        self._reading = reading

    def content_hash(self) -> str:
        return self._hash

    def data_date(self) -> date | None:
        return self._checked_at.date()

    def read(self) -> SourceReading:
        if self._reading is None:
            if self._format == NOTHING:
                return SourceReading(self.name, read=0)
            assert self._body is not None, "the text was not loaded"
            self._reading = read_text(self._format, gzip.decompress(self._body), self.name, self._fetched_on)
        return self._reading


async def sources_in_force(db: Database, *, with_text: bool = False) -> list[PriceSource]:
    """What every process of this installation reads. Without text they have their hashes and dates, and cannot be read."""
    async with db.read() as session:
        rows = await repository.copies(session, with_text=with_text)
    return in_force([KeptCopy(row) for row in rows if row["body_hash"] is not None])


def in_force(copies: Sequence[KeptCopy], shipped: Sequence[PriceSource] | None = None) -> list[PriceSource]:
    """The bundled sources (None: those that ship with Bourse), each replaced by its copy if that is no older, and the other copies."""
    by_name = {copy.name: copy for copy in copies}
    chosen: list[PriceSource] = []
    for bundled in bundled_sources() if shipped is None else shipped:
        copy = by_name.pop(bundled.name, None)
        chosen.append(copy if copy is not None and is_in_force(copy, bundled) else bundled)
    return [*chosen, *by_name.values()]


def is_in_force(copy: KeptCopy, bundled: PriceSource | None) -> bool:
    """Whether the copy counts and not what ships with Bourse of the same source: it does if it is no older."""
    day, own = copy.data_date(), bundled.data_date() if bundled is not None else None
    return day is None or own is None or day >= own
