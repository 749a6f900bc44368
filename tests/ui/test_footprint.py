"""The whole app in one process holds little memory once it is ready, and again when everybody who looked at all of it has left."""

import json
import shutil
import time
import urllib.request
from pathlib import Path

import pytest

from backend.kernel.memory import IDLE_SECONDS
from tests.rig.processes import resident_mib
from tests.rig.server import AppServer
from tests.ui.accounts import CONFIGURATION, signed_in
from tests.ui.conftest import Arrive
from tests.ui.tour import SHOTS

READY_MIB = 190
VISITED_MIB = 230
"""Built for 220; docs/performance.md says where the bytes are."""

READS = ("/api/models", "/pricing/models/gpt-4o", "/suggestions/gpt-4o", "/pricing/changes?kind=offer", "/benchmarks", "/openapi.json")
QUESTIONS = {
    "/match": {"taskDescription": "Extract names from invoices as JSON, cheap"},
    "/api/get_best_price_for_prompt": {"prompt": "Why do prices of models fall?"},
}

pytestmark = pytest.mark.browser


def test_the_whole_app_is_small_while_nobody_is_there(started_site: tuple[AppServer, float]) -> None:
    assert started_site[1] <= READY_MIB


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_whole_app_is_small_again_when_all_pages_were_looked_at(
    built_pages: Path, catalog_file: Path, tmp_path: Path, arrive: Arrive
) -> None:
    """Every page and every engine, one after another; what only they need is let go of once nobody has asked for a while."""
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    server = AppServer("whole", tmp_path, configuration=CONFIGURATION, env={"REFLEX_WEB_WORKDIR": str(built_pages)}, from_nothing=True)
    try:
        guest, member = arrive(server), arrive(server)
        signed_in(member)
        for shot in SHOTS:
            page = (member if shot.signed_in else guest).open(shot.path)
            page.wait_for_selector("html[data-pending] [data-answer]", state="detached")
        for path in READS:
            with urllib.request.urlopen(server.url + path, timeout=60) as answer:
                assert answer.read()
        for path, question in QUESTIONS.items():
            headers = {"content-type": "application/json"}
            asked = urllib.request.Request(server.url + path, json.dumps(question).encode(), headers)
            with urllib.request.urlopen(asked, timeout=60) as answer:
                assert answer.read()
        assert resident_mib(server.pid) > VISITED_MIB, "the vocabularies are there, or this would prove nothing"
        deadline = time.monotonic() + IDLE_SECONDS + 60
        while (held := resident_mib(server.pid)) > VISITED_MIB and time.monotonic() < deadline:
            time.sleep(2)
        assert held <= VISITED_MIB
    finally:
        server.stop()
