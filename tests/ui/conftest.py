"""A production build, served with the whole catalog, and a Chromium to look at it. Made once; every test gets a fresh browser profile."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, Playwright, expect, sync_playwright

from tests.rig.processes import resident_mib
from tests.rig.server import ROOT, AppServer, clean_environment
from tests.ui.accounts import BOTH
from tests.ui.chromium import CHROMIUM, FLAGS
from tests.ui.corpus import hostile_texts
from tests.ui.profiles import Profile, Profiles

HERE = Path(__file__).parent
expect.set_options(timeout=30_000)  # what is expected comes at once, but not on a machine that does five things beside it


@pytest.fixture(scope="session")
def built_pages(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make run` serves them, in a folder that nobody rebuilds while they are looked at; built only if they changed."""
    copy = tmp_path_factory.mktemp("pages")
    command = [sys.executable, "-m", "app.build", "--copy", str(copy)]
    build = subprocess.run(command, cwd=ROOT, env=clean_environment(catalog_file.parent), capture_output=True, text=True, check=False)
    assert build.returncode == 0, f"{build.stdout[-2000:]}\n{build.stderr[-6000:]}"
    return copy


@pytest.fixture(scope="session")
def started_site(built_pages: Path, catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppServer, float]]:
    """Everything in one process, with two accounts, the whole catalog and, among its models, names that try to be markup.

    And how many MiB it held before anybody came.
    """
    data_dir = tmp_path_factory.mktemp("site")
    shutil.copy(catalog_file, data_dir / "bourse.db")
    add_hostile_models(data_dir / "bourse.db")
    server = AppServer("whole", data_dir, configuration=BOTH, env={"REFLEX_WEB_WORKDIR": str(built_pages)}, from_nothing=True)
    assert server.status("/") == 200
    yield server, resident_mib(server.pid)
    server.stop()


@pytest.fixture(scope="session")
def site(started_site: tuple[AppServer, float]) -> AppServer:
    """The running installation that these tests share."""
    return started_site[0]


def add_hostile_models(file: Path) -> None:
    """One model with one offer for every hostile text, as a source that nobody checks could bring them."""
    with sqlite3.connect(file) as database:
        database.row_factory = sqlite3.Row
        model = dict(database.execute("SELECT * FROM model WHERE id = 'sandbox-chat'").fetchone())
        offer = dict(database.execute("SELECT * FROM offer WHERE model_id = 'sandbox-chat'").fetchone())
        for number, text in enumerate(hostile_texts()):
            slug = f"hostile-{number}"
            _insert(database, "model", model | {"id": slug, "name": text, "description": text, "family": text[:120]})
            _insert(database, "offer", offer | {"id": f"sandbox/{slug}", "model_id": slug, "upstream_id": text[:255], "region": text[:64]})


def _insert(database: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    names = ", ".join(row)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


_RUNNING: list[tuple[Playwright, Profiles]] = []
"""The one browser of these tests, once it runs."""


def _start_browser() -> Profiles:
    playwright = sync_playwright().start()
    profiles = Profiles(playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS))
    _RUNNING.append((playwright, profiles))
    return profiles


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Playwright's loop holds its thread while it lives, and no asynchronous test could run behind it."""
    yield
    if _RUNNING and (nextitem is None or nextitem.path.parent != HERE or nextitem.get_closest_marker("asyncio")):
        playwright, profiles = _RUNNING.pop()
        profiles.browser.close()
        playwright.stop()


class Visitor:
    """One person's browser. What goes wrong in it fails the test: exceptions, refused scripts, dialogs that nobody asked for."""

    def __init__(self, profile: Profile, site: AppServer) -> None:
        self.profile, self.site = profile, site
        self.page: Page = profile.page
        self.trouble: list[str] = []
        self._hearing: list[tuple[Any, Callable[[Any], object]]] = []
        self.hear("pageerror", lambda error: self.trouble.append(str(error)))
        self.hear("dialog", lambda dialog: (self.trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.hear("console", self._heard)

    def hear(self, event: str, listener: Callable[[Any], object]) -> None:
        """Listen to the page until the visitor leaves."""
        self.page.on(event, listener)  # type: ignore[call-overload]
        self._hearing.append((event, listener))

    def leave(self) -> None:
        for event, listener in self._hearing:
            self.page.remove_listener(event, listener)

    def open(self, path: str) -> Page:
        """Go there and wait until the page has its answer from the server."""
        self.page.goto(self.site.url + path)
        self.settled()
        return self.page

    def _heard(self, line: ConsoleMessage) -> None:
        # A page that says 404 is reported by the browser as an error of the page's own address; that is no trouble.
        # For a file that is no page it asks for an icon that nobody named, and reports that there is none.
        address = str(line.location.get("url", ""))
        missing = "404" in line.text and (address == self.page.url or address == f"{self.site.url}/favicon.ico")
        if line.type == "error" and not missing:
            self.trouble.append(line.text)

    def settled(self) -> None:
        self.page.wait_for_selector("html[data-live]", state="attached")


Arrive = Callable[..., Visitor]


@pytest.fixture
def arrive() -> Iterator[Arrive]:
    """`arrive(server, theme="dark", width=390)`: a visitor with an empty browser profile; any trouble in the browser fails the test.

    `before` is a script that runs in every page before its own ones; other options are Playwright's.
    """
    profiles = _RUNNING[0][1] if _RUNNING else _start_browser()
    lent: list[tuple[Visitor, str]] = []
    special: list[Visitor] = []

    def at(server: AppServer, *, theme: str = "light", width: int = 1280, before: str = "", **options: object) -> Visitor:
        if options:
            special.append(Visitor(profiles.special(theme, width, **options), server))
            return special[-1]
        visitor = Visitor(profiles.lend(theme, width, before), server)
        lent.append((visitor, before))
        return visitor

    yield at
    trouble = [line for visitor in (*special, *(one for one, _ in lent)) for line in visitor.trouble]
    for visitor in special:
        visitor.profile.context.close()
    for visitor, before in lent:
        visitor.leave()
        profiles.take_back(visitor.profile, visitor.site.url, before)
    assert not trouble, trouble


@pytest.fixture
def visit(arrive: Arrive, site: AppServer) -> Arrive:
    """`visit(theme="dark", width=390)`: a visitor of the site with the whole catalog."""
    return partial(arrive, site)
