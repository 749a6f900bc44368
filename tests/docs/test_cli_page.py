"""`docs/cli.md` says exactly what `python -m backend` has, and its examples work as printed."""

import asyncio
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from backend.configuration import load_settings
from backend.kernel.clock import SystemClock
from backend.runtime import Runtime
from tests.architecture.source import ROOT
from tests.docs.commands import every_command
from tests.rig.command_line import invoke

PAGE = (ROOT / "docs" / "cli.md").read_text()
EXAMPLES = {
    page: [
        line
        for block in re.findall(r"^```sh\n(python -m backend .*?)^```", (ROOT / page).read_text(), re.M | re.S)
        for line in block.splitlines()
    ]
    for page in ("docs/cli.md", "docs/budgets.md", "docs/routing.md", "README.md")
}
Run = Callable[..., Result]


def documented(record: str, *, also: str = "") -> set[str]:
    row = re.search(rf"^\| {record} \| (.+) \|$", PAGE, re.M)
    assert row is not None
    always, _, sometimes = row[1].partition(";")
    fields = set(re.findall(r"`([a-z_]+)`", always))
    return fields | {also} if also and f"`{also}`" in sometimes else fields


def test_every_command_has_its_row_and_every_row_a_command() -> None:
    rows = re.search(r"^## All commands\n\n.*\n\|---\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.M)
    assert rows is not None
    assert rows[1].splitlines() == [command.row for command in every_command()]


def test_every_command_speaks_json_and_says_what_it_does() -> None:
    assert [command.path for command in every_command() if "--json" not in command.options] == []
    assert [command.path for command in every_command() if not re.fullmatch(r"[A-Z].+\.", command.does)] == []


@pytest.fixture
def run(catalog_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command beside the data of an installation that was started once."""
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    (tmp_path / "bourse.yaml").write_text("{}\n")
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ANN_PASSWORD", "correct horse battery")
    asyncio.run(_first_start())
    return invoke


async def _first_start() -> None:
    runtime = Runtime(load_settings(), SystemClock())
    await runtime.identity.bootstrap()
    await runtime.close()


def follow(page: str, run: Run) -> None:
    for line in EXAMPLES[page]:
        program, words = shlex.split(line)[:3], shlex.split(line)[3:]
        assert program == ["python", "-m", "backend"]
        result = run(*words)
        assert result.exit_code == 0, f"{line}\n{result.output}"


@pytest.mark.parametrize(("page", "lines"), [("README.md", 5), ("docs/budgets.md", 2), ("docs/routing.md", 3)])
def test_the_examples_of_other_pages_work_as_printed(run: Run, page: str, lines: int) -> None:
    assert len(EXAMPLES[page]) >= lines
    follow(page, run)


def test_the_examples_work_as_printed_and_records_have_the_documented_fields(run: Run) -> None:
    assert len(EXAMPLES["docs/cli.md"]) >= 6
    follow("docs/cli.md", run)

    def record(*words: str) -> dict[str, object]:
        answer = json.loads(run(*words, "--json").stdout)
        return dict(answer[0] if isinstance(answer, list) else answer)

    assert set(record("tenant", "list")) == documented("tenant")
    assert set(record("tenant", "show", "acme")) == documented("tenant", also="members")
    assert set(record("user", "list")) == documented("user")
    assert set(record("user", "show", "ann@example.org")) == documented("user", also="tenants")
    run("user", "super-admin", "ann@example.org")
    assert set(record("user", "token", "create", "ann@example.org", "nightly")) == documented("token", also="token")
    assert set(record("user", "token", "list", "ann@example.org")) == documented("token")
    assert set(record("key", "list", "acme")) == set(record("key", "show", "demo")) == documented("key")
    assert set(record("key", "create", "demo", "second")) == documented("key", also="key")
    assert set(record("budget", "show", "acme")) == set(record("budget", "list", "demo")) == documented("budget")
    assert set(record("limit", "show", "acme")) == set(record("limit", "list", "acme")) == documented("limit")
    assert set(record("provider", "list")) == documented("provider")
    assert set(record("provider", "show", "sandbox")) == documented("provider", also="models") | documented("provider", also="settings")
    assert set(record("reconcile")) == documented("reconciliation")
    route = record("route", "show", "sandbox/chat")
    assert set(route) == documented("route", also="settings")
    assert set(record("route", "list", "--all")) == documented("route")
    assert isinstance(route["candidates"], list)
    assert set(route["candidates"][0]) == documented("candidate")
