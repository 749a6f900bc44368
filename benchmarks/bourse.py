"""Bourse's gateway as one more column: started as `make gateway` starts it, with what a default installation has switched on."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers import CannotRun, Peer, Place, Running, launch
from benchmarks.processes import get
from benchmarks.wire import MODEL, PRICE

KEY = "sk-bench.local-only"
OWNER = "bench@example.com"
LEVELS = ("key", "user", "tenant")
SWITCHED = (
    "on: key check; requests, tokens and parallel calls limited for key, user and tenant; a budget of key, user and tenant, reserved "
    "and settled; price; ledger with journal in SQLite; `x-ratelimit-*`, `X-Budget-*` and cost on every answer; metrics; a JSON log "
    "line per call"
)
# Reflex's own switches for serving a finished build, as in the Makefile.
BUILT_PAGES = {"__REFLEX_SKIP_COMPILE": "1", "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "1", "REFLEX_ENV_MODE": "prod"}
NEVER = {"requests_per_minute": 1_000_000_000, "tokens_per_minute": 1_000_000_000_000, "parallel": 1_000_000}
LEDGER_SECONDS = 30.0  # how long the background writer may take to bring the last rows into the database


def configuration(data: Path, upstream: int) -> str:
    """A `bourse.yaml` (as JSON, which is YAML) with one priced route to the upstream, and a person's key. Its limits and budgets, and those
    of person and tenant (`switch_on`), are counted but never bind."""
    budget = {"limit_usd": 1_000_000, "window": "calendar_month"}
    person = {"email": OWNER, "password": "bench-local-only"}
    candidate = {"provider": "mock", "model": MODEL, "price": PRICE}
    return json.dumps(
        {
            "data_dir": str(data),
            "providers": {"mock": {"protocol": "openai", "base_url": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-upstream"}},
            "models": [{"alias": MODEL, "strategy": "ordered", "candidates": [candidate]}],
            "bootstrap": {
                "admin_users": [person],
                "tenants": [{"slug": "bench", "name": "Bench", "budget": budget}],
                "memberships": [{"tenant": "bench", "email": OWNER}],
                "api_keys": [{"tenant": "bench", "name": "bench", "key": KEY, "owner": OWNER, "budget": budget, "rate_limit": NEVER}],
            },
        },
        indent=1,
    )


def switch_on(checkout: Path, env: dict[str, str], port: int) -> None:
    """Limits and budgets of the person and the tenant too, by the operator's command line; returns once the server says that all bind.

    Raises:
        CannotRun: a command is refused, or some of it does not bind.
    """
    limits = [f"--{name.replace('_', '-')}={value}" for name, value in NEVER.items()]
    _command_line(checkout, env, "limit", "set", "bench", *limits)
    _command_line(checkout, env, "limit", "set", "bench", f"--user={OWNER}", *limits)
    _command_line(checkout, env, "budget", "set", "bench", "--limit=1000000", f"--user={OWNER}")
    limited = {entry["scope"] for entry in json.loads(_command_line(checkout, env, "limit", "list", "bench", "--json"))}
    time.sleep(1)  # the change feed's half second
    status, answer = get(port, "/v1/budget", headers={"Authorization": f"Bearer {KEY}"})
    budgets = {budget["scope"] for budget in json.loads(answer)["budgets"]} if status == 200 else set()
    if limited != set(LEVELS) or budgets != set(LEVELS):
        raise CannotRun(f"limits bind {sorted(limited)}, budgets bind {sorted(budgets)}")


def python_of(checkout: Path) -> str:
    """The interpreter of a checkout: its own environment's, else the one that runs this."""
    own = checkout / ".venv/bin/python"
    return str(own) if own.exists() else sys.executable


def command(checkout: Path, port: int, *app: str) -> list[str]:
    """What `make gateway` (`backend.asgi:gateway`) and `make run` (`--factory app.app:app`) execute."""
    http = "backend.http_server:Http" if (checkout / "backend/http_server.py").exists() else "httptools"
    flags = f"--loop uvloop --http {http} --ws wsproto --timeout-graceful-shutdown 25 --no-proxy-headers --no-access-log --no-server-header"
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return [python_of(checkout), "-m", "uvicorn", *where, *flags.split(), "--log-level", "warning", *app]


def ledger_rows(database: Path, expected: int) -> int:
    """How many calls the ledger holds, once it holds `expected` or has stopped growing for 3 s."""
    until = time.monotonic() + LEDGER_SECONDS
    rows, changed = -1, time.monotonic()
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
    try:
        while time.monotonic() < until:
            (now,) = connection.execute('SELECT count(*) FROM "call"').fetchone()
            if now == expected:
                return int(now)
            if now != rows:
                rows, changed = now, time.monotonic()
            elif time.monotonic() - changed > 3:
                break
            time.sleep(0.2)
    finally:
        connection.close()
    return rows


def bourse_at(name: str, label: str, checkout: Path, settings: Callable[[Path, int], str] = configuration) -> Peer:
    """The gateway of this or another checkout, with a temporary data folder, its catalog loaded beforehand as `make gateway` does."""

    def start(place: Place) -> Running:
        if not (checkout / "backend/asgi.py").exists():
            raise CannotRun(f"{checkout} has no backend/asgi.py")
        home = place.scratch / name
        home.mkdir()
        (home / "bourse.yaml").write_text(settings(home / "data", place.upstream))
        env = {"BOURSE_CONFIG": str(home / "bourse.yaml")}
        _seed(checkout, {**os.environ, **env})
        port = next(place.ports)
        server = place.server(name, port, command(checkout, port, "backend.asgi:gateway"), env=env, cwd=checkout)
        took = launch(server, "/readyz", 60)
        switch_on(checkout, {**os.environ, **env}, port)

        def rows(sent: int) -> int:
            return ledger_rows(home / "data/bourse.db", sent)

        return Running(server, port, {"Authorization": f"Bearer {KEY}"}, version=revision(checkout), start_seconds=took, ledger=rows)

    return Peer(name, label, SWITCHED, start)


def whole_app(place: Place, checkout: Path) -> dict[str, float]:
    """Memory at rest and the warm start of everything that `make run` serves: pages, websocket, APIs, gateway.

    Raises:
        CannotRun: there is no build of the pages to serve.
    """
    if not (checkout / ".web/build/client/index.html").exists():
        raise CannotRun("the pages are not built (make run builds them)")
    home = place.scratch / "whole"
    home.mkdir()
    (home / "bourse.yaml").write_text(configuration(home / "data", place.upstream))
    env = {"BOURSE_CONFIG": str(home / "bourse.yaml"), **BUILT_PAGES}
    _seed(checkout, {**os.environ, **env})
    port = next(place.ports)
    server = place.server("whole", port, command(checkout, port, "--factory", "app.app:app"), env=env, cwd=checkout)
    try:
        took = launch(server, "/readyz", 120)
        for path in ("/", "/usage", "/healthz"):
            get(port, path, timeout=20)
        time.sleep(2)
        return {"app_pss": server.memory()["Pss"], "app_rss": server.memory()["Rss"], "app_start": took}
    finally:
        server.stop()


def _seed(checkout: Path, env: dict[str, str]) -> None:
    """Load the catalog, so that what is measured afterwards is a warm start."""
    _command_line(checkout, env, "ingest", "--quiet")


def _command_line(checkout: Path, env: dict[str, str], *words: str) -> str:
    """What `python -m backend …` prints."""
    argv = [python_of(checkout), "-m", "backend", *words]
    try:
        done = subprocess.run(argv, cwd=checkout, env=env, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"{' '.join(words)}: no end within 180 s") from error
    if done.returncode:
        raise CannotRun(f"{' '.join(words)}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def revision(checkout: Path) -> str:
    """The commit of a checkout, marked where files differ from it; "" without git."""
    words = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, cwd=checkout, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""
