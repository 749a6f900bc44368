"""What surrounds every page: palette, theme, shortcuts, keyboard, what happens when the server goes away."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.rig.server import AppServer

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]


def test_the_palette_finds_a_model_and_opens_it_without_the_mouse(visit: Visit) -> None:
    page = visit().open("/")
    page.keyboard.press("Control+k")
    palette = page.get_by_test_id("palette")
    expect(palette).to_be_visible()
    expect(palette.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("sandbox-chat")
    expect(palette.get_by_role("option").first).to_contain_text(re.compile("sandbox", re.IGNORECASE))
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("name")).to_be_visible()
    assert "/models/" in page.url
    expect(palette).to_be_hidden()


def test_the_palette_moves_by_arrows_and_keeps_the_focus_inside(visit: Visit) -> None:
    page = visit().open("/models/sandbox-chat")
    page.get_by_test_id("palette-open").click()
    palette = page.get_by_test_id("palette")
    combobox = palette.get_by_role("combobox")
    page.keyboard.type("sandbox")
    expect(palette.get_by_role("option").nth(1)).to_be_visible()
    first = combobox.get_attribute("aria-activedescendant")
    page.keyboard.press("ArrowDown")
    expect(combobox).not_to_have_attribute("aria-activedescendant", first)
    expect(palette.locator('[aria-selected="true"]')).to_have_count(1)
    page.keyboard.press("ArrowUp")
    expect(combobox).to_have_attribute("aria-activedescendant", first)
    for _ in range(4):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(palette).to_be_hidden()
    expect(page.get_by_test_id("palette-open")).to_be_focused()


def test_the_palette_says_when_nothing_is_found(visit: Visit) -> None:
    page = visit().open("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("zzz-no-such-thing")
    expect(page.get_by_test_id("palette").get_by_role("status")).to_contain_text("Nothing has that name")


def test_question_mark_shows_the_shortcuts_but_not_while_writing(visit: Visit) -> None:
    page = visit().open("/")
    page.keyboard.press("?")
    expect(page.get_by_test_id("shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_test_id("search").focus()
    page.keyboard.type("?")
    expect(page.get_by_test_id("shortcuts")).to_be_hidden()
    expect(page.get_by_test_id("search")).to_have_value("?")


def test_a_slash_opens_the_palette_where_the_page_has_no_search_of_its_own(visit: Visit) -> None:
    page = visit().open("/models/sandbox-chat")
    page.keyboard.press("/")
    expect(page.get_by_test_id("palette").get_by_role("combobox")).to_be_focused()
    page.keyboard.type("/")
    expect(page.get_by_test_id("palette").get_by_role("combobox")).to_have_value("/")


def test_the_skip_link_leads_to_the_content(visit: Visit) -> None:
    page = visit().open("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


@pytest.mark.parametrize(("system", "chosen", "paper"), [("light", "dark", "rgb(15, 17, 19)"), ("dark", "light", "rgb(251, 250, 248)"),
                                                         ("dark", "system", "rgb(15, 17, 19)")])  # fmt: skip
def test_the_chosen_theme_is_the_only_one_ever_painted(visit: Visit, system: str, chosen: str, paper: str) -> None:
    visitor = visit(
        theme=system,
        before=f"""localStorage.setItem('theme', '{chosen}'); window.papers = new Set();
        const look = () => {{
          if (document.body) window.papers.add(getComputedStyle(document.documentElement).backgroundColor);
          requestAnimationFrame(look);
        }};
        requestAnimationFrame(look);""",
    )
    page = visitor.open("/")
    page.wait_for_function("window.papers.size > 0")
    assert page.evaluate("[...window.papers]") == [paper]


def test_the_theme_button_goes_through_light_dark_and_system_and_is_remembered(visit: Visit) -> None:
    page = visit(theme="light").open("/")
    button = page.get_by_test_id("theme")
    expect(button).to_have_attribute("data-mode", "system")
    button.click()
    expect(button).to_have_attribute("data-mode", "light")
    button.click()
    expect(button).to_have_attribute("data-mode", "dark")
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.reload()
    expect(button).to_have_attribute("data-mode", "dark")
    button.click()
    expect(page.locator("html")).not_to_have_class(re.compile("dark"))


def test_nothing_moves_for_people_who_asked_for_that(visit: Visit) -> None:
    page = visit(reduced_motion="reduce").open("/")
    moving = page.evaluate("document.getAnimations().length")
    assert moving == 0
    assert page.evaluate("getComputedStyle(document.querySelector('[data-model]')).transitionDuration") in ("0s", "")


def test_the_footer_says_how_fresh_the_numbers_are(visit: Visit) -> None:
    page = visit().open("/models/sandbox-chat")
    expect(page.get_by_test_id("freshness")).to_contain_text(re.compile(r"[\d,]+ offers of [\d,]+ models by \d+ providers\. Read .+: "))


def test_an_unknown_address_says_so_and_leads_back(visit: Visit) -> None:
    visitor = visit()
    answer = visitor.page.goto(visitor.site.url + "/no/such/page")
    assert answer.status == 404
    expect(visitor.page.get_by_test_id("no-page")).to_be_visible()
    visitor.page.get_by_role("link", name="Go to the store").click()
    expect(visitor.page.locator("[data-model]").first).to_be_visible()


def test_a_lost_server_is_announced_and_its_return_too(visit: Visit, site: AppServer) -> None:
    visitor = visit()
    page = visitor.open("/")
    site.stop()
    try:
        expect(page.get_by_test_id("connection-lost")).to_be_visible(timeout=20_000)
        assert page.locator("[data-model]").count() == 24, "what was there stays"
    finally:
        site.restart()
    expect(page.get_by_test_id("connection-lost")).to_be_hidden(timeout=30_000)
    visitor.trouble.clear()  # refused connections are what this test is about
