"""Every registered page, light and dark, wide and narrow: no finding of axe, no sideways scrolling, no trouble in the console.

Each is opened once for all four, and in `make soak` once for each."""

from collections.abc import Callable

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from app.routes import PAGES

pytestmark = pytest.mark.browser
STATES = (
    "/models/no-such-model",
    "/?view=cards&can=tools",
    "/?view=scatter&can=tools",
    "/match",
    "/match?step=needs&task=Read+invoices+as+JSON&needs=image",
)
"""Addresses at which a page looks unlike at its sample."""


ADDRESSES = [*(page.sample or page.route for page in PAGES), *STATES]
WIDE, NARROW = 1280, 390


def clean(page: Page, *rules: str) -> None:
    """No finding of these rules, or of all."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
    findings = page.evaluate("options => axe.run(options).then(results => results.violations)", options)
    assert not findings, [(found["id"], found["impact"], [node["html"][:200] for node in found["nodes"]][:3]) for found in findings]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"


def becomes(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.wait_for_function("theme => document.documentElement.classList.contains(theme)", arg=theme)


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_page_is_accessible_and_fits(visit: Callable, path: str) -> None:  # type: ignore[type-arg]
    """As it is opened, and then in the other theme and at the other width; of what axe looks at, a theme changes colours alone."""
    visitor = visit(theme="light", width=WIDE)
    page = visitor.open(path)
    clean(page)
    assert page.locator("main#main").count() == 1
    assert page.locator("h1").count() == 1
    becomes(page, "dark")
    clean(page, "color-contrast")
    page.set_viewport_size({"width": NARROW, "height": 900})
    clean(page)
    becomes(page, "light")
    clean(page, "color-contrast")


@pytest.mark.soak
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ADDRESSES)
def test_a_page_that_is_opened_so_is_accessible_and_fits(visit: Callable, path: str, theme: str, width: int) -> None:  # type: ignore[type-arg]
    clean(visit(theme=theme, width=width).open(path))


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.soak)])
def test_what_opens_is_accessible_too(visit: Callable, theme: str) -> None:  # type: ignore[type-arg]
    visitor = visit(theme=theme)
    page = visitor.open("/compare?models=gpt-4o,gpt-4o-mini,claude-3-5-haiku")
    for fold in page.get_by_test_id("fold").all():
        fold.click()
    page.get_by_text("The numbers as a table").click()
    clean(page)
    page.keyboard.press("Control+k")
    page.keyboard.type("gpt")
    page.get_by_test_id("palette").get_by_role("option").nth(2).wait_for()
    clean(page)
    page.keyboard.press("Escape")
    page.locator("#main").focus()
    page.keyboard.press("?")
    page.get_by_test_id("shortcuts").wait_for()
    clean(page)
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_test_id("menu-open").click()
    page.get_by_test_id("menu").get_by_role("link").first.wait_for()
    clean(page)
    page.get_by_test_id("menu").get_by_role("link").first.click()
    page.get_by_test_id("filters-open").click()
    clean(page)
    visitor.open("/match?step=answer&task=Read+invoices+as+JSON&needs=image")
    for answer in page.get_by_text("How it was ranked").all()[:3]:
        answer.click()
    clean(page)
