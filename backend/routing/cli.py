"""`python -m backend route …`."""

from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, carry_out
from backend.kernel.terminal import AsJson, show_list, show_one, usd
from backend.routing.service import CandidateView, RouteService, RouteView

routes = typer.Typer(no_args_is_help=True, help="Names that callers send as `model`.")


def mount(app: typer.Typer) -> None:
    """Add `route` to the operator's command line."""
    app.add_typer(routes, name="route")


def as_record(view: RouteView) -> dict[str, Any]:
    return {
        "name": view.name,
        "kind": view.kind,
        "strategy": view.strategy,
        "enabled": view.enabled,
        "usable": view.usable,
        "max_output_tokens": view.max_output_tokens,
        "why": view.why or None,
    }


def _candidate(view: CandidateView) -> dict[str, Any]:
    return {
        "provider": view.provider,
        "model": view.model,
        "offer": view.offer_id,
        "weight": view.weight,
        "price_from": view.price_from,
        "price_state": view.price_state,
        "input_usd_per_million": None if view.input_nano is None else usd(view.input_nano),
        "output_usd_per_million": None if view.output_nano is None else usd(view.output_nano),
        "usable": view.usable,
        "why": view.why or None,
    }


@routes.command("list")
def list_routes(
    all_: Annotated[bool, typer.Option("--all", help="Also every model that configured providers sell.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the aliases of the configuration, and whether a call would find somebody to answer."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        views = (await _service(hand)).all(hand.principal)
        return [as_record(view) | {"candidates": len(view.candidates)} for view in views if all_ or view.kind == "alias"]

    columns = ("name", "kind", "strategy", "candidates", "usable", "why")
    empty = "The configuration has no alias; `route list --all` lists what providers sell."
    show_list(carry_out(work), columns, as_json=as_json, empty=empty, unset={"why": ""})


@routes.command()
def show(
    name: Annotated[str, typer.Argument(help="An alias, `provider/model`, or a name of the catalog.")], as_json: AsJson = False
) -> None:
    """Show what a name stands for: its candidates, their prices, and why one would not be asked."""

    async def work(hand: Hand) -> dict[str, Any]:
        view = (await _service(hand)).get(hand.principal, name)
        return as_record(view) | {"candidates": [_candidate(candidate) for candidate in view.candidates]}

    show_one(carry_out(work), as_json=as_json, unset={"why": "", "max_output_tokens": "the model's"})


async def _service(hand: Hand) -> RouteService:
    from backend.catalog.service import CatalogService
    from backend.pricing.book import PriceBook
    from backend.providers.service import ProviderService
    from backend.routing.table import RouteTable

    catalog = CatalogService(hand.db, hand.clock)
    await catalog.load()
    prices = PriceBook(hand.db)
    await prices.load()
    table = RouteTable(hand.settings, catalog)
    await table.load()
    return RouteService(hand.settings, hand.clock, table, prices, ProviderService(hand.settings, catalog))
