"""A model's page: opened by slug or by offer id, prices with their evidence, code that works from here."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]


def test_a_model_opens_from_the_store_with_its_facts_offers_and_abilities(visit: Visit) -> None:
    page = visit().open("/?q=gpt-4o-mini")
    page.locator('[data-model="gpt-4o-mini"] a').click()
    expect(page.get_by_test_id("name")).to_be_visible()
    expect(page).to_have_title(re.compile(r".+ · Bourse"))
    for label in (r"Input\b.*, per 1M", r"Output\b.*, per 1M", "Cached input", "Context", "Max output", "Released"):
        expect(page.locator("dt", has_text=re.compile(f"^{label}$")).first).to_be_visible()
    assert page.locator("[data-offer]").count() > 3
    assert re.search(r"\d+ of \d+ agree", page.get_by_test_id("offers").inner_text())
    said = set(page.get_by_test_id("abilities").locator("dd").all_inner_texts())
    assert {text.strip() for text in said} <= {"yes", "no", "not stated"}
    assert "yes" in {text.strip() for text in said}


def test_every_price_of_an_offer_is_one_click_away_with_its_source(visit: Visit) -> None:
    page = visit().open("/models/gpt-4o-mini")
    offer = page.get_by_test_id("offer").first
    offer.click()
    expect(offer).to_have_attribute("aria-expanded", "true")
    prices = page.get_by_role("table", name="All prices of this offer")
    expect(prices).to_be_visible()
    assert re.search(r"in force", prices.inner_text())
    assert re.search(r"\d{4}", prices.inner_text()), "a price has a date"
    offer.click()
    expect(prices).to_be_hidden()


@pytest.mark.parametrize("name", ["sandbox/chat", "sandbox-chat", "SANDBOX/chat"])
def test_an_offer_id_with_its_slashes_leads_to_the_model(visit: Visit, name: str) -> None:
    page = visit().open(f"/models/{name}")
    expect(page.get_by_test_id("name")).to_be_visible()
    expect(page.locator('[data-offer="sandbox/chat"]')).to_be_visible()


def test_the_code_uses_the_address_that_the_person_uses(visit: Visit, site: Any) -> None:
    page = visit().open("/models/sandbox-chat")
    code = page.get_by_test_id("code")
    expect(code).to_contain_text(f"{site.url}/v1/chat/completions")
    page.get_by_role("tab", name="Python").click()
    expect(code).to_contain_text(f'base_url="{site.url}/v1"')
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="JavaScript")).to_be_focused()
    expect(code).to_contain_text("baseURL")


def test_code_is_copied_as_it_is_shown(visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open("/models/sandbox-chat")
    card = page.get_by_test_id("code").locator("..")
    card.get_by_test_id("copy").click()
    expect(card.get_by_test_id("copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.get_by_test_id("code").inner_text()


def test_an_unknown_model_is_said_to_be_unknown_and_near_names_are_offered(visit: Visit) -> None:
    page = visit().open("/models/openai/gpt-4o-mnii")
    expect(page.get_by_test_id("no-model")).to_contain_text("openai/gpt-4o-mnii")
    expect(page.get_by_test_id("no-model").get_by_role("link").first).to_be_visible()
    near = page.get_by_test_id("no-model").get_by_role("listitem").get_by_role("link").first
    expect(near).to_contain_text(re.compile("gpt.4o", re.IGNORECASE))
    near.click()
    expect(page.get_by_test_id("name")).to_be_visible()


def test_a_model_with_many_offers_shows_the_first_and_counts_the_rest(visit: Visit) -> None:
    page = visit().open("/?sort=offers")
    page.locator("[data-model] a").first.click()
    expect(page.get_by_test_id("name")).to_be_visible()
    shown = page.locator("[data-offer]").count()
    more = page.get_by_test_id("offers").get_by_role("button", name=re.compile(r"Show \d+ more"))
    counted = int(re.findall(r"\d+", more.inner_text())[0])
    more.click()
    expect(page.locator("[data-offer]")).to_have_count(shown + counted)


def test_prices_over_time_are_read_out_step_by_step_and_stand_in_a_table(visit: Visit) -> None:
    page = visit().open("/models/o3")
    chart = page.get_by_test_id("price-history")
    expect(chart.get_by_role("heading")).to_have_text("Input price fell from $10.00 to $2.00 in one step")
    steps = page.get_by_test_id("steps")
    steps.focus()
    page.keyboard.press("Home")
    expect(page.get_by_test_id("readout")).to_contain_text("OpenAI $10.00")
    assert "OpenAI $10.00" in (steps.get_attribute("aria-valuetext") or "")
    page.keyboard.press("End")
    expect(page.get_by_test_id("readout")).to_contain_text("OpenAI $2.00")
    chart.get_by_text("The numbers as a table").click()
    expect(chart.get_by_role("row", name=re.compile(r"10 Jun 2025 OpenAI 10\.00 2\.00"))).to_be_visible()
    page.get_by_test_id("draw-output").click()
    expect(chart.get_by_role("heading")).to_have_text(re.compile("^Output price fell from"))


def test_quality_has_its_intervals_and_every_result_its_source(visit: Visit) -> None:
    page = visit().open("/models/o3")
    quality = page.get_by_test_id("quality")
    assert re.search(r"\d+–\d+, \d+ results?", quality.locator("[data-skill]").first.inner_text())
    quality.get_by_text("Every result and its source").click()
    assert quality.get_by_role("link").count() > 3


def test_ones_own_work_is_priced_and_stays_in_the_address(visit: Visit) -> None:
    page = visit().open("/models/gpt-4o-mini")
    title = page.get_by_test_id("work-title")
    expect(title).to_have_text(re.compile(r"^This work costs \$[\d.,]+ a month at .+"))
    before = title.inner_text()
    page.get_by_test_id("work-calls").fill("250000")
    expect(title).not_to_have_text(before)
    expect(page).to_have_url(re.compile(r"calls=250000$"))
    expect(page.get_by_test_id("carbon")).to_contain_text(re.compile("emits|Emissions"))
    page.get_by_test_id("instead").get_by_role("link").first.click()
    expect(page.get_by_test_id("name")).not_to_have_text("GPT-4o mini")
    expect(title).to_be_visible()
