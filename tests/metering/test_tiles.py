"""A stretch of time is told exactly once, by the coarsest rollups that fit."""

from hypothesis import given
from hypothesis import strategies as st

from backend.metering.rollups.tiles import MICROS, Tile, joined, tiles_of

HOUR, DAY = 3_600 * MICROS, 86_400 * MICROS
SOME_DAYS = st.integers(0, 5 * DAY)


@given(SOME_DAYS, SOME_DAYS, SOME_DAYS)
def test_tiles_cover_the_stretch_without_gap_or_overlap_and_fit_their_span(first: int, last: int, minutes_from: int) -> None:
    tiles = tiles_of(first, last, minutes_from)
    place = first
    for tile in tiles:
        assert tile.first == place < tile.last
        place = tile.last
        if tile.span:
            assert tile.first % (tile.span * MICROS) == tile.last % (tile.span * MICROS) == 0
        if tile.span == 60:
            assert tile.first >= minutes_from
    assert place == max(first, last) or not tiles
    assert bool(tiles) == (first < last)


def test_whole_days_hours_and_minutes_leave_only_the_crumbs_to_the_ledger() -> None:
    first, last = 22 * HOUR + 30 * 60 * MICROS, 3 * DAY + 2 * HOUR + 61 * MICROS
    assert tiles_of(first, last, 0) == [
        Tile(60, first, 23 * HOUR),
        Tile(3_600, 23 * HOUR, DAY),
        Tile(86_400, DAY, 3 * DAY),
        Tile(3_600, 3 * DAY, 3 * DAY + 2 * HOUR),
        Tile(60, 3 * DAY + 2 * HOUR, 3 * DAY + 2 * HOUR + 60 * MICROS),
        Tile(0, 3 * DAY + 2 * HOUR + 60 * MICROS, last),
    ]


def test_where_minutes_are_gone_an_edge_within_an_hour_is_the_ledgers() -> None:
    first = 22 * HOUR + 30 * 60 * MICROS
    assert tiles_of(first, DAY, 2 * DAY) == [Tile(0, first, 23 * HOUR), Tile(3_600, 23 * HOUR, DAY)]


def test_neighbours_of_one_span_are_read_together() -> None:
    days = [tile for day in range(4) for tile in tiles_of(day * DAY, (day + 1) * DAY, 0)]
    assert joined(days) == [Tile(86_400, 0, 4 * DAY)]
