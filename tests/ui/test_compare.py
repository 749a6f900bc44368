"""Comparing: picked in the store, opened from the tray, changed on the page, handed on by link and as files."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]
THREE = "/compare?models=gpt-4o,gpt-4o-mini,claude-3-5-haiku"


def test_models_picked_in_the_store_go_along_and_are_compared(visit: Visit) -> None:
    page = visit().open("/?q=gpt-4o")
    page.locator('[data-compare="gpt-4o-mini"]').click()
    tray = page.get_by_test_id("tray")
    expect(tray).to_contain_text("Pick one more")
    page.locator('[data-model="gpt-4o"] a').click()
    expect(page.get_by_test_id("name")).to_be_visible()
    page.get_by_test_id("compare").click()
    expect(page.get_by_test_id("compare")).to_have_attribute("aria-pressed", "true")
    tray.get_by_role("link", name="Compare 2").click()
    expect(page.get_by_test_id("headline")).to_have_text(re.compile(r"^For this work .+ costs (an? \w+|about .+|[\d.]+ %) .*of .+"))
    expect(page.locator("[data-column]")).to_have_count(2)
    expect(tray).to_be_hidden()
    page.locator("[data-column]").first.get_by_role("button").click()
    expect(page.locator("[data-column]")).to_have_count(1)
    page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Store").click()
    expect(tray.get_by_role("listitem")).to_have_count(1)


def test_work_and_differences_are_in_the_address_and_survive_a_reload(visit: Visit) -> None:
    page = visit().open(THREE)
    cost = page.locator('[data-row="A call"] td').first
    before = cost.inner_text()
    page.get_by_test_id("work-input").fill("40,000")
    expect(cost).not_to_have_text(before)
    page.get_by_test_id("differences").click()
    expect(page.locator('[data-row="Text in"]')).to_have_count(0)
    expect(page).to_have_url(re.compile(r"input=40000&differences=yes$"))
    after = cost.inner_text()
    page.reload()
    expect(cost).to_have_text(after)
    expect(page.get_by_test_id("work-input")).to_have_value("40,000")
    page.get_by_test_id("work-input").fill("many")
    page.get_by_test_id("work-input").press("Enter")
    expect(page.get_by_test_id("work-input")).to_have_attribute("aria-invalid", "true")
    expect(cost).to_have_text(after)


def test_a_model_is_added_by_a_few_letters_and_the_keyboard_alone(visit: Visit) -> None:
    page = visit().open("/compare?models=gpt-4o")
    picker = page.get_by_test_id("picker")
    picker.fill("gpt-4o mini")
    page.locator("[data-pick]").first.wait_for()
    picker.press("Enter")
    expect(page.locator("[data-column]")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"models=gpt-4o,gpt-4o-mini"))


def test_names_that_stand_for_nothing_are_said_and_the_rest_is_compared(visit: Visit) -> None:
    page = visit().open("/compare?models=gpt-4o,no-such-model,openai/gpt-4o-mini")
    expect(page.get_by_text("No model or offer is called “no-such-model”.")).to_be_visible()
    expect(page.locator("[data-column]")).to_have_count(2)
