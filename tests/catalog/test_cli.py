import json
import shutil
from pathlib import Path

import pytest

from tests.rig import forks
from tests.rig.server import clean_environment


def bourse(data_dir: Path, *arguments: str) -> str:
    done = forks.run(*arguments, env=clean_environment(data_dir))
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def stocked(catalog_file: Path, tmp_path: Path) -> Path:
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    return tmp_path


def test_a_second_ingest_finds_nothing_to_do(stocked: Path) -> None:
    reports = json.loads(bourse(stocked, "ingest", "--json"))
    assert [report["source"] for report in reports] == ["sandbox", "litellm", "genai-prices", "models.dev", "aliases"]
    assert all(report["skipped"] for report in reports)
