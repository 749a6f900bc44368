"""What is wrong with this machine, in plain words and with what to do about it: `make doctor`.

It must run where nothing is installed yet, so it starts with the standard library alone, reads on Python 3.8 too, and looks at the
configuration, the database and Redis only inside the virtual environment. A finding is `ok`, a `warning` (something works less well,
or not yet) or a `problem` (Bourse cannot run); any problem makes the exit code 1.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator  # noqa: UP035 - read by old Pythons
from urllib.request import urlopen

if TYPE_CHECKING:
    import typer

    from backend.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = (22, 22, 0)
GIB = 1024**3
DISK_NEEDED = 1 * GIB
DISK_WANTED = 3 * GIB
TEST_PROGRAMS = {"chromium": "chromium", "curl": "curl", "redis-server": "redis-server", "initdb": "postgresql"}
_FIND_PACKAGES = "import importlib.util as i, sys; sys.exit(None in map(i.find_spec, ('reflex_base', 'sqlmodel', 'uvicorn', 'httptools')))"
MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}


@dataclass(frozen=True)
class Finding:
    """`fix` is a sentence or a command; empty where there is nothing to do."""

    subject: str
    state: str
    text: str
    fix: str = ""


def examine(port: int) -> list[Finding]:
    """Every finding about this machine, this folder and this configuration, in the order in which things are needed."""
    checks: list[Callable[[], Iterator[Finding]]] = [_python, _environment, _node, _disk, lambda: _port(port)]
    findings = [finding for check in checks for finding in check()]
    if _is_installed():
        findings += _configured()
    return [*findings, *_test_programs()]


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _python() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < OLDEST_PYTHON:
        others = [name for name in ("python3.13", "python3.12", "python3.11") if _runs([name, "--version"])]
        fix = (
            f"{others[0]} is here and `make` will use it."
            if others
            else "Install Python 3.11 or newer: apt-get install python3 python3-venv"
        )
        yield Finding("Python", "warning" if others else "problem", f"{version} is too old; Bourse needs 3.11 or newer.", fix)
    else:
        yield Finding("Python", "ok", version)


def _environment() -> Iterator[Finding]:
    if not (VENV / "bin" / "python").exists():
        if _runs([sys.executable, "-c", "import ensurepip, venv"]):
            yield Finding("Installation", "warning", "Nothing is installed yet.", "`make run` or `make test` does it.")
        else:
            package = "python{}.{}-venv".format(*sys.version_info[:2])
            yield Finding("Installation", "problem", "Python cannot make virtual environments here.", f"apt-get install {package}")
    elif not _runs([str(VENV / "bin" / "python"), "-c", "import pip"]):
        yield Finding("Installation", "problem", ".venv is broken: its Python does not start.", "Run `make run`: it makes a new one.")
    elif not _runs([str(VENV / "bin" / "python"), "-c", _FIND_PACKAGES]):
        yield Finding("Installation", "warning", ".venv lacks some packages.", "`make run` or `make test` installs them.")
    else:
        yield Finding("Installation", "ok", ".venv holds what Bourse needs")


def _node() -> Iterator[Finding]:
    node = VENV / "bin" / "node"
    if not node.exists():
        yield Finding("Node", "warning", "Not installed yet.", "`make run` puts it into .venv; the machine needs none.")
        return
    text = _output([str(node), "--version"]).lstrip("v")
    parts = text.split(".")
    if not all(part.isdigit() for part in parts) or tuple(int(part) for part in parts) < OLDEST_NODE:
        fix = "Delete .venv and run `make run` again."
        yield Finding("Node", "problem", f"The Node in .venv does not work or is too old ({text or 'no answer'}).", fix)
    else:
        yield Finding("Node", "ok", f"{text} in .venv")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(ROOT).free
    text = f"{free / GIB:.1f} GiB free"
    fix = "An installation with built pages takes about 2 GiB."
    state = "problem" if free < DISK_NEEDED else "warning" if free < DISK_WANTED else "ok"
    yield Finding("Disk", state, text, "" if state == "ok" else fix)


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            yield Finding("Port", "problem", f"Port {port} needs more rights than you have.", "Choose one above 1023: make run PORT=3001")
            return
        except OSError:
            pass
        else:
            yield Finding("Port", "ok", f"{port} is free")
            return
    if _is_bourse(port):
        yield Finding("Port", "warning", f"Bourse answers on port {port} already.", f"Open http://localhost:{port}, or stop it first.")
        return
    fix = f"Stop it, or use another port: make run PORT={port + 1}"
    yield Finding("Port", "problem", f"Port {port} is in use by {_listener(port) or 'another program'}.", fix)


def _test_programs() -> Iterator[Finding]:
    missing = [package for program, package in TEST_PROGRAMS.items() if not _has(program)]
    if missing:
        fix = f"`make test` installs them when it may; otherwise: apt-get install {' '.join(missing)}"
        yield Finding("Tests", "warning", f"They also need {', '.join(missing)}; running Bourse does not.", fix)
    else:
        yield Finding("Tests", "ok", f"{', '.join(TEST_PROGRAMS.values())} are here")


# ── the configuration and what it points to ──────────────────────────────────────────────────────────────────────────


def _configured() -> Iterator[Finding]:
    from backend.configuration import ConfigurationError, load_settings, not_yet_alive

    try:
        settings = load_settings()
    except ConfigurationError as error:
        for line in str(error).splitlines():
            yield Finding("Configuration", "problem", line, "docs/configuration.md lists every setting.")
        return
    file = os.environ.get("BOURSE_CONFIG", "bourse.yaml")
    yield Finding("Configuration", "ok", f"{file} is valid" if Path(file).exists() else "no file; the defaults are in force")
    for notice in not_yet_alive(settings):
        yield Finding("Configuration", "warning", notice)
    yield from _secrets(settings)
    yield from _data_dir(settings.data_dir)
    yield from _database(settings)
    yield from _redis(settings.redis_url)


def _secrets(settings: Settings) -> Iterator[Finding]:
    from backend.credentials.secrets_file import SecretsFileWrong, read_secrets
    from backend.kernel.secrets import SecretUnavailable

    try:
        read_secrets(settings.secrets_file)
    except SecretsFileWrong as error:
        yield Finding("Secret", "problem", f"{error}.", "docs/credentials.md says what it looks like.")
    for path, secret in secrets_in(settings):
        if secret.vault_place is not None and path.startswith("providers."):
            continue  # `python -m backend provider keys` asks the vault
        try:
            secret.resolve()
        except SecretUnavailable as error:
            yield Finding("Secret", "problem", f"{path}: {error}.", "Set it, or take the setting out.")


def secrets_in(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every secret reference in the settings, with the dotted path of its field."""
    from pydantic import BaseModel

    from backend.kernel.secrets import SecretRef

    if isinstance(value, SecretRef):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from secrets_in(item, f"{path}.{name}")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from secrets_in(item, f"{path}[{index}]")


def _data_dir(folder: Path) -> Iterator[Finding]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        yield Finding("Data", "problem", f"{folder} cannot be written: {error.strerror}.", "Change its owner, or set data_dir.")
    else:
        yield Finding("Data", "ok", f"{folder} is writable")


def _database(settings: Settings) -> Iterator[Finding]:
    import sqlalchemy as sa

    from backend.kernel import migrations
    from backend.kernel.db import is_sqlite

    shown = sa.make_url(settings.database).render_as_string(hide_password=True)
    file = sa.make_url(settings.database).database if is_sqlite(settings.database) else None
    if file and not Path(file).exists():
        yield Finding("Database", "ok", f"{file} will be made at the first start")
        return
    try:
        found, wanted = migrations.current(settings.database), migrations.head()
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()
        yield Finding(
            "Database", "problem", f"{shown} does not answer: {reason[0] if reason else type(error).__name__}", "Check database_url."
        )
        return
    if found == wanted:
        yield Finding("Database", "ok", f"{shown} is at revision {found}")
    elif file:
        yield Finding("Database", "ok", f"{file} is at revision {found or 'none'}; the next start brings it to {wanted}")
    else:
        text = f"{shown} is at revision {found or 'none'}, this version needs {wanted}."
        yield Finding("Database", "problem", text, "Run `make migrate`.")


def _redis(url: str | None) -> Iterator[Finding]:
    if url is None:
        return
    import redis

    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        # Never the whole URL: it may hold a password.
        yield Finding("Redis", "warning", f"It does not answer ({type(error).__name__}); Bourse goes on without it.", "Check redis_url.")
    else:
        yield Finding("Redis", "ok", "it answers")


# ── how things are found out ─────────────────────────────────────────────────────────────────────────────────────────


def _is_installed() -> bool:
    try:
        import pydantic
        import sqlalchemy
        import yaml
    except ImportError:
        return False
    return bool(pydantic and sqlalchemy and yaml)


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _has(program: str) -> bool:
    if program == "initdb" and any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return True  # Debian keeps it off PATH
    if program == "chromium" and (shutil.which("chromium-browser") or shutil.which("google-chrome")):
        return True
    return shutil.which(program) is not None


def _is_bourse(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/livez", timeout=2) as answer:
            return str(answer.headers.get("x-request-id", "")).startswith("req_")
    except (OSError, ValueError):
        return False


def _listener(port: int) -> str | None:
    """`name (process 123)` of whoever listens on the port, where the system lets us see it (Linux)."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
        inodes |= {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(descriptor) in inodes for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue
    return None


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def report(findings: list[Finding], *, as_json: bool) -> int:
    """Print the findings; returns the exit code."""
    blocked = any(finding.state == "problem" for finding in findings)
    if as_json:
        print(json.dumps({"ok": not blocked, "findings": [asdict(finding) for finding in findings]}, indent=2))
        return int(blocked)
    for finding in findings:
        print(f"{MARKS[finding.state]} {finding.subject}: {finding.text}")
        if finding.fix:
            print(f"    → {finding.fix}")
    print("\nSomething is in the way; see ✗ above." if blocked else "\nNothing is in the way.")
    return int(blocked)


def check_port(port: int) -> int:
    """Say who is on the port, if anybody; returns the exit code. `make run` asks before it does anything that takes time."""
    (finding,) = _port(port)
    if finding.state == "ok":
        return 0
    print(f"{finding.text} {finding.fix}", file=sys.stderr)
    return 1


def mount(app: typer.Typer) -> None:
    """Add the command `doctor` to the command line."""
    import typer

    @app.command()
    def doctor(as_json: bool = typer.Option(False, "--json", help="for programs")) -> None:
        """Say in plain words what is wrong with this machine, if anything."""
        raise typer.Exit(report(examine(_port_from_environment()), as_json=as_json))


def _port_from_environment() -> int:
    text = os.environ.get("PORT", "3000")
    return int(text) if text.isdigit() and 0 < int(text) < 65536 else 3000


if __name__ == "__main__":
    if "--port-only" in sys.argv[1:]:
        sys.exit(check_port(_port_from_environment()))
    sys.exit(report(examine(_port_from_environment()), as_json="--json" in sys.argv[1:]))
