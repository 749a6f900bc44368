"""`python -m backend user token …`."""

from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, carry_out, instant
from backend.identity.tokens import TokenView
from backend.kernel.terminal import AsJson, say, show_list, show_one

tokens = typer.Typer(no_args_is_help=True, help="Access tokens of super admins, for programs that ask the REST surface.")

Person = Annotated[str, typer.Argument(metavar="EMAIL", help="Address or id.")]
_UNSET = {"last_used_at": "never"}
_COLUMNS = ("public_id", "name", "status", "expires_at", "last_used_at", "id")


def as_record(token: TokenView, *, owner: str) -> dict[str, Any]:
    return {
        "id": token.id,
        "public_id": token.public_id,
        "name": token.name,
        "owner": owner,
        "status": token.status,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "created_at": token.created_at,
        "created_by": token.created_by,
    }


@tokens.command("list")
def list_tokens(email: Person, as_json: AsJson = False) -> None:
    """List a person's access tokens, the newest first, with those that have ended."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        user = await hand.identity.user(hand.principal, email)
        return [as_record(token, owner=user.email) for token in await hand.identity.tokens.of_user(hand.principal, user.id)]

    show_list(carry_out(work), _COLUMNS, as_json=as_json, empty="He has no access token.", unset=_UNSET)


@tokens.command()
def create(
    email: Person,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    expires: Annotated[str | None, typer.Option(metavar="MOMENT", help="When it ends, within a year: 30d, 2026-12-31; else 90d.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create an access token of a super admin and print it, the only time that anybody sees it."""

    async def work(hand: Hand) -> dict[str, Any]:
        user = await hand.identity.user(hand.principal, email)
        ends = instant(expires, hand.clock.now(), param="expires") if expires else None
        made = await hand.identity.tokens.create(hand.principal, user.id, name=name, expires_at=ends)
        return {"token": made.text, **as_record(made.view, owner=user.email)}

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)
    say("\nKeep the token now: only its hash is stored.", as_json=as_json)


@tokens.command()
def revoke(token: Annotated[str, typer.Argument(metavar="TOKEN", help="Id, or its public part.")], as_json: AsJson = False) -> None:
    """End an access token for good; it counts from the next request on."""

    async def work(hand: Hand) -> dict[str, Any]:
        ended = await hand.identity.tokens.revoke(hand.principal, token)
        return as_record(ended, owner=(await hand.identity.user(hand.principal, ended.user_id)).email)

    show_one(carry_out(work), as_json=as_json, unset=_UNSET)
