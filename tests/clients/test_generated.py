"""docs/clients/generated-python.md: a client is generated from the document of a running server, and asks it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import SECONDS, Run
from tests.clients.environments import python_bin
from tests.clients.pages import blocks
from tests.rig.surface import served, settings_in

pytestmark = [pytest.mark.clients, pytest.mark.timeout(SECONDS + 60)]


@pytest.fixture
def url(served_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("generated")
    shutil.copy(served_catalog, folder / "bourse.db")
    with served(settings_in(folder)) as url:
        yield url


def test_a_generated_client_works_as_printed(url: str, run: Run, tmp_path: Path) -> None:
    found = blocks("generated-python", url)
    (command,) = [block.text for block in found if block.language == "sh"]
    (program,) = [block for block in found if block.language == "python"]
    made = run(["bash", "-ec", command])
    assert made.returncode == 0, made.stdout + made.stderr
    assert (tmp_path / "bourse_client" / "api" / "catalog" / "list_models.py").is_file()
    (tmp_path / "program.py").write_text(program.text)
    done = run([str(python_bin("generated") / "python"), "program.py"])
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == program.prints
