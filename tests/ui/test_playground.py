"""The playground as a person uses it: choose models, run, watch, stop, read what failed, come back by the address."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]


def column(page: Page, model: str) -> Locator:
    return page.get_by_test_id("column").filter(has=page.get_by_role("heading", name=model, exact=True))


def figure(page: Page, model: str, name: str) -> Locator:
    return column(page, model).get_by_test_id(name)


def test_models_answer_side_by_side_one_is_stopped_and_one_fails_with_what_to_do(visit: Visit) -> None:
    page = visit().open("/playground?models=sandbox/chat,sandbox/slow,sandbox/broken")
    expect(page.get_by_test_id("authority")).to_contain_text("not signed in")
    page.get_by_test_id("prompt").fill("Show me this:\n```python\nprint(1)\n```\n<img src=x onerror=alert(1)>")
    page.get_by_test_id("prompt").press("Control+Enter")
    expect(figure(page, "sandbox/chat", "answer")).to_contain_text("no model was called")
    expect(figure(page, "sandbox/chat", "answer").locator("pre")).to_have_text("print(1)")
    expect(figure(page, "sandbox/chat", "answer")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(figure(page, "sandbox/chat", "cost")).to_have_text(re.compile(r"^\$0\.\d+$"))
    expect(figure(page, "sandbox/chat", "first-token")).to_have_text(re.compile(r"ms$|s$"))
    expect(figure(page, "sandbox/chat", "speed")).to_have_text(re.compile(r"^\d+$"))
    expect(column(page, "sandbox/broken").get_by_test_id("failure")).to_contain_text("req_")
    expect(column(page, "sandbox/broken").get_by_role("link", name="Sign in")).to_be_visible()
    expect(figure(page, "sandbox/slow", "answer")).to_contain_text("This")
    page.get_by_role("button", name="Stop sandbox/slow").click()
    expect(figure(page, "sandbox/slow", "stage")).to_have_text("stopped")
    expect(page.get_by_test_id("run")).to_be_visible()
    expect(page.get_by_test_id("headline")).to_have_text(re.compile("^Only sandbox/chat answered, for"))
    page.get_by_test_id("view-code").click()
    expect(page.get_by_test_id("code")).to_contain_text("$BOURSE_API_KEY")
    expect(page.get_by_test_id("code")).to_contain_text(f"{page.url.split('/playground')[0]}/v1/chat/completions")
    assert not Axe().run(page).response["violations"]
    assert "onerror" not in page.url, "what is written stays out of the address"


def test_models_are_picked_with_the_keyboard_and_the_address_brings_all_back(visit: Visit) -> None:
    page = visit().open("/playground?models=sandbox/chat")
    expect(page.get_by_test_id("column")).to_have_count(1)
    field = page.get_by_role("combobox", name="Add a model")
    field.fill("sandbox reason")
    expect(page.get_by_role("option", name="sandbox/reasoning")).to_be_visible()
    field.press("Enter")
    expect(page.get_by_test_id("column")).to_have_count(2)
    page.get_by_test_id("temperature").fill("0.3")
    page.get_by_test_id("max-tokens").fill("40")
    expect(page).to_have_url(re.compile(r"models=sandbox/chat,sandbox/reasoning&temperature=0\.3&max_tokens=40$"))
    page.reload()
    expect(column(page, "sandbox/reasoning")).to_be_visible()
    expect(page.get_by_test_id("temperature")).to_have_value("0.3")
    expect(page.get_by_test_id("max-tokens")).to_have_value("40")
    page.get_by_role("button", name="Take sandbox/chat away").click()
    expect(page.get_by_test_id("column")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"models=sandbox/reasoning&"))


def test_a_stranger_who_asks_for_more_is_told_what_he_may(visit: Visit) -> None:
    page = visit(width=390).open("/playground?models=gpt-4o")
    page.get_by_test_id("prompt").fill("hi")
    page.get_by_test_id("run").click()
    expect(page.get_by_text("only the sandbox's models answer.")).to_be_visible()
    expect(page.get_by_test_id("run")).to_be_visible()
