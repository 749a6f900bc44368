"""Limits on the command line: what is set there is in the database, and what is wrong is said in a sentence."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from backend.audit.service import AuditService
from backend.identity.principal import Role, system
from backend.identity.service import IdentityService
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.limits import cli
from backend.settings import Settings

OPERATOR = system("test")
Run = Callable[..., Result]


@pytest.fixture
def key(sqlite_database_url: str) -> str:
    """The id of a key in the tenant `acme`, in which `ann@example.org` is a member."""
    return asyncio.run(_fill(sqlite_database_url))


@pytest.fixture
def run(sqlite_database_url: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on that database."""
    (tmp_path / "bourse.yaml").write_text("rate_limits: {default: {requests_per_minute: 100}}\n")
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATABASE_URL", sqlite_database_url)
    app = typer.Typer()
    cli.mount(app)
    app.command("other")(lambda: None)
    return lambda *words: CliRunner().invoke(app, ["limit", *words])


async def _fill(url: str) -> str:
    db, clock = Database.open(url, EventBus()), SystemClock()
    identity = IdentityService(db, clock, AuditService(clock), Settings.model_validate({}))
    tenant = await identity.tenants.create(OPERATOR, slug="acme")
    key = await identity.keys.create(OPERATOR, tenant.id, name="ci")
    ann = await identity.create_user(OPERATOR, email="ann@example.org")
    await identity.tenants.set_member(OPERATOR, tenant.id, email=ann.email, role=Role.MEMBER)
    identity.close()
    await db.close()
    return key.view.id


def test_a_limit_is_set_added_to_shown_and_cleared(run: Run, key: str) -> None:
    assert run("set", "acme", "--key", key, "--requests-per-minute", "5").exit_code == 0
    assert run("set", "acme", "--key", key, "--tokens-per-day", "9000", "--quota", "soft").exit_code == 0
    shown = json.loads(run("show", "acme", "--key", key, "--json").stdout)
    assert shown["set_here"] == {"requests_per_minute": 5, "tokens_per_day": 9000, "quota": "soft"}
    assert (shown["requests_per_minute"], shown["parallel"]) == (5, 64)
    assert "requests per minute  5" in run("show", "acme", "--key", key).stdout
    assert json.loads(run("clear", "acme", "--key", key, "--json").stdout)["requests_per_minute"] == 100


def test_setting_nothing_takes_nothing_back(run: Run) -> None:
    assert run("set", "acme", "--parallel", "30").exit_code == 0
    assert run("set", "acme").exit_code == 2
    assert json.loads(run("show", "acme", "--json").stdout)["set_here"] == {"parallel": 30}


def test_people_and_the_tenant_itself_are_limited_by_name(run: Run) -> None:
    assert run("set", "acme", "--user", "ann@example.org", "--parallel", "2").exit_code == 0
    assert run("set", "acme", "--parallel", "30").exit_code == 0
    assert json.loads(run("show", "acme", "--user", "ann@example.org", "--json").stdout)["parallel"] == 2
    assert json.loads(run("show", "acme", "--json").stdout)["parallel"] == 30


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "nowhere"), "no such tenant"),
        (("show", "acme", "--key", "none"), "no such key"),
        (("show", "acme", "--user", "bob@example.org"), "There is no"),
        (("set", "acme", "--quota", "strict"), "'quota' is 'hard'"),
        (("set", "acme", "--parallel", "-1"), "equal to 0"),
        (("set", "acme"), "Name at least one limit"),
        (("set", "acme", "--key", "ci", "--user", "ann@example.org", "--parallel", "1"), "not both"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(run: Run, words: tuple[str, ...], says: str) -> None:
    result = run(*words)
    assert result.exit_code == (1 if says in ("no such tenant", "no such key", "There is no") else 2)
    assert says in result.output
    assert json.loads(run("show", "acme", "--json").stdout)["set_here"] == {}
