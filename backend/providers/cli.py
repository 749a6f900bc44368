"""`python -m backend provider …`."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from backend.credentials import cli as credentials
from backend.credentials.cli import credentials_of, read_book
from backend.credentials.service import MOST_SIGNS
from backend.identity.command_line import Hand, carry_out
from backend.kernel.addresses import AddressPolicy
from backend.kernel.errors import BourseError
from backend.kernel.terminal import REFUSED, WRONG_USE, AsJson, fail, fields_of, say, show_list, show_one
from backend.providers.book import read_providers
from backend.providers.edits import ProviderEdits
from backend.providers.service import ProviderService, ProviderView
from backend.settings import ProviderSettings

providers = typer.Typer(no_args_is_help=True, help="Where calls go, and whether they can.")

Name = Annotated[str, typer.Argument(metavar="PROVIDER")]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]…",
        help="As under `providers.NAME` in the file, in YAML: max_parallel=20, headers.x-team=a. Any other word is metadata of the "
        "protocol: region=eu-central-1.",
    ),
]
_UNSET = {"why": "", "base_url": "", "origin": ""}


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
        "origin": view.origin or None,
        "edited": list(view.edited),
    }


@providers.command("list")
def list_providers(as_json: AsJson = False) -> None:
    """List providers: whether the key is there, and how many models the catalog knows of each."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        service = await _service(hand)
        return [as_record(view) for view in service.all(hand.principal)]

    columns = ("name", "protocol", "base_url", "key", "usable", "offers", "origin", "why")
    show_list(carry_out(work), columns, as_json=as_json, empty="There is no provider.", unset=_UNSET)


@providers.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a provider, its settings and the models that callers may ask it for."""

    async def work(hand: Hand) -> dict[str, Any]:
        return await _seen(hand, name)

    _show(carry_out(work), as_json=as_json)


@providers.command()
def add(
    name: Name,
    fields: Words = None,
    protocol: Annotated[str, typer.Option("--protocol", metavar="PROTOCOL", help="How it is spoken to.")] = "openai",
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL", help="Where it is; the vendor's own if not given.")] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read its key from standard input, or ask for it.")] = False,
    key_file: Annotated[Path | None, typer.Option("--key-file", metavar="FILE", help="Read its key from a file.")] = None,
    models: Annotated[
        str, typer.Option("--models", metavar="all|discover|A,B", help="Which models callers may ask it for: `discover` asks the provider.")
    ] = "all",
    as_json: AsJson = False,
) -> None:
    """Make a provider that is in the database alone, with its key; its models can be asked for at once."""
    given = {"protocol": protocol} | ({"base_url": base_url} if base_url is not None else {}) | _placed(fields_of(fields))
    if models not in ("all", "discover"):
        given["models"] = [model.strip() for model in models.split(",") if model.strip()]
    key = _key(key_file, from_stdin=key_stdin)

    async def work(hand: Hand) -> tuple[dict[str, Any], str]:
        edits = await _edits(hand)
        await edits.add(hand.principal, name, given, key=key)
        trouble = await _discover(hand, name, edits) if models == "discover" else ""
        return await _seen(hand, name), trouble

    record, trouble = carry_out(work)
    say("Added. Running servers follow within a second.", as_json=as_json)
    _show(record, as_json=as_json)
    if trouble:
        raise fail(f"It is there with all models, because its list could not be taken: {trouble}", REFUSED)
    if not record["offers"]:
        vendor = {"vertex": "vertex_ai"}.get(protocol, protocol)
        named = f", or another name: the store calls it {vendor!r}" if protocol not in ("openai", "sandbox") and name != vendor else ""
        say(f"\nThe store knows no prices of a provider {name!r}: its models need some (`route adopt`){named}.", as_json=as_json)
    if record["key"] != "missing":
        say(f"\n`provider test {name}` asks it; `route discover {name}` lists its models and which of them have no price.", as_json=as_json)


@providers.command()
def change(name: Name, fields: Words = None, as_json: AsJson = False) -> None:
    """Edit fields of a provider; for these the database then decides, for the others the file."""
    given = _placed(fields_of(fields))
    _change(name, lambda edits, hand: edits.change(hand.principal, name, given), as_json=as_json)


@providers.command()
def reset(
    name: Name,
    fields: Annotated[list[str] | None, typer.Argument(metavar="[FIELD]…", help="Such as metadata.region; all if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take back what was edited: the file decides again."""
    _change(name, lambda edits, hand: edits.reset(hand.principal, name, tuple(fields or ())), as_json=as_json)


@providers.command()
def remove(name: Name, as_json: AsJson = False) -> None:
    """End a provider that is in the database alone, and its stored keys; calls under way go on."""

    async def work(hand: Hand) -> dict[str, Any]:
        keys = await (await _edits(hand)).remove(hand.principal, name)
        return {"name": name, "removed": True, "keys": keys}

    show_one(carry_out(work), as_json=as_json)


def _change(name: str, change: Callable[[ProviderEdits, Hand], Awaitable[object]], *, as_json: bool) -> None:
    async def work(hand: Hand) -> dict[str, Any]:
        await change(await _edits(hand), hand)
        return await _seen(hand, name)

    record = carry_out(work)
    say("Done. Running servers follow within a second.", as_json=as_json)
    _show(record, as_json=as_json)


def _show(record: dict[str, Any], *, as_json: bool) -> None:
    """People read the settings as they would stand in the file."""
    settings = record["settings"]
    show_one(record if as_json else {field: value for field, value in record.items() if field != "settings"}, as_json=as_json, unset=_UNSET)
    if settings and not as_json:
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        say(f"\n{text.rstrip()}", as_json=False)


def _placed(words: dict[str, Any]) -> dict[str, Any]:
    """Fields of a provider, and in `metadata` the words that are none."""
    known = ProviderSettings.model_fields
    fields = {word: value for word, value in words.items() if word in known}
    rest = {word: value for word, value in words.items() if word not in known}
    if rest:
        fields["metadata"] = {**fields.get("metadata", {}), **rest}
    return fields


def _key(file: Path | None, *, from_stdin: bool) -> str | None:
    if file is not None and from_stdin:
        raise fail("The key comes from standard input or from a file, not from both.", WRONG_USE)
    if from_stdin:
        return str(typer.prompt("Key", hide_input=True, err=True)) if sys.stdin.isatty() else sys.stdin.read(4 * MOST_SIGNS)
    if file is None:
        return None
    try:
        return file.read_text()
    except (OSError, ValueError) as error:
        raise fail(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}.", WRONG_USE) from None


async def _discover(hand: Hand, name: str, edits: ProviderEdits) -> str:
    """Let callers ask for the models that the provider lists; returns why that cannot be, as a sentence."""
    from backend.routing.discovery_cli import open_discovery

    try:
        async with open_discovery(hand) as discovery:
            found = await discovery.models(hand.principal, name)
        await edits.change(hand.principal, name, {"models": [one.id for one in found]})
    except BourseError as error:
        return error.message
    return ""


async def _seen(hand: Hand, name: str) -> dict[str, Any]:
    view = (await _service(hand)).get(hand.principal, name)
    return {**as_record(view), "settings": dict(view.settings), "models": [{"id": offer} for offer in view.offers]}


async def _service(hand: Hand) -> ProviderService:
    from backend.catalog.service import CatalogService

    catalog = CatalogService(hand.db, hand.clock)
    await catalog.load()
    book = await read_providers(hand.settings, hand.db)
    return ProviderService(book, catalog, await read_book(hand, book))


async def _edits(hand: Hand) -> ProviderEdits:
    async def reload() -> None:
        """Nobody is asked by this process, and what it shows is read anew."""

    book = await read_providers(hand.settings, hand.db)
    keys = credentials_of(hand, await read_book(hand, book))
    return ProviderEdits(
        hand.db, hand.clock, hand.audit, hand.settings, AddressPolicy(hand.settings.network.allow_private), keys, reload=reload
    )
