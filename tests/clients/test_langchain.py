"""LangChain's standard tests of chat models, through Chat Completions and through the Responses API. What is skipped stands on its page."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.clients.conftest import SECONDS, Run
from tests.clients.environments import python_bin
from tests.clients.pages import page
from tests.rig.server import AppServer

pytestmark = [pytest.mark.clients, pytest.mark.timeout(SECONDS + 60)]

FILE = Path(__file__).parent / "langchain" / "standard.py"
LEFT_OUT = "TestUnit.test_serdes"
LEAST = 90
"""So many of its tests there are at least; fewer would mean that they were not found."""


def test_standard_tests_of_chat_models(server: AppServer, run: Run, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = ["-c", "/dev/null", "--rootdir", str(FILE.parent), "--noconftest", "-p", "no:cacheprovider", f"--junitxml={report}"]
    options += ["--deselect", f"{FILE.name}::{LEFT_OUT.replace('.', '::')}"]
    loops = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session"]
    command = [str(python_bin("frameworks") / "python"), "-m", "pytest", "-q", *options, *loops, str(FILE)]
    done = run(command, cwd=FILE.parent, BOURSE_URL=server.url, PYTHONDONTWRITEBYTECODE="1")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    assert failed == [], done.stdout[-6000:]
    assert done.returncode == 0, done.stdout[-6000:]
    skipped = {f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}" for case in cases if case.find("skipped") is not None}
    assert {LEFT_OUT, *skipped} == set(re.findall(r"^\| `(Test\w+\.\w+)` \|", page("langchain").read_text(), re.MULTILINE))
    assert len(cases) - len(skipped) >= LEAST
