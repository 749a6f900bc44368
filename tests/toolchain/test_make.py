"""The tasks as a person types them: what starts also ends, what cannot work says why, and nothing is installed unasked."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.architecture.source import ROOT
from tests.rig.catalog_copy import copy_catalog
from tests.rig.postgres import Postgres
from tests.rig.processes import Server, free_port
from tests.rig.server import clean_environment

CHAT = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]}


def status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def ask(port: int) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=json.dumps(CHAT).encode(),
        headers={"authorization": "Bearer sk-demo.my-secret", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


@pytest.fixture
def make_gateway(tmp_path: Path, sandbox_file: Path) -> Iterator[Callable[..., tuple[Server, int]]]:
    """`make_gateway(WORKERS="2", …)`: `make gateway` as a process, and its port, once it is ready."""
    started: list[Server] = []

    def start(**variables: str) -> tuple[Server, int]:
        port = free_port()
        shutil.copy(sandbox_file, tmp_path / "bourse.db")
        environment = clean_environment(tmp_path, PORT=str(port), **variables)
        server = Server(["make", "gateway"], log=tmp_path / "make.log", env=environment, cwd=ROOT)
        started.append(server)
        server.wait_until(lambda: status(f"http://127.0.0.1:{port}/readyz") == 200, seconds=90, what="make gateway")
        return server, port

    yield start
    for server in started:
        server.stop()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_make_ends_the_server_behind_it(make_gateway: Callable[..., tuple[Server, int]], sign: signal.Signals) -> None:
    server, port = make_gateway()
    assert ask(port)["usage"]
    (child,) = _children(server.pid)
    # A terminal sends Ctrl-C to everybody in the foreground; a supervisor sends SIGTERM to make alone.
    if sign == signal.SIGINT:
        os.kill(child, sign)
    server.stop(sign=sign, seconds=20)
    assert status(f"http://127.0.0.1:{port}/livez") is None
    assert not Path(f"/proc/{child}").exists()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("task", ["run", "gateway"])
def test_a_port_in_use_is_told_before_anything_else_happens(tmp_path: Path, task: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        environment = clean_environment(tmp_path, PORT=str(port))
        run = subprocess.run(["make", task], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert f"Port {port} is in use by " in run.stderr
    assert f"PORT={port + 1}" in run.stderr
    assert run.stdout == ""
    assert not (tmp_path / "bourse.db").exists()


def test_several_workers_on_sqlite_are_refused_with_the_reason(tmp_path: Path) -> None:
    environment = clean_environment(tmp_path, PORT=str(free_port()), WORKERS="2")
    run = subprocess.run(["make", "gateway"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert "WORKERS=2 needs PostgreSQL" in run.stderr
    assert not (tmp_path / "bourse.db").exists()


def test_two_workers_serve_on_postgresql_and_leave_one_row_per_call(
    make_gateway: Callable[..., tuple[Server, int]], postgres_url: str, sandbox_file: Path
) -> None:
    copy_catalog(sandbox_file, postgres_url)
    server, port = make_gateway(WORKERS="2", BOURSE_DATABASE_URL=postgres_url)
    ids = {ask(port)["id"] for _ in range(20)}
    assert len(ids) == 20
    server.stop()
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT request_id), sum(charged_nano) > 0 FROM call").fetchone()
    assert rows == (20, 20, True)


def test_reading_the_catalog_into_an_unmigrated_postgresql_says_what_to_do(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.create()
    environment = clean_environment(tmp_path, BOURSE_DATABASE_URL=url)
    run = subprocess.run(
        [sys.executable, "-m", "backend", "ingest"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    migrated = subprocess.run(["make", "migrate"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    postgres.drop(url)
    assert run.returncode == 3
    assert "run `make migrate`" in run.stderr
    assert "Traceback" not in run.stderr
    assert migrated.returncode == 0
    assert migrated.stdout.split() == ["before", "none", "after", "0001", "changed", "yes"]


# ── a machine that lacks something ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """An environment whose PATH holds only basic tools and the programs given as `name="shell script"`."""

    def build(**programs: str) -> dict[str, str]:
        bin_folder = tmp_path / "bin"
        bin_folder.mkdir()
        for name in ("bash", "make", "awk", "cat", "rm", "mktemp", "tail", "sha256sum", "env", "cut", "dirname", "true"):
            (bin_folder / name).symlink_to(shutil.which(name) or "")
        for name, script in ({"id": "echo 1000", "sudo": "exit 1"} | programs).items():
            file = bin_folder / name.replace("_", "-")
            file.write_text(f"#!{shutil.which('bash')}\n{script}\n")
            file.chmod(0o755)
        return {"PATH": str(bin_folder), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}

    return build


def packages(environment: dict[str, str], *pairs: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "deploy" / "debian-packages.sh"), "the tests", *pairs]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_what_is_there_is_not_installed_again(machine: Callable[..., dict[str, str]]) -> None:
    environment = machine(apt_get="echo must not be called; exit 1", browser="true")
    run = packages(environment, "browser=chromium", "no-such-browser|browser=chromium")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_without_rights_it_says_exactly_what_to_install_and_stops(machine: Callable[..., dict[str, str]]) -> None:
    run = packages(machine(apt_get="echo must not be called; exit 1"), "no-such-browser=chromium", "no-such-redis=redis-server")
    assert run.returncode == 1
    assert "sudo apt-get install --no-install-recommends chromium redis-server" in run.stderr
    assert run.stdout == ""


def test_without_apt_it_says_what_is_missing_and_stops(machine: Callable[..., dict[str, str]]) -> None:
    run = packages(machine(), "no-such-browser=chromium")
    assert run.returncode == 1
    assert "chromium" in run.stderr


@pytest.mark.parametrize("rights", [{"id": "echo 0"}, {"sudo": 'test "$1" = -n && shift; exec "$@"'}], ids=["root", "sudo"])
def test_with_rights_it_installs_only_what_is_missing(
    machine: Callable[..., dict[str, str]], tmp_path: Path, rights: dict[str, str]
) -> None:
    environment = machine(apt_get=f'echo "$@" >> {tmp_path}/asked', here="true", **rights)
    run = packages(environment, "here=chromium", "no-such-redis=redis-server")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "asked").read_text().splitlines() == ["update -q", "install -q -y --no-install-recommends redis-server"]


def test_a_failing_apt_stops_with_its_last_words(machine: Callable[..., dict[str, str]]) -> None:
    run = packages(
        machine(id="echo 0", apt_get='test "$1" = update || { echo "E: no such package"; exit 100; }'), "no-such-redis=redis-server"
    )
    assert run.returncode == 1
    assert "E: no such package" in run.stderr
    assert "could not install: redis-server" in run.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    return folder


def test_a_machine_with_an_old_python_only_is_told_so(machine: Callable[..., dict[str, str]], clone: Path) -> None:
    environment = machine(python3='case "$1" in --version) echo "Python 3.9.2";; *) exit 1;; esac')
    run = subprocess.run(["make", "install"], cwd=clone, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode != 0
    assert "needs Python 3.11 or newer; this machine has: Python 3.9.2" in run.stderr
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_is_told_which_package_to_install(machine: Callable[..., dict[str, str]], clone: Path) -> None:
    script = 'case "$2" in *ensurepip*) exit 1;; *"%d.%d"*) echo python3.12-venv;; *) exit 0;; esac'
    environment = machine(python3=script, apt_get="exit 1")
    run = subprocess.run(["make", "install"], cwd=clone, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode != 0
    assert "apt-get install --no-install-recommends python3.12-venv" in run.stderr
    assert not (clone / ".venv").exists()


def test_ci_does_what_a_person_does() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make (\w+)", text, re.MULTILINE) == ["check", "test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_an_installation_that_is_up_to_date_is_left_alone() -> None:
    subprocess.run(["make", "install-dev"], cwd=ROOT, check=True, capture_output=True)
    run = subprocess.run(["make", "install-dev", "install"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert run.stdout + run.stderr == ""
