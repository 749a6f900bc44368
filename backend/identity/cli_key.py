"""`python -m backend key …`."""

from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, TenantName, carry_out, dollars, instant, names_or
from backend.identity.end_users import EndUserTerms
from backend.identity.schemas import KeyView
from backend.kernel.errors import BadRequest
from backend.kernel.terminal import AsJson, say, show_list, show_one, usd

keys = typer.Typer(no_args_is_help=True, help="API keys.")

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="Id, or the public part between `sk-` and the dot.")]
_UNSET = {
    "models": "the tenant's",
    "addresses": "any",
    "expires_at": "never",
    "owner": "nobody",
    "end_users": "not limited",
    "tier": "the tenant's",
}
_COLUMNS = ("public_id", "name", "owner", "status", "models", "expires_at", "id")


def as_record(key: KeyView, *, tenant: str, owner: str | None) -> dict[str, Any]:
    return {
        "id": key.id,
        "public_id": key.public_id,
        "name": key.name,
        "tenant": tenant,
        "owner": owner,
        "status": key.status,
        "models": None if key.models is None else list(key.models),
        "addresses": None if key.allowed_addresses is None else list(key.allowed_addresses),
        "tags": list(key.tags),
        "tier": key.tier,
        "end_users": None if key.end_users is None else _terms(key.end_users),
        "expires_at": key.expires_at,
        "created_at": key.created_at,
        "created_by": key.created_by,
    }


def _terms(terms: EndUserTerms) -> dict[str, Any]:
    """Only what limits."""
    budget = {} if terms.limit_nano is None else {"limit_usd": usd(terms.limit_nano), "window": terms.window}
    return {**budget, **terms.rate_limit}


@keys.command("list")
def list_keys(tenant: TenantName, as_json: AsJson = False) -> None:
    """List a tenant's keys, newest first, revoked ones too."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        found = await hand.identity.tenants.get(hand.principal, tenant)
        people = {user.id: user.email for user in await hand.identity.users(hand.principal)}
        views = await hand.identity.keys.of_tenant(hand.principal, found.id)
        return [as_record(view, tenant=found.slug, owner=people.get(view.owner_user_id or "")) for view in views]

    show_list(carry_out(work), _COLUMNS, as_json=as_json, empty="The tenant has no key.", unset=_UNSET)


@keys.command()
def create(
    tenant: TenantName,
    name: Annotated[str, typer.Argument(help="For people.")],
    owner: Annotated[str | None, typer.Option(metavar="EMAIL", help="The member whose key it is; nobody's if not given.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A name that it may use; once for each. The tenant's if not given.")] = None,
    address: Annotated[list[str] | None, typer.Option(help="A network that it may be used from; once for each. Any if not given.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word that its calls carry in the ledger; once for each.")] = None,
    expires: Annotated[str | None, typer.Option(metavar="MOMENT", help="When it ends: a date and time, or 30d from now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it, the only time that anybody sees it."""

    async def work(hand: Hand) -> dict[str, Any]:
        found = await hand.identity.tenants.get(hand.principal, tenant)
        member = await hand.identity.user(hand.principal, owner) if owner else None
        made = await hand.identity.keys.create(
            hand.principal,
            found.id,
            name=name,
            owner_user_id=member.id if member else None,
            models=names_or(model, "all") if model else None,
            allowed_addresses=address or None,
            tags=tag or (),
            expires_at=instant(expires, hand.clock.now(), param="expires") if expires else None,
        )
        return {"key": made.text, **as_record(made.view, tenant=found.slug, owner=member.email if member else None)}

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)
    say("\nKeep the key now: only its hash is stored.", as_json=as_json)


@keys.command()
def show(key: KeyName, as_json: AsJson = False) -> None:
    """Show a key, but not its secret, which nobody has."""
    _change(key, {}, as_json=as_json)


@keys.command()
def revoke(key: KeyName, as_json: AsJson = False) -> None:
    """End a key for good: new calls are refused within a second, running streams end within fifteen."""

    async def work(hand: Hand) -> dict[str, Any]:
        found = await hand.identity.keys.find(hand.principal, key)
        await hand.identity.keys.revoke(hand.principal, found.tenant_id, found.id)
        return await _record(hand, await hand.identity.keys.find(hand.principal, found.id))

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)


@keys.command()
def rename(key: KeyName, name: Annotated[str, typer.Argument()], as_json: AsJson = False) -> None:
    """Give a key another name."""
    _change(key, {"name": name}, as_json=as_json)


@keys.command()
def expiry(
    key: KeyName,
    moment: Annotated[str, typer.Argument(metavar="MOMENT|never", help="A date and time, or 30d from now.")],
    as_json: AsJson = False,
) -> None:
    """Say when a key ends."""
    _change(key, {"expires_at": moment}, as_json=as_json)


@keys.command()
def models(
    key: KeyName,
    names: Annotated[list[str], typer.Argument(metavar="NAME…|all|none", help="Within the tenant's.")],
    as_json: AsJson = False,
) -> None:
    """Say which names a key may use."""
    _change(key, {"models": names_or(names, "all")}, as_json=as_json)


@keys.command()
def addresses(
    key: KeyName,
    networks: Annotated[list[str], typer.Argument(metavar="NETWORK…|any", help="As 192.0.2.7 or 192.0.2.0/24.")],
    as_json: AsJson = False,
) -> None:
    """Say which networks a key may be used from."""
    _change(key, {"allowed_addresses": names_or(networks, "any")}, as_json=as_json)


@keys.command()
def tags(
    key: KeyName,
    words: Annotated[list[str], typer.Argument(metavar="TAG…|none", help="All of them: earlier ones go.")],
    as_json: AsJson = False,
) -> None:
    """Say which tags a key's calls carry in the ledger."""
    _change(key, {"tags": [] if words == ["none"] else words}, as_json=as_json)


@keys.command()
def tier(
    key: KeyName,
    word: Annotated[str, typer.Argument(metavar="TIER|tenant", help="Such as free or premium; tenant = as its tenant has.")],
    as_json: AsJson = False,
) -> None:
    """Give a key a tier of its own, by which routes and overload choose."""

    async def work(hand: Hand) -> dict[str, Any]:
        found = await hand.identity.keys.find(hand.principal, key)
        tier = None if word == "tenant" else word
        return await _record(hand, await hand.identity.keys.set_tier(hand.principal, found.tenant_id, found.id, tier))

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)


@keys.command("end-users")
def end_users(
    key: KeyName,
    limit: Annotated[str | None, typer.Option(metavar="USD", help="What each may spend per window.")] = None,
    window: Annotated[str | None, typer.Option(help="As of a budget; calendar_month if not given.")] = None,
    requests_per_minute: Annotated[int, typer.Option(min=0, help="Of each; 0 = no limit.")] = 0,
    tokens_per_minute: Annotated[int, typer.Option(min=0, help="Of each; 0 = no limit.")] = 0,
    parallel: Annotated[int, typer.Option(min=0, help="Of each; 0 = no limit.")] = 0,
    off: Annotated[bool, typer.Option("--off", help="Limit them no more; their accounts are forgotten.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what each end user of a key may have; all of it at once. Calls with the key must then name theirs in `user`."""
    rate_limit = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute, "parallel": parallel}

    async def work(hand: Hand) -> dict[str, Any]:
        if off and (limit is not None or window is not None or any(rate_limit.values())):
            raise BadRequest("Say what they may have, or --off.")
        if window is not None and limit is None:
            raise BadRequest("A window is a budget's: say --limit too.")
        terms = None
        if not off:
            terms = EndUserTerms.checked(limit_nano=None if limit is None else dollars(limit), window=window, rate_limit=rate_limit)
        found = await hand.identity.keys.find(hand.principal, key)
        return await _record(hand, await hand.identity.keys.set_end_users(hand.principal, found.tenant_id, found.id, terms))

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)


def _change(key: str, changes: dict[str, Any], *, as_json: bool) -> None:
    """Change these columns, if any, and show the key."""

    async def work(hand: Hand) -> dict[str, Any]:
        found = await hand.identity.keys.find(hand.principal, key)
        if "expires_at" in changes:
            text = changes["expires_at"]
            changes["expires_at"] = None if text == "never" else instant(text, hand.clock.now(), param="expires_at")
        if changes:
            found = await hand.identity.keys.change(hand.principal, found.tenant_id, found.id, **changes)
        return await _record(hand, found)

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)


async def _record(hand: Hand, key: KeyView) -> dict[str, Any]:
    tenant = await hand.identity.tenants.get(hand.principal, key.tenant_id)
    owner = await hand.identity.user(hand.principal, key.owner_user_id) if key.owner_user_id else None
    return as_record(key, tenant=tenant.slug, owner=owner.email if owner else None)
