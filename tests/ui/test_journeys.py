"""Whole ways through the store as people go them, from one page to the next, each with something in mind. One installation for all.

Those whose pages other tests look at most are run with the long cases.
"""

import json
import re
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page, expect

from tests.rig.command_line import invoke
from tests.rig.server import AppServer
from tests.ui.accounts import SPENT, signed_in

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]
ATOM = "{http://www.w3.org/2005/Atom}"


def headline(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_test_id("headline")).to_have_text(text)


def tab_to(page: Page, css: str, most: int = 40) -> None:
    """Press Tab until the focus is there."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement?.matches({json.dumps(css)})"):
            return
    pytest.fail(f"{css} is not reached in {most} steps")


@pytest.mark.soak
def test_1_a_model_is_found_by_filters_and_its_price_is_followed_back_in_time(visit: Visit) -> None:
    page = visit().open("/")
    page.locator('input[data-facet="can"][data-value="reasoning"]').click()
    expect(page.get_by_test_id("chip")).to_have_count(1)
    page.get_by_test_id("search").fill("o3")
    row = page.locator('[data-model="o3"]')
    row.get_by_role("link").first.click()
    chart = page.get_by_test_id("price-history")
    expect(chart.get_by_role("heading")).to_have_text(re.compile(r"^Input price fell from \$10\.00 to"))
    page.get_by_test_id("steps").focus()
    page.keyboard.press("Home")
    expect(page.get_by_test_id("readout")).to_contain_text("OpenAI $10.00")
    page.go_back()
    expect(row).to_be_visible()
    expect(page.get_by_test_id("chip").filter(has_text="Reasoning")).to_be_visible()


@pytest.mark.soak
def test_2_two_models_are_found_and_compared_by_the_keyboard_alone(visit: Visit) -> None:
    page = visit().open("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("gpt-4o-mini")
    expect(page.get_by_test_id("palette").get_by_role("option").first).to_contain_text("GPT-4o mini")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("name")).to_have_text("GPT-4o mini")
    expect(page.locator("#main")).to_be_focused()
    tab_to(page, '[data-testid="compare"]')
    page.keyboard.press("Enter")
    page.keyboard.press("Control+k")
    page.keyboard.type("side by side")
    page.keyboard.press("Enter")
    expect(page.locator("[data-column]")).to_have_count(1)
    tab_to(page, '[data-testid="picker"]')
    page.keyboard.type("gpt-4o")
    page.locator("[data-pick]").first.wait_for()
    page.keyboard.press("Enter")
    expect(page.locator("[data-column]")).to_have_count(2)


@pytest.mark.soak
def test_3_three_models_are_picked_compared_for_ones_work_and_shown_to_somebody_else(visit: Visit) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open("/?q=gpt-4o")
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-4o-audio-preview"):
        page.locator(f'[data-compare="{model}"]').click()
    page.get_by_test_id("tray").get_by_role("link", name="Compare 3").click()
    expect(page.locator("[data-column]")).to_have_count(3)
    usual = page.get_by_test_id("headline").inner_text()
    page.get_by_test_id("work-input").fill("40,000")
    page.get_by_test_id("work-cache").fill("80")
    expect(page).to_have_url(re.compile(r"input=40000&cache=0\.8"))
    costs = page.locator('[data-row="A month"]').inner_text()
    page.get_by_test_id("share").click()
    expect(page.get_by_test_id("share")).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    other = visit().open(link.removeprefix(visitor.site.url))
    expect(other.locator('[data-row="A month"]')).to_have_text(re.compile(re.escape(costs.split()[-1])))
    assert other.locator('[data-row="A month"]').inner_text() == costs
    assert other.get_by_test_id("headline").inner_text() == page.get_by_test_id("headline").inner_text()
    assert usual.startswith("For this work")


def test_4_a_comparison_leaves_as_files_with_what_is_folded_on_the_page(visit: Visit) -> None:
    page = visit().open("/compare?models=gpt-4o,gpt-4o-mini,claude-3-5-haiku")
    fold = page.get_by_test_id("fold").filter(has_text="are the same").last
    row = page.locator('[data-row="Tool calling"]').last
    expect(row).to_be_hidden()
    fold.click()
    expect(row).to_be_visible()
    expect(fold).to_have_attribute("aria-expanded", "true")

    def saved(button: str, name: str) -> str:
        with page.expect_download() as download:
            page.get_by_test_id(button).click()
        assert download.value.suggested_filename == name
        return Path(download.value.path()).read_text("utf-8")

    table = saved("csv", "comparison.csv")
    assert table.startswith(",,GPT-4o")
    assert "Can do,Tool calling,yes,yes,yes" in table
    page.get_by_test_id("differences").click()
    expect(page.locator('[data-row="Tool calling"]')).to_have_count(1)
    text = saved("markdown", "comparison.md")
    assert text.startswith("# For this work")
    assert page.locator('[data-row="A month"] td').first.inner_text() in text
    assert "Parallel tool calls" not in text


def test_5_a_task_is_matched_and_the_answer_becomes_a_route_that_calls_can_take(visit: Visit) -> None:
    visitor = visit()
    page = signed_in(visitor, "/match")
    expect(page.get_by_test_id("task")).to_be_visible()
    page.get_by_test_id("task").fill("Summarise long contracts in German")
    page.get_by_test_id("next").click()
    expect(page.get_by_test_id("understood")).to_contain_text("in German")
    page.get_by_label("At most, $ per 1M tokens").fill("lots")
    page.get_by_test_id("show").click()
    assert page.evaluate("!document.querySelector('#need-price').validity.valid")
    page.get_by_label("At most, $ per 1M tokens").fill("20")
    page.get_by_label("Context, tokens at least").fill("64k")
    page.get_by_test_id("show").click()
    headline(page, re.compile(r"^.+ suits summarisation .*best of [\d,]+ models$"))
    expect(page.get_by_test_id("why").first).to_contain_text("a call")
    page.get_by_test_id("answer").first.get_by_text("How it was ranked").click()
    expect(page.get_by_test_id("answer").first).to_contain_text(re.compile(r"Quality\s*\d+ × \d+ % = "))
    assert "context=64000" in page.url
    page.go_back()
    expect(page.get_by_label("Context, tokens at least")).to_have_value("")
    page.go_back()
    expect(page.get_by_test_id("task")).to_be_visible()
    page.go_forward()
    page.go_forward()
    page.get_by_test_id("only-here").click()
    headline(page, re.compile("^Sandbox Chat suits"))
    page.get_by_label("Its name").fill("contracts-de")
    page.get_by_test_id("create-route").click()
    expect(page.get_by_test_id("created")).to_contain_text("contracts-de")
    asked = {"model": "contracts-de", "messages": [{"role": "user", "content": "hi"}]}
    request = urllib.request.Request(
        visitor.site.url + "/v1/chat/completions",
        json.dumps(asked).encode(),
        {"Authorization": "Bearer sk-demo.my-secret", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert "no model was called" in json.load(answer)["choices"][0]["message"]["content"]
    page.get_by_role("link", name="Try it in the playground").click()
    expect(page.get_by_test_id("column")).to_contain_text("contracts-de")


@pytest.mark.soak
def test_6_a_prompt_is_priced_and_the_cheapest_model_for_it_is_looked_at(visit: Visit) -> None:
    page = visit().open("/price")
    page.get_by_test_id("prompt").fill("Which clauses of this contract may be ended within a month?")
    first = page.get_by_test_id("cost").first
    expect(first).to_be_visible()
    name = first.get_by_role("link").inner_text()
    expect(page.get_by_test_id("headline")).to_contain_text(f"on {name} to")
    first.get_by_role("link").click()
    expect(page.get_by_test_id("name")).to_have_text(name)
    expect(page.get_by_test_id("work-title")).to_have_text(re.compile(r"^This work costs"))
    assert "clauses" not in page.url


def test_7_matched_models_are_asked_side_by_side_one_is_stopped_and_the_code_is_taken_along(visit: Visit) -> None:
    page = visit().open("/match?step=answer&task=a+chatbot&here=yes")
    page.get_by_role("link", name="Try the first four").click()
    expect(page.get_by_test_id("column")).to_have_count(4)
    expect(page.get_by_test_id("tray")).to_have_count(0)
    page.get_by_role("button", name="Take sandbox/flaky away").click()
    page.get_by_role("button", name="Take sandbox/long away").click()
    expect(page.get_by_test_id("column")).to_have_count(2)
    page.get_by_test_id("prompt").fill("Say something")
    page.get_by_test_id("run").click()
    answers = page.get_by_test_id("answer")
    expect(answers.first).to_contain_text("no model was called")
    expect(answers.nth(1)).to_contain_text("This")
    page.get_by_role("button", name="Stop sandbox/slow").click()
    expect(page.get_by_test_id("stage").nth(1)).to_have_text("stopped")
    page.get_by_test_id("view-code").click()
    expect(page.get_by_test_id("code")).to_contain_text("sandbox/chat")


def test_8_what_changed_leads_to_the_model_and_into_a_feed_reader(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/changes?days=365")
    headline(page, re.compile(r"in the last "))
    with urllib.request.urlopen(visitor.site.url + page.get_by_test_id("feed").get_attribute("href")) as feed:
        root = ElementTree.fromstring(feed.read())
    assert root.tag == f"{ATOM}feed"
    entries = root.findall(f"{ATOM}entry")
    assert entries
    for one in (root, *entries):
        assert all(one.findtext(f"{ATOM}{part}") for part in ("id", "title", "updated")), "Atom asks for these"
    assert len({one.findtext(f"{ATOM}id") for one in entries}) == len(entries)
    link = page.get_by_test_id("news").get_by_role("link").first
    name = link.inner_text()
    link.click()
    expect(page.get_by_test_id("name")).to_have_text(name)


def test_9_something_cheaper_but_similar_is_put_beside_what_one_has(visit: Visit) -> None:
    page = visit().open("/models/gpt-4o-mini")
    page.get_by_test_id("compare").click()
    instead = page.get_by_test_id("instead")
    expect(instead.get_by_role("heading", name="Cheaper but similar")).to_be_visible()
    other = instead.get_by_role("link").first
    name = other.inner_text()
    other.click()
    expect(page.get_by_test_id("name")).to_have_text(name)
    page.get_by_test_id("compare").click()
    page.get_by_test_id("tray").get_by_role("link", name="Compare 2").click()
    headline(page, re.compile(rf"^For this work {re.escape(name)} costs .+ GPT-4o mini"))


def test_10_on_a_phone_the_menu_the_filters_and_the_cards_are_at_hand(visit: Visit) -> None:
    page = visit(width=390).open("/changes")
    expect(page.get_by_role("navigation", name="Pages", exact=True)).to_be_hidden()
    page.get_by_test_id("menu-open").click()
    menu = page.get_by_test_id("menu")
    expect(menu.get_by_role("link", name=re.compile("^Changes"))).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(page.get_by_test_id("menu-open")).to_be_focused()
    page.get_by_test_id("menu-open").click()
    menu.get_by_role("link", name=re.compile("^Store")).click()
    expect(menu).to_have_count(0)
    expect(page.locator("[data-model]").first).to_be_visible()
    page.get_by_test_id("filters-open").click()
    page.locator('input[data-facet="can"][data-value="tools"]').click()
    expect(page.get_by_test_id("filters-open")).to_have_text("Hide filters")
    page.get_by_role("button", name=re.compile(r"^Show [\d,]+ models")).click()
    expect(page.get_by_test_id("filters-open")).to_have_text("Filters (1)")
    page.get_by_test_id("as-cards").click()
    expect(page).to_have_url(re.compile("view=cards"))
    page.locator("[data-model]").first.get_by_role("link").first.click()
    expect(page.get_by_test_id("name")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"


def test_11_the_keyboard_and_a_screen_reader_find_their_way(visit: Visit) -> None:
    page = visit().open("/compare?models=gpt-4o,gpt-4o-mini")
    order = []
    for _ in range(11):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.ariaLabel"))
    assert order[:9] == [
        "Skip to the content", "Bourse", "Store", "Compare", "Match", "Price a prompt", "Playground", "Changes", "Usage",
    ]  # fmt: skip
    assert order[9].startswith("Find a model or page")
    assert order[10].startswith("Theme:")
    for mode in ("light", "dark"):
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("theme")).to_have_attribute("data-mode", mode)
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    assert page.get_by_test_id("headline").get_attribute("aria-live") == "polite", "a new answer is told"
    page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Match").press("Enter")
    expect(page.get_by_test_id("task")).to_be_visible()
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("task")).to_be_focused()
    page.reload()
    expect(page.get_by_test_id("theme")).to_have_attribute("data-mode", "dark")


def test_12_wrong_turns_lead_back_to_the_way(visit: Visit, site: AppServer) -> None:
    _nothing_left_for(SPENT, site)
    visitor = visit()
    page = visitor.open("/models/gpt-4o-mnii")
    page.get_by_test_id("no-model").get_by_role("listitem").get_by_role("link").first.click()
    expect(page.get_by_test_id("name")).to_be_visible()
    page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Store").click()
    page.get_by_test_id("search").fill("no model is called that")
    page.get_by_test_id("nothing").get_by_role("button", name="Clear all filters").click()
    expect(page.locator("[data-model]").first).to_be_visible()
    page = signed_in(visitor, "/playground?models=sandbox/chat", email=SPENT)
    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("prompt")).to_be_focused()
    assert page.evaluate("!document.querySelector('#prompt').validity.valid"), "the browser says that something is missing"
    page.get_by_test_id("prompt").fill("hello")
    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("failure")).to_contain_text(re.compile("budget", re.IGNORECASE))
    expect(page.get_by_test_id("failure")).to_contain_text("req_")


def _nothing_left_for(email: str, site: AppServer) -> None:
    """As an operator beside the server; in a thread, because the browser's loop holds this one."""
    env = {"BOURSE_CONFIG": str(site.data_dir / "bourse.yaml"), "BOURSE_DATA_DIR": str(site.data_dir)}
    command = ("budget", "set", "demo", "--user", email, "--limit", "0", "--window", "lifetime")
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(invoke, *command, env=env).result()
    assert done.exit_code == 0, done.output
