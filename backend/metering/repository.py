"""SQL of the ledger. Writing is raw SQL for speed: one prepared statement per table, as many rows as a batch has."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, reduce
from operator import add
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from backend.kernel.statements import Statement, execute_each
from backend.metering.record import ANSWER_TOKENS, ATTEMPT_FIELDS, CALL_FIELDS, PROMPT_TOKENS, TOKENS, CallRecord
from backend.metering.rollups.gather import ALL, FACTS
from backend.metering.rollups.tables import RollupSeries
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
_FACTS_CREATED = FACTS.index("created_us")
_MICROSECOND = timedelta(microseconds=1)
ID = CALL_FIELDS.index("id")
_CREATED = CALL_FIELDS.index("created_us")
_STREAM, _OVERRUN = CALL_FIELDS.index("stream"), CALL_FIELDS.index("overrun")
_PRICES, _TAGS = CALL_FIELDS.index("price_ids"), CALL_FIELDS.index("tags")
_ATTEMPT_PRICES, _ATTEMPT_USAGE = ATTEMPT_FIELDS.index("price_ids"), ATTEMPT_FIELDS.index("usage")


class WrittenMeanwhile(Exception):
    """Some of these calls are in the ledger already: the transaction must not commit, and may be tried again."""


async def insert_finals(
    session: AsyncSession,
    finals: Sequence[Final],
    *,
    fresh: bool = False,
    also: Callable[[list[Final]], Iterable[Statement]] = lambda _: (),
) -> list[Final]:
    """Write calls with their attempts, and return those that were not there yet; what is, by the call's id, stays as it is.

    Args:
        fresh: nothing of them is expected to be there; they are written without looking, which is a fifth cheaper.
        also: what else is written, after them, for the calls that are new.

    Raises:
        WrittenMeanwhile: a call was there that was called fresh, or came to be there while we were writing it.
    """
    new = list(finals)
    if not fresh:
        there = await ids_there(session, [row[ID] for row, _ in finals])
        new = list({final[0][ID]: final for final in finals if final[0][ID] not in there}.values())
    if not new:
        return []
    sqlite = session.get_bind().dialect.name == "sqlite"
    calls = Statement(_INSERT_CALL, [_call_values(row, sqlite) for row, _ in new], WrittenMeanwhile)
    attempts = Statement(_INSERT_ATTEMPT, [_attempt_values(row[ID], attempt) for row, tries in new for attempt in tries])
    await execute_each(session, (calls, attempts, *also(new)))
    return new


_KEPT_IN_BARE = frozenset(
    {"id", "tenant_id", "user_id", "key_id", "endpoint", "created_us", "outcome", "status", "charged_nano", "overrun", "reservations"}
)


def bare(final: Final) -> Final:
    """Of a call that the database does not take: whose it was, when, and what it was charged."""
    row, _ = final
    plain = astuple(CallRecord(id=row[ID], request_id="", tenant_id="", user_id=None, key_id="", endpoint="", created_us=0))
    return [row[at] if name in _KEPT_IN_BARE else plain[at] for at, name in enumerate(CALL_FIELDS)], []


async def ids_there(session: AsyncSession, ids: Sequence[str]) -> set[str]:
    """Which of these calls are in the ledger."""
    return set((await session.execute(sa.select(col(Call.id)).where(col(Call.id).in_(ids)))).scalars())


def _call_values(row: Row, sqlite: bool) -> tuple[Any, ...]:
    """A call's columns as both drivers take them: JSON as text; on SQLite instants in the text form of SQLAlchemy's own type, and flags as
    the numbers that they become, or the driver asks each how it wants to be adapted."""
    values = list(row)
    if sqlite:
        seconds, micros = divmod(row[_CREATED], 1_000_000)
        values[_CREATED] = f"{_second(seconds)}.{micros:06}"
        values[_STREAM], values[_OVERRUN] = +row[_STREAM], +row[_OVERRUN]
    else:
        values[_CREATED] = _EPOCH + timedelta(microseconds=row[_CREATED])
    values[_PRICES] = _json(row[_PRICES])
    values[_TAGS] = _json(row[_TAGS])
    reservations = row[RESERVATIONS]
    values[RESERVATIONS] = _json([budget_id for _, budget_id, _, _ in reservations])
    values.append(_day(reservations[0][2], sqlite) if reservations else None)
    return tuple(values)


def _attempt_values(call_id: str, row: Row) -> tuple[Any, ...]:
    values = [call_id, *row]
    values[_ATTEMPT_PRICES + 1] = _json(row[_ATTEMPT_PRICES])
    values[_ATTEMPT_USAGE + 1] = orjson.dumps(row[_ATTEMPT_USAGE]).decode()
    return tuple(values)


def _json(values: Sequence[str]) -> str:
    return orjson.dumps(values).decode() if values else "[]"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")


@lru_cache(maxsize=64)
def _day(ordinal: int, sqlite: bool) -> date | str:
    day = date.fromordinal(ordinal)
    return day.isoformat() if sqlite else day


def _insert(table: str, columns: Sequence[str]) -> str:
    """The statement of a table; names come from our own dataclasses, never from outside."""
    quoted = ", ".join([f'"{column}"' for column in columns])
    places = ", ".join(["?"] * len(columns))
    return f'INSERT INTO "{table}" ({quoted}) VALUES ({places}) ON CONFLICT DO NOTHING'


_INSERT_CALL = _insert("call", _CALL_COLUMNS)
_INSERT_ATTEMPT = _insert("call_attempt", ("call_id", *ATTEMPT_FIELDS))


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


async def used_since(
    session: AsyncSession, tenant_id: str, since: datetime, *, key_id: str | None = None, user_id: str | None = None
) -> tuple[int, int]:
    """Calls that were let in from an instant on, and their tokens: of a tenant, or of one key or user in it."""
    tokens = reduce(add, [col(getattr(Call, name)) for name in TOKENS])
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(tokens), 0))
    query = query.where(col(Call.tenant_id) == tenant_id, col(Call.created_at) >= since, col(Call.outcome) != "refused")
    if key_id is not None:
        query = query.where(col(Call.key_id) == key_id)
    if user_id is not None:
        query = query.where(col(Call.user_id) == user_id)
    calls, used = (await session.execute(query)).one()
    return int(calls), int(used)


async def facts_between(
    session: AsyncSession, tenant_id: str | None, where: Mapping[str, Sequence[str]], since: datetime, until: datetime
) -> Iterator[Row]:
    """Calls that began in [since, until), each with `FACTS`; of one tenant or all, with these values in some dimensions."""
    query = sa.select(*[col(getattr(Call, _COLUMN_OF.get(name, name))) for name in FACTS])
    # By tenant also where all are meant: the index begins with it.
    tenants = (
        [tenant_id]
        if tenant_id is not None
        else sa.select(col(RollupSeries.tenant_id)).where(col(RollupSeries.tenant_id) != ALL).distinct()
    )
    query = query.where(col(Call.tenant_id).in_(tenants), col(Call.created_at) >= since, col(Call.created_at) < until)
    for dimension, values in where.items():
        query = query.where(sa.func.coalesce(getattr(Call, dimension), "").in_(values))
    found = await session.execute(query)
    return ((*row[:_FACTS_CREATED], (row[_FACTS_CREATED] - _EPOCH) // _MICROSECOND, *row[_FACTS_CREATED + 1 :]) for row in found)


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
        input_tokens=sum(getattr(call, name) for name in PROMPT_TOKENS),
        cached_tokens=call.cache_read_tokens,
        output_tokens=sum(getattr(call, name) for name in ANSWER_TOKENS),
        reasoning_tokens=call.reasoning_tokens,
        usage_source=call.usage_source,
        charged_nano=call.charged_nano,
        price_state=call.price_state,
        latency_ms=call.latency_ms,
        first_token_ms=call.first_token_ms,
        attempts=call.attempts,
        overrun=call.overrun,
        saved_nano=call.saved_nano,
        unit=call.unit,
        quantity=call.quantity,
        audio_input_tokens=call.audio_input_tokens,
        audio_output_tokens=call.audio_output_tokens,
    )


def row_by_names(values: Sequence[Any], names: Sequence[str], wanted: Sequence[str], defaults: Mapping[str, Any]) -> list[Any]:
    """A row of an older journal in today's column order; columns that it did not have get their default."""
    known = dict(zip(names, values, strict=False))
    return [known.get(name, defaults.get(name)) for name in wanted]
