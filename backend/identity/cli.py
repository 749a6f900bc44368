"""Tenants, people and keys on the command line."""

import typer

from backend.identity.cli_key import keys
from backend.identity.cli_tenant import tenants
from backend.identity.cli_user import users


def mount(app: typer.Typer) -> None:
    """Add `tenant`, `user` and `key` to the operator's command line."""
    app.add_typer(tenants, name="tenant")
    app.add_typer(users, name="user")
    app.add_typer(keys, name="key")
