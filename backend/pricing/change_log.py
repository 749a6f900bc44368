"""The bundled log of what public price maps said, from its file into the store. Who calls passes in how offers are named."""

import asyncio
import csv
import gzip
import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.pricing import repository

FILE = Path(__file__).parent / "data" / "price_changes.csv.gz"
SOURCE = "price-changes"
"""Its name among the sources that were read."""
RULES = "1"
"""Part of the file's hash: raise it when the rules below change, so that stores read it anew."""

MAPS = {
    "AgentOps-AI/tokencost": "litellm",
    "RoCry/llm-api-price": "litellm",
    "project/litellm": "litellm",
    "anomalyco/models.dev": "models.dev",
    "pydantic/genai-prices": "genai-prices",
}
"""Part of an address → the map that it is a copy of; one map's copies follow each other and are one lineage."""

Naming = Callable[[str, str, str], str]
"""(map, its word for the provider, its word for the model) → our offer id."""

_RATES = {
    "input_per_million_usd": "input",
    "output_per_million_usd": "output",
    "cache_read_per_million_usd": "cache_read",
    "cache_write_per_million_usd": "cache_write",
    "reasoning_output_per_million_usd": "reasoning",
    "batch_input_per_million_usd": "input;service_tier=batch",
    "batch_output_per_million_usd": "output;service_tier=batch",
    "input_above_200k_per_million_usd": "input;context_above=200000",
    "output_above_200k_per_million_usd": "output;context_above=200000",
}
_BEFORE = {"prev_input_per_million_usd": "input", "prev_output_per_million_usd": "output"}


async def is_current(db: Database) -> bool:
    """Whether the store holds the log as it ships."""
    digest = await asyncio.to_thread(_digest)
    async with db.read() as session:
        return await repository.last_hash(session, SOURCE) == digest


async def load(db: Database, clock: Clock, naming: Naming) -> int:
    """Bring the store up to the file; how many entries were written, 0 if it was up to date."""
    if await is_current(db):
        return 0
    digest = await asyncio.to_thread(_digest)
    entries = await asyncio.to_thread(lambda: list(read(naming)))
    async with db.write() as unit:
        await repository.replace_changes(unit.session, entries)
        await repository.add_reading(
            unit.session, SOURCE, digest, clock.now(), len(entries), data_date=max(entry["day"] for entry in entries)
        )
        await unit.mark_changed()
    return len(entries)


def read(naming: Naming) -> Iterator[dict[str, Any]]:
    """Rows of the `price_change` table, in the order of the file.

    A map's first look brings no news, so what it sees first then has no `after_day`; and what is still there at its last look was not
    "last seen": such entries are left out.
    """
    with gzip.open(FILE, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    looks: dict[str, list[str]] = {}
    for name in set(MAPS.values()):
        looks[name] = sorted({row["date"] for row in rows if _map_of(row["source"]) == name})
    newest = {name: days[-1] for name, days in looks.items()}
    previous: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for number, row in enumerate(rows, start=1):
        source = _map_of(row["source"])
        if row["event"] == "last_seen" and row["date"] == newest[source]:
            continue
        position = bisect_left(looks[source], row["date"])
        offer_id = naming(source, row["provider"], row["model_id"])
        rates = _rates(row, _RATES)
        before = _rates(row, _BEFORE) | {
            place: rate for place, rate in previous[source, offer_id].items() if place not in ("input", "output")
        }
        previous[source, offer_id] = rates
        yield {
            "id": number,
            "day": date.fromisoformat(row["date"]),
            "after_day": date.fromisoformat(looks[source][position - 1]) if position else None,
            "event": row["event"],
            "offer_id": offer_id[:255],
            "source": source,
            "source_url": row["source"],
            "rates": rates,
            "before": before if row["event"] in ("price_change", "other_rate_change") else {},
            "reverted": row["reverted_within_60d"] == "yes",
        }


def _map_of(address: str) -> str:
    return next(name for part, name in MAPS.items() if part in address)


def _rates(row: dict[str, str], columns: dict[str, str]) -> dict[str, str]:
    stated = ((place, row[column]) for column, place in columns.items())
    return {place: f"{Decimal(text).normalize():f}" for place, text in stated if text and Decimal(text) > 0}


def _digest() -> str:
    with FILE.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()[:56]}.{RULES}"
