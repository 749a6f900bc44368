"""Every registered page, light and dark, wide and narrow: no finding of axe, no sideways scrolling, no trouble in the console."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe

from app.routes import PAGES

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", [page.sample or page.route for page in PAGES] + ["/models/no-such-model", "/?view=cards&can=tools"])
def test_a_page_is_accessible_and_fits(visit: Callable, path: str, theme: str, width: int) -> None:  # type: ignore[type-arg]
    page = visit(theme=theme, width=width).open(path)
    findings = Axe().run(page).response["violations"]
    assert not findings, [(found["id"], found["impact"], [node["html"][:200] for node in found["nodes"]][:3]) for found in findings]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
    assert page.locator("main#main").count() == 1
    assert page.locator("h1").count() == 1
