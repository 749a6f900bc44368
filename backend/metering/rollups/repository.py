"""SQL of rollups. Writing is raw SQL for speed, as in the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.operators import custom_op
from sqlmodel import col

from backend.kernel.statements import Statement, execute_each
from backend.metering.rollups.gather import ALL, DIMENSIONS, MEASURES, MINUTE, Place, Totals, grain_for
from backend.metering.rollups.histogram import Histogram, encoded, merge_encoded
from backend.metering.rollups.tables import Rollup, RollupSeries


class RowsChanged(Exception):
    """Somebody else changed a writer's rows: the transaction must not commit, and may be tried again under another writer id."""


Row = tuple[Any, ...]
Group = tuple[str | None, int | None]
"""The value of the dimension that sums are split by, and the second at which a bucket of time starts; None where they are not split."""

_COLUMNS = ("series_id", "span", "starts", "writer_id", *MEASURES, "latency", "first_token")
_SUMS = [sa.func.sum(getattr(Rollup, name)) for name in MEASURES]


def row_of(place: Place, span: int, writer_id: int, totals: Totals) -> Row:
    series, starts = place
    return series, span, starts, writer_id, *totals.sums, encoded(totals.latency), encoded(totals.first_token)


_MARKS = ", ".join(["?"] * len(_COLUMNS))
_INSERT = f"INSERT INTO rollup ({', '.join(_COLUMNS)}) VALUES ({_MARKS})"
_REPLACE = (
    f"{_INSERT} ON CONFLICT (series_id, span, starts, writer_id)"
    f" DO UPDATE SET {', '.join([f'{name} = excluded.{name}' for name in _COLUMNS[4:]])}"
)
_ADD = (
    f"UPDATE rollup SET {', '.join([f'{name} = {name} + ?' for name in MEASURES])}, latency = ?, first_token = ?"
    f" WHERE {' AND '.join([f'{name} = ?' for name in (*_COLUMNS[:4], 'latency', 'first_token')])}"
)


def inserted(rows: Sequence[Row]) -> Statement:
    """New rows, each as `row_of` has it."""
    return Statement(_INSERT, rows)


async def replace(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Rows of one writer in place of what that writer has there."""
    await execute_each(session, [Statement(_REPLACE, rows)])


def added(rows: Sequence[Row]) -> Statement:
    """Add to rows: sums to add in the order of `MEASURES`, both new histograms, the four columns of the key, both old histograms. Raises
    `RowsChanged` where a row is gone, or its histograms are not the old ones."""
    return Statement(_ADD, rows, RowsChanged)


async def add_series(session: AsyncSession, rows: Iterable[Row]) -> None:
    """Ids with the names of their series; one that is there stays as it is."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    values = [dict(zip(("id", *DIMENSIONS), row, strict=True)) for row in rows]
    connection = await session.connection()
    await connection.execute(insert(RollupSeries).on_conflict_do_nothing(index_elements=["id"]), values)


async def open_names(session: AsyncSession, tenant_ids: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
    """By tenant, its combinations of model, route and task."""
    series = RollupSeries
    query = sa.select(col(series.tenant_id), col(series.model), col(series.route), col(series.task)).distinct()
    found: dict[str, list[tuple[str, str, str]]] = {}
    for tenant_id, model, route, task in await session.execute(
        query.where(col(series.tenant_id).in_(tenant_ids), col(series.key_id) != ALL, col(series.model) != ALL)
    ):
        found.setdefault(tenant_id, []).append((model, route, task))
    return found


# Reading ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of one span that start in [first, last), in seconds since 1970; of one tenant or all, with these values in some
    dimensions. Sums are split by a dimension, by time, by both or not at all."""

    span: int
    first: int
    last: int
    tenant_id: str | None
    where: Mapping[str, Sequence[str]]
    by: str | None
    by_time: bool

    def split(self) -> list[sa.ColumnElement[Any]]:
        return [_or_null(None if self.by is None else getattr(RollupSeries, self.by)), _or_null(Rollup.starts if self.by_time else None)]

    def rows(self, session: AsyncSession, *columns: Any) -> sa.Select[Any]:
        series_id: Any = col(RollupSeries.id)
        if session.get_bind().dialect.name == "sqlite":
            # The sign hides that a series can be looked up: it then begins with the series, instead of reading all rollups.
            series_id = sa.UnaryExpression(series_id, operator=custom_op("+"))
        query = sa.select(*self.split(), *columns).select_from(RollupSeries).join(Rollup, col(Rollup.series_id) == series_id)
        if self.tenant_id is not None:
            query = query.where(col(RollupSeries.tenant_id) == self.tenant_id)
        for dimension, values in self.where.items():
            query = query.where(col(getattr(RollupSeries, dimension)).in_(values))
        needed = {*self.where, *([self.by] if self.by else []), *(["tenant_id"] if self.tenant_id else [])}
        keeps = grain_for(needed, self.span)
        for dimension in ("tenant_id", "key_id", "model"):  # which tell the grains apart
            name = col(getattr(RollupSeries, dimension))
            query = query.where(name != ALL if dimension in keeps else name == ALL)
        return query.where(col(Rollup.span) == self.span, col(Rollup.starts) >= self.first, col(Rollup.starts) < self.last)


def _or_null(column: Any) -> sa.ColumnElement[Any]:
    return sa.null() if column is None else column


async def sums(session: AsyncSession, buckets: Buckets) -> dict[Group, tuple[int, ...]]:
    """Sums in the order of `MEASURES`."""
    query = buckets.rows(session, *_SUMS)
    split = [column for column in buckets.split() if not isinstance(column, sa.Null)]
    rows = await session.execute(query.group_by(*split) if split else query)
    return {(row[0], row[1]): tuple([int(value) for value in row[2:]]) for row in rows if row[2] is not None}


async def histograms(session: AsyncSession, buckets: Buckets) -> dict[Group, tuple[Histogram, Histogram]]:
    """Latency and first token, merged."""
    found: dict[Group, tuple[Histogram, Histogram]] = {}
    for value, starts, latency, first_token in await session.execute(buckets.rows(session, col(Rollup.latency), col(Rollup.first_token))):
        merged = found.setdefault((value, starts), ({}, {}))
        merge_encoded(merged[0], latency)
        merge_encoded(merged[1], first_token)
    return found


# Keeping -------------------------------------------------------------------------------------------------------------------------


async def series_ids(session: AsyncSession, *, after: bytes, limit: int) -> list[bytes]:
    query = sa.select(col(RollupSeries.id)).where(col(RollupSeries.id) > after).order_by(col(RollupSeries.id)).limit(limit)
    return list((await session.execute(query)).scalars())


async def delete_minutes(session: AsyncSession, ids: Sequence[bytes], before: int) -> None:
    """Rows of minutes that started before a second. By series, because that is how rows are found without reading all of them."""
    statement = sa.delete(Rollup).where(
        col(Rollup.series_id) == sa.bindparam("series"), col(Rollup.span) == MINUTE, col(Rollup.starts) < before
    )
    connection = await session.connection()
    await connection.execute(statement, [{"series": series} for series in ids])
