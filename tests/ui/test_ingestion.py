"""The operator's pages in a browser: handing in a list, and deciding about a price that looks wrong."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.rig.server import AppServer
from tests.ui.conftest import Arrive
from tests.ui.test_people import CONFIGURATION, signed_in, start

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def operated(built_pages: Path, sandbox_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """An installation with one admin, and one price that waits for him."""
    server = start(built_pages, sandbox_file, tmp_path_factory.mktemp("operated"), CONFIGURATION)
    doubt(server)
    yield server
    server.stop()


def doubt(server: AppServer) -> None:
    with sqlite3.connect(server.data_dir / "bourse.db") as database:
        chosen = "SELECT id FROM price WHERE offer_id = 'sandbox/chat' AND component = 'input' LIMIT 1"
        database.execute(f"UPDATE price SET status = 'quarantined', in_force = 0, reason = 'absurd: $5 <b>x</b>' WHERE id = ({chosen})")


def is_accessible(page: Page) -> None:
    findings = Axe().run(page).response["violations"]
    assert not findings, [(found["id"], [node["html"][:200] for node in found["nodes"]][:3]) for found in findings]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"


def test_a_list_is_refused_in_words_and_strangers_are_told_to_sign_in(operated: AppServer, arrive: Arrive, tmp_path: Path) -> None:
    visitor = arrive(operated, theme="dark", width=390)
    for path in ("/ingestion", "/quarantine"):
        expect(visitor.open(path).get_by_test_id("signed-out")).to_be_visible()
    page = signed_in(visitor, "/ingestion")
    expect(page.get_by_test_id("source-litellm")).to_contain_text("ships with Bourse")
    expect(page.get_by_test_id("no-runs")).to_be_visible()
    page.get_by_test_id("preview").click()
    expect(page.get_by_text("Choose a file first.")).to_be_visible()
    expect(page.get_by_test_id("list")).to_be_focused()
    empty = tmp_path / "My Prices.csv"
    empty.write_text("\n")
    page.get_by_test_id("list").set_input_files(empty)
    expect(page.get_by_test_id("source")).to_have_value("my-prices")
    page.get_by_test_id("source").press("Enter")
    expect(page.get_by_test_id("refused")).to_have_text("The text is empty.")
    assert all("status of 400" in line for line in visitor.trouble), "the browser reports what the API refuses"
    visitor.trouble.clear()
    is_accessible(page)
    page.get_by_test_id("held").get_by_role("link").click()
    expect(page.get_by_test_id("headline")).to_have_text("1 price waits for a decision")
    is_accessible(page)


def test_a_price_is_rejected_with_a_reason_and_accepted_after_all(operated: AppServer, arrive: Arrive) -> None:
    page = signed_in(arrive(operated), "/quarantine")
    line = page.get_by_test_id("doubted").get_by_role("listitem").first
    expect(line).to_contain_text("absurd: $5 <b>x</b>")
    is_accessible(page)
    page.get_by_test_id("reason").press("Enter")
    page.get_by_test_id("reject").click()
    expect(page.get_by_text("Say why in a few words.")).to_be_visible()
    page.get_by_test_id("reason").fill("a wrong unit")
    page.get_by_test_id("reject").click()
    expect(page.get_by_test_id("nothing-waits")).to_be_visible()
    page.locator("[data-state=rejected]").click()
    expect(page.get_by_test_id("doubted")).to_contain_text("a wrong unit")
    page.reload()
    expect(page.locator("[data-state=rejected]")).to_have_attribute("aria-pressed", "true")
    page.get_by_test_id("reason").fill("the seller says so")
    page.get_by_test_id("accept").click()
    expect(page.get_by_text("No price was rejected yet.")).to_be_visible()
    with sqlite3.connect(operated.data_dir / "bourse.db") as database:
        written = database.execute("SELECT action FROM audit_entry WHERE action LIKE 'price.%' ORDER BY id").fetchall()
    assert [action for (action,) in written] == ["price.reject", "price.accept"]
