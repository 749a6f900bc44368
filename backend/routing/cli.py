"""`python -m backend route …`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
import yaml

from backend.identity.command_line import Hand, carry_out
from backend.kernel.terminal import WRONG_USE, AsJson, fail, fields_of, say, show_list, show_one, usd
from backend.routing import discovery_cli
from backend.routing.service import CandidateView, RouteService, RouteView

routes = typer.Typer(no_args_is_help=True, help="Names that callers send as `model`.")

Alias = Annotated[str, typer.Argument(metavar="ALIAS")]
Fields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]…",
        help="As in the file, in YAML: strategy=cheapest, timeouts.total=60s, 'rules=[{task: code, use: [big]}]'.",
    ),
]
Candidates = Annotated[
    list[str] | None,
    typer.Option("--candidate", metavar="PROVIDER/MODEL[=WEIGHT]", help="All of them, in their order: once for each."),
]
_UNSET = {"why": "", "max_output_tokens": "the model's", "origin": ""}


def mount(app: typer.Typer) -> None:
    """Add `route` to the operator's command line."""
    discovery_cli.mount(routes)
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
        "origin": view.origin or None,
        "edited": list(view.edited),
        "notes": list(view.notes),
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
    """List the aliases, and whether a call would find somebody to answer."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        views = (await _service(hand)).all(hand.principal)
        return [as_record(view) | {"candidates": len(view.candidates)} for view in views if all_ or view.kind == "alias"]

    columns = ("name", "kind", "origin", "strategy", "candidates", "usable", "why")
    empty = "There is no alias; `route list --all` lists what providers sell."
    show_list(carry_out(work), columns, as_json=as_json, empty=empty, unset=_UNSET)


@routes.command()
def show(
    name: Annotated[str, typer.Argument(help="An alias, `provider/model`, or a name of the catalog.")], as_json: AsJson = False
) -> None:
    """Show what a name stands for: its candidates, their prices, and why one would not be asked."""

    async def work(hand: Hand) -> dict[str, Any]:
        return _whole((await _service(hand)).get(hand.principal, name))

    _show(carry_out(work), as_json=as_json)


@routes.command()
def create(name: Alias, fields: Fields = None, candidate: Candidates = None, as_json: AsJson = False) -> None:
    """Make an alias that is in the database alone."""
    given = _fields(fields, candidate)
    _change(name, lambda service, hand: service.edits.create(hand.principal, name, given), as_json=as_json)


@routes.command("set")
def set_fields(name: Alias, fields: Fields = None, candidate: Candidates = None, as_json: AsJson = False) -> None:
    """Edit fields of an alias; for these the database then decides, for the others the file."""
    given = _fields(fields, candidate)
    _change(name, lambda service, hand: service.edits.change(hand.principal, name, given), as_json=as_json)


@routes.command()
def reset(
    name: Alias,
    fields: Annotated[list[str] | None, typer.Argument(metavar="[FIELD]…", help="Such as timeouts.total; all if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take back what was edited: the file decides again."""
    _change(name, lambda service, hand: service.edits.reset(hand.principal, name, tuple(fields or ())), as_json=as_json)


@routes.command()
def enable(name: Alias, as_json: AsJson = False) -> None:
    """Take an alias into service again."""
    _change(name, lambda service, hand: service.edits.change(hand.principal, name, {"enabled": True}), as_json=as_json)


@routes.command()
def disable(name: Alias, as_json: AsJson = False) -> None:
    """Take an alias out of service: calls are answered 404, as if there were none."""
    _change(name, lambda service, hand: service.edits.change(hand.principal, name, {"enabled": False}), as_json=as_json)


@routes.command()
def delete(name: Alias, as_json: AsJson = False) -> None:
    """End an alias that is in the database alone."""

    async def work(hand: Hand) -> dict[str, Any]:
        await (await _service(hand)).edits.delete(hand.principal, name)
        return {"name": name, "deleted": True}

    show_one(carry_out(work), as_json=as_json)


def _change(name: str, change: Callable[[RouteService, Hand], Awaitable[object]], *, as_json: bool) -> None:
    async def work(hand: Hand) -> dict[str, Any]:
        service = await _service(hand)
        await change(service, hand)
        return _whole(await service.seen(hand.principal, name))

    record = carry_out(work)
    say("Done. Running servers follow within a second.", as_json=as_json)
    _show(record, as_json=as_json)


def _show(record: dict[str, Any], *, as_json: bool) -> None:
    """People read an alias's settings as they would stand in the file, and its candidates in a table."""
    settings = {name: value for name, value in record["settings"].items() if name != "candidates"}
    show_one(record if as_json else {name: value for name, value in record.items() if name != "settings"}, as_json=as_json, unset=_UNSET)
    if settings and not as_json:
        say(
            "\n" + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120).rstrip(), as_json=False
        )


def _whole(view: RouteView) -> dict[str, Any]:
    return as_record(view) | {"settings": dict(view.settings), "candidates": [_candidate(candidate) for candidate in view.candidates]}


def _fields(words: list[str] | None, candidates: list[str] | None) -> dict[str, Any]:
    fields = fields_of(words)
    if candidates:
        fields["candidates"] = [_candidate_of(text) for text in candidates]
    if not fields:
        raise fail("Say what is to be set, as FIELD=VALUE or --candidate.", WRONG_USE)
    return fields


def _candidate_of(text: str) -> dict[str, Any]:
    name, _, weight = text.partition("=")
    provider, _, model = name.partition("/")
    if not provider or not model or (weight and not weight.isdecimal()):
        raise fail(f"{text!r} is no PROVIDER/MODEL or PROVIDER/MODEL=WEIGHT.", WRONG_USE)
    return {"provider": provider, "model": model} | ({"weight": int(weight)} if weight else {})


async def _service(hand: Hand) -> RouteService:
    from backend.catalog.service import CatalogService
    from backend.credentials.cli import read_book
    from backend.pricing.book import PriceBook
    from backend.providers.book import read_providers
    from backend.providers.service import ProviderService
    from backend.routing.edits import RouteEdits
    from backend.routing.table import RouteTable

    catalog = CatalogService(hand.db, hand.clock)
    await catalog.load()
    prices = PriceBook(hand.db)
    await prices.load()
    book = await read_providers(hand.settings, hand.db)
    table = RouteTable(hand.settings, catalog, hand.db, providers=book)
    await table.load()
    edits = RouteEdits(hand.db, hand.clock, hand.audit, hand.settings, book)
    providers = ProviderService(book, catalog, await read_book(hand, book))
    return RouteService(hand.settings, hand.clock, table, prices, providers, edits)
