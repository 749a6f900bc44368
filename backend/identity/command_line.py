"""The operator at the command line: who he is, what he has at hand, and how what he asks for ends.

Whoever may run commands beside the database file or with its password is the operator: he acts as `system:cli`, a super admin, and the
audit log has his name in the operating system. Commands call the same services as pages and APIs, so the same rules hold, and a running
server hears of every change.
"""

import asyncio
import os
import pwd
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, TypeVar

import typer

from backend.audit.service import AuditService
from backend.configuration import ConfigurationError, load_settings
from backend.identity.end_users import canonical_end_user, end_user_id
from backend.identity.principal import Principal, system
from backend.identity.schemas import TenantView
from backend.identity.service import IdentityService
from backend.kernel import migrations
from backend.kernel.clock import Clock, SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, BourseError, NotFound, StorageUnavailable
from backend.kernel.events import EventBus
from backend.kernel.money import nano_from_usd
from backend.kernel.terminal import REFUSED, UNAVAILABLE, WRONG_USE, fail
from backend.settings import Settings

T = TypeVar("T")

TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="Slug or id.")]
OfUser = Annotated[str | None, typer.Option("--user", metavar="EMAIL", help="That of a person in the tenant, not the tenant's own.")]
OfEndUser = Annotated[
    str | None, typer.Option("--end-user", metavar="NAME", help="With `--key`: that of an end user of the key, as `user` names him.")
]
OfKey = Annotated[str | None, typer.Option("--key", metavar="KEY", help="That of a key of the tenant, not the tenant's own.")]

_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Hand:
    """What a command works with. `principal` is the operator."""

    settings: Settings
    clock: Clock
    db: Database
    audit: AuditService
    identity: IdentityService
    principal: Principal

    async def place(self, tenant: str, user: str | None, key: str | None, end_user: str | None = None) -> tuple[TenantView, str, str]:
        """The tenant, and the scope and its id that the options name: the tenant itself, or a person, key or key's end user in it."""
        if user is not None and key is not None:
            raise BadRequest("Name a user or a key, not both.")
        if end_user is not None and key is None:
            raise BadRequest("An end user is one of a key: name it with --key.")
        found = await self.identity.tenants.get(self.principal, tenant)
        if user is not None:
            return found, "user", (await self.identity.user(self.principal, user)).id
        if key is not None:
            view = await self.identity.keys.find(self.principal, key)
            if view.tenant_id != found.id:
                raise NotFound("There is no such key in this tenant.")
            if end_user is not None:
                return found, "end_user", end_user_id(view.id, canonical_end_user(end_user))
            return found, "key", view.id
        return found, "tenant", found.id

    async def names_in(self, tenant: TenantView) -> dict[str, str]:
        """What people call the tenant, everybody in it and its keys, by id."""
        members = await self.identity.tenants.members(self.principal, tenant.id)
        keys = await self.identity.keys.of_tenant(self.principal, tenant.id)
        people = {member.user_id: member.email for member in members}
        return {tenant.id: tenant.slug} | people | {key.id: key.public_id for key in keys}


def carry_out(work: Callable[[Hand], Awaitable[T]]) -> T:
    """Do the work with an open database; what goes wrong becomes one sentence and an exit code.

    Raises:
        typer.Exit: 1 refused, 2 wrong use or configuration, 3 the database is out of reach.
    """
    try:
        return asyncio.run(_with_hand(work))
    except ConfigurationError as error:
        raise fail(f"The configuration cannot be used:\n{error}", WRONG_USE) from None
    except migrations.NotMigrated as error:
        raise fail(f"Nothing was done: {error}.", UNAVAILABLE) from None
    except StorageUnavailable as error:
        raise fail(f"Nothing was done: {error.message}", UNAVAILABLE) from None
    except BadRequest as error:
        raise fail(error.message, WRONG_USE) from None
    except BourseError as error:
        raise fail(error.message, REFUSED) from None


async def _with_hand(work: Callable[[Hand], Awaitable[T]]) -> T:
    async with open_hand() as hand:
        return await work(hand)


@asynccontextmanager
async def open_hand() -> AsyncIterator[Hand]:
    """The services on the configured database, whose schema is brought up to date (SQLite) or checked (PostgreSQL)."""
    settings = load_settings()
    try:
        await asyncio.to_thread(migrations.prepare, settings.database)
    except migrations.NotMigrated:
        raise
    except Exception as error:
        if not _is_database_trouble(error):
            raise
        raise StorageUnavailable("the database cannot be reached.") from error
    clock = SystemClock()
    db = Database.open(settings.database, EventBus())
    audit = AuditService(clock)
    identity = IdentityService(db, clock, audit, settings)
    try:
        yield Hand(settings, clock, db, audit, identity, replace(system("cli"), name=_account()))
    finally:
        identity.close()
        await db.close()


def instant(text: str, now: datetime, *, param: str) -> datetime:
    """A moment as people write it: `2026-12-31`, `2026-12-31T18:00+01:00` (UTC without an offset), or `90m`, `12h`, `30d` from now.

    Raises:
        BadRequest: it is none of these.
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadRequest("A moment is written as 2026-12-31, 2026-12-31T18:00+01:00, or 90m, 12h or 30d from now.", param=param) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def dollars(text: str) -> int:
    """An amount as people write it, in nano-dollars: `50`, `0.25` or `$3`.

    Raises:
        BadRequest: it is none, or too fine or too large to be counted.
    """
    try:
        return nano_from_usd(Decimal(text.strip().removeprefix("$")))
    except (ArithmeticError, ValueError):
        raise BadRequest(
            "An amount is written as 50 or 0.25 US dollars, with at most ten digits before the point.", param="limit"
        ) from None


def names_or(words: Sequence[str], special: str) -> list[str] | None:
    """A list of names; None for the single word `special`, an empty list for the single word `none`.

    Raises:
        BadRequest: one of the two words is among names.
    """
    if list(words) == [special]:
        return None
    if list(words) == ["none"]:
        return []
    for word in (special, "none"):
        if word in words:
            raise BadRequest(f"`{word}` stands alone: it says it of all.")
    return list(words)


def _account() -> str:
    """The operating system's name for whoever runs this; not what an environment variable claims."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _is_database_trouble(error: Exception) -> bool:
    from sqlalchemy.exc import InterfaceError, OperationalError

    return isinstance(error, InterfaceError | OperationalError | OSError)
