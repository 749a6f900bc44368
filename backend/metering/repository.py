"""SQL of the ledger. Writing is raw SQL for speed: one prepared statement per table, as many rows as a batch has."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.identity.tables import Tenant
from backend.metering.record import ATTEMPT_FIELDS, CALL_FIELDS
from backend.metering.schemas import CallSummary
from backend.metering.tables import Call

Row = Sequence[Any]
Final = tuple[Row, Sequence[Row]]
"""One call and its attempts, values in the order of `CALL_FIELDS` and `ATTEMPT_FIELDS`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMN_OF = {"created_us": "created_at", "reservations": "budget_ids"}
_CALL_COLUMNS = (*(_COLUMN_OF.get(name, name) for name in CALL_FIELDS), "budget_day")
RESERVATIONS = CALL_FIELDS.index("reservations")
CHARGED = CALL_FIELDS.index("charged_nano")
_ID = CALL_FIELDS.index("id")
_CREATED = CALL_FIELDS.index("created_us")
_CALL_JSON = (CALL_FIELDS.index("price_ids"), CALL_FIELDS.index("tags"), RESERVATIONS)
_ATTEMPT_JSON = (ATTEMPT_FIELDS.index("price_ids"), ATTEMPT_FIELDS.index("usage"))


class WrittenMeanwhile(Exception):
    """Somebody else wrote some of these calls at the same time: the transaction must not commit, and may be tried again."""


async def insert_finals(session: AsyncSession, finals: Sequence[Final]) -> list[Final]:
    """Write calls with their attempts, and return those that were not there yet; what is, by the call's id, stays as it is.

    Raises:
        WrittenMeanwhile: a call came to be there while we were writing it.
    """
    connection = await session.connection()
    sqlite = connection.dialect.name == "sqlite"
    there = await _ids_already_there(session, [row[_ID] for row, _ in finals])
    finals = list({final[0][_ID]: final for final in finals if final[0][_ID] not in there}.values())
    if not finals:
        return []
    calls = [_bound(row, _CALL_JSON, sqlite) for row, _ in finals]
    for bound, (row, _) in zip(calls, finals, strict=True):
        reservations = row[RESERVATIONS]
        bound[RESERVATIONS] = orjson.dumps([budget_id for _, budget_id, _, _ in reservations]).decode()
        day = date.fromordinal(reservations[0][2]) if reservations else None
        bound.append(day.isoformat() if day is not None and sqlite else day)
        created = _EPOCH + timedelta(microseconds=bound[_CREATED])
        # The text form in which SQLAlchemy's own type keeps an instant on SQLite.
        bound[_CREATED] = created.replace(tzinfo=None).isoformat(" ", "microseconds") if sqlite else created
    inserted = await connection.exec_driver_sql(_insert("call", _CALL_COLUMNS, sqlite), [tuple(bound) for bound in calls])
    if inserted.rowcount != len(calls):
        raise WrittenMeanwhile
    attempts = [tuple([row[0], *_bound(attempt, _ATTEMPT_JSON, sqlite)]) for row, tries in finals for attempt in tries]
    if attempts:
        await connection.exec_driver_sql(_insert("call_attempt", ("call_id", *ATTEMPT_FIELDS), sqlite), attempts)
    return finals


async def _ids_already_there(session: AsyncSession, ids: Sequence[str]) -> set[str]:
    return set((await session.execute(sa.select(col(Call.id)).where(col(Call.id).in_(ids)))).scalars())


def _bound(row: Row, json_columns: tuple[int, ...], sqlite: bool) -> list[Any]:  # noqa: ARG001 - both drivers take JSON as text
    bound = list(row)
    for index in json_columns:
        bound[index] = orjson.dumps(bound[index]).decode()
    return bound


_INSERTS: dict[tuple[str, bool], str] = {}


def _insert(table: str, columns: Sequence[str], sqlite: bool) -> str:
    """The statement of a table; names come from our own dataclasses, never from outside."""
    statement = _INSERTS.get((table, sqlite))
    if statement is None:
        quoted = ", ".join(f'"{column}"' for column in columns)
        places = ", ".join(["?" if sqlite else "%s"] * len(columns))
        statement = f'INSERT INTO "{table}" ({quoted}) VALUES ({places}) ON CONFLICT DO NOTHING'
        _INSERTS[(table, sqlite)] = statement
    return statement


def of_tenant(tenant_id: str) -> sa.Select[Call]:
    """Where every reading of the ledger starts."""
    return sa.select(Call).where(col(Call.tenant_id) == tenant_id)


async def recent(session: AsyncSession, tenant_id: str, limit: int) -> list[CallSummary]:
    query = of_tenant(tenant_id).order_by(col(Call.created_at).desc(), col(Call.id).desc()).limit(limit)
    return [_summary(call) for call in (await session.execute(query)).scalars()]


async def of_key(
    session: AsyncSession, tenant_id: str, key_id: str, *, limit: int, before: tuple[datetime, str] | None, since: datetime | None
) -> list[CallSummary]:
    """A key's calls, newest first: from an instant on, and in that order after the call at `before`."""
    query = of_tenant(tenant_id).where(col(Call.key_id) == key_id)
    if since is not None:
        query = query.where(col(Call.created_at) >= since)
    if before is not None:
        instant, call_id = before
        # The first condition alone is what the index understands.
        query = query.where(col(Call.created_at) <= instant, sa.or_(col(Call.created_at) < instant, col(Call.id) < call_id))
    query = query.order_by(col(Call.created_at).desc(), col(Call.id).desc()).limit(limit)
    return [_summary(call) for call in (await session.execute(query)).scalars()]


async def spend_since(session: AsyncSession, tenant_id: str, since: datetime, until: datetime | None = None) -> tuple[int, int]:
    """Nano-dollars charged, and calls, from an instant on and before another."""
    wanted = of_tenant(tenant_id).where(col(Call.created_at) >= since)
    calls = (wanted if until is None else wanted.where(col(Call.created_at) < until)).subquery()
    query = sa.select(sa.func.coalesce(sa.func.sum(calls.c.charged_nano), 0), sa.func.count())
    nano, count = (await session.execute(query.select_from(calls))).one()
    return int(nano), int(count)


async def time_zone(session: AsyncSession, tenant_id: str) -> str | None:
    return (await session.execute(sa.select(col(Tenant.timezone)).where(col(Tenant.id) == tenant_id))).scalar_one_or_none()


def _summary(call: Call) -> CallSummary:
    return CallSummary(
        id=call.id,
        request_id=call.request_id,
        created_at=call.created_at,
        key_id=call.key_id,
        endpoint=call.endpoint,
        requested_model=call.requested_model,
        provider=call.provider,
        model=call.model,
        outcome=call.outcome,
        status=call.status,
        error_code=call.error_code,
        stream=call.stream,
        input_tokens=call.input_tokens + call.cache_read_tokens + call.cache_write_tokens + call.audio_input_tokens,
        cached_tokens=call.cache_read_tokens,
        output_tokens=call.output_tokens + call.reasoning_tokens + call.audio_output_tokens,
        reasoning_tokens=call.reasoning_tokens,
        usage_source=call.usage_source,
        charged_nano=call.charged_nano,
        price_state=call.price_state,
        latency_ms=call.latency_ms,
        first_token_ms=call.first_token_ms,
        attempts=call.attempts,
        overrun=call.overrun,
    )


def row_by_names(values: Sequence[Any], names: Sequence[str], wanted: Sequence[str], defaults: Mapping[str, Any]) -> list[Any]:
    """A row of an older journal in today's column order; columns that it did not have get their default."""
    known = dict(zip(names, values, strict=False))
    return [known.get(name, defaults.get(name)) for name in wanted]
