"""A gateway of this checkout with the sandbox, and programs of other people that are let at it and at nothing else."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.clients.apt_model import apt_model
from tests.clients.environments import OUR_BIN, PYTHONS, node_folder, python_bin
from tests.rig.server import AppServer

SECONDS = 180
"""For one program; importing some of them takes a while where others are at work."""
NOWHERE = "http://127.0.0.1:9"
PROXIES = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1,localhost"}
PRICE = {"input": 1, "output": 2}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def server(served_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """Beside the sandbox it has the models `apt` and `apt-too`. Hundreds of calls a minute from one key are meant."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copy(served_catalog, folder / "bourse.db")
    with apt_model() as url:
        models = [{"alias": name, "candidates": [{"provider": "acme", "model": name}]} for name in ("apt", "apt-too")]
        configuration = {
            "providers": {"acme": {"protocol": "openai", "base_url": url}},
            "models": models,
            # Not a price of the candidates: that has none for sound, of which LangChain sends some.
            "budgets": {"default": {"limit_usd": 1000, "on_unknown_price": PRICE}},
            "rate_limits": {"default": {"requests_per_minute": 0, "tokens_per_minute": 0}},
        }
        server = AppServer("gateway", folder, configuration=yaml.safe_dump(configuration))
        yield server
        server.stop()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run(["llm", …])` as somebody whose home is empty, and whose way out of this machine is a proxy that is not there."""

    def start(command: list[str], *, cwd: Path = tmp_path, **variables: str) -> subprocess.CompletedProcess[str]:
        programs = [OUR_BIN, *(python_bin(name) for name in PYTHONS), node_folder() / "node_modules" / ".bin"]
        environment = {
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "400",
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "NODE_USE_ENV_PROXY": "1",
            **PROXIES,
            **{name.lower(): value for name, value in PROXIES.items()},
            **variables,
        }
        return subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    return start
