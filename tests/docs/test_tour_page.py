"""`docs/tour.md` shows every page of the app, with pictures that are there and small."""

from app.routes import PAGES
from tests.ui.tour import MOST_BYTES, PAGE, PICTURES, SHOTS, text


def test_every_page_of_the_app_is_shown() -> None:
    shown = {shot.path.partition("?")[0] for shot in SHOTS}
    for page in PAGES:
        if page.route == "404":
            assert "/no-such-page" in shown
        elif "[" in page.route:
            assert any(path.startswith(page.route.partition("[")[0]) for path in shown), page.route
        else:
            assert page.route in shown, page.route


def test_the_page_is_what_the_command_writes_and_has_its_pictures() -> None:
    assert PAGE.read_text() == text()
    files = {file.name: file.stat().st_size for file in PICTURES.iterdir()}
    assert files.keys() == {shot.file for shot in SHOTS}
    assert sum(files.values()) <= MOST_BYTES
    assert all(shot.alt.endswith(".") and shot.says.endswith(".") for shot in SHOTS)
