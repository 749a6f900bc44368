"""`python -m backend provider add-key …` and what else there is to do with keys."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from backend.credentials.book import KeyBook
from backend.credentials.master import MasterKeys, MasterKeyWrong
from backend.credentials.service import CredentialService, KeyView
from backend.credentials.vault import Vault
from backend.identity.command_line import Hand, carry_out
from backend.kernel.addresses import AddressPolicy
from backend.kernel.errors import Conflict
from backend.kernel.secrets import SecretRef, SecretUnavailable
from backend.kernel.terminal import REFUSED, WRONG_USE, AsJson, fail, say, show_list, show_one
from backend.providers.book import ProviderBook, read_providers
from backend.providers.http import UpstreamHttp

Provider = Annotated[str, typer.Argument(metavar="PROVIDER")]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="What the key is called.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="A key for the calls of this tenant alone.")]
_COLUMNS = ("provider", "name", "source", "place", "hint", "state", "why")
_EMPTY = "There is no key."


def mount(providers: typer.Typer) -> None:
    """Add what is about keys to the command `provider`."""
    providers.command("keys")(list_keys)
    providers.command("add-key")(add_key)
    providers.command("remove-key")(remove_key)
    providers.command("test")(try_keys)
    providers.command("reseal")(reseal)


def as_record(view: KeyView) -> dict[str, Any]:
    return {**asdict(view), "why": view.why or None, "hint": view.hint or None}


def list_keys(
    provider: Annotated[str | None, typer.Argument(metavar="[PROVIDER]")] = None, tenant: Tenant = None, as_json: AsJson = False
) -> None:
    """List keys by name, where they come from and whether they are there; never what they are."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        service = await _service(hand)
        views = await service.keys(hand.principal, provider=provider, tenant_id=await _tenant(hand, tenant))
        return [as_record(view) for view in views]

    show_list(carry_out(work), _COLUMNS, as_json=as_json, empty=_EMPTY, unset={"why": "", "hint": ""})


def add_key(
    provider: Provider,
    name: Name = "default",
    tenant: Tenant = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="REF", help="env:NAME or file:PATH to read it from; asked for if not given.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of the one of that name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store a key, encrypted, for where the provider is now."""
    value = _value(key)

    async def work(hand: Hand) -> dict[str, Any]:
        service = await _service(hand)
        owner = await _tenant(hand, tenant)
        return as_record(await service.add(hand.principal, provider, value, name=name, tenant_id=owner, replace=replace))

    record = carry_out(work)
    say("Stored.", as_json=as_json)
    show_one(record, as_json=as_json, unset={"why": "", "hint": "", "tenant_id": "everybody"})


def remove_key(provider: Provider, name: Name = "default", tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Take away a stored key."""

    async def work(hand: Hand) -> dict[str, Any]:
        service = await _service(hand)
        owner = await _tenant(hand, tenant)
        await service.remove(hand.principal, provider, name, tenant_id=owner)
        return {"provider": provider, "name": name, "tenant_id": owner, "removed": True}

    show_one(carry_out(work), as_json=as_json, unset={"tenant_id": "everybody"})


def try_keys(
    provider: Provider,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only with this key.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Ask a provider with each of its keys for something that costs nothing; fails if one is refused."""

    async def work(hand: Hand) -> list[dict[str, Any]]:
        network = hand.settings.network
        http = UpstreamHttp(AddressPolicy(network.allow_private), proxy=network.proxy, ca_file=network.ca_file)
        try:
            service = await _service(hand)
            owner = await _tenant(hand, tenant)
            return [asdict(one) for one in await service.test(hand.principal, http, provider, name=name, tenant_id=owner)]
        finally:
            await http.close()

    trials = carry_out(work)
    columns = ("provider", "key", "destination", "reached", "accepted", "status", "milliseconds", "why")
    show_list(trials, columns, as_json=as_json, empty=_EMPTY, unset={"key": "none", "accepted": "unknown"})
    if not all(trial["reached"] and trial["accepted"] is not False for trial in trials):
        raise typer.Exit(REFUSED)


def reseal(as_json: AsJson = False) -> None:
    """Seal all stored keys under the master key of now, while everything runs; may be broken off and begun again."""

    async def work(hand: Hand) -> dict[str, Any]:
        service = await _service(hand)
        total = await service.sealed_otherwise(hand.principal)

        def progress(done: int) -> None:
            if not as_json:
                typer.echo(f"{done:,} of {total:,}", err=True)

        done, closed = await service.reseal(hand.principal, progress)
        return {"resealed": done, "closed": closed}

    record = carry_out(work)
    show_one(record, as_json=as_json)
    if record["closed"]:
        raise typer.Exit(REFUSED)


async def _service(hand: Hand) -> CredentialService:
    return credentials_of(hand, await read_book(hand, await read_providers(hand.settings, hand.db)))


def credentials_of(hand: Hand, book: KeyBook) -> CredentialService:
    """The service on keys that `read_book` has read."""
    return CredentialService(hand.db, hand.clock, hand.audit, book.providers, _masters(hand), book)


async def read_book(hand: Hand, providers: ProviderBook) -> KeyBook:
    """The keys as this process sees them just now."""
    settings = hand.settings
    vault = Vault(settings.vault, settings.network) if settings.vault.address is not None else None
    book = KeyBook(settings, hand.db, _masters(hand), vault, providers)
    try:
        await book.load()
    finally:
        if vault is not None:
            await vault.stop()
    return book


def _masters(hand: Hand) -> MasterKeys:
    try:
        return MasterKeys(hand.settings)
    except MasterKeyWrong as error:
        raise Conflict(f"{error}.") from None


async def _tenant(hand: Hand, tenant: str | None) -> str | None:
    return (await hand.identity.tenants.get(hand.principal, tenant)).id if tenant is not None else None


def _value(reference: str | None) -> str:
    if reference is None:
        if not sys.stdin.isatty():
            return sys.stdin.read()
        return str(typer.prompt("Key", hide_input=True, err=True))
    place = SecretRef(reference)
    if place.is_literal or place.vault_place is not None:
        raise fail("A key is never given on the command line: use env:NAME, file:PATH, or type it when asked.", WRONG_USE)
    try:
        return place.resolve()
    except SecretUnavailable as error:
        raise fail(f"There is no key: {error}.", WRONG_USE) from None
