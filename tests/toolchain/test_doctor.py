"""`make doctor`: what is wrong is named in plain words, with what to do, on any machine, before anything is installed."""

import ast
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend import doctor
from tests.architecture.source import ROOT
from tests.rig.command_line import invoke
from tests.rig.postgres import Postgres
from tests.rig.processes import free_port
from tests.rig.server import AppServer, clean_environment

Finding = dict[str, str]
Examine = Callable[..., tuple[int, list[Finding]]]


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """`examine("yaml", NAME="value")` gives the exit code and the findings of the command, which runs in this process."""
    monkeypatch.chdir(ROOT)

    def run(configuration: str = "{}\n", **variables: str) -> tuple[int, list[Finding]]:
        environment = clean_environment(tmp_path, PORT=str(free_port())) | variables
        (tmp_path / "bourse.yaml").write_text(configuration)
        done = invoke("doctor", "--json", env=environment)
        return read(done.exit_code, done.stdout)

    return run


def read(code: int, printed: str) -> tuple[int, list[Finding]]:
    report = json.loads(printed)
    assert report["ok"] == (code == 0)
    return code, report["findings"]


def of(findings: list[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding["subject"] == subject]


def problems(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding["state"] == "problem"]


def test_a_good_machine_has_nothing_in_the_way(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "backend", "doctor", "--json"]
    environment = clean_environment(tmp_path, PORT=str(free_port()))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    code, findings = read(done.returncode, done.stdout)
    assert (code, problems(findings)) == (0, [])
    assert {"Python", "Installation", "Node", "Disk", "Port", "Configuration", "Data", "Database", "Tests"} <= {
        f["subject"] for f in findings
    }


def test_every_problem_comes_with_something_to_do(examine: Examine) -> None:
    for configuration in ("servr: 1\n", "bootstrap: {admin_users: [{email: a@b.org, password: env:NOT_SET}]}\n"):
        _, findings = examine(configuration, BOURSE_DATA_DIR="/proc/no-such-folder")
        assert len(problems(findings)) >= 1
        assert [finding for finding in problems(findings) if not finding["fix"]] == []


def test_a_mistake_in_the_configuration_is_named_with_its_line(examine: Examine) -> None:
    code, findings = examine("env: development\nservr: {}\nreporting: {timezone: Mars}\n")
    texts = [finding["text"] for finding in of(findings, "Configuration")]
    assert code == 1
    assert len(texts) == 2
    assert any("bourse.yaml:2: servr: there is no such setting" in text for text in texts)


def test_a_secret_that_is_not_there_is_named_by_its_place(examine: Examine) -> None:
    configuration = "providers: {acme: {base_url: http://h/v1, api_key: env:ACME_KEY}}\n"
    code, findings = examine(configuration)
    assert code == 1
    assert "providers.acme.api_key" in of(findings, "Secret")[0]["text"]
    assert "env:ACME_KEY" in of(findings, "Secret")[0]["text"]
    code, findings = examine(configuration, ACME_KEY="sk-canary")
    assert (code, of(findings, "Secret")) == (0, [])
    assert "canary" not in str(findings)


def test_a_port_in_use_is_named_with_who_uses_it(examine: Examine) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, findings = examine(PORT=str(port))
    (finding,) = of(findings, "Port")
    assert code == 1
    assert f"Port {port} is in use by" in finding["text"]
    assert "(process " in finding["text"]
    assert f"PORT={port + 1}" in finding["fix"]


def test_a_running_bourse_is_no_problem(examine: Examine, app_server: Callable[..., AppServer]) -> None:
    server = app_server("gateway")
    code, findings = examine(PORT=str(server.port))
    (finding,) = of(findings, "Port")
    assert (code, finding["state"]) == (0, "warning")
    assert "Bourse answers" in finding["text"]


def test_a_data_folder_that_cannot_be_written_is_named(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, findings = examine(BOURSE_DATA_DIR=str(tmp_path / "file" / "data"))
    assert code == 1
    assert "cannot be written" in of(findings, "Data")[0]["text"]


def test_a_database_that_does_not_answer_is_named_without_its_password(examine: Examine) -> None:
    code, findings = examine(BOURSE_DATABASE_URL=f"postgresql://bourse:canary-password@127.0.0.1:{free_port()}/bourse")
    assert code == 1
    assert "does not answer" in of(findings, "Database")[0]["text"]
    assert "canary" not in str(findings)


def test_a_postgresql_schema_that_waits_for_migration_is_named(examine: Examine, postgres: Postgres, postgres_url: str) -> None:
    code, findings = examine(BOURSE_DATABASE_URL=postgres_url)
    assert (code, of(findings, "Database")[0]["state"]) == (0, "ok")
    empty = postgres.create()
    code, findings = examine(BOURSE_DATABASE_URL=empty)
    postgres.drop(empty)
    assert code == 1
    assert "make migrate" in of(findings, "Database")[0]["fix"]


def test_redis_that_does_not_answer_is_a_warning_only(examine: Examine, redis_url: str) -> None:
    code, findings = examine(BOURSE_REDIS_URL=redis_url)
    assert (code, of(findings, "Redis")[0]["state"]) == (0, "ok")
    code, findings = examine(BOURSE_REDIS_URL=f"redis://:canary@127.0.0.1:{free_port()}/0")
    assert (code, of(findings, "Redis")[0]["state"]) == (0, "warning")
    assert "canary" not in str(findings)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Path]:
    """A folder as a fresh clone leaves it: sources, and nothing installed."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "backend", folder / "backend", ignore=shutil.ignore_patterns("__pycache__", "data"))
    return folder


def test_it_speaks_on_a_machine_where_nothing_is_installed(bare: Path) -> None:
    """Without site-packages: the standard library alone."""
    command = [sys.executable, "-S", "-m", "backend.doctor"]
    run = subprocess.run(command, cwd=bare, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    assert "Nothing is installed yet" in run.stdout, run.stderr
    assert "Traceback" not in run.stderr


def test_it_can_be_read_by_a_python_that_is_too_old_for_everything_else() -> None:
    ast.parse(Path(doctor.__file__).read_text(), feature_version=(3, 8))
    assert (ROOT / "backend" / "__init__.py").read_text().count("import") == 0
