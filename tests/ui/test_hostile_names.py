"""Names from outside are text and nothing else, wherever they are shown (case W3)."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.ui.corpus import hostile_texts

pytestmark = [pytest.mark.browser, pytest.mark.case("W3")]
Visit = Callable[..., Any]
TRAP = "window.sprung = 0; window.xss = () => { window.sprung += 1; return ''; };"


def nothing_was_taken_for_markup(page: Page) -> None:
    assert page.evaluate("window.sprung") == 0
    for tag in ("script:not([src])", "iframe", "object", "embed", "base", "img", "video", "math", "textarea"):
        assert page.locator(f"body #main {tag}").count() == 0, tag
    assert page.locator("[onerror], [onload], [ontoggle], [onfocus], [onmouseover]").count() == 0


def test_the_lists_show_hostile_names_as_they_are_written(visit: Visit) -> None:
    visitor = visit(before=TRAP)
    seen: list[str] = []
    for view in ("table", "cards"):
        for number in (1, 2, 3):
            page = visitor.open(f"/?by=sandbox&sort=name&view={view}&page={number}")
            expect(page.locator("[data-model]").first).to_be_visible()
            nothing_was_taken_for_markup(page)
            seen += page.locator("[data-model] a").all_text_contents()
    assert set(hostile_texts()) <= set(seen)


@pytest.mark.parametrize("number", range(0, 50, 7))
def test_a_models_page_shows_its_hostile_name_as_it_is_written(visit: Visit, number: int) -> None:
    visitor = visit(before=TRAP)
    page = visitor.open(f"/models/hostile-{number}")
    assert page.get_by_test_id("name").text_content() == hostile_texts()[number]
    page.get_by_test_id("offer").first.click()
    nothing_was_taken_for_markup(page)


def test_the_tray_and_the_comparison_show_hostile_names_as_they_are_written(visit: Visit) -> None:
    visitor = visit(before=TRAP)
    page = visitor.open("/?by=sandbox&sort=name")
    boxes = page.locator('[data-compare^="hostile-"]')
    boxes.first.wait_for()
    ids = [boxes.nth(number).get_attribute("data-compare") or "" for number in range(6)]
    for number in range(6):
        boxes.nth(number).click()
    nothing_was_taken_for_markup(page)
    page.get_by_test_id("tray").get_by_role("link", name="Compare 6").click()
    expect(page.locator("[data-column]")).to_have_count(6)
    nothing_was_taken_for_markup(page)
    names = [hostile_texts()[int(id.removeprefix("hostile-"))] for id in ids]
    assert page.locator("[data-column] a").all_text_contents() == names


def test_the_palette_and_the_error_view_show_hostile_text_as_it_is_written(visit: Visit) -> None:
    visitor = visit(before=TRAP)
    page = visitor.open("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("xss()")
    expect(page.get_by_test_id("palette").get_by_role("option").first).to_contain_text("xss()")
    nothing_was_taken_for_markup(page)
    for text in hostile_texts()[:10]:
        page = visitor.open("/models/" + quote(text.replace("/", "_"), safe=""))
        expect(page.get_by_test_id("no-model")).to_contain_text(text.replace("/", "_"))
        nothing_was_taken_for_markup(page)
    page = visitor.open("/?q=" + quote("<img src=x onerror=xss()>"))
    expect(page.get_by_test_id("chip")).to_contain_text("<img src=x onerror=xss()>")
    nothing_was_taken_for_markup(page)


def test_the_content_policy_allows_no_script_but_ours(visit: Visit) -> None:
    visitor = visit()
    answer = visitor.page.goto(visitor.site.url + "/")
    policy = answer.headers["content-security-policy"]
    script = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in script
    assert "object-src 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "frame-ancestors 'none'" in policy
