"""All SQL of jobs: leases by the database's clock, copies of sources, reports of ingestions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from backend.jobs.tables import IngestionReport, Job, SourceCopy
from backend.kernel.clock import Clock

WAITING, TOLD, GIVEN_UP = "waiting", "told", "given_up"


def _table(entity: type[SQLModel]) -> sa.Table:
    found = entity.__table__  # type: ignore[attr-defined]
    assert isinstance(found, sa.Table)
    return found


JOB, COPY, REPORT = (_table(entity) for entity in (Job, SourceCopy, IngestionReport))


async def now_of(session: AsyncSession, clock: Clock) -> datetime:
    """PostgreSQL's clock, which all replicas share; a SQLite file is on this machine, so its clock is ours."""
    if session.get_bind().dialect.name == "sqlite":
        return clock.now()
    found: datetime = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return found


async def take(session: AsyncSession, name: str, holder: str, now: datetime, length: timedelta) -> bool:
    """Take the lease if nobody has it, or its holder let it run out."""
    kind = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    await session.execute(kind.insert(JOB).values(name=name).on_conflict_do_nothing(index_elements=["name"]))
    free = sa.or_(JOB.c.holder.is_(None), JOB.c.until < now, JOB.c.holder == holder)
    statement = sa.update(JOB).where(JOB.c.name == name, free)
    return await _one(session, statement.values(holder=holder, until=now + length, started_at=now))


async def renew(session: AsyncSession, name: str, holder: str, now: datetime, length: timedelta) -> bool:
    """Keep the lease; False if it is somebody else's by now."""
    return await _one(session, sa.update(JOB).where(JOB.c.name == name, JOB.c.holder == holder).values(until=now + length))


async def give_back(session: AsyncSession, name: str, holder: str, now: datetime, error: str | None) -> None:
    statement = sa.update(JOB).where(JOB.c.name == name, JOB.c.holder == holder)
    await session.execute(statement.values(holder=None, until=None, finished_at=now, error=error))


async def _one(session: AsyncSession, statement: sa.Update) -> bool:
    done = await session.execute(statement)
    assert isinstance(done, sa.CursorResult)
    return done.rowcount == 1


async def jobs(session: AsyncSession) -> list[Any]:
    return list((await session.execute(sa.select(JOB).order_by(JOB.c.name))).mappings().all())


async def copies(session: AsyncSession, *, with_text: bool) -> list[Any]:
    """What is kept of every source, by name."""
    columns = [column for column in COPY.c if with_text or column.name != "body"]
    return list((await session.execute(sa.select(*columns).order_by(COPY.c.name))).mappings().all())


async def save_copy(session: AsyncSession, name: str, kind: str, **values: Any) -> None:
    """Make or change the columns named of one source."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    made = {"entries": 0, "failures": 0, "format": kind} | values
    insert = dialect.insert(COPY).values(name=name, **made)
    changed = {**values, "format": kind} if "body" in values else values
    await session.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changed))


async def drop_copy(session: AsyncSession, name: str) -> None:
    await session.execute(sa.delete(COPY).where(COPY.c.name == name))


async def add_report(session: AsyncSession, report: IngestionReport) -> None:
    session.add(report)
    await session.flush()


async def reports(session: AsyncSession, *, before: str | None, limit: int, changed_only: bool) -> Sequence[IngestionReport]:
    """The newest first."""
    query = sa.select(IngestionReport).order_by(col(IngestionReport.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(IngestionReport.id) < before)
    if changed_only:
        query = query.where(col(IngestionReport.outcome).in_(("changed", "partly")))
    return (await session.execute(query)).scalars().all()


async def report(session: AsyncSession, report_id: str) -> IngestionReport | None:
    return await session.get(IngestionReport, report_id)


async def reports_to_tell(session: AsyncSession, now: datetime, limit: int) -> Sequence[IngestionReport]:
    """Those whose turn it is, the oldest first."""
    due = sa.or_(col(IngestionReport.tell_at).is_(None), col(IngestionReport.tell_at) <= now)
    query = sa.select(IngestionReport).where(col(IngestionReport.telling) == WAITING, due).order_by(col(IngestionReport.id)).limit(limit)
    return (await session.execute(query)).scalars().all()


async def mark_told(session: AsyncSession, report_id: str, telling: str, attempts: int, tell_at: datetime | None) -> None:
    statement = sa.update(REPORT).where(REPORT.c.id == report_id)
    await session.execute(statement.values(telling=telling, attempts=attempts, tell_at=tell_at))


async def forget_reports(session: AsyncSession, *, keep: int) -> None:
    """All but the newest."""
    oldest = sa.select(REPORT.c.id).order_by(REPORT.c.id.desc()).limit(1).offset(keep - 1).scalar_subquery()
    await session.execute(sa.delete(REPORT).where(REPORT.c.id < oldest))
