"""Every price in force, in memory, for a gateway that may not ask the database: one dictionary look-up per call.

Cards are kept packed (about 50 bytes a line) and unpacked when first asked for, because a process serves few of the thousands.
"""

import sys
from array import array
from typing import NamedTuple

from backend.kernel.db import Database
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

    def __init__(self, db: Database) -> None:
        self._db = db
        self._version: object = None
        self._packed: dict[str, _Packed | str] = {}
        self._cards: dict[str, PriceCard] = {}

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
        self._packed, self._cards, self._version = packed, {}, version

    def card(self, offer_id: str) -> PriceCard | None:
        """The offer's prices in force; its `state` says whether it is priced at all. None when no such offer is known."""
        card = self._cards.get(offer_id)
        if card is None:
            packed = self._packed.get(offer_id)
            if packed is None:
                return None
            card = self._cards[offer_id] = PriceCard(offer_id, packed) if isinstance(packed, str) else _unpack(offer_id, packed)
        return card


def _pack(packed: dict[str, _Packed | str], offer_id: str | None, lines: list[PriceLine], shapes: dict[_Shape, _Shape]) -> None:
    if offer_id is None:
        return
    state = packed.get(offer_id)
    if not isinstance(state, str):
        return
    kept: list[_Shape] = []
    for line in lines:
        shape = (
            line.component, line.unit, line.context_above, line.service_tier, line.time_window, line.region, line.cache_ttl, line.variant,
        )  # fmt: skip
        kept.append(shapes.setdefault(shape, shape))
    packed[offer_id] = _Packed(
        state, " ".join(line.id for line in lines), tuple(kept), array("q", [line.nano_per_million for line in lines])
    )


def _unpack(offer_id: str, packed: _Packed) -> PriceCard:
    lines = tuple(
        PriceLine(line_id, shape[0], shape[1], nano, *shape[2:])
        for line_id, shape, nano in zip(packed.ids.split(" "), packed.shapes, packed.nanos, strict=True)
    )
    return PriceCard(offer_id, packed.state, lines)
