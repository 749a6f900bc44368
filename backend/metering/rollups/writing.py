"""Rollups in the ledger's transaction: the sums of the calls that it inserts, under ids that no other writer has.

For each span this writer remembers what it has committed, and writes the new sums over its own rows: no row is read, and none is anybody
else's. Where that memory ends (it grew large, or a commit failed and nobody knows how far it came), the writer id ends with it: sums go
on in new rows under a new id, and reading adds both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.db import Database
from backend.kernel.ids import random_bytes
from backend.metering.rollups import repository
from backend.metering.rollups.gather import SPANS, Place, Totals, add_up, by_minute
from backend.metering.rollups.series import SeriesBook

MOST_REMEMBERED = {60: 2_000, 3_600: 4_000, 86_400: 8_000}
"""Places by span; about a kilobyte each."""


@dataclass(slots=True)
class _Memory:
    writer_id: int = field(default_factory=lambda: (int.from_bytes(random_bytes(8)) >> 1) | 1)
    written: dict[Place, Totals] = field(default_factory=dict)


class RollupWriter:
    """For one task that writes batches one after another: `prepare`, then `write` in the transaction, then `keep` or `forget`."""

    def __init__(self, book: SeriesBook) -> None:
        self._book = book
        self._memory = {span: _Memory() for span in SPANS}

    async def prepare(self, db: Database, rows: Iterable[Sequence[Any]]) -> None:
        """Make the series that these calls (in the order of `CALL_FIELDS`) belong to, in a transaction of its own: it holds no locks
        while the ledger's runs, and a series without calls does no harm."""
        await self._book.learn(db, rows)

    async def write(self, session: AsyncSession, rows: Sequence[Sequence[Any]]) -> None:
        """Add calls that this transaction has inserted."""
        if not rows:
            return
        minutes = by_minute(rows)
        ids = {names: self._book.id_of(names) for names in minutes}
        written: list[repository.Row] = []
        for span, memory in self._memory.items():
            touched = add_up(memory.written, minutes, ids, span)
            written += [repository.row_of(place, span, memory.writer_id, memory.written[place]) for place in touched]
        await repository.write(session, written)

    def keep(self) -> None:
        """The transaction is committed."""
        for span, memory in self._memory.items():
            if len(memory.written) > MOST_REMEMBERED[span]:
                self._memory[span] = _Memory()

    def forget(self) -> None:
        """The transaction failed, or nobody knows whether it did."""
        self._memory = {span: _Memory() for span in SPANS}
