"""`python -m backend tenant …`."""

from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, TenantName, carry_out, names_or
from backend.identity.schemas import TenantView
from backend.kernel.terminal import AsJson, say, show_list, show_one

tenants = typer.Typer(no_args_is_help=True, help="Tenants: who uses Bourse and pays for it.")
_UNSET = {"models": "all", "default_model": "the installation's", "tier": "none"}
_COLUMNS = ("slug", "name", "status", "timezone", "models")


def as_record(tenant: TenantView) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status,
        "timezone": tenant.timezone,
        "models": None if tenant.models is None else list(tenant.models),
        "default_model": tenant.default_model,
        "tier": tenant.tier,
    }


@tenants.command("list")
def list_tenants(as_json: AsJson = False) -> None:
    """List all tenants."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        return [as_record(tenant) for tenant in await hand.identity.tenants.of(hand.principal)]

    show_list(carry_out(work), _COLUMNS, as_json=as_json, empty="There is no tenant.", unset=_UNSET)


@tenants.command()
def create(
    slug: Annotated[str, typer.Argument(help="Letters a-z, digits, '-' and '_'.")],
    name: Annotated[str, typer.Option(help="For people; the slug if not given.")] = "",
    timezone: Annotated[str | None, typer.Option(help="IANA name; its days, weeks and months are those of budgets.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A name that it may use; give it once for each. All if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a tenant with the default budget."""

    async def work(hand: Hand) -> dict[str, Any]:
        made = await hand.identity.tenants.create(
            hand.principal, slug=slug, name=name, timezone=timezone, models=names_or(model, "all") if model else None
        )
        return as_record(made)

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)


@tenants.command()
def show(tenant: TenantName, as_json: AsJson = False) -> None:
    """Show a tenant and its members."""

    async def work(hand: Hand) -> dict[str, Any]:
        found = await hand.identity.tenants.get(hand.principal, tenant)
        members = await hand.identity.tenants.members(hand.principal, found.id)
        people = [{"email": one.email, "name": one.name, "role": one.role.name.lower(), "status": one.status} for one in members]
        return {**as_record(found), "members": people}

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)


@tenants.command()
def rename(tenant: TenantName, name: Annotated[str, typer.Argument()], as_json: AsJson = False) -> None:
    """Give a tenant another name; its slug stays."""

    async def work(hand: Hand, tenant_id: str) -> None:
        await hand.identity.tenants.rename(hand.principal, tenant_id, name)

    _change(tenant, work, as_json=as_json)


@tenants.command()
def suspend(tenant: TenantName, as_json: AsJson = False) -> None:
    """Refuse every call with the tenant's keys, and end its running streams."""
    _change(tenant, _set_status("suspended"), as_json=as_json)


@tenants.command()
def activate(tenant: TenantName, as_json: AsJson = False) -> None:
    """Take a suspension back."""
    _change(tenant, _set_status("active"), as_json=as_json)


@tenants.command()
def timezone(
    tenant: TenantName,
    zone: Annotated[str, typer.Argument(metavar="ZONE", help="IANA name, such as Europe/Berlin.")],
    as_json: AsJson = False,
) -> None:
    """Say in which zone the tenant's days, weeks and months begin."""

    async def work(hand: Hand, tenant_id: str) -> None:
        await hand.identity.tenants.set_timezone(hand.principal, tenant_id, zone)

    _change(tenant, work, as_json=as_json)


@tenants.command()
def models(
    tenant: TenantName,
    names: Annotated[list[str], typer.Argument(metavar="NAME…|all|none", help="Aliases, models or offers.")],
    as_json: AsJson = False,
) -> None:
    """Say which names the tenant may use; its keys have no more."""

    async def work(hand: Hand, tenant_id: str) -> None:
        await hand.identity.tenants.set_models(hand.principal, tenant_id, names_or(names, "all"))

    _change(tenant, work, as_json=as_json)


@tenants.command("default-model")
def default_model(
    tenant: TenantName,
    name: Annotated[str, typer.Argument(metavar="NAME|none", help="An alias, a model or an offer; none = the installation's.")],
    as_json: AsJson = False,
) -> None:
    """Say what the tenant's callers get who send `auto` as the model."""

    async def work(hand: Hand, tenant_id: str) -> None:
        await hand.identity.tenants.set_default_model(hand.principal, tenant_id, None if name == "none" else name)

    _change(tenant, work, as_json=as_json)


@tenants.command()
def tier(
    tenant: TenantName,
    word: Annotated[str, typer.Argument(metavar="TIER|none", help="Such as free or premium.")],
    as_json: AsJson = False,
) -> None:
    """Say which tier the tenant has, by which routes and overload choose."""

    async def work(hand: Hand, tenant_id: str) -> None:
        await hand.identity.tenants.set_tier(hand.principal, tenant_id, None if word == "none" else word)

    _change(tenant, work, as_json=as_json)


def _set_status(status: str) -> Any:
    async def work(hand: Hand, tenant_id: str) -> None:
        await hand.identity.tenants.set_status(hand.principal, tenant_id, status)

    return work


def _change(tenant: str, change: Any, *, as_json: bool) -> None:
    async def work(hand: Hand) -> dict[str, Any]:
        found = await hand.identity.tenants.get(hand.principal, tenant)
        await change(hand, found.id)
        return as_record(await hand.identity.tenants.get(hand.principal, found.id))

    record = carry_out(work)
    say("Done. Running servers follow within a second.", as_json=as_json)
    show_one(record, as_json=as_json, unset=_UNSET)
