"""Matching before the server is there: the first thing painted is the box for the task, and it works."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_the_task_can_be_told_before_any_script_runs_and_arrives(visit: Callable[..., Any]) -> None:
    hasty = visit(java_script_enabled=False)
    hasty.page.goto(hasty.site.url + "/match")
    hasty.page.get_by_test_id("task").fill("Read invoices as JSON")
    hasty.page.get_by_test_id("next").click()
    expect(hasty.page).to_have_url(re.compile(r"/match/?\?task=Read\+invoices\+as\+JSON&step=needs$"))
    page = visit().open(hasty.page.url.removeprefix(hasty.site.url))
    expect(page.get_by_test_id("understood")).to_contain_text("structured output (“json”)")
    expect(page.get_by_test_id("show")).to_be_visible()
