"""`python -m backend cache …`."""

from typing import Annotated, Any

import typer

from backend.gateway.cache.service import ClearingService
from backend.identity.command_line import Hand, carry_out
from backend.kernel.terminal import AsJson, show_one

cache = typer.Typer(no_args_is_help=True, help="Answers that are kept for equal calls.")

OfTenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="Of one tenant alone; slug or id.")]


def mount(app: typer.Typer) -> None:
    """Add `cache` to the operator's command line."""
    app.add_typer(cache, name="cache")


@cache.callback()
def _group() -> None:
    """One command does not make it the group's own."""


@cache.command()
def clear(tenant: OfTenant = None, as_json: AsJson = False) -> None:
    """Give no answer again that was kept until now."""

    async def work(hand: Hand) -> dict[str, Any]:
        found = await hand.identity.tenants.get(hand.principal, tenant) if tenant is not None else None
        await ClearingService(hand.db, hand.clock, hand.audit).clear(hand.principal, found.id if found is not None else None)
        return {"cleared": found.slug if found is not None else "all tenants"}

    show_one(carry_out(work), as_json=as_json)
