"""Whether the store holds the results that ship with Bourse. Asked at every start, so it knows no table of results and imports little."""

import asyncio
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from backend.catalog import repository as catalog
from backend.catalog.sources import file_hash
from backend.kernel.db import Database

SOURCE = "benchmarks"
BUNDLED = Path(__file__).parent / "data" / "benchmarks.csv.gz"
RULES = "3"
"""Part of what a reading is known by: raise it when definitions, variants or matching change, so that stores are read anew."""


async def is_current(db: Database) -> bool:
    """Whether the bundled file was read as it is, and every model of the catalog was there to be matched."""
    digest = await asyncio.to_thread(digest_of, BUNDLED)
    async with db.read() as session:
        return await last_reading(session) == await reading_of(session, digest)


def digest_of(path: Path) -> str:
    """Of a file's content and the rules it is read by."""
    return f"{file_hash(path)[:36]}.{RULES}"


async def reading_of(session: AsyncSession, digest: str) -> str:
    """What a reading is known by: the file, our rules, and when the newest model of the catalog arrived."""
    newest = await catalog.newest_model(session)
    return f"{digest}.{newest:%Y%m%d%H%M%S%f}"[:64] if newest else digest


async def last_reading(session: AsyncSession) -> str | None:
    """What the last finished reading is known by."""
    return (await catalog.last_hashes(session)).get(SOURCE)
