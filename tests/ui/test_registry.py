"""The page registry is the one truth about pages; needs no browser."""

import pytest

from app.one_origin import use_baked_origin, use_own_origin
from app.routes import MORE, NAV, PAGES


def test_routes_and_navigation_agree() -> None:
    routes = [page.route for page in PAGES]
    assert len(routes) == len(set(routes)), "one address, one page"
    assert "/" in routes
    assert "404" in routes
    assert {line["href"] for line in [*NAV, *MORE]} <= set(routes), "top bar, menu and palette list only pages that exist"
    assert all(line["hint"] for line in [*NAV, *MORE]), "every line says what is there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.route)
def test_every_page_has_a_title_a_description_and_an_address_to_visit(page) -> None:  # type: ignore[no-untyped-def]
    assert page.title is not None
    assert page.description.endswith(".")
    assert page.sample or (page.route.startswith("/") and "[" not in page.route), "accessibility tests need somewhere to go"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.route)
def test_every_page_has_one_main_landmark_and_a_headline(page) -> None:  # type: ignore[no-untyped-def]
    rendered = str(page.content())
    assert rendered.count('jsx("main"') == 1
    assert '"h1"' in rendered
    assert 'id:"main"' in rendered, "the skip link goes there"


def test_the_pages_find_their_socket_at_their_own_origin() -> None:
    source = "export const getBackendURL = (url_str) => {\n  const endpoint = new URL(url_str);\n};"
    patched = use_own_origin(source)
    assert "window.location.origin" in patched
    assert use_own_origin(patched) == patched, "building twice patches once"
    assert use_baked_origin(patched) == source, "development in the same folder undoes it"
    assert use_baked_origin(source) == source


def test_a_reflex_that_builds_the_address_otherwise_stops_the_build() -> None:
    with pytest.raises(RuntimeError, match="one_origin"):
        use_own_origin("export const getBackendURL = somethingElse;")
