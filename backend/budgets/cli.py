"""`python -m backend budget …`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from backend.budgets.accounts import SCOPES
from backend.budgets.schemas import BudgetView
from backend.budgets.service import BudgetService
from backend.identity.command_line import Hand, OfEndUser, OfKey, OfUser, TenantName, carry_out, dollars, instant
from backend.kernel.errors import NotFound
from backend.kernel.money import nano_from_usd
from backend.kernel.terminal import AsJson, show_list, show_one, usd

budgets = typer.Typer(no_args_is_help=True, help="How much tenants, people and keys may spend.")

Dollars = Annotated[str, typer.Option(metavar="USD", help="US dollars, such as 50 or 0.25.")]
_COLUMNS = ("scope", "name", "window", "limit_in_force_usd", "spent_usd", "remaining_usd", "resets_at")
_HOLDER_COLUMNS = ("id", "started_at", "expires_at", "expired", "leases", "held_usd")
_UNSET = {"resets_at": "never", "starts_at": "ever", "raise_until": "no raise"}


def mount(app: typer.Typer) -> None:
    """Add `budget` to the operator's command line."""
    app.add_typer(budgets, name="budget")


def as_record(view: BudgetView, *, tenant: str, name: str | None) -> dict[str, Any]:
    """`name` is the tenant's slug, the person's address or the key's public id."""
    return {
        "tenant": tenant,
        "scope": view.scope,
        "name": name,
        "scope_id": view.scope_id,
        "window": view.window,
        "limit_usd": usd(view.limit_nano),
        "limit_in_force_usd": usd(view.limit_in_force_nano),
        "spent_usd": usd(view.spent_nano),
        "leased_usd": usd(view.leased_nano),
        "remaining_usd": usd(view.remaining_nano),
        "raise_usd": usd(view.raise_nano),
        "raise_until": view.raise_until,
        "warn_at": list(view.warn_at),
        "is_default": view.is_default,
        "starts_at": view.starts_at,
        "resets_at": view.resets_at,
    }


@budgets.command("list")
def list_budgets(
    tenant: TenantName,
    end_users_of: Annotated[str | None, typer.Option(metavar="KEY", help="Those of a key's end users instead, by name.")] = None,
    after: Annotated[str, typer.Option(metavar="NAME", help="With `--end-users-of`: go on after this one.")] = "",
    as_json: AsJson = False,
) -> None:
    """List every budget in a tenant, and how each stands; or those of a key's end users, 100 at a time."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        if end_users_of is not None:
            found, _, key_id = await hand.place(tenant, None, end_users_of)
            views = await _service(hand).of_end_users(hand.principal, found.id, key_id, after=after)
            return [as_record(view, tenant=found.slug, name=view.name) for view in views]
        found = await hand.identity.tenants.get(hand.principal, tenant)
        names = await hand.names_in(found)
        views = await _service(hand).of_tenant(hand.principal, found.id)
        views.sort(key=lambda view: (SCOPES.index(view.scope), names.get(view.scope_id, "")))
        return [as_record(view, tenant=found.slug, name=names.get(view.scope_id)) for view in views]

    show_list(carry_out(work), _COLUMNS, as_json=as_json, empty="The tenant has no budget.", unset=_UNSET)


@budgets.command()
def show(tenant: TenantName, user: OfUser = None, key: OfKey = None, end_user: OfEndUser = None, as_json: AsJson = False) -> None:
    """Show one budget and how it stands: limit, spent, held by running processes, and what is left."""

    async def nothing(*_: Any) -> None:
        return

    _change(tenant, (user, key, end_user), nothing, as_json=as_json)


@budgets.command("set")
def set_budget(
    tenant: TenantName,
    limit: Dollars,
    window: Annotated[
        str | None, typer.Option(help="calendar_month, calendar_week, calendar_day, rolling_<N>d or lifetime; as it was if not given.")
    ] = None,
    warn_at: Annotated[list[float] | None, typer.Option(help="A share of the limit that raises a warning, such as 0.8.")] = None,
    user: OfUser = None,
    key: OfKey = None,
    end_user: OfEndUser = None,
    as_json: AsJson = False,
) -> None:
    """Set a budget. What was spent in its window counts on."""

    async def change(hand: Hand, tenant_id: str, scope: str, scope_id: str) -> None:
        await _service(hand).set(
            hand.principal, tenant_id, scope, scope_id, limit_nano=dollars(limit), window=window, warn_at=warn_at or None
        )

    _change(tenant, (user, key, end_user), change, as_json=as_json)


@budgets.command("raise")
def raise_budget(
    tenant: TenantName,
    by: Dollars,
    until: Annotated[str | None, typer.Option(metavar="MOMENT", help="A date and time, or 12h from now.")] = None,
    user: OfUser = None,
    key: OfKey = None,
    end_user: OfEndUser = None,
    as_json: AsJson = False,
) -> None:
    """Add to a limit for a while; then it is what it was. A second raise replaces the first, and `--by 0` ends it."""

    async def change(hand: Hand, tenant_id: str, scope: str, scope_id: str) -> None:
        moment = None if until is None else instant(until, hand.clock.now(), param="until")
        await _service(hand).raise_for_a_while(hand.principal, tenant_id, scope, scope_id, by_nano=dollars(by), until=moment)

    _change(tenant, (user, key, end_user), change, as_json=as_json)


@budgets.command()
def delete(tenant: TenantName, user: OfUser = None, key: OfKey = None, end_user: OfEndUser = None, as_json: AsJson = False) -> None:
    """End a budget. A tenant's own then is the default again, an end user's what his key says."""

    async def work(hand: Hand) -> dict[str, Any]:
        found, scope, scope_id = await hand.place(tenant, user, key, end_user)
        await _service(hand).delete(hand.principal, found.id, scope, scope_id)
        return {"tenant": found.slug, "scope": scope, "scope_id": scope_id, "deleted": True}

    show_one(carry_out(work), as_json=as_json)


@budgets.command()
def default(as_json: AsJson = False) -> None:
    """Show the budget of tenants for whom nobody set one; `budgets.default` in the configuration says it."""

    async def work(hand: Hand) -> dict[str, Any]:
        limit = hand.settings.budgets.default
        unknown = limit.on_unknown_price
        return {
            "limit_usd": usd(nano_from_usd(limit.limit_usd)),
            "window": limit.window,
            "warn_at": list(limit.warn_at),
            "on_unknown_price": unknown if isinstance(unknown, str) else {"input": str(unknown.input), "output": str(unknown.output)},
        }

    show_one(carry_out(work), as_json=as_json)


@budgets.command()
def holders(as_json: AsJson = False) -> None:
    """List the processes that may hold slices of budgets."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        return [
            {
                "id": one.id,
                "started_at": one.started_at,
                "expires_at": one.expires_at,
                "expired": one.expired,
                "leases": one.leases,
                "held_usd": usd(one.held_nano),
            }
            for one in await _service(hand).holders(hand.principal)
        ]

    show_list(carry_out(work), _HOLDER_COLUMNS, as_json=as_json, empty="No process holds anything.")


@budgets.command()
def release(
    holder: Annotated[str, typer.Argument(metavar="PROCESS", help="Id, as `budget holders` has it.")], as_json: AsJson = False
) -> None:
    """Free what a dead process held, where its journal is lost. What it spent and did not say is then never counted."""

    async def work(hand: Hand) -> dict[str, Any]:
        return {"id": holder, "freed_usd": usd(await _service(hand).release(hand.principal, holder))}

    show_one(carry_out(work), as_json=as_json)


def _change(
    tenant: str,
    whose: tuple[str | None, str | None, str | None],
    change: Callable[[Hand, str, str, str], Awaitable[None]],
    *,
    as_json: bool,
) -> None:
    """Change the budget that the options `--user`, `--key` and `--end-user` name, and show it."""
    user, key, end_user = whose

    async def work(hand: Hand) -> dict[str, Any]:
        found, scope, scope_id = await hand.place(tenant, *whose)
        await change(hand, found.id, scope, scope_id)
        try:
            view = await _service(hand).get(hand.principal, found.id, scope, scope_id)
        except NotFound:
            if end_user is not None:
                raise NotFound(
                    "This end user has no account: he has one from his first call on, if the key says what each may spend."
                ) from None
            raise NotFound(f"No budget of its own is set for this {scope}; the tenant's binds it.") from None
        return as_record(view, tenant=found.slug, name=view.name or user or key or found.slug)

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)


def _service(hand: Hand) -> BudgetService:
    return BudgetService(hand.db, hand.clock, hand.audit, hand.settings)
