"""Every price in force, in memory, for a gateway that may not ask the database: one dictionary look-up per call.

Cards are kept packed (about 50 bytes a line) and unpacked when first asked for, because a process serves few of the thousands. Prices
that were announced come into force by the clock; one that ends without a successor stays until the evidence is weighed anew.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.db import Database
from backend.kernel.memory import give_back_soon
from backend.pricing import repository
from backend.pricing.cost import PriceCard, PriceLine

_Shape = tuple[str, str, int | None, str | None, str | None, str | None, int | None, str | None]


class _Packed(NamedTuple):
    state: str
    ids: str
    shapes: tuple[_Shape, ...]
    nanos: "array[int]"


class PriceBook:
    """`load` replaces the whole book at once, so a reader never sees half of two."""

    def __init__(self, db: Database, clock: Clock | None = None) -> None:
        self._db = db
        self._clock = clock or SystemClock()
        self._version: object = None
        self._packed: dict[str, _Packed | str] = {}
        self._cards: dict[str, PriceCard] = {}
        self._announced: dict[str, list[tuple[datetime, PriceLine]]] = {}
        self._days: list[datetime] = []

    def __len__(self) -> int:
        return len(self._packed)

    async def load(self) -> None:
        """Read all offers' states and the prices in force; does nothing when they have not changed since the last load."""
        async with self._db.read() as session:
            version = await repository.version(session)
        if version == self._version:
            return
        packed: dict[str, _Packed | str] = {}
        shapes: dict[_Shape, _Shape] = {}
        async with self._db.read() as session:
            async for offer_id, state in repository.offer_states(session):
                packed[sys.intern(offer_id)] = sys.intern(state)
            current: str | None = None
            lines: list[PriceLine] = []
            async for offer_id, line in repository.lines_in_force(session):
                if offer_id != current:
                    _pack(packed, current, lines, shapes)
                    current, lines = offer_id, []
                lines.append(line)
            _pack(packed, current, lines, shapes)
            announced: dict[str, list[tuple[datetime, PriceLine]]] = {}
            for offer_id, day, line in await repository.announced_lines(session):
                announced.setdefault(offer_id, []).append((day, line))
        self._packed, self._cards, self._announced, self._version = packed, {}, announced, version
        self._days = sorted(day for coming in announced.values() for day, _ in coming)
        give_back_soon()

    def card(self, offer_id: str) -> PriceCard | None:
        """The offer's prices in force; its `state` says whether it is priced at all. None when no such offer is known."""
        card = self._cards.get(offer_id)
        if card is None:
            packed = self._packed.get(offer_id)
            if packed is None:
                return None
            card = self._cards[offer_id] = _card(offer_id, packed)
        return self._as_announced(card) if offer_id in self._announced else card

    @property
    def version(self) -> tuple[object, int]:
        """Changes when a card does: with a load, and when what was announced comes into force."""
        return self._version, bisect_right(self._days, self._clock.now())

    def cards(self) -> Iterator[PriceCard]:
        """Every offer's prices in force, for those who make a table of all, in any thread: the cards are not kept."""
        now = self._clock.now()
        for offer_id, packed in list(self._packed.items()):
            # What is coming before what is there: it may come into force in between, and does no harm twice.
            come = [line for day, line in tuple(self._announced.get(offer_id, ())) if day <= now]
            card = self._cards.get(offer_id) or _card(offer_id, packed)
            yield _renewed(card, come) if come else card

    def _as_announced(self, card: PriceCard) -> PriceCard:
        """The card with what has come into force since; what was announced for it is then done with."""
        now, coming = self._clock.now(), self._announced[card.offer_id]
        if coming[0][0] > now:
            return card
        come = []
        while coming and coming[0][0] <= now:
            come.append(coming.pop(0)[1])
        if not coming:
            del self._announced[card.offer_id]
        card = self._cards[card.offer_id] = _renewed(card, come)
        return card


def _renewed(card: PriceCard, come: list[PriceLine]) -> PriceCard:
    lines = {_shape(line): line for line in (*card.lines, *come)}
    state = "priced" if card.state == "free" and any(line.nano_per_million for line in lines.values()) else card.state
    return PriceCard(card.offer_id, state, tuple(lines.values()))


def _pack(packed: dict[str, _Packed | str], offer_id: str | None, lines: list[PriceLine], shapes: dict[_Shape, _Shape]) -> None:
    if offer_id is None:
        return
    state = packed.get(offer_id)
    if not isinstance(state, str):
        return
    kept: list[_Shape] = []
    for line in lines:
        shape = _shape(line)
        kept.append(shapes.setdefault(shape, shape))
    packed[offer_id] = _Packed(
        state, " ".join(line.id for line in lines), tuple(kept), array("q", [line.nano_per_million for line in lines])
    )


def _shape(line: PriceLine) -> _Shape:
    return (
        line.component, line.unit, line.context_above, line.service_tier, line.time_window, line.region, line.cache_ttl, line.variant,
    )  # fmt: skip


def _card(offer_id: str, packed: _Packed | str) -> PriceCard:
    if isinstance(packed, str):
        return PriceCard(offer_id, packed)
    lines = tuple(
        PriceLine(line_id, shape[0], shape[1], nano, *shape[2:])
        for line_id, shape, nano in zip(packed.ids.split(" "), packed.shapes, packed.nanos, strict=True)
    )
    return PriceCard(offer_id, packed.state, lines)
