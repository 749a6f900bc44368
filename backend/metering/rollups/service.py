"""Usage over time: totals, series and quantiles by any dimension, read from rollups and exact to the microsecond.

Whole days, hours and minutes come from rollups. Where an edge of what is asked for lies within a minute, or within an hour whose
minutes are not kept any more, that piece is read from the ledger.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession

from backend.identity import repository as identity
from backend.identity.principal import Principal, Role, require_role, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.days import day_of, start_of
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest
from backend.metering import repository as ledger
from backend.metering.rollups import repository
from backend.metering.rollups.gather import DIMENSIONS, LEDGER, Totals, by_minute
from backend.metering.rollups.keeping import MINUTES_KEPT
from backend.metering.rollups.schemas import Usage, UsageQuery, UsageReport
from backend.metering.rollups.tiles import MICROS, Tile, joined, tiles_of

MOST_STEPS = 1_500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


class UsageService:
    def __init__(self, db: Database, clock: Clock, reporting_zone: str) -> None:
        self._db = db
        self._clock = clock
        self._reporting_zone = reporting_zone

    async def read(self, principal: Principal, tenant_id: str | None, query: UsageQuery) -> UsageReport:
        """Usage of a tenant, or of all of them.

        Raises:
            NotFound: the tenant is not the principal's; the same as if there were none.
            PermissionDenied: only a super admin reads over all tenants.
            BadRequest: a stretch that ends before it begins, or more than `MOST_STEPS` steps.
        """
        if tenant_id is not None:
            require_role(principal, tenant_id, Role.VIEWER)
        else:
            require_super_admin(principal, "see all tenants")
        unknown = {query.by or DIMENSIONS[0], *query.where} - {*DIMENSIONS}
        if unknown:
            raise BadRequest(f"There is no dimension {min(unknown)!r}.", param="by")
        async with self._db.read() as session:
            zone = ZoneInfo(self._reporting_zone) if tenant_id is None else await identity.time_zone(session, tenant_id)
            edges = _edges(query, zone)
            found = await self._totals(session, tenant_id, query, edges)
        starts = edges[:-1]
        report = {value: tuple([Usage.of(found[value].get(step, Totals())) for step in range(len(starts))]) for value in sorted(found)}
        return UsageReport(tuple(starts), report)

    async def total(self, session: AsyncSession, tenant_id: str, since: datetime, until: datetime) -> Usage:
        """All of a tenant's calls together; for services that have checked who asks."""
        found = await self._totals(session, tenant_id, UsageQuery(since, until), [since, until])
        return Usage.of(found.get("", {}).get(0, Totals()))

    async def _totals(
        self, session: AsyncSession, tenant_id: str | None, query: UsageQuery, edges: Sequence[datetime]
    ) -> dict[str, dict[int, Totals]]:
        """By value of the dimension and number of the step."""
        found: dict[str, dict[int, Totals]] = {}
        places = [_micros(edge) for edge in edges]
        for tile in self._tiles(places):
            by_time = len(edges) > 2
            for value, micros, totals in await _read(session, tenant_id, query, tile, by_time=by_time):
                steps = found.setdefault(value or "", {})
                step = bisect_right(places, micros) - 1
                if step in steps:
                    steps[step].add(totals)
                else:
                    steps[step] = totals
        return found

    def _tiles(self, places: Sequence[int]) -> list[Tile]:
        minutes_from = _micros(self._clock.now() - MINUTES_KEPT)
        return joined([tile for first, last in pairwise(places) for tile in tiles_of(first, last, minutes_from)])


async def _read(
    session: AsyncSession, tenant_id: str | None, query: UsageQuery, tile: Tile, *, by_time: bool
) -> Iterable[tuple[str | None, int, Totals]]:
    """What a tile holds: the dimension's value, a moment within the step that it belongs to, and sums."""
    if tile.span == 0:
        rows = await ledger.facts_between(session, tenant_id, query.where, _instant(tile.first), _instant(tile.last))
        place = DIMENSIONS.index(query.by) if query.by is not None else None
        return [
            (None if place is None else names[place], max(minute * MICROS, tile.first), totals)
            for names, minutes in by_minute(rows, LEDGER).items()
            for minute, totals in minutes.items()
        ]
    first, last = tile.first // MICROS, tile.last // MICROS
    buckets = repository.Buckets(tile.span, first, last, tenant_id, query.where, query.by, by_time)
    sums = await repository.sums(session, buckets)
    histograms = await repository.histograms(session, buckets) if query.quantiles else {}
    return [
        (value, tile.first if starts is None else starts * MICROS, Totals(found, *histograms.get((value, starts), ({}, {}))))
        for (value, starts), found in sums.items()
    ]


def _edges(query: UsageQuery, zone: ZoneInfo) -> list[datetime]:
    """Where steps begin, and the end of the last."""
    if query.since >= query.until:
        raise BadRequest("The stretch of time ends before it begins.", param="since")
    edges = [query.since]
    if query.step is not None:
        while edges[-1] < query.until and len(edges) <= MOST_STEPS:
            edges.append(_next(edges[-1], query.step, zone))
        if edges[-1] < query.until:
            raise BadRequest(f"That is more than {MOST_STEPS} steps.", param="step")
        edges[-1] = query.until
        return edges
    return [*edges, query.until]


def _next(edge: datetime, step: str, zone: ZoneInfo) -> datetime:
    if step == "day":
        return start_of(day_of(edge, zone) + timedelta(days=1), zone)
    size = _STEPS[step]
    return _EPOCH + ((edge - _EPOCH) // size + 1) * size


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND
