"""SQL of replays. Every statement that changes a claimed row names its holder: who lost the claim changes nothing.

Instants are PostgreSQL's own, because replicas' clocks may differ; one SQLite file has one serving process, whose `now` serves.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from backend.gateway.replay.tables import Replay
from backend.kernel.db import Database, UtcDateTime

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
_FIND = "SELECT fingerprint, answer FROM replay WHERE id = ?"
_KEEP = (
    "INSERT INTO replay (id, tenant_id, key_id, fingerprint, holder, held_until, answer) VALUES (?, ?, ?, ?, ?, {in}, ?)"
    " ON CONFLICT (id) DO UPDATE SET held_until = excluded.held_until, answer = excluded.answer"
    " WHERE replay.holder = excluded.holder RETURNING id"
)
_FREE = "DELETE FROM replay WHERE id = ? AND holder = ? AND answer IS NULL RETURNING id"
_INSTANTS = {"sqlite": {"in": "?", "now": "?"}, "postgresql": {"in": "clock_timestamp() + ?", "now": "clock_timestamp()"}}


class Row(NamedTuple):
    """Of a claim, in the order of its columns."""

    id: str
    tenant_id: str
    key_id: str
    fingerprint: str
    holder: str


class Wish(NamedTuple):
    """Statements with their values that are run one after another until one returns a row."""

    id: str
    statements: tuple[tuple[str, tuple[object, ...]], ...]


Granted = tuple[int, tuple[Any, ...]] | None
"""Which statement returned a row, and the row."""


def claiming(dialect: str, row: Row, *, now: datetime, lease: timedelta) -> Wish:
    """Take a key that nobody holds: granted 0. Else 1 with the fingerprint and the answer (None while it is awaited) of who does.

    Not granted at all, it was given up between the two statements.
    """
    values = (*row, _text(now + lease), _text(now)) if dialect == "sqlite" else (*row, lease)
    # What the first did is asked of the row that it returns: psycopg does not count those of an upsert.
    return Wish(row.id, ((_CLAIM, values), (_FIND, (row.id,))))


def keeping(dialect: str, row: Row, answer: bytes, *, now: datetime, span: timedelta) -> Wish:
    """Store the answer of a holder, unless somebody else has claimed the key since.

    A claim whose lease is over may be swept already; as long as nobody took the key after it, this is the one success.
    """
    return Wish(row.id, ((_KEEP, (*row, _text(now + span) if dialect == "sqlite" else span, answer)),))


def freeing(row: Row) -> Wish:
    """Give up a claim that comes to nothing."""
    return Wish(row.id, ((_FREE, (row.id, row.holder)),))


async def grant(db: Database, wishes: Sequence[Wish]) -> list[Granted]:
    """What became of each, in one transaction. Rows are locked in the order of their ids, by everybody."""
    order = sorted(range(len(wishes)), key=lambda at: wishes[at].id)
    due = [wishes[at] for at in order]
    granted = await db.transact(partial(_grant_here, wishes=due), partial(_grant_there, wishes=due))
    return [one for _, one in sorted(zip(order, granted, strict=True), key=itemgetter(0))]


def _grant_here(connection: sqlite3.Connection, wishes: Sequence[Wish]) -> list[Granted]:
    found: list[Granted] = []
    for wish in wishes:
        one: Granted = None
        for number, (text, values) in enumerate(wish.statements):
            rows = connection.execute(text.format_map(_INSTANTS["sqlite"]), values).fetchall()
            if rows:
                one = number, rows[0]
                break
        found.append(one)
    return found


async def _grant_there(connection: AsyncConnection, wishes: Sequence[Wish]) -> list[Granted]:
    found: list[Granted] = []
    for wish in wishes:
        one: Granted = None
        for number, (text, values) in enumerate(wish.statements):
            spelled = text.format_map(_INSTANTS["postgresql"]).replace("?", "%s")
            row = (await connection.exec_driver_sql(spelled, values)).one_or_none()
            if row is not None:
                one = number, tuple(row)
                break
        found.append(one)
    return found


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


def _text(instant: datetime) -> str:
    """As `UtcDateTime` is written in SQLite."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
