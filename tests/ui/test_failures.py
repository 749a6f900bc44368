"""What a person sees when something behind the page breaks, and when it works again."""

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.rig.server import AppServer
from tests.ui.conftest import Visitor

pytestmark = pytest.mark.browser
REQUEST_ID = re.compile(r"req_[0-9a-z]{26}")


@pytest.fixture
def own_site(built_pages: Path, catalog_file: Path, tmp_path: Path) -> Iterator[AppServer]:
    """A server whose database this test may damage."""
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    server = AppServer("whole", tmp_path, env={"REFLEX_WEB_WORKDIR": str(built_pages)})
    yield server
    server.stop()


@pytest.fixture
def damage(own_site: AppServer) -> Callable[[str], None]:
    """Runs a statement on the server's database from outside."""

    def run(statement: str) -> None:
        with sqlite3.connect(own_site.data_dir / "bourse.db") as database:
            database.execute(statement)

    return run


def test_a_failed_click_is_a_toast_and_a_failed_page_a_card_with_a_way_to_try_again(
    browser: Browser, own_site: AppServer, damage: Callable[[str], None]
) -> None:
    context = browser.new_context()
    visitor = Visitor(context, own_site)
    page = visitor.open("/models/sandbox-chat")
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
    assert not visitor.trouble
    context.close()


def test_an_empty_catalog_says_what_to_do(browser: Browser, own_site: AppServer, damage: Callable[[str], None]) -> None:
    for table in ("price", "alias", "offer", "model"):
        damage(f"DELETE FROM {table}")
    damage("UPDATE change SET version = version + 1")
    own_site.restart()
    context = browser.new_context()
    page = Visitor(context, own_site).open("/")
    expect(page.get_by_test_id("empty")).to_contain_text("make seed")
    context.close()
