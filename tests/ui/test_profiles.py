"""A profile that was wiped is as good as new: or else one test would see what another one did."""

import pytest
from playwright.sync_api import Page

from tests.rig.server import AppServer
from tests.ui.conftest import Arrive

pytestmark = pytest.mark.browser
KEPT = """async () => ({
    local: {...localStorage}, session: {...sessionStorage}, cookies: document.cookie, caches: await caches.keys(),
    databases: (await indexedDB.databases()).map(one => one.name), name: window.name, mine: window.mine ?? null,
})"""
LEAVE = """async () => {
    localStorage.theme = localStorage.canary = 'canary'; sessionStorage.canary = 'canary'; document.cookie = 'canary=canary';
    await caches.open('canary'); window.mine = 'canary';
    await new Promise(done => { indexedDB.open('canary').onsuccess = event => { event.target.result.close(); done(); } });
}"""


def kept(page: Page, site: AppServer) -> dict[str, object]:
    """What is there for a page of the site before it has done anything."""
    page.goto(f"{site.url}/favicon.svg")
    return {**page.evaluate(KEPT), "all": page.context.cookies(), "tabs": len(page.context.pages)}


def test_nothing_is_left_of_whoever_had_a_profile_before(arrive: Arrive, site: AppServer) -> None:
    fresh = kept(arrive(site, java_script_enabled=True).page, site)
    visitor = arrive(site)
    for path in ("/", "/sign-in"):
        visitor.open(path)
    visitor.page.evaluate(LEAVE)
    visitor.page.context.new_page().goto(site.url)
    assert "canary" in str(kept(visitor.page, site))
    assert visitor.profile.wipe(site.url)
    assert visitor.page.evaluate("history.length") == 1
    assert kept(visitor.page, site) == fresh


def test_a_profile_whose_server_has_gone_is_not_used_again(arrive: Arrive, site: AppServer) -> None:
    visitor = arrive(site)
    visitor.open("/")
    assert not visitor.profile.wipe("http://127.0.0.1:9")
