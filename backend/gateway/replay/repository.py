"""SQL of replays. Every statement that changes a claimed row names its holder: who lost the claim changes nothing.

Instants are PostgreSQL's own, because replicas' clocks may differ; one SQLite file has one serving process, whose `now` serves.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.gateway.replay.tables import Replay
from backend.kernel.db import UtcDateTime

_AT_ONCE = timedelta(0)
_id, _holder, _held_until, _answer = col(Replay.id), col(Replay.holder), col(Replay.held_until), col(Replay.answer)

Holders = Mapping[str, str]
"""Holder of the claim → id of the row."""

# The driver's own statements: every keyed call runs the first and the second, and the way through the compiler costs as much again.
_CLAIM = (
    "INSERT INTO replay (id, tenant_id, key_id, fingerprint, holder, held_until) VALUES (?, ?, ?, ?, ?, {in}) ON CONFLICT (id) DO UPDATE"
    " SET fingerprint = excluded.fingerprint, holder = excluded.holder, held_until = excluded.held_until, answer = NULL"
    " WHERE replay.held_until <= {now} RETURNING id"
)
_KEEP = (
    "INSERT INTO replay (id, tenant_id, key_id, fingerprint, holder, held_until, answer) VALUES (?, ?, ?, ?, ?, {in}, ?)"
    " ON CONFLICT (id) DO UPDATE SET held_until = excluded.held_until, answer = excluded.answer"
    " WHERE replay.holder = excluded.holder RETURNING id"
)
_FIND = "SELECT fingerprint, answer FROM replay WHERE id = ?"
_INSTANTS = {"sqlite": {"in": "?", "now": "?"}, "postgresql": {"in": "clock_timestamp() + ?", "now": "clock_timestamp()"}}


class Row(NamedTuple):
    """Of a claim, in the order of its columns."""

    id: str
    tenant_id: str
    key_id: str
    fingerprint: str
    holder: str


async def claim(session: AsyncSession, row: Row, *, now: datetime, lease: timedelta) -> tuple[str, bytes | None] | None:
    """Take a key that nobody holds: None. Otherwise the fingerprint and the answer (None while it is awaited) of who does."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    values = (*row, _text(now + lease), _text(now)) if is_sqlite else (*row, lease)
    while True:
        # What it did is asked of the rows that it returns: psycopg does not count those of an upsert.
        if await _run(session, _CLAIM, values) is not None:
            return None
        found = await _run(session, _FIND, (row.id,))
        if found is not None:
            return found[0], found[1]
        # It was given up between the two statements.


async def keep(session: AsyncSession, row: Row, answer: bytes, *, now: datetime, span: timedelta) -> bool:
    """Store the answer of a holder, unless somebody else has claimed the key since.

    A claim whose lease is over may be swept already; as long as nobody took the key after it, this is the one success.
    """
    until: object = _text(now + span) if session.get_bind().dialect.name == "sqlite" else span
    return await _run(session, _KEEP, (*row, until, answer)) is not None


async def renew(session: AsyncSession, holders: Holders, *, now: datetime, lease: timedelta) -> set[str]:
    """Those of the holders that still have their claim, now for another lease."""
    query = sa.update(Replay).where(*_claims_of(holders)).values(held_until=_in(lease, session, now))
    return set((await session.execute(query.returning(_holder))).scalars())


async def free(session: AsyncSession, holders: Holders) -> None:
    """Give up claims that come to nothing."""
    await session.execute(sa.delete(Replay).where(*_claims_of(holders)))


async def sweep(session: AsyncSession, *, now: datetime, most: int) -> int:
    """Delete rows whose time is over; how many."""
    over = sa.select(_id).where(_held_until <= _in(_AT_ONCE, session, now)).order_by(_held_until).limit(most)
    if session.get_bind().dialect.name == "postgresql":
        over = over.with_for_update(skip_locked=True)
    return len((await session.execute(sa.delete(Replay).where(_id.in_(over)).returning(_id))).all())


def _claims_of(holders: Holders) -> tuple[Any, ...]:
    # By the primary key first: holders have no index of their own.
    return _id.in_(sorted(holders.values())), _holder.in_(sorted(holders)), _answer.is_(None)


def _in(span: timedelta, session: AsyncSession, now: datetime) -> Any:
    if session.get_bind().dialect.name == "sqlite":
        return sa.literal(now + span, UtcDateTime())
    return sa.func.clock_timestamp(type_=sa.DateTime(timezone=True)) + span


async def _run(session: AsyncSession, statement: str, values: tuple[object, ...]) -> Any:
    """The one row that a statement returns, or None."""
    connection = await session.connection()
    dialect = connection.dialect.name
    text = statement.format_map(_INSTANTS[dialect])
    return (await connection.exec_driver_sql(text if dialect == "sqlite" else text.replace("?", "%s"), values)).one_or_none()


def _text(instant: datetime) -> str:
    """As `UtcDateTime` is written in SQLite."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
