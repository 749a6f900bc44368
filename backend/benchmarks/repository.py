"""All SQL of benchmarks."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from backend.benchmarks.tables import Benchmark, BenchmarkResult
from backend.catalog import repository as catalog
from backend.catalog.tables import Alias, Model, Offer

BENCHMARK, RESULT = catalog.table(Benchmark), catalog.table(BenchmarkResult)
_MODEL, _OFFER, _ALIAS = catalog.table(Model), catalog.table(Offer), catalog.table(Alias)
_BATCH = 1000


async def version(session: AsyncSession) -> tuple[Any, ...]:
    """Changes whenever a result or a benchmark is added, changed, matched anew or taken away: see `next_moment`."""
    newest = [sa.select(sa.func.count(), sa.func.max(target.c.updated_at)) for target in (RESULT, BENCHMARK)]
    told: list[Any] = []
    for query in newest:
        told += (await session.execute(query)).one()
    return tuple(told)


async def next_moment(session: AsyncSession, now: datetime) -> datetime:
    """`now`, or just after the newest change if the clock of whoever made it is ahead: `version` must not miss what is written now."""
    for target in (RESULT, BENCHMARK):
        newest: datetime | None = (await session.execute(sa.select(sa.func.max(target.c.updated_at)))).scalar_one()
        if newest is not None:
            now = max(now, newest + timedelta(microseconds=1))
    return now


async def measured(session: AsyncSession) -> AsyncIterator[Any]:
    """Every result of a known model on a benchmark with a scale, with what scoring needs of both."""
    query = (
        sa.select(
            RESULT.c.id,
            RESULT.c.model_id,
            RESULT.c.benchmark_id,
            RESULT.c.variant,
            RESULT.c.score,
            RESULT.c.measured_on,
            RESULT.c.self_reported,
            BENCHMARK.c.family,
            BENCHMARK.c.skill,
            BENCHMARK.c.language,
            BENCHMARK.c.scale_worst,
            BENCHMARK.c.scale_best,
        )
        .join(BENCHMARK, BENCHMARK.c.id == RESULT.c.benchmark_id)
        .where(RESULT.c.model_id.is_not(None), BENCHMARK.c.scale_best.is_not(None))
    )
    result = await session.stream(query, execution_options={"yield_per": 500})
    async for part in result.partitions():
        for row in part:
            yield row


async def of_model(session: AsyncSession, model_id: str) -> Sequence[Any]:
    """Results of one model with their benchmarks, by benchmark, newest first."""
    query = (
        sa.select(
            RESULT,
            BENCHMARK.c.name,
            BENCHMARK.c.metric,
            BENCHMARK.c.version,
            BENCHMARK.c.skill,
            BENCHMARK.c.language,
            BENCHMARK.c.direction,
            BENCHMARK.c.unit,
            BENCHMARK.c.family,
            BENCHMARK.c.scale_worst,
            BENCHMARK.c.scale_best,
        )
        .join(BENCHMARK, BENCHMARK.c.id == RESULT.c.benchmark_id)
        .where(RESULT.c.model_id == model_id)
        .order_by(RESULT.c.benchmark_id, RESULT.c.measured_on.desc(), RESULT.c.id)
    )
    return (await session.execute(query)).all()


async def catalogue(session: AsyncSession) -> Sequence[Any]:
    """Every benchmark with how many results, matched results and matched models it has."""
    counts = (
        sa.select(
            RESULT.c.benchmark_id,
            sa.func.count().label("results"),
            sa.func.count(RESULT.c.model_id).label("matched"),
            sa.func.count(sa.distinct(RESULT.c.model_id)).label("models"),
        )
        .group_by(RESULT.c.benchmark_id)
        .subquery()
    )
    zero = [sa.func.coalesce(counts.c[name], 0).label(name) for name in ("results", "matched", "models")]
    query = sa.select(BENCHMARK, *zero).outerjoin(counts, counts.c.benchmark_id == BENCHMARK.c.id).order_by(BENCHMARK.c.id)
    return (await session.execute(query)).all()


async def names(session: AsyncSession) -> tuple[list[Any], list[Any], list[Any]]:
    """What the catalog calls things: models, offers and aliases, as `Recogniser.build` takes them."""
    queries = (
        sa.select(_MODEL.c.id, _MODEL.c.name).order_by(_MODEL.c.id),
        sa.select(_OFFER.c.id, _OFFER.c.upstream_id, _OFFER.c.model_id).order_by(_OFFER.c.id),
        sa.select(_ALIAS.c.name, _ALIAS.c.kind, _ALIAS.c.target).order_by(_ALIAS.c.name),
    )
    models, offers, aliases = [[tuple(row) for row in await session.execute(query)] for query in queries]
    return models, offers, aliases


async def stored(session: AsyncSession, target: sa.Table) -> dict[str, dict[str, Any]]:
    """Every row by id."""
    rows = (await session.execute(sa.select(target))).mappings()
    return {row["id"]: dict(row) for row in rows}


async def stored_of(session: AsyncSession, target: sa.Table, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows that there are of these ids."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), _BATCH):
        rows = (await session.execute(sa.select(target).where(target.c.id.in_(ids[start : start + _BATCH])))).mappings()
        found |= {row["id"]: dict(row) for row in rows}
    return found


async def delete(session: AsyncSession, target: sa.Table, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _BATCH):
        await session.execute(sa.delete(target).where(target.c.id.in_(ids[start : start + _BATCH])))
