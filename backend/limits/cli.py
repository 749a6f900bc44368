"""`python -m backend limit …`."""

from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, OfKey, OfUser, TenantName, carry_out
from backend.kernel.terminal import WRONG_USE, AsJson, fail, show_list, show_one
from backend.limits.schemas import FIELDS, LimitView, ScopeKind
from backend.limits.service import LimitService

limits = typer.Typer(no_args_is_help=True, help="How much tenants, people and keys may ask at once, per minute and per day.")

Number = Annotated[int | None, typer.Option(min=0, help="0 = no limit.", show_default=False)]
Day = Annotated[str | None, typer.Option(metavar="hard|soft", help="What a used-up day does: refuse or mark.", show_default=False)]


def mount(app: typer.Typer) -> None:
    """Add `limit` to the operator's command line."""
    app.add_typer(limits, name="limit")


@limits.command("list")
def list_limits(tenant: TenantName, as_json: AsJson = False) -> None:
    """List what was set in a tenant: for itself, for its people, for its keys."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        found = await hand.identity.tenants.get(hand.principal, tenant)
        names = await hand.names_in(found)
        views = await _service(hand).of_tenant(hand.principal, found.id)
        return [_as_record(view, tenant=found.slug, name=names.get(view.scope_id)) for view in views]

    columns = ("scope", "name", "set_here")
    show_list(carry_out(work), columns, as_json=as_json, empty="Nothing is set here: keys have the defaults.", unset={"name": "-"})


@limits.command()
def show(tenant: TenantName, user: OfUser = None, key: OfKey = None, as_json: AsJson = False) -> None:
    """Show what binds, and what of it was set here."""
    _change(tenant, user, key, None, as_json=as_json)


@limits.command("set")
def set_limits(
    tenant: TenantName,
    user: OfUser = None,
    key: OfKey = None,
    requests_per_minute: Number = None,
    tokens_per_minute: Number = None,
    parallel: Number = None,
    requests_per_day: Number = None,
    tokens_per_day: Number = None,
    quota: Day = None,
    as_json: AsJson = False,
) -> None:
    """Change the limits that are named; the others stay as they are."""
    values = (requests_per_minute, tokens_per_minute, parallel, requests_per_day, tokens_per_day, quota)
    named = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
    if not named:
        raise fail("Name at least one limit, or take all back with `limit clear`.", WRONG_USE)
    _change(tenant, user, key, named, as_json=as_json)


@limits.command()
def clear(tenant: TenantName, user: OfUser = None, key: OfKey = None, as_json: AsJson = False) -> None:
    """Take back everything that was set here."""
    _change(tenant, user, key, {}, as_json=as_json)


def _change(tenant: str, user: str | None, key: str | None, named: dict[str, Any] | None, *, as_json: bool) -> None:
    """Add `named` to what is set, take all of it back if that is empty, or only look if it is None; and show the outcome."""

    async def work(hand: Hand) -> dict[str, Any]:
        found, kind, scope_id = await hand.place(tenant, user, key)
        scope: ScopeKind = kind  # type: ignore[assignment]
        service = _service(hand)
        view = await service.get(hand.principal, found.id, scope, scope_id)
        if named is not None:
            wanted = {**view.override, **named} if named else {}
            view = await service.set(hand.principal, found.id, scope, scope_id, wanted)
        return _as_record(view, tenant=found.slug, name=user or key or found.slug)

    show_one(carry_out(work), as_json=as_json)


def _service(hand: Hand) -> LimitService:
    return LimitService(hand.db, hand.clock, hand.audit, hand.settings.rate_limits.default)


def _as_record(view: LimitView, *, tenant: str, name: str | None) -> dict[str, Any]:
    """What binds, field by field, and under `set_here` what of it is not the default."""
    in_force = {field: getattr(view.in_force, field) for field in FIELDS}
    return {"tenant": tenant, "scope": view.scope, "name": name, "scope_id": view.scope_id, **in_force, "set_here": dict(view.override)}
