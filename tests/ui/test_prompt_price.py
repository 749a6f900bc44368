"""Pricing a prompt as a person does: paste, see it light up, cut it otherwise, and keep it out of the address."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]
TEXT = "Zoës Geheimnis: 吾輩は猫である <img src=x onerror=alert(1)>\nprint(1)"


def test_a_pasted_prompt_lights_up_is_priced_and_stays_out_of_the_address(visit: Visit) -> None:
    page = visit().open("/price")
    expect(page.get_by_test_id("headline")).to_have_text("What does your prompt cost?")
    page.get_by_test_id("prompt").fill(TEXT)
    expect(page.get_by_test_id("headline")).to_have_text(re.compile(r"^This prompt costs from \$0\.0\d+ on .+ to \$.+; \d+ to \d+ tokens$"))
    lit = page.get_by_test_id("lit")
    expect(lit).to_contain_text("<img src=x onerror=alert(1)>")
    pieces = lit.locator("span").count()
    expect(page.get_by_test_id("cost")).to_have_count(10)

    page.get_by_test_id("cut").filter(has_text=re.compile(r"^GPT-4\d")).click()
    expect(page.get_by_test_id("read-as")).to_contain_text("cl100k_base")
    assert lit.locator("span").count() > pieces, "an older vocabulary knows less of it"
    expect(page).to_have_url(re.compile(r"/price/?\?cut=gpt-4$"))
    page.get_by_test_id("needs-tools").click()
    expect(page.get_by_test_id("needs-tools")).to_be_checked()
    page.get_by_test_id("sort").select_option("value")
    expect(page).to_have_url(re.compile(r"\?needs=tools&sort=value&cut=gpt-4$"))
    page.get_by_test_id("view-code").click()
    expect(page.get_by_test_id("code")).to_contain_text('"capability": ["tools"]')

    page.get_by_test_id("example-code").click()
    expect(page.get_by_test_id("prompt")).to_have_value(re.compile("def median"))
    expect(lit).to_contain_text("median")
    page.reload()
    expect(page.get_by_test_id("lit")).to_contain_text("median")
    page.get_by_test_id("prompt").fill("")
    expect(page.get_by_test_id("lit")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?needs=tools&sort=value&cut=gpt-4$"))


def test_nothing_moves_on_a_phone_when_an_examples_price_comes(visit: Visit) -> None:
    visitor = visit(
        width=390,
        before="""window.moved = 0;
        new PerformanceObserver(list => { for (const one of list.getEntries()) window.moved += one.value; })
          .observe({type: 'layout-shift', buffered: true});""",
    )
    page = visitor.open("/price?example=question")
    expect(page.get_by_test_id("headline")).to_contain_text("This prompt costs")
    assert page.evaluate("window.moved") < 0.03
