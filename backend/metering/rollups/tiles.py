"""Which rollups tell a stretch of time exactly: the coarsest that fit, and the ledger where an edge lies within the finest. Pure.

Microseconds since 1970 throughout; stretches are half open.
"""

from collections.abc import Iterator
from typing import NamedTuple

from backend.metering.rollups.gather import MINUTE, SPANS

MICROS = 1_000_000


class Tile(NamedTuple):
    """`span` in seconds; 0 is the ledger itself."""

    span: int
    first: int
    last: int


def tiles_of(first: int, last: int, minutes_from: int) -> list[Tile]:
    """Tiles that cover [first, last) exactly once, in their order; no minute before `minutes_from` is read."""
    return list(_tiles(first, last, minutes_from, SPANS[::-1]))


def _tiles(first: int, last: int, minutes_from: int, spans: tuple[int, ...]) -> Iterator[Tile]:
    if first >= last:
        return
    if not spans:
        yield Tile(0, first, last)
        return
    size = spans[0] * MICROS
    lowest = max(first, minutes_from) if spans[0] == MINUTE else first
    begin, end = -(-lowest // size) * size, last // size * size
    if begin >= end:
        yield from _tiles(first, last, minutes_from, spans[1:])
        return
    yield from _tiles(first, begin, minutes_from, spans[1:])
    yield Tile(spans[0], begin, end)
    yield from _tiles(end, last, minutes_from, spans[1:])


def joined(tiles: list[Tile]) -> list[Tile]:
    """Neighbours of one span as one."""
    result: list[Tile] = []
    for tile in tiles:
        if result and result[-1].span == tile.span and result[-1].last == tile.first:
            result[-1] = Tile(tile.span, result[-1].first, tile.last)
        else:
            result.append(tile)
    return result
