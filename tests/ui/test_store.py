"""The store as a person uses it: filters, address, search, order, pages."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]


def rows(page: Page) -> list[str]:
    return page.locator("[data-model]").evaluate_all("all => all.map(one => one.dataset.model)")


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def choose(page: Page, facet: str, value: str) -> None:
    page.locator(f'input[data-facet="{facet}"][data-value="{value}"]').click()


def test_the_first_page_is_there_before_any_script(visit: Visit) -> None:
    visitor = visit(java_script_enabled=False)
    visitor.page.goto(visitor.site.url + "/")
    assert visitor.page.locator("[data-model]").count() == 24
    assert re.search(r"\d,\d{3}", visitor.page.locator("h1").inner_text())
    assert re.search(r"[\d,]+ offers of [\d,]+ models by \d+ providers", visitor.page.get_by_test_id("freshness").inner_text())


def test_filters_go_into_the_address_and_the_address_brings_the_same_answer_back(visit: Visit) -> None:
    """The question of the issue: vision, tools, at most $1 per million in, at least 128k context."""
    page = visit().open("/")
    choose(page, "can", "vision")
    choose(page, "can", "tools")
    expect(page.get_by_test_id("chip")).to_have_count(2)
    page.get_by_label("Input price in dollars per million tokens, at most").fill("4")
    expect(page.get_by_test_id("chip")).to_have_count(3)
    page.get_by_label("Context in tokens, at least").fill("4")
    expect(page.get_by_test_id("chip")).to_have_count(4)
    expect(page).to_have_url(re.compile("context=128000"))
    assert asked(page) == {"can": ["tools,vision"], "price_in": ["-1"], "context": ["128000"]}
    headline, found = page.get_by_test_id("headline").inner_text(), rows(page)
    assert len(found) == 24
    page.reload()
    expect(page.get_by_test_id("chip")).to_have_count(4)
    assert (page.get_by_test_id("headline").inner_text(), rows(page)) == (headline, found)
    stranger = visit().open("/?" + urlsplit(page.url).query)
    assert (stranger.get_by_test_id("headline").inner_text(), rows(stranger)) == (headline, found)


def test_a_shared_link_never_shows_unfiltered_rows_as_its_answer(visit: Visit) -> None:
    visitor = visit(
        before="""window.shown = new Set();
        const look = () => {
          for (const row of document.querySelectorAll('[data-model]'))
            if (getComputedStyle(row.closest('[data-answer]')).opacity !== '0') window.shown.add(row.dataset.model);
          requestAnimationFrame(look);
        };
        requestAnimationFrame(look);""",
    )
    page = visitor.open("/?by=sandbox")
    expect(page.get_by_test_id("chip")).to_have_count(1)
    page.wait_for_function("window.shown.size > 0")
    assert set(page.evaluate("[...window.shown]")) == set(rows(page))


def test_back_and_forward_restore_what_was_asked(visit: Visit) -> None:
    page = visit().open("/")
    choose(page, "can", "reasoning")
    expect(page).to_have_url(re.compile("can=reasoning"))
    found = rows(page)
    page.locator("[data-model] a").first.click()
    expect(page.get_by_test_id("name")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("chip")).to_have_count(1)
    assert asked(page) == {"can": ["reasoning"]}
    assert rows(page) == found
    page.go_forward()
    expect(page.get_by_test_id("name")).to_be_visible()


def test_the_store_link_starts_afresh(visit: Visit) -> None:
    page = visit().open("/?can=reasoning")
    expect(page.get_by_test_id("chip")).to_have_count(1)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Store").click()
    expect(page.get_by_test_id("chip")).to_have_count(0)
    assert urlsplit(page.url).query == ""


def test_searching_is_one_keystroke_away_and_ends_in_the_address(visit: Visit) -> None:
    page = visit().open("/")
    page.keyboard.press("/")
    search = page.get_by_test_id("search")
    expect(search).to_be_focused()
    page.keyboard.type("sandbox")
    expect(page).to_have_url(re.compile(r"\?q=sandbox$"))
    expect(page.locator('[data-model="sandbox-chat"]')).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"/$"))
    expect(search).to_have_value("")


def test_chips_take_filters_away_one_by_one_and_all_at_once(visit: Visit) -> None:
    page = visit().open("/?can=tools,vision&q=a&price_out=-10")
    expect(page.get_by_test_id("chip")).to_have_count(4)
    page.get_by_role("button", name="Remove filter Output ≤ $10.00").click()
    expect(page.get_by_test_id("chip")).to_have_count(3)
    assert "price_out" not in page.url
    page.get_by_test_id("clear").click()
    expect(page.get_by_test_id("chip")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/$"))


def test_a_filter_that_nothing_meets_offers_the_way_back(visit: Visit) -> None:
    page = visit().open("/?q=no-model-has-this-name-zzz")
    expect(page.get_by_test_id("nothing")).to_be_visible()
    page.get_by_test_id("nothing").get_by_role("button").click()
    expect(page.locator("[data-model]")).to_have_count(24)


def test_columns_sort_and_turn_round(visit: Visit) -> None:
    page = visit().open("/")
    header = page.get_by_role("columnheader", name="In $/1M")
    header.get_by_role("button").click()
    expect(page).to_have_url(re.compile("sort=input$"))
    expect(header).to_have_attribute("aria-sort", "ascending")
    first = rows(page)
    header.get_by_role("button").click()
    expect(page).to_have_url(re.compile("order=reverse"))
    expect(header).to_have_attribute("aria-sort", "descending")
    assert rows(page) != first


def test_pages_of_the_list_follow_each_other_without_gaps(visit: Visit) -> None:
    page = visit().open("/?sort=name")
    first = rows(page)
    page.get_by_test_id("next").click()
    expect(page).to_have_url(re.compile("page=2"))
    second = rows(page)
    assert len(first) == len(second) == 24
    assert not set(first) & set(second)
    expect(page.get_by_test_id("page")).to_contain_text("Page 2 of")
    page.get_by_test_id("previous").click()
    expect(page).not_to_have_url(re.compile("page="))
    assert rows(page) == first


def test_a_page_beyond_the_end_shows_the_last_one(visit: Visit) -> None:
    page = visit().open("/?page=99999")
    expect(page.locator("[data-model]").first).to_be_visible()
    shown, last = re.findall(r"\d+", page.get_by_test_id("page").inner_text().replace(",", ""))
    assert shown == last


def test_cards_show_the_same_models_and_the_choice_is_shared_with_the_link(visit: Visit) -> None:
    page = visit().open("/")
    found = rows(page)
    page.get_by_test_id("as-cards").click()
    expect(page.locator("li[data-model]")).to_have_count(24)
    assert rows(page) == found
    assert asked(page) == {"view": ["cards"]}


def test_language_and_quality_narrow_the_list_and_each_row_shows_its_evidence(visit: Visit) -> None:
    page = visit().open("/?by=openai")
    page.get_by_test_id("language").select_option("de")
    expect(page).to_have_url(re.compile("language=de"))
    page.get_by_label("Quality from 0 to 100, at least").fill("4")
    expect(page).to_have_url(re.compile("min_score=60"))
    expect(page.get_by_test_id("chip")).to_have_count(3)
    expect(page.get_by_test_id("headline")).to_contain_text("speak German and score at least 60 overall")
    page.get_by_test_id("order").select_option("score")
    expect(page).to_have_url(re.compile("sort=score$"))
    expect(page.get_by_role("columnheader", name="Quality")).to_have_attribute("aria-sort", "descending")
    quality = page.get_by_test_id("quality")
    expect(quality.first).to_have_text(re.compile(r"\d\d ± \d+"))
    scores = [int(text.split()[0]) for text in quality.all_inner_texts() if "±" in text]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 60
    assert page.locator("[data-model]").first.get_by_test_id("spark").get_attribute("aria-label").startswith("Input price")
    page.get_by_role("button", name="Remove filter German").click()
    expect(page).not_to_have_url(re.compile("language="))


def test_the_scatter_is_of_what_the_filters_left_and_leads_to_models(visit: Visit) -> None:
    page = visit().open("/?can=vision")
    page.get_by_test_id("as-scatter").click()
    title = re.compile(r"Nothing beats \d+ of these \d+ models on price and quality at once")
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    assert asked(page) == {"can": ["vision"], "view": ["scatter"]}
    expect(page.locator("[data-model]")).to_have_count(0)
    dot = page.locator("a[data-dot]").first
    said = dot.get_attribute("aria-label")
    dot.focus()
    expect(page.get_by_test_id("read")).to_have_text(said)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("name")).to_have_text(said.partition(": $")[0])
    page.go_back()
    expect(page.locator("a[data-dot]").first).to_be_visible()


def test_nothing_moves_while_marks_fill_in(visit: Visit) -> None:
    visitor = visit(
        before="""window.moved = 0;
        new PerformanceObserver(list => { for (const one of list.getEntries()) window.moved += one.value; })
          .observe({type: 'layout-shift', buffered: true});""",
    )
    page = visitor.open("/?page=2")
    expect(page.get_by_test_id("spark").first).to_be_visible()
    assert page.evaluate("window.moved") < 0.01


def test_a_provider_is_found_by_its_own_search(visit: Visit) -> None:
    page = visit().open("/?q=chat")
    page.get_by_label("Find a provider").fill("sandbox")
    choose(page, "by", "sandbox")
    expect(page).to_have_url(re.compile("by=sandbox"))
    expect(page.locator('[data-model="sandbox-chat"]')).to_be_visible()


def test_what_has_no_price_is_said_to_have_none(visit: Visit) -> None:
    page = visit().open("/?mode=chat&sort=output&order=reverse")
    expect(page.locator("[data-model]").first).to_be_visible()
    cells = page.locator("[data-model] td[data-price]").all_inner_texts()
    assert cells
    for cell in cells:
        assert re.fullmatch(r"[\d,]+\.\d{2,9}(\s+from [\d,]+\.\d{2,9})?|unpriced|free|other unit|—", cell.strip()), cell


def test_on_a_small_screen_filters_wait_behind_a_button(visit: Visit) -> None:
    page = visit(width=390).open("/")
    box = page.locator('input[data-facet="can"][data-value="tools"]')
    expect(box).to_be_hidden()
    page.get_by_test_id("filters-open").click()
    box.click()
    expect(page).to_have_url(re.compile("can=tools"))
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page.get_by_test_id("filters-open")).to_have_text("Filters (1)")


def test_many_quick_clicks_all_count(visit: Visit) -> None:
    """Clicks are not lost while earlier answers are on their way."""
    page = visit().open("/")
    page.evaluate("""for (const value of ['tools', 'vision', 'reasoning'])
        document.querySelector(`input[data-facet="can"][data-value="${value}"]`).click();""")
    expect(page.get_by_test_id("chip")).to_have_count(3)
    expect(page).to_have_url(re.compile("can=reasoning,tools,vision"))
