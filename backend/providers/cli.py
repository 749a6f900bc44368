"""`python -m backend provider …`."""

from typing import Annotated, Any

import typer

from backend.credentials import cli as credentials
from backend.credentials.cli import read_book
from backend.identity.command_line import Hand, carry_out
from backend.kernel.terminal import AsJson, show_list, show_one
from backend.providers.service import ProviderService, ProviderView

providers = typer.Typer(no_args_is_help=True, help="Where calls go, and whether they can.")


def mount(app: typer.Typer) -> None:
    """Add `provider` to the operator's command line."""
    credentials.mount(providers)
    app.add_typer(providers, name="provider")


def as_record(view: ProviderView) -> dict[str, Any]:
    return {
        "name": view.name,
        "protocol": view.protocol,
        "base_url": view.base_url,
        "key": view.key,
        "usable": view.usable,
        "offers": len(view.offers),
        "why": view.why or None,
    }


@providers.command("list")
def list_providers(as_json: AsJson = False) -> None:
    """List configured providers: whether the key is there, and how many models the catalog knows of each."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        service = await _service(hand)
        return [as_record(view) for view in service.all(hand.principal)]

    columns = ("name", "protocol", "base_url", "key", "usable", "offers", "why")
    show_list(carry_out(work), columns, as_json=as_json, empty="No provider is configured.", unset={"why": ""})


@providers.command()
def show(name: Annotated[str, typer.Argument(metavar="PROVIDER")], as_json: AsJson = False) -> None:
    """Show a provider and the models that the catalog knows of it."""

    async def work(hand: Hand) -> dict[str, Any]:
        service = await _service(hand)
        view = service.get(hand.principal, name)
        return {**as_record(view), "models": [{"id": offer} for offer in view.offers]}

    show_one(carry_out(work), as_json=as_json)


async def _service(hand: Hand) -> ProviderService:
    from backend.catalog.service import CatalogService

    catalog = CatalogService(hand.db, hand.clock)
    await catalog.load()
    return ProviderService(hand.settings, catalog, await read_book(hand))
