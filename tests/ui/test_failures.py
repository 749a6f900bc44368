"""What a person sees when something behind the page breaks, and when it works again."""

import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.rig.server import AppServer
from tests.ui.conftest import Arrive

pytestmark = pytest.mark.browser
REQUEST_ID = re.compile(r"req_[0-9a-z]{26}")


@pytest.fixture(scope="module")
def server(sandbox_file: Path, built_pages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """One whose database is damaged: in the first test for a while, in the last for good."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copy(sandbox_file, folder / "bourse.db")
    server = AppServer("whole", folder, env={"REFLEX_WEB_WORKDIR": str(built_pages)})
    yield server
    server.stop()


@pytest.fixture
def damage(server: AppServer) -> Callable[[str], None]:
    """Runs a statement on the database from outside."""

    def run(statement: str) -> None:
        with sqlite3.connect(server.data_dir / "bourse.db") as database:
            database.execute(statement)

    return run


def test_a_failed_click_is_a_toast_and_a_failed_page_a_card_with_a_way_to_try_again(
    arrive: Arrive, server: AppServer, damage: Callable[[str], None]
) -> None:
    page = arrive(server).open("/models/sandbox-chat")
    damage("ALTER TABLE price RENAME TO away")
    page.get_by_test_id("offer").first.click()
    toast = page.get_by_test_id("toasts")
    expect(toast).to_contain_text(REQUEST_ID)
    assert "away" not in toast.inner_text(), "what broke is for the log"
    assert "price" not in toast.inner_text()
    toast.get_by_role("button", name="Close").click()
    expect(toast).to_have_text("")

    page.reload()
    card = page.get_by_role("alert").filter(has_text="Try again")
    expect(card).to_contain_text(REQUEST_ID)
    damage("ALTER TABLE away RENAME TO price")
    card.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("name")).to_be_visible()
    expect(card).to_be_hidden()


def test_an_empty_catalog_says_what_to_do(arrive: Arrive, server: AppServer, damage: Callable[[str], None]) -> None:
    for table in ("price", "alias", "offer", "model"):
        damage(f"DELETE FROM {table}")
    damage("UPDATE change SET version = version + 1")
    while httpx.get(f"{server.url}/catalog/models", timeout=60).json()["total"]:
        time.sleep(0.05)
    page = arrive(server).open("/")
    expect(page.get_by_test_id("empty")).to_contain_text("make seed")
