"""What a running process holds: little memory, and no litellm however often it was called."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.rig.processes import resident_mib
from tests.rig.server import AppServer, clean_environment

GATEWAY_MIB = 120
CALL = json.dumps({"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]}).encode()
HEADERS = {"authorization": "Bearer sk-demo.my-secret", "content-type": "application/json"}

SERVE_AND_TELL = """
import asyncio, json, sys
from backend.configuration import load_settings
from backend.runtime import open_runtime

async def main():
    async with open_runtime(load_settings()) as runtime:
        assert runtime.readiness.missing is None, runtime.readiness.missing
        print(json.dumps(sorted(name for name in sys.modules if "." not in name)))

asyncio.run(main())
"""


@pytest.fixture(scope="session")
def served_catalog(catalog_file: Path) -> Path:
    """The whole catalog."""
    return catalog_file


def test_the_gateway_alone_is_small_when_everything_is_loaded(app_server: Callable[..., AppServer]) -> None:
    server = app_server("gateway", from_nothing=True)
    for _ in range(3):
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/v1/chat/completions", CALL, HEADERS), timeout=10) as answer:
            assert answer.status == 200
    assert resident_mib(server.pid) <= GATEWAY_MIB


def test_a_started_runtime_has_not_loaded_what_is_only_needed_at_times(catalog_database_url: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SERVE_AND_TELL],
        cwd=ROOT,
        env=clean_environment(tmp_path, BOURSE_DATABASE_URL=catalog_database_url),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    loaded = set(json.loads(next(line for line in run.stdout.splitlines() if line.startswith('["'))))
    assert loaded & {"litellm", "tiktoken", "plotly", "reflex", "fastapi", "alembic"} == set()
