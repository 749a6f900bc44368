"""What changed, as a person reads it: filters in the address, the feed, and the tape that leads there."""

import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]


def test_the_tape_leads_to_the_changes_and_filters_go_into_the_address(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/")
    expect(page.get_by_test_id("tape").get_by_role("link")).not_to_have_count(1)
    page.get_by_test_id("tape").get_by_role("link", name="All changes").click()
    expect(page.get_by_test_id("headline")).to_have_text(re.compile(r"in the last 30 days"))
    page.get_by_test_id("period").select_option("365")
    page.locator("[data-kind=rise]").click()
    expect(page.locator("[data-kind=rise]")).to_have_attribute("aria-pressed", "false")
    expect(page).to_have_url(re.compile(r"/changes\?days=365&kind=cut,arrival,end$"))
    page.get_by_test_id("search").fill("gpt")
    expect(page).to_have_url(re.compile(r"&q=gpt$"))
    announced = page.locator("head link[rel=alternate][type='application/atom+xml']")
    expect(announced).to_have_count(1)
    expect(announced).to_have_attribute("href", "/pricing/changes.atom?kind=arrival,deprecation,price&q=gpt")
    headline = page.get_by_test_id("headline").inner_text()
    page.reload()
    expect(page.get_by_test_id("headline")).to_have_text(headline)
    expect(page.get_by_test_id("search")).to_have_value("gpt")
    with urllib.request.urlopen(visitor.site.url + page.get_by_test_id("feed").get_attribute("href")) as feed:
        assert feed.headers["content-type"].startswith("application/atom+xml")
        assert b"<entry>" in feed.read()
    page.get_by_test_id("news").get_by_role("link").first.click()
    expect(page.get_by_test_id("name")).to_be_visible()
