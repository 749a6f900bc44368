"""What `ingest` prints for people."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from backend.catalog.ingest import RunReport
    from backend.jobs.schemas import RunView

_MOST_LINES = 12


def show_reports(reports: "list[RunReport]") -> None:
    """What each source brought."""
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


def show_run(view: "RunView", *, dry_run: bool) -> None:
    """What became of each source, and what changed in the store."""
    for one in view.sources:
        what = f"{one.source}: {one.outcome}"
        typer.echo(f"{what}, {one.why}" if one.why else f"{what}, {one.entries:,} offers" if one.entries else what)
        for entry, reason in list(one.refused_entries.items())[:_MOST_LINES]:
            typer.echo(f"  not read: {entry}: {reason}")
    changed = view.difference
    if changed is None:
        typer.echo("Nothing changed.")
        return
    typer.echo("It would change:" if dry_run else "It changed:")
    counts = {
        "new models": changed.new_models.count,
        "new offers": changed.new_offers.count,
        "retired models": changed.retired_models.count,
        "retired offers": changed.retired_offers.count,
        "prices up": changed.prices_up,
        "prices down": changed.prices_down,
        "prices in quarantine": changed.quarantined,
    }
    typer.echo("  " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))
    for change in changed.largest[:_MOST_LINES]:
        typer.echo(f"  {change.offer} {change.component}: ${change.before} → ${change.after} per 1M")
    for held in changed.held[:_MOST_LINES]:
        place = f"{held.offer} {held.component} {held.tier}".strip()
        typer.echo(f"  in quarantine: {place} ${held.usd_per_million}: {held.reason}")
