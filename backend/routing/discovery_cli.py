"""`python -m backend route discover …` and `route adopt …`: models that providers have, and a price for those that nobody knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, carry_out
from backend.kernel.addresses import AddressPolicy
from backend.kernel.events import EventBus
from backend.kernel.terminal import WRONG_USE, AsJson, fail, say, show_list, show_one
from backend.providers.http import UpstreamHttp
from backend.routing.discovery import Discovered, Discovery

Provider = Annotated[str, typer.Argument(metavar="PROVIDER")]


def mount(routes: typer.Typer) -> None:
    """Add discovery to the command `route`."""
    routes.command("discover")(discover)
    routes.command("adopt")(adopt)


def as_record(found: Discovered) -> dict[str, Any]:
    return {**asdict(found), "others": list(found.others), "aliases": list(found.aliases)}


def discover(
    provider: Provider,
    unknown: Annotated[bool, typer.Option("--unknown", help="Only those that have no price yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that a provider says it has, and what the store knows of each. Asks the provider; costs nothing."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        async with open_discovery(hand) as discovery:
            found = await discovery.models(hand.principal, provider)
        return [as_record(one) for one in found if not (unknown and one.has_price)]

    columns = ("id", "name", "known", "has_price", "aliases", "others")
    empty = "All of its models have a price." if unknown else "It has no models."
    show_list(carry_out(work), columns, as_json=as_json, empty=empty)


def adopt(
    provider: Provider,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As the provider calls it.")],
    input_: Annotated[str, typer.Option("--input", metavar="USD", help="Of 1M tokens of a prompt; 0 is free.")],
    output: Annotated[str, typer.Option("--output", metavar="USD", help="Of 1M tokens of an answer.")],
    alias: Annotated[str | None, typer.Option("--alias", metavar="ALIAS", help="provider/model if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a model of a provider a price, so that it can be asked: an alias with it as its candidate."""
    prices = _usd(input_), _usd(output)

    async def work(hand: Hand) -> dict[str, Any]:
        async with open_discovery(hand) as discovery:
            name = await discovery.adopt(hand.principal, provider, model, input_usd=prices[0], output_usd=prices[1], alias=alias)
        return {"alias": name, "provider": provider, "model": model, "input": str(prices[0]), "output": str(prices[1])}

    record = carry_out(work)
    say("It can be asked now.", as_json=as_json)
    show_one(record, as_json=as_json)


def _usd(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise fail(f"{text!r} is no amount in USD.", WRONG_USE)
    return amount


@asynccontextmanager
async def open_discovery(hand: Hand) -> AsyncIterator[Discovery]:
    """Discovery with providers as they are just now, in connections of its own."""
    from backend.catalog.service import CatalogService
    from backend.credentials.cli import read_book
    from backend.credentials.connections import Connections
    from backend.pricing.book import PriceBook
    from backend.providers.book import read_providers
    from backend.routing.edits import RouteEdits
    from backend.routing.table import RouteTable

    catalog, prices = CatalogService(hand.db, hand.clock), PriceBook(hand.db)
    await catalog.load()
    await prices.load()
    providers = await read_providers(hand.settings, hand.db)
    table = RouteTable(hand.settings, catalog, hand.db, providers=providers)
    await table.load()
    network = hand.settings.network
    http = UpstreamHttp(AddressPolicy(network.allow_private), proxy=network.proxy, ca_file=network.ca_file)
    try:
        connections = Connections(hand.settings, await read_book(hand, providers), EventBus(), providers)
        connections.start(http)
        edits = RouteEdits(hand.db, hand.clock, hand.audit, hand.settings, providers)
        yield Discovery(providers, catalog, prices, table, edits, connections.shared)
    finally:
        await http.close()
