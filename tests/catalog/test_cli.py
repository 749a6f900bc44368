import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.server import ROOT, clean_environment


def bourse(data_dir: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "backend", *arguments]
    run = subprocess.run(command, cwd=ROOT, env=clean_environment(data_dir), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


@pytest.fixture
def stocked(catalog_file: Path, tmp_path: Path) -> Path:
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    return tmp_path


def test_a_second_ingest_finds_nothing_to_do(stocked: Path) -> None:
    reports = json.loads(bourse(stocked, "ingest", "--json"))
    assert [report["source"] for report in reports] == ["sandbox", "litellm", "genai-prices", "models.dev", "aliases"]
    assert all(report["skipped"] for report in reports)


def test_quarantine_lists_the_known_bad_rows_dearest_first(stocked: Path) -> None:
    rows = json.loads(bourse(stocked, "prices", "quarantine", "--json"))
    assert rows[0]["offer_id"] == "azure_ai/jais-30b-chat"
    assert {"azure_ai/jais-30b-chat", "watsonx/core42/jais-13b-chat"} <= {row["offer_id"] for row in rows}
    assert "absurd" in bourse(stocked, "prices", "quarantine")
