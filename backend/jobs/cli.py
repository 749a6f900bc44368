"""`python -m backend ingest`: models and prices into the store, from what ships with Bourse, from the network or from a file."""

import asyncio
import dataclasses
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from backend.jobs.show import show_reports, show_run
from backend.kernel.terminal import REFUSED, UNAVAILABLE, WRONG_USE, AsJson, fail, show_one

if TYPE_CHECKING:
    from backend.catalog.ingest import RunReport
    from backend.jobs.schemas import RunView


webhooks = typer.Typer(no_args_is_help=True, help="Who is told of changes by HTTP.")


def mount(app: typer.Typer) -> None:
    """Add `ingest` and `webhook` to the operator's command line."""
    app.command()(ingest)
    app.add_typer(webhooks, name="webhook")


@webhooks.command("test")
def try_webhook(as_json: AsJson = False) -> None:
    """Send the webhook a message of the type `webhook.test`, signed as all are; fails if it is not taken."""
    from backend.identity.command_line import Hand, carry_out
    from backend.jobs.fetching import client
    from backend.jobs.webhook import try_out

    async def work(hand: Hand) -> dict[str, object]:
        http = client(hand.settings.network)
        try:
            message_id, failure = await try_out(http, hand.settings.ingestion.webhook, hand.clock.now())
        finally:
            await http.close()
        async with hand.db.write() as unit:
            await hand.audit.record(unit, hand.principal, "webhook.test", message_id, taken=failure is None, why=failure or "")
        return {"id": message_id, "taken": failure is None, "why": failure, "signed": hand.settings.ingestion.webhook.secret is not None}

    record = carry_out(work)
    show_one(record, as_json=as_json, unset={"why": "—"})
    if not record["taken"]:
        raise typer.Exit(REFUSED)


def ingest(
    source: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Fetch this source now; `all` is every one.")] = None,
    url: Annotated[str | None, typer.Option(help="Fetch this address, as the source that `--name` says.")] = None,
    file: Annotated[Path | None, typer.Option(help="Read this file, as the source that `--name` says.")] = None,
    name: Annotated[str | None, typer.Option(help="With `--url` or `--file`: the source's name; a file has its own if not given.")] = None,
    kind: Annotated[str | None, typer.Option("--format", help="With `--url` or `--file`: its format, if the text does not tell.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would change.")] = False,
    force: Annotated[bool, typer.Option(help="Read what has not changed, and take what is suspiciously short or long.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress bar and no report.")] = False,
) -> None:
    """Read models and prices into the store: without a source named, from what ships with Bourse and what was fetched before."""
    if sum(given is not None for given in (source, url, file)) > 1:
        raise fail("Name a --source, a --url or a --file, one of them.", WRONG_USE)
    if source is None and url is None and file is None:
        if dry_run or name or kind:
            raise fail("--dry-run, --name and --format go with a --source, a --url or a --file.", WRONG_USE)
        reports = asyncio.run(_ingest_kept(force, silent=quiet or as_json))
        if as_json:
            typer.echo(orjson.dumps([dataclasses.asdict(report) for report in reports], option=orjson.OPT_INDENT_2).decode())
        elif not quiet:
            show_reports(reports)
        return
    view = _ingest_asked(source, url, file, name, kind, dry_run=dry_run, force=force)
    if as_json:
        typer.echo(view.model_dump_json(indent=2))
    elif not quiet:
        show_run(view, dry_run=dry_run)
    if view.outcome == "failed":
        raise typer.Exit(REFUSED)


def _ingest_asked(
    source: list[str] | None, url: str | None, file: Path | None, name: str | None, kind: str | None, *, dry_run: bool, force: bool
) -> "RunView":
    from backend.benchmarks.ingest import ingest_bundled as ingest_benchmarks
    from backend.catalog.sources.formats import FORMATS
    from backend.identity.command_line import Hand, carry_out
    from backend.jobs.fetching import client
    from backend.jobs.run import Ask, run
    from backend.jobs.schemas import run_view
    from backend.jobs.service import checked_upload
    from backend.jobs.sources import Feed, feeds
    from backend.kernel.errors import BadRequest

    async def work(hand: Hand) -> "RunView":
        settings = hand.settings.ingestion
        known = feeds(settings)
        ask = Ask("command", hand.principal.name or hand.principal.id, force=force, dry_run=dry_run, max_bytes=settings.max_bytes)
        ask = dataclasses.replace(ask, tell=settings.webhook.url is not None)
        if kind is not None and kind not in FORMATS:
            raise BadRequest(f"The format is one of {', '.join(FORMATS)}.")
        if source is not None:
            names = [one for one in known if known[one].enabled] if source == ["all"] else source
            for one in names:
                if one not in known:
                    raise BadRequest(f"There is no source {one!r}; there are {', '.join(known)}.")
            ask = dataclasses.replace(ask, feeds=tuple(known[one] for one in names))
        elif url is not None:
            if name is None:
                raise BadRequest("Say with --name what the source is called.")
            checked_upload(name, b"-", kind)
            ask = dataclasses.replace(ask, feeds=(Feed(name, url, kind, 0.0, enabled=True),))
        elif file is not None:
            try:
                text = await asyncio.to_thread(file.read_bytes)
            except OSError as error:
                raise BadRequest(f"The file cannot be read: {error.strerror}.") from None
            called = name or "".join(c if c.isascii() and c.isalnum() else "-" for c in file.stem.lower()).strip("-")
            ask = dataclasses.replace(ask, uploads=(checked_upload(called, text, kind),))
        http = client(hand.settings.network)
        try:
            if not dry_run:
                async with hand.db.write() as unit:
                    target = ", ".join([*(feed.name for feed in ask.feeds), *(upload.name for upload in ask.uploads)])
                    await hand.audit.record(unit, hand.principal, "ingestion.command", target, force=force)
            report = await run(hand.db, hand.clock, http, ask)
            assert report is not None, "only what is due may be nothing"
            view = run_view(report)
            if not dry_run:
                await ingest_benchmarks(hand.db, hand.clock)
            return view
        finally:
            await http.close()

    return carry_out(work)


async def _ingest_kept(force: bool, *, silent: bool) -> "list[RunReport]":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from backend.benchmarks.ingest import ingest_bundled as ingest_benchmarks
    from backend.catalog.change_names import offer_named
    from backend.catalog.ingest import ingest as ingest_sources
    from backend.configuration import load_settings
    from backend.jobs.sources import sources_in_force
    from backend.kernel import migrations
    from backend.kernel.clock import SystemClock
    from backend.kernel.db import Database
    from backend.kernel.events import EventBus
    from backend.pricing import change_log

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
            clock = SystemClock()
            reports = await ingest_sources(
                db,
                clock,
                await sources_in_force(db, with_text=True),
                lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total),
                force=force,
            )
            bar.update(task, description="reading what prices were")
            await change_log.load(db, clock, offer_named)
            bar.update(task, description="matching benchmark results")
            await ingest_benchmarks(db, clock, force=force)
            return reports
    finally:
        await db.close()
