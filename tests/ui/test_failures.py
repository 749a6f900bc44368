"""What a person sees when something behind the page breaks, and when it works again."""

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.rig.server import AppServer
from tests.ui.conftest import Arrive

pytestmark = pytest.mark.browser
REQUEST_ID = re.compile(r"req_[0-9a-z]{26}")


@pytest.fixture
def own_file(sandbox_file: Path, tmp_path: Path) -> Path:
    """The database of a server that this test may damage."""
    return Path(shutil.copy(sandbox_file, tmp_path / "bourse.db"))


@pytest.fixture
def damage(own_file: Path) -> Callable[[str], None]:
    """Runs a statement on the database from outside."""

    def run(statement: str) -> None:
        with sqlite3.connect(own_file) as database:
            database.execute(statement)

    return run


@pytest.fixture
def start(own_file: Path, built_pages: Path) -> Iterator[Callable[[], AppServer]]:
    """Starts the server."""
    started: list[AppServer] = []

    def now() -> AppServer:
        started.append(AppServer("whole", own_file.parent, env={"REFLEX_WEB_WORKDIR": str(built_pages)}))
        return started[-1]

    yield now
    for server in started:
        server.stop()


def test_a_failed_click_is_a_toast_and_a_failed_page_a_card_with_a_way_to_try_again(
    arrive: Arrive, start: Callable[[], AppServer], damage: Callable[[str], None]
) -> None:
    page = arrive(start()).open("/models/sandbox-chat")
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


def test_an_empty_catalog_says_what_to_do(arrive: Arrive, start: Callable[[], AppServer], damage: Callable[[str], None]) -> None:
    for table in ("price", "alias", "offer", "model"):
        damage(f"DELETE FROM {table}")
    damage("UPDATE change SET version = version + 1")
    page = arrive(start()).open("/")
    expect(page.get_by_test_id("empty")).to_contain_text("make seed")
