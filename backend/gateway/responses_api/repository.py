"""SQL of kept responses. Every statement that a caller's request leads to names the tenant."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from backend.gateway.responses_api.tables import StoredBytes, StoredResponse
from backend.gateway.rounds import LATER, Later
from backend.kernel.db import Database
from backend.kernel.json import dump_json

_id, _tenant, _previous = col(StoredResponse.id), col(StoredResponse.tenant_id), col(StoredResponse.previous_id)
_created, _until, _size = col(StoredResponse.created_at), col(StoredResponse.kept_until), col(StoredResponse.size)
_own, _bytes = col(StoredBytes.tenant_id), col(StoredBytes.bytes)

# The driver's own statements: calls that are kept or go on from others run them, and the way through the compiler costs more than a call.
_ADD = (
    "INSERT INTO stored_response (id, tenant_id, key_id, previous_id, created_at, kept_until, size, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_GROW = (
    "INSERT INTO stored_bytes (tenant_id, bytes) VALUES (?, ?)"
    " ON CONFLICT (tenant_id) DO UPDATE SET bytes = stored_bytes.bytes + excluded.bytes RETURNING bytes"
)
_LINKS = (
    "WITH RECURSIVE asked (number, tenant_id, id, most) AS ({asked}),"
    " links (number, tenant_id, id, previous_id, size, kept_until, depth, most) AS ("
    " SELECT a.number, s.tenant_id, s.id, s.previous_id, s.size, s.kept_until, 1, a.most"
    " FROM asked a JOIN stored_response s ON s.id = a.id AND s.tenant_id = a.tenant_id WHERE s.kept_until > ?"
    " UNION ALL"
    " SELECT l.number, s.tenant_id, s.id, s.previous_id, s.size, s.kept_until, l.depth + 1, l.most"
    " FROM links l JOIN stored_response s ON s.id = l.previous_id AND s.tenant_id = l.tenant_id"
    " WHERE s.kept_until > ? AND l.depth < l.most)"
    " SELECT number, id, previous_id, size, kept_until FROM links ORDER BY number, depth DESC"
)
_BODIES = (
    "WITH asked (number, tenant_id, id, most) AS ({asked})"
    " SELECT a.number, s.id, s.body FROM asked a JOIN stored_response s ON s.id = a.id AND s.tenant_id = a.tenant_id"
)
_ASKED = {
    "sqlite": (
        "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]')"
        " FROM json_each(?)"
    ),
    "postgresql": (
        "SELECT CAST(value ->> 0 AS integer), value ->> 1, value ->> 2, CAST(value ->> 3 AS integer)"
        " FROM json_array_elements(CAST(? AS json))"
    ),
}
_LINKS_HERE, _BODIES_HERE = (text.format(asked=_ASKED["sqlite"]) for text in (_LINKS, _BODIES))
_LINKS_THERE, _BODIES_THERE, _ADD_THERE, _GROW_THERE = (
    text.format(asked=_ASKED["postgresql"]).replace("?", "%s") for text in (_LINKS, _BODIES, _ADD, _GROW)
)


class Row(NamedTuple):
    """A response that is to be kept: its columns. The table's own class takes as long to build as a call takes."""

    id: str
    tenant_id: str
    key_id: str
    previous_id: str | None
    created_at: datetime
    kept_until: datetime
    size: int
    body: bytes


class Link(NamedTuple):
    """One response of a conversation, without its body."""

    id: str
    previous_id: str | None
    size: int
    kept_until: datetime


class Wanted(NamedTuple):
    """What one request reads of its tenant's: these responses, each with those before it, `most` in all."""

    tenant_id: str
    ids: tuple[str, ...]
    most: int = 1


class Found(NamedTuple):
    """The responses that are there, oldest first, and their bodies by id; without these where they are more than was asked for."""

    links: list[Link]
    bodies: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum([link.size for link in self.links])


async def keep(db: Database, rows: Sequence[Row]) -> dict[str, int]:
    """Keep them; how many bytes each of their tenants has then."""
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row.tenant_id] = sizes.get(row.tenant_id, 0) + row.size
    # In one order, in which everybody locks them.
    grown = sorted(sizes.items())

    def here(connection: sqlite3.Connection) -> dict[str, int]:
        connection.executemany(_ADD, [(*row[:4], _text(row.created_at), _text(row.kept_until), row.size, row.body) for row in rows])
        return {one[0]: connection.execute(_GROW, one).fetchone()[0] for one in grown}

    async def there(connection: AsyncConnection) -> dict[str, int]:
        await connection.exec_driver_sql(_ADD_THERE, [tuple(row) for row in rows])
        return {one[0]: (await connection.exec_driver_sql(_GROW_THERE, one)).scalar_one() for one in grown}

    return await db.transact(here, there)


async def read(db: Database, wanted: Sequence[Wanted], *, now: datetime, most_bytes: int) -> list[Found | Later]:
    """What each wants. Bodies are so many bytes at the most: of one that asks for more there are none, and one for which no room is left
    comes later."""
    asked = [(number, one.tenant_id, id_, one.most) for number, one in enumerate(wanted) for id_ in one.ids]
    data = dump_json(asked).decode()

    def here(connection: sqlite3.Connection) -> list[Found | Later]:
        instant = _text(now)
        found = _linked(len(wanted), connection.execute(_LINKS_HERE, (data, instant, instant)))
        fitting, chosen = _fitting(wanted, found, most_bytes)
        return _with_bodies(fitting, connection.execute(_BODIES_HERE, (chosen,)))

    async def there(connection: AsyncConnection) -> list[Found | Later]:
        found = _linked(len(wanted), await connection.exec_driver_sql(_LINKS_THERE, (data, now, now)))
        fitting, chosen = _fitting(wanted, found, most_bytes)
        return _with_bodies(fitting, await connection.exec_driver_sql(_BODIES_THERE, (chosen,)))

    return await db.look(here, there)


def _linked(count: int, rows: Iterable[Any]) -> list[Found]:
    found = [Found([], {}) for _ in range(count)]
    for number, id_, previous_id, size, kept_until in rows:
        instant = kept_until if isinstance(kept_until, datetime) else datetime.fromisoformat(kept_until).replace(tzinfo=UTC)
        found[number].links.append(Link(id_, previous_id, size, instant))
    return found


def _fitting(wanted: Sequence[Wanted], found: Sequence[Found], most_bytes: int) -> tuple[list[Found | Later], str]:
    """Those whose turn it is, and which bodies they want."""
    left, fitting, chosen = most_bytes, list[Found | Later](), list[tuple[int, str, str, int]]()
    for number, one in enumerate(found):
        size = one.size
        if size > left and size <= most_bytes:
            fitting.append(LATER)
            continue
        fitting.append(one)
        if size <= most_bytes:
            left -= size
            chosen += [(number, wanted[number].tenant_id, link.id, 1) for link in one.links]
    return fitting, dump_json(chosen).decode()


def _with_bodies(fitting: list[Found | Later], rows: Iterable[Any]) -> list[Found | Later]:
    for number, id_, body in rows:
        one = fitting[number]
        if isinstance(one, Found):
            one.bodies[id_] = body
    return fitting


def _text(instant: datetime) -> str:
    """As `UtcDateTime` is written in SQLite."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


async def extend(session: AsyncSession, tenant_id: str, ids: Sequence[str], until: datetime) -> None:
    """Keep them until then at least."""
    chosen = sa.update(StoredResponse).where(_tenant == tenant_id, _id.in_(ids), _until < until)
    await session.execute(chosen.values(kept_until=until))


async def remove(session: AsyncSession, tenant_id: str, response_id: str, *, now: datetime) -> bool:
    """Whether it was there."""
    return await _delete(session, sa.select(_id).where(_tenant == tenant_id, _id == response_id, _until > now)) == 1


async def sweep(session: AsyncSession, *, now: datetime, most: int) -> int:
    """Delete what is not kept any longer; how many."""
    return await _delete(session, _unlocked(sa.select(_id).where(_until <= now).order_by(_until).limit(most)))


async def crowded(session: AsyncSession, most_bytes: int) -> list[str]:
    """Tenants that keep more than so many bytes."""
    return list((await session.execute(sa.select(_own).where(_bytes > most_bytes))).scalars())


async def trim(session: AsyncSession, tenant_id: str, *, most_bytes: int, most: int) -> int:
    """Delete the tenant's oldest until no more than so many bytes are left; how many."""
    # Whoever else trims waits here, and then finds less to do.
    kept = (await session.execute(sa.select(_bytes).where(_own == tenant_id).with_for_update())).scalar_one_or_none()
    excess, ids = (kept or 0) - most_bytes, list[str]()
    oldest = sa.select(_id, _size).where(_tenant == tenant_id).order_by(_created, _id).limit(most)
    for row in await session.execute(oldest):
        if excess <= 0:
            break
        excess -= row.size
        ids.append(row.id)
    return await _delete(session, _unlocked(sa.select(_id).where(_id.in_(ids)))) if ids else 0


async def _delete(session: AsyncSession, chosen: sa.Select[str]) -> int:
    gone = (await session.execute(sa.delete(StoredResponse).where(_id.in_(chosen)).returning(_tenant, _size))).all()
    freed: dict[str, int] = {}
    for tenant_id, size in gone:
        freed[tenant_id] = freed.get(tenant_id, 0) + size
    for tenant_id, size in sorted(freed.items()):
        await session.execute(sa.update(StoredBytes).where(_own == tenant_id).values(bytes=_bytes - size))
    return len(gone)


def _unlocked(chosen: sa.Select[str]) -> sa.Select[str]:
    """Without rows that somebody else changes just now: who holds a tenant's sum must not wait for a row."""
    return chosen.with_for_update(skip_locked=True)
