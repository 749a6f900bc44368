"""The operator's hand: `python -m backend …`."""

import sys

import structlog
import typer
from sqlalchemy.exc import InterfaceError, OperationalError

from backend import doctor
from backend.benchmarks import cli as benchmarks
from backend.budgets import cli as budgets
from backend.configuration import ConfigurationError, load_settings
from backend.gateway.cache import cli as cache
from backend.identity import cli as identity
from backend.jobs import cli as jobs
from backend.kernel import migrations
from backend.kernel.db import is_sqlite
from backend.kernel.errors import StorageUnavailable
from backend.kernel.terminal import UNAVAILABLE, WRONG_USE, AsJson, show_one
from backend.limits import cli as limits
from backend.metering.reconcile import cli as reconcile
from backend.pricing import cli as prices
from backend.providers import cli as providers
from backend.routing import cli as routing

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Bourse on the command line.", pretty_exceptions_enable=False)
identity.mount(app)
budgets.mount(app)
routing.mount(app)
providers.mount(app)
jobs.mount(app)
prices.mount(app)
benchmarks.mount(app)
doctor.mount(app)
limits.mount(app)
cache.mount(app)
reconcile.mount(app)


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the database's schema up to date."""
    url = load_settings().database
    before = migrations.current(url)
    migrations.upgrade(url)
    after = migrations.current(url)
    show_one({"before": before, "after": after, "changed": before != after}, as_json=as_json, unset={"before": "none"})


@app.command("check-workers", hidden=True)
def check_workers(count: int) -> None:
    """Fail, with the reason, if the database cannot take this many serving processes; `make gateway` asks before it starts them."""
    if count > 1 and is_sqlite(load_settings().database):
        print(
            f"WORKERS={count} needs PostgreSQL: a SQLite file takes one serving process. "
            "Set BOURSE_DATABASE_URL=postgresql://…, or leave WORKERS at 1.",
            file=sys.stderr,
        )
        raise typer.Exit(2)


def main() -> None:
    # Standard output holds what a command answers and nothing else: programs read it.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except ConfigurationError as error:
        print(f"The configuration cannot be used:\n{error}", file=sys.stderr)
        raise SystemExit(WRONG_USE) from None
    except (StorageUnavailable, OperationalError, InterfaceError):
        print("Nothing was done: the database cannot be reached.", file=sys.stderr)
        raise SystemExit(UNAVAILABLE) from None


if __name__ == "__main__":
    main()
