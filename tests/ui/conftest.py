"""A production build, served with the whole catalog, and a Chromium to look at it. Made once; every test gets a fresh browser profile."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.rig.server import ROOT, AppServer, clean_environment
from tests.ui.corpus import hostile_texts

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), "chromium")


@pytest.fixture(scope="session")
def built_pages(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make run` serves them, in a folder that nobody rebuilds while they are looked at; built only if they changed."""
    copy = tmp_path_factory.mktemp("pages")
    command = [sys.executable, "-m", "app.build", "--copy", str(copy)]
    build = subprocess.run(command, cwd=ROOT, env=clean_environment(catalog_file.parent), capture_output=True, text=True, check=False)
    assert build.returncode == 0, f"{build.stdout[-2000:]}\n{build.stderr[-6000:]}"
    return copy


@pytest.fixture(scope="session")
def site(built_pages: Path, catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """Everything in one process, with the whole catalog and, among its models, names that try to be markup."""
    data_dir = tmp_path_factory.mktemp("site")
    shutil.copy(catalog_file, data_dir / "bourse.db")
    add_hostile_models(data_dir / "bourse.db")
    server = AppServer("whole", data_dir, env={"REFLEX_WEB_WORKDIR": str(built_pages)}, from_nothing=True)
    yield server
    server.stop()


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium per file: Playwright's loop holds its thread while it lives, and no asynchronous test could run behind it."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


class Visitor:
    """One person's browser. What goes wrong in it fails the test: exceptions, refused scripts, dialogs that nobody asked for."""

    def __init__(self, context: BrowserContext, site: AppServer) -> None:
        self.site = site
        self.page: Page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.trouble: list[str] = []
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("console", self._heard)

    def open(self, path: str) -> Page:
        """Go there and wait until the page has its answer from the server."""
        self.page.goto(self.site.url + path)
        self.settled()
        return self.page

    def _heard(self, line: ConsoleMessage) -> None:
        # A page that says 404 is reported by the browser as an error of the page's own address; that is no trouble.
        own_address = line.location.get("url", "") == self.page.url and "404" in line.text
        if line.type == "error" and not own_address:
            self.trouble.append(line.text)

    def settled(self) -> None:
        self.page.wait_for_selector("html[data-live]", state="attached")


@pytest.fixture
def visit(browser: Browser, site: AppServer) -> Iterator[Callable[..., Visitor]]:
    """`visit(theme="dark", width=390)` gives a `Visitor`; any trouble in the browser fails the test."""
    visitors: list[tuple[BrowserContext, Visitor]] = []

    def arrive(*, theme: str = "light", width: int = 1280, **options: object) -> Visitor:
        context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
        visitors.append((context, Visitor(context, site)))
        return visitors[-1][1]

    yield arrive
    trouble = [line for _, visitor in visitors for line in visitor.trouble]
    for context, _ in visitors:
        context.close()
    assert not trouble, trouble
