"""`python -m backend benchmarks …`, beside everything that ships with Bourse."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.rig.command_line import invoke

RESULT = {
    "model": "gpt-4o", "benchmark": "aider-polyglot-percent-correct-2-tries", "score": 23.1, "date": "2026-11-20",
    "sourceUrl": "https://example.org/run", "dataset": "ours", "licence": "CC0-1.0", "reportedBy": "us", "selfReported": False,
}  # fmt: skip


@pytest.fixture
def data(catalog_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    (tmp_path / "bourse.yaml").write_text("{}\n")
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    return tmp_path


def test_a_result_is_added_once_and_moves_the_skill(data: Path) -> None:
    before = {row["skill"]: row for row in json.loads(invoke("benchmarks", "skills", "gpt-4o", "--json").output)}
    file = data / "results.json"
    file.write_text(json.dumps({"results": [RESULT]}))
    added = json.loads(invoke("benchmarks", "add", str(file), "--json").output)
    assert (added["created"], added["matched"], added["unmatched"]) == (1, 1, [])
    with sqlite3.connect(data / "bourse.db") as database:
        [(actor, facts)] = database.execute("SELECT actor, facts FROM audit_entry WHERE action = 'benchmark.ingest'").fetchall()
    assert (actor, bool(json.loads(facts)["operator"])) == ("system:cli", True)
    after = {row["skill"]: row for row in json.loads(invoke("benchmarks", "skills", "gpt-4o", "--json").output)}
    # The vendor's own number for the same benchmark does not count any more.
    assert after["coding"]["selfReported"] == before["coding"]["selfReported"] - 1
    assert after["coding"]["score"] < before["coding"]["score"]
    file.write_text(json.dumps({"results": [{**RESULT, "score": "much"}]}))
    refused = invoke("benchmarks", "add", str(file))
    assert (refused.exit_code, "results.0.score" in refused.output) == (2, True)
