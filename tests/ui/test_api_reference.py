"""The page of the API: found from every page, searched without asking the server, with requests that can be run."""

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.architecture.source import ROOT

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]


def test_an_operation_is_found_by_its_words_and_its_request_can_be_run(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/")
    page.get_by_role("contentinfo").get_by_role("link", name="API").click()
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    expect(page.get_by_role("main").get_by_role("status").first).to_contain_text(f"{sum(map(len, paths.values()))} operations")
    page.keyboard.press("/")
    page.keyboard.type("electricity zones")
    expect(page.get_by_role("main").get_by_role("status").first).to_contain_text(re.compile(r"^1 of "))
    expect(page).to_have_url(re.compile(r"q=electricity"))
    page.locator("#list_carbon_zones summary").first.press("Enter")
    expect(page).to_have_url(re.compile(r"#list_carbon_zones$"))
    command = page.get_by_label("Request list_carbon_zones").inner_text()
    assert command.startswith(f"curl '{visitor.site.url}/")
    answer = subprocess.run(
        ["bash", "-c", command.replace("curl ", "curl -sS --fail-with-body -m 20 ", 1)], capture_output=True, check=True
    )
    assert "WOR" in answer.stdout.decode()
    page.reload()
    expect(page.get_by_label("Request list_carbon_zones")).to_be_visible()
    page.get_by_role("main").get_by_text("Fields of the answer").click()
    expect(page.get_by_role("main").get_by_text("zones", exact=True)).to_be_visible()
