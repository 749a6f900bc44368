"""The database: SQLite (one serving process) or PostgreSQL, async sessions, one unit of work.

`read()` gives a session that never commits. `write()` is the unit of work: it commits once, at the edge, rolls back on any
exception, and only then publishes the events that were emitted in it. On SQLite all writes of a process go one at a time through one
connection with `BEGIN IMMEDIATE`, so no caller ever sees "database is locked"; never keep one open across an upstream call.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel import Field, SQLModel

from backend.kernel.errors import StorageUnavailable
from backend.kernel.events import Event, EventBus

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Result = TypeVar("Result")
SQLITE_BUSY_SECONDS = 10
_READER_KIB, _WRITER_KIB = 2000, 8000
"""Of its file, what a connection to SQLite keeps to itself. Whoever reads a whole table fills it, in each of four readers; what falls out
is still with the system."""
CALLERS_PATIENCE = 1.5
EDITORS_PATIENCE = 5.0
"""Of whoever changes something: it is asked for once and by hand, and refused it may have been done all the same."""
patience: ContextVar[float | None] = ContextVar("patience", default=None)
"""How many seconds whoever is being served waits for the database; None in the background."""
_SQLITE_TROUBLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_NOMEM")
_OF_THE_DRIVER = (TimeoutError, sa.exc.DBAPIError, sa.exc.TimeoutError, AssertionError)
"""What a query ends with that is given up. psycopg asserts that nobody gives up in the midst of a pipeline."""
Json = sa.JSON().with_variant(JSONB(), "postgresql")


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware instant in UTC on both databases; a naive datetime is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given to the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Change(SQLModel, table=True):
    """One row whose version grows with every change that running processes must notice (keys, tenants, routes, prices)."""

    __tablename__ = "change"
    id: int = Field(primary_key=True)
    version: int = Field(sa_type=sa.BigInteger)


CHANGE_CHANNEL = "bourse_change"
"""Where processes hear at once that the version moved; see `notices.py`."""


@dataclass(frozen=True, slots=True)
class ChangeMarked(Event):
    """This process committed a change that running processes must notice."""


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def sync_url(url: str) -> str:
    """The URL for Alembic's synchronous engine; `postgres://`, `postgresql://` and `+driver` spellings are understood."""
    if is_sqlite(url):
        return "sqlite:" + url.partition(":")[2]
    return "postgresql+psycopg:" + url.partition(":")[2]


def async_url(url: str) -> str:
    if is_sqlite(url):
        return "sqlite+aiosqlite:" + url.partition(":")[2]
    return "postgresql+psycopg:" + url.partition(":")[2]


class UnitOfWork:
    """One transaction. `emit` hands an event to subscribers after the commit; `mark_changed` moves the change feed with it."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    async def mark_changed(self) -> None:
        """Let every process reload what it holds in memory, once this transaction is committed."""
        await self.session.execute(sa.update(Change).where(sa.column("id") == 1).values(version=sa.text("version + 1")))
        if self.session.get_bind().dialect.name == "postgresql":
            await self.session.execute(sa.select(sa.func.pg_notify(CHANGE_CHANNEL, "")))
        if not any(isinstance(event, ChangeMarked) for event in self.events):
            self.emit(ChangeMarked())


class Database:
    """Owns the engines of one process. Build with `open`, end with `close`."""

    def __init__(self, url: str, reader: AsyncEngine, writer: AsyncEngine, events: EventBus) -> None:
        self.url = url
        self._reader = reader
        self._writer = writer
        self.events = events
        self._write_lock = asyncio.Lock() if is_sqlite(url) else None

    @classmethod
    def open(cls, url: str, events: EventBus, *, pool_size: int = 10, echo: bool = False) -> "Database":
        """Engines for the URL; connects lazily. Creates the folder of a SQLite file."""
        if is_sqlite(url):
            path = sa.make_url(url).database
            if path and path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            reader = _sqlite_engine(url, pool_size=4, begin="BEGIN", kib=_READER_KIB, echo=echo)
            writer = _sqlite_engine(url, pool_size=1, begin="BEGIN IMMEDIATE", kib=_WRITER_KIB, echo=echo)
            return cls(url, reader, writer, events)
        from backend.kernel.postgres import Connection

        engine = create_async_engine(
            async_url(url),
            echo=echo,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=2,
            pool_recycle=1800,
            connect_args={"connect_timeout": 2, "async_creator_fn": Connection.connect},
        )

        @sa.event.listens_for(engine.sync_engine, "handle_error")
        def _drop(context: sa.engine.ExceptionContext) -> None:
            # Of a pipeline that was left in its midst: what the connection says next is an answer to what nobody waits for.
            if isinstance(context.original_exception, AssertionError):
                context.is_disconnect = True
                context.invalidate_pool_on_disconnect = False

        return cls(url, engine, engine, events)

    @property
    def dialect(self) -> str:
        return "sqlite" if is_sqlite(self.url) else "postgresql"

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for reading; whatever it changes is rolled back. Rows stay readable afterwards.

        Raises:
            StorageUnavailable: the database is away, full or overloaded, or takes longer than `patience`.
        """
        async with _as_unavailable(), AsyncSession(self._reader, expire_on_commit=False) as session:
            try:
                yield session
            finally:
                # Rows outlive the session: a rollback would expire those that are still in it.
                session.expunge_all()
                await session.rollback()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        """The unit of work: commit on leaving, roll back on an exception, then publish its events.

        Raises:
            StorageUnavailable: the database is away, full or overloaded, or takes longer than `patience`; nothing was changed, unless
                it went away in the middle of the commit.
        """
        async with (
            _as_unavailable(),
            self._write_lock or nullcontext(),
            AsyncSession(self._writer, expire_on_commit=False) as session,
        ):
            unit = UnitOfWork(session)
            async with session.begin():
                yield unit
        for event in unit.events:
            self.events.publish(event)

    async def transact(self, here: Callable[[sqlite3.Connection], Result], there: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """A transaction without a session, for whoever makes many: committed once it returns, rolled back when it raises.

        Args:
            here: SQLite runs it on the connection's thread, in one trip with what begins and ends the transaction.
            there: what PostgreSQL runs.

        Raises:
            StorageUnavailable: as `write`, but on SQLite it may be committed later all the same.
        """
        if self._write_lock is not None:
            async with _as_unavailable(), self._write_lock, self._writer.connect() as connection:
                return await _in_one_trip(connection, "BEGIN IMMEDIATE", here)
        async with _as_unavailable(), self._writer.begin() as connection:
            return await there(connection)

    async def look(self, here: Callable[[sqlite3.Connection], Result], there: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """As `transact`, for what is only read.

        Raises:
            StorageUnavailable: as `read`.
        """
        async with _as_unavailable(), self._reader.connect() as connection:
            if self._write_lock is not None:
                return await _in_one_trip(connection, "BEGIN", here)
            return await there(connection)

    async def change_version(self) -> int:
        async with self.read() as session:
            return int((await session.execute(sa.text("SELECT version FROM change WHERE id = 1"))).scalar_one())

    async def ping(self) -> None:
        """One round trip. Raises StorageUnavailable."""
        async with self.read() as session:
            await session.execute(sa.text("SELECT 1"))

    async def sync(self) -> None:
        """What is committed survives a power cut from now on. On PostgreSQL it did before; SQLite leaves commits to the system's memory."""
        file = sa.make_url(self.url).database
        if self._write_lock is not None and file:
            with suppress(FileNotFoundError):
                await asyncio.to_thread(_sync, f"{file}-wal")

    async def close(self) -> None:
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()


@contextmanager
def patiently() -> Iterator[None]:
    """For reading what many are then answered with: given up as early as one caller would, a process that is overloaded, and reads slowly,
    never had it to keep, and everybody read in vain."""
    own = patience.get()
    before = patience.set(None if own is None else max(own, EDITORS_PATIENCE))
    try:
        yield
    finally:
        patience.reset(before)


@asynccontextmanager
async def _as_unavailable() -> AsyncIterator[None]:
    """What the storage itself cannot do just now, as the caller's 503; mistakes of ours (no such table) stay what they are."""
    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task is not None else 0
    limit = asyncio.timeout(patience.get())
    try:
        async with limit:
            yield
    except Exception as error:
        if limit.expired() and isinstance(error, _OF_THE_DRIVER):
            raise StorageUnavailable(retry_after=2) from error
        if task is not None and task.cancelling() > cancelled_before:
            # The driver broke over the cancellation, which must not get lost: a task that is told to end has to end.
            raise asyncio.CancelledError from error
        if _is_storage_trouble(error):
            raise StorageUnavailable(retry_after=2) from error
        raise


async def _in_one_trip(connection: AsyncConnection, begin: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    # aiosqlite runs functions of its own in this way; it has no public name for it.
    result: Result = await driver._execute(_transacted, driver._conn, begin, work)
    return result


def _transacted(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
    try:
        connection.execute(begin)
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True) from error
    return result


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _is_storage_trouble(error: Exception) -> bool:
    if isinstance(error, sa.exc.TimeoutError):
        return True
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).startswith(_SQLITE_TROUBLE)
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)


def _sqlite_engine(url: str, *, pool_size: int, begin: str, kib: int, echo: bool) -> AsyncEngine:
    engine = create_async_engine(
        async_url(url),
        echo=echo,
        hide_parameters=True,  # an error's text ends up in the log, and what was bound may be an address or a hash
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_reset_on_return=None,
        connect_args={"timeout": SQLITE_BUSY_SECONDS},
    )

    @sa.event.listens_for(engine.sync_engine, "reset")
    def _reset(connection: Any, _record: Any, _state: Any) -> None:
        # The pool's own way is to roll back in any case, which is a trip to the connection's thread.
        if connection.driver_connection.in_transaction:
            connection.rollback()

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver's own implicit transactions would begin DEFERRED and fail on upgrade; we begin ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"busy_timeout={SQLITE_BUSY_SECONDS * 1000}",
            f"cache_size=-{kib}",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
