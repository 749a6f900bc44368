"""schemathesis against the document: nothing that it can think of is answered with a 5xx, or otherwise than described.

`schemathesis.toml` says what it is told about this API, and which of its checks do not apply, each with the reason.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.conftest import Figures
from tests.rig.surface import WITH_ADMIN, served, settings_in, signed_in_cookie

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

PROGRAM = Path(sys.executable).with_name("schemathesis")
SETTINGS = Path(__file__).with_name("schemathesis.toml")
SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
# Nothing leaves the machine, and a key may call as often as it likes.
CONFIGURATION = (
    WITH_ADMIN
    + "network: {proxy: 'http://127.0.0.1:9'}\n"
    + "budgets: {default: {limit_usd: 1000}}\n"
    + "rate_limits: {default: {requests_per_minute: 0, tokens_per_minute: 0}}\n"
)


@pytest.fixture
def url(catalog_file: Path, tmp_path: Path) -> Iterator[str]:
    """Everything but the pages, over the whole catalog."""
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    with served(settings_in(tmp_path, CONFIGURATION)) as url:
        yield url


def run(url: str, folder: Path, session: str, *more: str) -> dict[str, int]:
    """What came of it: operations tested and requests made. Fails with the findings."""
    command = [
        *(str(PROGRAM), "--config-file", str(SETTINGS), "run", str(ROOT / "docs" / "openapi.json"), "--url", url),
        *("--request-timeout", "120", "--continue-on-failure", "--report", "junit", "--report-dir", str(folder), *more),
    ]
    environment = {**os.environ, "SESSION": session, "KEY": "sk-demo.my-secret", "NO_COLOR": "1", "COLUMNS": "160"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-4000:]
    tested, made = re.search(r"Tested: (\d+)", done.stdout), re.search(r"([\d,]+) generated", done.stdout)
    assert tested is not None
    assert made is not None
    return {"operations": int(tested[1]), "cases": int(made[1].replace(",", ""))}


def operations() -> int:
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    return sum(len(methods) for methods in paths.values())


INGESTIONS = r"^/admin/ingestion/(upload|sources/)"
"""Each of them brings the whole store up to date, which takes seconds."""


@pytest.mark.case("W12")
def test_a_super_admin_meets_no_failure_and_no_breach(url: str, tmp_path: Path, figures: Figures) -> None:
    session = signed_in_cookie(url).partition("=")[2]
    most = run(url, tmp_path, session, "--exclude-path-regex", INGESTIONS, "--max-time", str(SECONDS), "--seed", "1")
    slow = run(url, tmp_path, session, "--include-path-regex", INGESTIONS, "--phases", "examples,fuzzing", "-n", "5", "--seed", "1")
    found = {name: most[name] + slow[name] for name in most}
    figures(**found)
    assert found["operations"] == operations()
    # How many there are in so many seconds, the machine decides.
    assert found["cases"] > 10 * operations()


@pytest.mark.case("W12")
def test_nor_does_somebody_whom_nobody_knows(url: str, tmp_path: Path, figures: Figures) -> None:
    reads = r"^/(catalog|pricing|benchmarks|match|suggestions|taxonomy|carbon|api)"
    found = run(url, tmp_path, "nobody", "--include-path-regex", reads, "--phases", "examples,coverage,fuzzing", "--seed", "2")
    figures(**found)
    assert found["cases"] > 2000
