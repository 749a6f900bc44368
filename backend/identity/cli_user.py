"""`python -m backend user …`. A password is typed unseen, or comes from a variable or file; never from the command's own words, which
the system shows to everybody and the shell remembers."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import typer

from backend.identity.cli_token import tokens
from backend.identity.command_line import Hand, TenantName, carry_out
from backend.identity.principal import Role
from backend.identity.schemas import UserView
from backend.kernel.secrets import SecretRef, SecretUnavailable
from backend.kernel.terminal import WRONG_USE, AsJson, fail, say, show_list, show_one

users = typer.Typer(no_args_is_help=True, help="People who sign in.")
users.add_typer(tokens, name="token")

Person = Annotated[str, typer.Argument(metavar="EMAIL", help="Address or id.")]
Password = Annotated[str | None, typer.Option(metavar="env:NAME|file:PATH", help="Where the password is; asked for, unseen, if not given.")]
RoleName = Literal["viewer", "member", "admin", "owner"]


def as_record(user: UserView) -> dict[str, Any]:
    return {"id": user.id, "email": user.email, "name": user.name, "status": user.status, "super_admin": user.is_super_admin}


@users.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List everybody who has an account."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        return [as_record(user) for user in await hand.identity.users(hand.principal)]

    show_list(carry_out(work), ("email", "name", "status", "super_admin"), as_json=as_json, empty="Nobody has an account yet.")


@users.command()
def show(email: Person, as_json: AsJson = False) -> None:
    """Show a person and the tenants that he belongs to."""

    async def work(hand: Hand) -> dict[str, Any]:
        user = await hand.identity.user(hand.principal, email)
        tenants = await hand.identity.tenants_of(hand.principal, user.id)
        return {**as_record(user), "tenants": [{"slug": one.slug, "role": one.role.name.lower() if one.role else None} for one in tenants]}

    show_one(carry_out(work), as_json=as_json)


@users.command()
def create(
    email: Annotated[str, typer.Argument()],
    name: Annotated[str, typer.Option(help="For people.")] = "",
    password: Password = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Without one: nobody can sign in with this account yet.")] = False,
    super_admin: Annotated[bool, typer.Option("--super-admin", help="May do everything in every tenant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create an account."""
    secret = None if no_password else _password(password)

    async def work(hand: Hand) -> dict[str, Any]:
        made = await hand.identity.create_user(hand.principal, email=email, password=secret, name=name, is_super_admin=super_admin)
        return as_record(made)

    show_one(carry_out(work), as_json=as_json)


@users.command("set-password")
def set_password(email: Person, password: Password = None, as_json: AsJson = False) -> None:
    """Give a person a new password; all his sessions end."""
    secret = _password(password)
    _change(email, lambda hand, user_id: hand.identity.set_password(hand.principal, user_id, secret), as_json=as_json)


@users.command()
def disable(email: Person, as_json: AsJson = False) -> None:
    """End a person's sessions, and refuse his keys."""
    _change(email, lambda hand, user_id: hand.identity.set_user_status(hand.principal, user_id, "disabled"), as_json=as_json)


@users.command()
def enable(email: Person, as_json: AsJson = False) -> None:
    """Let a disabled person in again, and his keys."""
    _change(email, lambda hand, user_id: hand.identity.set_user_status(hand.principal, user_id, "active"), as_json=as_json)


@users.command("super-admin")
def super_admin(
    email: Person, off: Annotated[bool, typer.Option("--off", help="Take the rights away.")] = False, as_json: AsJson = False
) -> None:
    """Let a person do everything in every tenant."""
    _change(email, lambda hand, user_id: hand.identity.set_super_admin(hand.principal, user_id, not off), as_json=as_json)


@users.command("add-to-tenant")
def add_to_tenant(
    email: Person,
    tenant: TenantName,
    role: Annotated[RoleName, typer.Option(help="What he may do there.")] = "member",
    as_json: AsJson = False,
) -> None:
    """Give a person a role in a tenant, or another one than he has."""
    _set_member(email, tenant, Role[role.upper()], as_json=as_json)


@users.command("remove-from-tenant")
def remove_from_tenant(email: Person, tenant: TenantName, as_json: AsJson = False) -> None:
    """Take a person out of a tenant, and revoke his keys there."""
    _set_member(email, tenant, None, as_json=as_json)


def _set_member(email: str, tenant: str, role: Role | None, *, as_json: bool) -> None:
    async def work(hand: Hand) -> dict[str, Any]:
        user = await hand.identity.user(hand.principal, email)
        found = await hand.identity.tenants.get(hand.principal, tenant)
        await hand.identity.tenants.set_member(hand.principal, found.id, email=user.email, role=role)
        return {"tenant": found.slug, "email": user.email, "role": role.name.lower() if role else None}

    show_one(carry_out(work), as_json=as_json)


def _change(email: str, change: Callable[[Hand, str], Awaitable[None]], *, as_json: bool) -> None:
    async def work(hand: Hand) -> dict[str, Any]:
        user = await hand.identity.user(hand.principal, email)
        await change(hand, user.id)
        return as_record(await hand.identity.user(hand.principal, user.id))

    record = carry_out(work)
    say("Done.", as_json=as_json)
    show_one(record, as_json=as_json)


def _password(reference: str | None) -> str:
    if reference is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    place = SecretRef(reference)
    if place.is_literal:
        raise fail("A password is never given on the command line: use env:NAME, file:PATH, or type it when asked.", WRONG_USE)
    try:
        return place.resolve()
    except SecretUnavailable as error:
        raise fail(f"There is no password: {error}.", WRONG_USE) from None
