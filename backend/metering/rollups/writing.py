"""Rollups in the ledger's transaction: the sums of the calls that it inserts, in rows that no other writer has.

Sums are added to this writer's rows. Histograms are written anew from what it remembers to have committed, where the row still has what
it wrote; so nothing is read. Where that memory ends (it grew large, a commit failed and nobody knows how far it came, or somebody else
changed a row), the writer id ends with it: it goes on in new rows under a new id, and reading adds all of them. Whatever happens to a
row, every transaction so adds exactly the same to rollups and to the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.kernel.db import Database
from backend.kernel.ids import random_bytes
from backend.kernel.statements import Statement
from backend.metering.rollups import repository
from backend.metering.rollups.gather import SPANS, Names, Place, Totals, by_minute, by_span
from backend.metering.rollups.histogram import Histogram, encoded, merge
from backend.metering.rollups.series import SeriesBook

MOST_REMEMBERED = {60: 2_000, 3_600: 4_000, 86_400: 8_000}
"""Places by span; about a kilobyte each."""


@dataclass(slots=True)
class _Histograms:
    """A row's, and as it has them."""

    latency: Histogram
    first_token: Histogram
    written: tuple[str, str]


@dataclass(slots=True)
class _Memory:
    writer_id: int = field(default_factory=lambda: (int.from_bytes(random_bytes(8)) >> 1) | 1)
    rows: dict[Place, _Histograms] = field(default_factory=dict)


class RollupWriter:
    """For one task that writes batches one after another: `prepare`, then `statements` in the transaction, then `keep` or `forget`."""

    def __init__(self, book: SeriesBook) -> None:
        self._book = book
        self._memory = {span: _Memory() for span in SPANS}
        self._prepared: tuple[int, dict[Names, dict[int, Totals]]] = 0, {}

    async def prepare(self, db: Database, rows: Sequence[Sequence[Any]]) -> None:
        """Add up these calls (in the order of `CALL_FIELDS`), and make the series that they belong to, in a transaction of its own: it
        holds no locks while the ledger's runs, and a series without calls does no harm."""
        minutes = by_minute(rows)
        self._prepared = len(rows), minutes
        await self._book.learn(db, minutes)

    def statements(self, rows: Sequence[Sequence[Any]]) -> tuple[Statement, ...]:
        """What adds those of the prepared calls that this transaction inserts. Run, it raises RowsChanged where somebody else changed a row
        of ours."""
        if not rows:
            return ()
        prepared, minutes = self._prepared
        if len(rows) < prepared:
            minutes = by_minute(rows)
        totals_by_span = by_span(minutes, {names: self._book.ids_of(names) for names in minutes})
        new: list[repository.Row] = []
        more: list[repository.Row] = []
        for span, memory in self._memory.items():
            for place, totals in totals_by_span[span].items():
                known = memory.rows.get(place)
                if known is None:
                    row = repository.row_of(place, span, memory.writer_id, totals)
                    memory.rows[place] = _Histograms(totals.latency, totals.first_token, row[-2:])
                    new.append(row)
                else:
                    before = known.written
                    merge(known.latency, totals.latency)
                    merge(known.first_token, totals.first_token)
                    known.written = encoded(known.latency), encoded(known.first_token)
                    more.append((*totals.sums, *known.written, place[0], span, place[1], memory.writer_id, *before))
        return repository.inserted(new), repository.added(more)

    def keep(self) -> None:
        """The transaction is committed."""
        for span, memory in self._memory.items():
            if len(memory.rows) > MOST_REMEMBERED[span]:
                self._memory[span] = _Memory()

    def forget(self) -> None:
        """The transaction failed, or nobody knows whether it did."""
        self._memory = {span: _Memory() for span in SPANS}
