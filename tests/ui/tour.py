"""Makes docs/tour.md and its pictures anew: `python -m tests.ui.tour`, about a minute.

An installation of its own with the whole catalog, somebody signed in where that shows more, and a Chromium that looks at every page.
"""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.rig.catalog import read_catalog_once
from tests.rig.server import ROOT, AppServer, clean_environment
from tests.ui.accounts import EMAIL, PASSWORD, fill_and_sign_in
from tests.ui.chromium import CHROMIUM, FLAGS

PAGE, PICTURES = ROOT / "docs" / "tour.md", ROOT / "docs" / "images" / "tour"
MOST_BYTES = 2_500_000
"""Of all pictures together."""
_QUALITY = 82
CONFIGURATION = f'bootstrap: {{admin_users: [{{email: {EMAIL}, password: "{PASSWORD}", name: Ann Other}}]}}\n'
DEMO_KEY = "sk-demo.my-secret"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: `says` is the sentence under it, `alt` what is seen. `look`: what is done before, on the open page."""

    name: str
    title: str
    path: str
    says: str
    alt: str
    dark: bool = False
    phone: bool = False
    height: int = 860
    signed_in: bool = False
    look: Callable[[Page], object] = lambda page: None

    @property
    def file(self) -> str:
        return f"{self.name}.webp"


def _run(page: Page) -> None:
    page.get_by_test_id("prompt").fill("Why do prices of models fall?")
    page.get_by_test_id("run").click()
    page.get_by_test_id("stop-all").wait_for()
    page.get_by_test_id("run").wait_for()


def _explain(page: Page) -> None:
    page.get_by_text("How it was ranked").first.click()


def _menu(page: Page) -> None:
    page.get_by_test_id("menu-open").click()
    page.get_by_test_id("menu").wait_for()
    # It slides in: the picture is taken when it stands still.
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished))")


def _palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("claude")
    page.get_by_test_id("palette").get_by_role("option").nth(5).wait_for()


COMPARED = "/compare?models=gpt-4o,gpt-4o-mini,claude-3-5-haiku&input=4000&output=500&calls=2000&cache=0.5"
MATCHED = "/match?step=answer&task=Summarise+long+contracts+in+German&price=20&context=64000"
SHOTS = (
    Shot(
        "store",
        "Store",
        "/?can=vision,tools&price_in=-1&context=128000",
        "Every model with prices, filters and their counts; the headline says what was found, and the address holds it.",
        "The store: a table of models that see images and call tools, with filters at the left and chips above.",
    ),
    Shot(
        "store-scatter",
        "Store: price against quality",
        "/?view=scatter&can=tools",
        "The same models by what they cost and how good they are; those that nobody beats are joined.",
        "A plot of models by price and quality with the unbeaten ones named.",
        height=1000,
    ),
    Shot(
        "model",
        "Model",
        "/models/o3",
        "What it costs at whom, how its price came about, how good it is and how sure that is, and what could be taken instead.",
        "The page of o3: facts, its price over time as steps, quality with intervals, offers with their evidence.",
        height=1500,
    ),
    Shot(
        "compare",
        "Compare",
        COMPARED,
        "Two to six models side by side for one's own work; what is the same in all is folded away.",
        "Three models in columns: what the work costs, quality with intervals, benchmarks that they share.",
        height=1200,
    ),
    Shot(
        "match-task",
        "Match: the task",
        "/match?task=Summarise+long+contracts+in+German",
        "Which model for a task, in one's own words and without asking any model.",
        "The first step of matching: a box with the task and examples.",
        height=620,
    ),
    Shot(
        "match-needs",
        "Match: what must hold",
        "/match?step=needs&task=Summarise+long+contracts+in+German&price=20&context=64000",
        "How the text was understood, what must hold, what counts, and for how much work.",
        "The second step of matching: price, context, abilities, weights and the work.",
        height=680,
    ),
    Shot(
        "match",
        "Match: the answer",
        MATCHED,
        "Models in order, each with its reasons, its cost for the work, what the evidence allows and the points of its score.",
        "The answer of matching: ranked models with cost, quality interval and a score made of parts, the first one opened.",
        height=1000,
        look=_explain,
    ),
    Shot(
        "price",
        "Price a prompt",
        "/price?example=question&sort=value",
        "The tokens that models make of a text, and what it costs at the cheapest offer of each.",
        "A prompt with its tokens lit up, beside it a table of costs by model.",
        height=1000,
    ),
    Shot(
        "playground",
        "Playground",
        "/playground?models=sandbox/chat,sandbox/reasoning,sandbox/long",
        "One prompt, up to four models at once through the gateway, with cost, first token and speed of each.",
        "Three columns of answers with their cost and speed under one prompt.",
        signed_in=True,
        look=_run,
    ),
    Shot(
        "changes",
        "What changed",
        "/changes?days=90",
        "Prices that fell and rose, arrivals and ends, what is announced, and all of it as a feed.",
        "A list of changes by day, at the right what is announced.",
    ),
    Shot(
        "usage",
        "Usage",
        "/usage",
        "What a tenant spent today and its last calls, as they come.",
        "Today's spend and a table of calls with tokens, cost and latency.",
        signed_in=True,
    ),
    Shot(
        "api",
        "The API",
        "/docs/api",
        "Every address of the REST surface, by search, with fields, answers and requests to copy.",
        "The reference of the API: operations by group, with fields at the left and a request to copy at the right.",
    ),
    Shot(
        "ingestion",
        "Ingestion",
        "/ingestion",
        "For operators: which lists were read when, what each run changed, and what it refused.",
        "The sources with their age and a list of runs.",
        signed_in=True,
    ),
    Shot(
        "quarantine",
        "Quarantine",
        "/quarantine",
        "Prices that cannot be right wait here until somebody accepts or rejects them for good.",
        "A list of doubted prices with what speaks against each.",
        signed_in=True,
    ),
    Shot(
        "sign-in",
        "Sign in",
        "/sign-in",
        "The browser itself posts what is typed here; no script sees the session.",
        "The form to sign in.",
        height=560,
    ),
    Shot(
        "setup",
        "First run",
        "/setup",
        "The link on the console makes the first account, once; afterwards the page says so.",
        "The page of the first run, which says that Bourse is set up already.",
        height=560,
    ),
    Shot(
        "not-found",
        "Not found",
        "/no-such-page",
        "An address without a page leads back to the store.",
        "A page that says that there is nothing at this address.",
        height=560,
    ),
    Shot(
        "palette",
        "Find anything",
        "/changes",
        "Ctrl K, or / where a page has no search of its own, finds models and pages.",
        "A dialog with a search field and the models that were found.",
        height=620,
        look=_palette,
    ),
    Shot(
        "store-dark",
        "Dark: store",
        "/?can=vision,tools&price_in=-1&context=128000",
        "Every page has a dark theme, by the system or by the button in the bar.",
        "The store on dark paper.",
        dark=True,
    ),
    Shot(
        "model-dark",
        "Dark: model",
        "/models/deepseek-chat",
        "Charts are drawn in the theme's own colours.",
        "A model's page on dark paper.",
        dark=True,
    ),
    Shot(
        "store-phone", "Phone: store", "/?view=cards", "Cards, and filters behind a button.", "The store on a phone as cards.", phone=True
    ),
    Shot(
        "menu-phone",
        "Phone: menu",
        "/changes",
        "All pages and the account in a sheet.",
        "The menu over a page on a phone.",
        phone=True,
        dark=True,
        look=_menu,
    ),
    Shot("match-phone", "Phone: match", MATCHED, "The same answer, one under the other.", "Ranked models on a phone.", phone=True),
)


def text() -> str:
    """docs/tour.md."""
    lines = [
        "# A tour of the pages",
        "",
        "Every page as it looks with the bundled catalog; what is signed in is the demo tenant, and the answers are those of the sandbox.",
        "`python -m tests.ui.tour` makes this page and its pictures anew.",
    ]
    for shot in SHOTS:
        lines += ["", f"## {shot.title}", shot.says, "", f"![{shot.alt}](images/tour/{shot.file})"]
    return "\n".join([*lines, ""])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = _serve(Path(folder))
        try:
            _call(server)
            with tempfile.TemporaryDirectory() as fresh:
                _photograph(server, Path(fresh))
                shutil.rmtree(PICTURES, ignore_errors=True)
                shutil.copytree(fresh, PICTURES)
        finally:
            server.stop()
    PAGE.write_text(text())
    size = sum(file.stat().st_size for file in PICTURES.iterdir())
    sys.stdout.write(f"{len(SHOTS)} pictures, {size / 1e6:.2f} MB, {PAGE}\n")


def _serve(folder: Path) -> AppServer:
    catalog = read_catalog_once()
    pages, data = folder / "pages", folder / "data"
    pages.mkdir()
    data.mkdir()
    build = [sys.executable, "-m", "app.build", "--copy", str(pages)]
    subprocess.run(build, cwd=ROOT, env=clean_environment(catalog.parent), check=True, stdout=subprocess.DEVNULL)
    shutil.copy(catalog, data / "bourse.db")
    return AppServer("whole", data, configuration=CONFIGURATION, env={"REFLEX_WEB_WORKDIR": str(pages)}, from_nothing=True)


def _call(server: AppServer) -> None:
    """Something for the page of usage."""
    for model, words in (
        ("sandbox/chat", "Hello"),
        ("sandbox/reasoning", "Why?"),
        ("sandbox/long", "Tell me more"),
        ("sandbox/chat", "Bye"),
    ):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": words}]}).encode()
        headers = {"Authorization": f"Bearer {DEMO_KEY}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/v1/chat/completions", body, headers)) as answer:
            answer.read()


def _photograph(server: AppServer, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for shot in SHOTS:
            context = browser.new_context(
                color_scheme="dark" if shot.dark else "light",
                viewport={"width": 390, "height": 844} if shot.phone else {"width": 1280, "height": shot.height},
            )
            page = context.new_page()
            if shot.signed_in:
                page.goto(f"{server.url}/sign-in")
                fill_and_sign_in(page)
                page.wait_for_url("**/usage")
            page.goto(server.url + shot.path)
            page.wait_for_selector("html[data-live]", state="attached")
            page.wait_for_selector("html[data-pending] [data-answer]", state="detached")
            shot.look(page)
            page.wait_for_load_state("networkidle")
            page.evaluate("document.fonts.ready")
            (folder / shot.file).write_bytes(_picture(page))
            context.close()
        browser.close()


def _picture(page: Page) -> bytes:
    """As WebP, which Playwright's own screenshots are not."""
    tools = page.context.new_cdp_session(page)
    return base64.b64decode(tools.send("Page.captureScreenshot", {"format": "webp", "quality": _QUALITY})["data"])


if __name__ == "__main__":
    main()
