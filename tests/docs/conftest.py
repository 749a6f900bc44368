"""One gateway with the sandbox for all pages whose examples are run: they only ask."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.server import AppServer


@pytest.fixture(scope="session")
def server(served_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(served_catalog, folder / "bourse.db")
    server = AppServer("gateway", folder)
    yield server
    server.stop()
