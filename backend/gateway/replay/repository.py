"""SQL of replays. Every statement that changes a claimed row names its holder: who lost the claim changes nothing.

Instants are PostgreSQL's own, because replicas' clocks may differ; one SQLite file has one serving process, whose `now` serves.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.gateway.replay.tables import Replay
from backend.kernel.db import UtcDateTime

_AT_ONCE = timedelta(0)
_id, _holder, _held_until, _answer = col(Replay.id), col(Replay.holder), col(Replay.held_until), col(Replay.answer)

Holders = Mapping[str, str]
"""Holder of the claim → id of the row."""


async def claim(session: AsyncSession, row: dict[str, Any], *, now: datetime, lease: timedelta) -> tuple[str, bytes | None] | None:
    """Take a key that nobody holds: None. Otherwise the fingerprint and the answer (None while it is awaited) of who does.

    Args:
        row: `id`, `tenant_id`, `key_id`, `fingerprint` and the new `holder`.
    """
    values = {**row, "held_until": _in(lease, session, now), "answer": None}
    changed = {name: value for name, value in values.items() if name != "id"}
    is_over = _held_until <= _in(_AT_ONCE, session, now)
    statement = _insert(session).values(values).on_conflict_do_update(index_elements=["id"], set_=changed, where=is_over)
    while True:
        if (await session.execute(statement.returning(_id))).one_or_none() is not None:
            return None
        found = (await session.execute(sa.select(col(Replay.fingerprint), _answer).where(_id == row["id"]))).one_or_none()
        if found is not None:
            return found[0], found[1]
        # It was given up between the two statements.


async def renew(session: AsyncSession, holders: Holders, *, now: datetime, lease: timedelta) -> set[str]:
    """Those of the holders that still have their claim, now for another lease."""
    query = sa.update(Replay).where(*_claims_of(holders)).values(held_until=_in(lease, session, now))
    return set((await session.execute(query.returning(_holder))).scalars())


async def keep(session: AsyncSession, row: dict[str, Any], *, now: datetime, span: timedelta) -> bool:
    """Store the answer of a holder (`row` as for `claim`, and `answer`), unless somebody else has claimed the key since."""
    values = {**row, "held_until": _in(span, session, now)}
    changed = {"answer": values["answer"], "held_until": values["held_until"]}
    # A claim whose lease is over may be swept already; as long as nobody took the key after it, this is the one success.
    statement = _insert(session).values(values).on_conflict_do_update(index_elements=["id"], set_=changed, where=_holder == row["holder"])
    return (await session.execute(statement.returning(_id))).one_or_none() is not None


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


def _insert(session: AsyncSession) -> Any:
    """Both dialects have the same ON CONFLICT, each in a class of its own."""
    return (sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert)(Replay)
