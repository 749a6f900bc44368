"""`python -m backend limit show | set | clear`: limits of a tenant, or of one key or person in it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import orjson
import typer

from backend.limits.schemas import FIELDS, LimitView, ScopeKind
from backend.limits.service import LimitService

limit = typer.Typer(no_args_is_help=True, help="How much tenants, people and keys may ask.")

Tenant = Annotated[str, typer.Argument(help="The tenant's slug or id.")]
Key = Annotated[str | None, typer.Option(help="One of its keys: id, public id or name.")]
User = Annotated[str | None, typer.Option(help="One of its people: e-mail address or id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Number = Annotated[int | None, typer.Option(min=0, help="0 = no limit.", show_default=False)]

Action = Callable[[LimitService, str, ScopeKind, str], Awaitable[LimitView]]


def mount(app: typer.Typer) -> None:
    """Add these commands to the operator's command line."""
    app.add_typer(limit, name="limit")


@limit.command()
def show(tenant: Tenant, key: Key = None, user: User = None, as_json: AsJson = False) -> None:
    """Show what binds, and what of it was set here."""
    _tell(_run(tenant, key, user, lambda service, *where: service.get(_operator(), *where)), as_json)


@limit.command("set")
def set_(
    tenant: Tenant,
    key: Key = None,
    user: User = None,
    requests_per_minute: Number = None,
    tokens_per_minute: Number = None,
    parallel: Number = None,
    requests_per_day: Number = None,
    tokens_per_day: Number = None,
    quota: Annotated[str | None, typer.Option(help="hard (refuse) or soft (mark) when a day is used up.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Change the limits that are named; the others stay as they are."""
    given = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "parallel": parallel,
        "requests_per_day": requests_per_day,
        "tokens_per_day": tokens_per_day,
        "quota": quota,
    }

    named = {name: value for name, value in given.items() if value is not None}

    async def change(service: LimitService, tenant_id: str, scope: ScopeKind, scope_id: str) -> LimitView:
        before = (await service.get(_operator(), tenant_id, scope, scope_id)).override
        return await service.set(_operator(), tenant_id, scope, scope_id, {**before, **named})

    _tell(_run(tenant, key, user, change), as_json)


@limit.command()
def clear(tenant: Tenant, key: Key = None, user: User = None, as_json: AsJson = False) -> None:
    """Take back everything that was set here."""
    _tell(_run(tenant, key, user, lambda service, *where: service.clear(_operator(), *where)), as_json)


def _operator() -> Any:
    from backend.identity.principal import system

    return system("command-line")


def _run(tenant: str, key: str | None, user: str | None, action: Action) -> LimitView:
    from backend.kernel.errors import BourseError

    if key is not None and user is not None:
        typer.echo("Name a key or a person, not both.", err=True)
        raise typer.Exit(2)
    try:
        return asyncio.run(_with_service(tenant, key, user, action))
    except BourseError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from None


async def _with_service(tenant: str, key: str | None, user: str | None, action: Action) -> LimitView:
    from backend.audit.service import AuditService
    from backend.configuration import load_settings
    from backend.kernel.clock import SystemClock
    from backend.kernel.db import Database
    from backend.kernel.events import EventBus

    settings, clock = load_settings(), SystemClock()
    db = Database.open(settings.database, EventBus())
    try:
        service = LimitService(db, clock, AuditService(clock), settings.rate_limits.default)
        return await action(service, *await service.locate(_operator(), tenant, key=key, user=user))
    finally:
        await db.close()


def _tell(view: LimitView, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(view.as_dict(), option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(f"{view.scope} {view.scope_id}")
    for name in FIELDS:
        value = getattr(view.in_force, name)
        shown = "no limit" if value == 0 else f"{value:,}" if isinstance(value, int) else value
        typer.echo(f"  {name.replace('_', ' '):<20} {shown:>14}{'   set here' if name in view.override else ''}")
