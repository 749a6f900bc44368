"""`python -m backend ingest` and `python -m backend prices …`."""

import asyncio
import dataclasses
import gc
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from backend.kernel.terminal import UNAVAILABLE, fail

if TYPE_CHECKING:
    from backend.catalog.ingest import RunReport

prices = typer.Typer(no_args_is_help=True, help="What is known and doubted about prices.")


def mount(app: typer.Typer) -> None:
    """Add the catalog's commands to the operator's command line."""
    app.command()(ingest)
    app.add_typer(prices, name="prices")


def ingest(
    force: Annotated[bool, typer.Option(help="Read every source even if it has not changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress bar and no report.")] = False,
) -> None:
    """Read models and prices from the bundled sources into the store; unchanged sources are skipped."""
    reports = asyncio.run(_ingest(force, silent=quiet or as_json))
    if as_json:
        typer.echo(orjson.dumps([dataclasses.asdict(report) for report in reports], option=orjson.OPT_INDENT_2).decode())
    elif not quiet:
        _print(reports)


async def _ingest(force: bool, *, silent: bool) -> "list[RunReport]":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from backend.catalog.ingest import ingest_bundled
    from backend.configuration import load_settings
    from backend.kernel import migrations
    from backend.kernel.clock import SystemClock
    from backend.kernel.db import Database
    from backend.kernel.events import EventBus

    # A short-lived process that builds much and drops nothing: looking for garbage would take a fifth of its time.
    gc.disable()
    url = load_settings().database
    try:
        await asyncio.to_thread(migrations.prepare, url)
    except migrations.NotMigrated as error:
        raise fail(f"Nothing was read: {error}.", UNAVAILABLE) from None
    db = Database.open(url, EventBus())
    columns = (TextColumn("{task.description:<36}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, transient=True, disable=silent) as bar:
            task = bar.add_task("looking for changes")
            return await ingest_bundled(
                db, SystemClock(), lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total), force=force
            )
    finally:
        await db.close()


def _print(reports: "list[RunReport]") -> None:
    from rich.console import Console
    from rich.table import Table

    if all(report.skipped for report in reports):
        typer.echo("The catalog is up to date.")
        return
    table = Table("source", "licence", box=None, header_style="bold")
    for heading in ("read", "kept", "merged", "new prices", "quarantined"):
        table.add_column(heading, justify="right")
    for report in reports:
        if report.skipped:
            table.add_row(report.label, report.licence, "unchanged")
        else:
            numbers = (report.read, report.kept, report.merged, report.prices, report.quarantined)
            table.add_row(report.label, report.licence, *(f"{number:,}" for number in numbers))
    console = Console()
    console.print(table)
    for report in reports:
        for field, count in report.unknown.items():
            console.print(f"{report.label}: a field that nobody understands yet, kept as it is: {field} (in {count} entries)")


@prices.command()
def quarantine(as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False) -> None:
    """List the prices that wait for a person, and why."""
    from backend.identity.command_line import Hand, carry_out
    from backend.pricing.repository import quarantined

    async def work(hand: Hand) -> list[Any]:
        async with hand.db.read() as session:
            return await quarantined(session)

    rows = carry_out(work)
    if as_json:
        typer.echo(orjson.dumps([row._asdict() for row in rows], option=orjson.OPT_INDENT_2).decode())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("offer", "source", "price of", "per 1M", "why", box=None, header_style="bold")
    for row in rows:
        table.add_row(row.offer_id, row.source, f"{row.component} {row.tier}".strip(), f"${row.usd_per_million}", row.reason)
    console = Console()
    console.print(table if rows else "Nothing is in quarantine.")
