"""Signing in, the first run and live usage, in a real browser."""

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.rig.server import AppServer
from tests.ui.accounts import CONFIGURATION, EMAIL, PASSWORD, fill_and_sign_in, signed_in
from tests.ui.conftest import Arrive

pytestmark = pytest.mark.browser


def start(built_pages: Path, sandbox_file: Path, data_dir: Path, configuration: str) -> AppServer:
    data_dir.mkdir(exist_ok=True)
    shutil.copy(sandbox_file, data_dir / "bourse.db")
    return AppServer("whole", data_dir, configuration=configuration, env={"REFLEX_WEB_WORKDIR": str(built_pages)})


@pytest.fixture(scope="module")
def inhabited(built_pages: Path, sandbox_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """An installation with one admin, who owns the demo tenant."""
    server = start(built_pages, sandbox_file, tmp_path_factory.mktemp("inhabited"), CONFIGURATION)
    yield server
    server.stop()


@pytest.fixture
def first_run(built_pages: Path, sandbox_file: Path, tmp_path: Path) -> Iterator[AppServer]:
    """An installation that nobody has an account in."""
    server = start(built_pages, sandbox_file, tmp_path / "first", "{}\n")
    yield server
    server.stop()


@pytest.fixture
def closed(built_pages: Path, sandbox_file: Path, tmp_path: Path) -> Iterator[AppServer]:
    """An installation whose store is not public."""
    server = start(built_pages, sandbox_file, tmp_path / "closed", CONFIGURATION + "store: {public: false}\n")
    yield server
    server.stop()


def call(server: AppServer, model: str = "sandbox/chat") -> None:
    ask(server, "chat/completions", {"model": model, "messages": [{"role": "user", "content": "hi"}]})


def ask(server: AppServer, path: str, body: object) -> None:
    headers = {"Authorization": "Bearer sk-demo.my-secret", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/v1/{path}", json.dumps(body).encode(), headers)) as answer:
        assert answer.status == 200


def rows(page: Page) -> int:
    return page.get_by_test_id("calls").locator("tbody tr").count()


@pytest.mark.case("A11")
def test_the_link_on_the_console_makes_the_first_admin(first_run: AppServer, arrive: Arrive) -> None:
    link = re.search(r"/setup#token=(\S+)", first_run.logged())
    assert link is not None
    visitor = arrive(first_run)
    page = visitor.open("/sign-in")
    page.get_by_text("Nobody has an account here yet").wait_for()
    page.goto(first_run.url + link[0])
    visitor.settled()
    assert link[1] not in page.url, "the token stays in the address bar"
    assert not Axe().run(page).response["violations"]
    expect(page.get_by_label("One-time token")).to_have_value(link[1])
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    page.wait_for_url("**/usage")
    page.get_by_test_id("no-calls").wait_for()
    expect(page.get_by_test_id("who")).to_contain_text("Demo")
    # The snippet is for the address that this person uses, and it works.
    snippet = page.get_by_test_id("no-calls").inner_text()
    assert f"curl {first_run.url}/v1/chat/completions" in snippet
    assert "sk-demo.my-secret" in snippet
    call(first_run)
    page.get_by_test_id("calls").wait_for()
    # The link is worth nothing now.
    other = arrive(first_run).open("/setup")
    other.get_by_text("Bourse is set up already").wait_for()


def test_a_wrong_password_is_said_and_nothing_typed_travels_through_the_socket(inhabited: AppServer, arrive: Arrive) -> None:
    visitor = arrive(inhabited)
    frames: list[str] = []

    def listen(socket: object) -> None:
        for kind in ("framesent", "framereceived"):
            socket.on(kind, lambda frame: frames.append(str(frame)))  # type: ignore[attr-defined]

    visitor.hear("websocket", listen)
    page = visitor.open("/sign-in?next=/models/sandbox-chat")
    fill_and_sign_in(page, "a wrong canary")
    expect(page.get_by_test_id("problem")).to_have_text("The e-mail address or the password is wrong.")
    visitor.settled()
    fill_and_sign_in(page)
    page.wait_for_url("**/models/sandbox-chat")
    page.get_by_test_id("who").wait_for()
    everything = "\n".join(frames)
    assert len(frames) > 5
    for secret in ("a wrong canary", PASSWORD, "__Host-bourse"):
        assert secret not in everything


def test_the_cookie_is_kept_on_loopback_and_no_script_sees_it(inhabited: AppServer, arrive: Arrive) -> None:
    page = signed_in(arrive(inhabited))
    [cookie] = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == ("__Host-bourse", True, True, "Lax")
    assert page.evaluate("document.cookie") == ""
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert EMAIL not in stored
    assert cookie["value"] not in stored


def test_signing_out_reloads_and_leaves_nothing_behind(inhabited: AppServer, arrive: Arrive) -> None:
    call(inhabited)
    visitor = arrive(inhabited)
    page = signed_in(visitor)
    page.get_by_test_id("calls").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("banner").get_by_role("link", name="Sign in").wait_for()
    assert page.context.cookies() == []
    visitor.open("/usage")
    page.get_by_test_id("signed-out").wait_for()
    page.go_back()
    expect(page.get_by_test_id("calls")).to_have_count(0)


def test_signing_out_in_one_tab_empties_the_other(inhabited: AppServer, arrive: Arrive) -> None:
    call(inhabited)
    visitor = arrive(inhabited)
    page = signed_in(visitor)
    page.get_by_test_id("calls").wait_for()
    other = page.context.new_page()
    other.goto(inhabited.url + "/")
    other.get_by_role("button", name="Sign out").click()
    page.get_by_test_id("signed-out").wait_for()


def test_a_call_appears_while_one_looks(inhabited: AppServer, arrive: Arrive) -> None:
    call(inhabited)
    page = signed_in(arrive(inhabited))
    page.get_by_test_id("calls").wait_for()
    before = rows(page)
    call(inhabited, "sandbox/reasoning")
    expect(page.get_by_test_id("calls").locator("tbody tr")).to_have_count(before + 1)
    newest = page.get_by_test_id("calls").locator("tbody tr").first
    expect(newest).to_contain_text("sandbox/reasoning")
    expect(newest).to_contain_text("simulated")
    expect(newest).to_contain_text("answered")
    expect(page.get_by_test_id("spent")).to_contain_text("$0.")


def test_what_is_not_metered_in_tokens_is_told_in_its_unit(inhabited: AppServer, arrive: Arrive) -> None:
    ask(inhabited, "images/generations", {"model": "sandbox/image", "prompt": "a ledger", "size": "64x64", "n": 3})
    page = signed_in(arrive(inhabited))
    newest = page.get_by_test_id("calls").locator("tbody tr").first
    expect(newest).to_contain_text("3 images")
    expect(page.get_by_test_id("used")).to_contain_text("3 images")


def test_a_models_page_tells_ones_own_tenant_what_was_measured_and_nobody_else(inhabited: AppServer, arrive: Arrive) -> None:
    call(inhabited)
    visitor = arrive(inhabited)
    page = signed_in(visitor)
    page.get_by_test_id("calls").wait_for()
    visitor.open("/models/sandbox-chat")
    measured = page.get_by_test_id("measured")
    expect(measured).to_contain_text("Your tenant called it")
    expect(measured).to_contain_text("100 %")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in").wait_for()
    visitor.open("/models/sandbox-chat")
    page.get_by_test_id("calculator").wait_for()
    expect(measured).to_have_count(0)


@pytest.mark.case("W3")
def test_a_persons_name_is_text(inhabited: AppServer, arrive: Arrive) -> None:
    page = signed_in(arrive(inhabited))
    expect(page.get_by_test_id("who")).to_contain_text("Ann <b>Other</b>")
    assert page.get_by_test_id("who").locator("b").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_usage_with_calls_is_accessible_and_fits(inhabited: AppServer, arrive: Arrive, theme: str, width: int) -> None:
    call(inhabited)
    page = signed_in(arrive(inhabited, theme=theme, width=width))
    page.get_by_test_id("calls").wait_for()
    findings = Axe().run(page).response["violations"]
    assert not findings, [(found["id"], [node["html"][:200] for node in found["nodes"]][:3]) for found in findings]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"


def test_a_page_that_asked_for_signing_in_is_come_back_to(inhabited: AppServer, arrive: Arrive) -> None:
    visitor = arrive(inhabited)
    page = visitor.open("/?q=claude&view=cards")
    page.get_by_role("banner").get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/sign-in?next=**")
    fill_and_sign_in(page)
    page.wait_for_url("**/?q=claude&view=cards")


def test_who_signs_in_before_the_server_has_answered_comes_back_too(inhabited: AppServer, arrive: Arrive) -> None:
    page = arrive(inhabited, locale="en-GB").page
    page.route_web_socket(re.compile("/_event"), lambda socket: None)  # taken, and never answered
    page.goto(inhabited.url + "/sign-in?next=/models/sandbox-chat")
    expect(page.locator("input[name=next]")).to_have_value("/models/sandbox-chat")
    fill_and_sign_in(page)
    page.wait_for_url("**/models/sandbox-chat")


def test_who_is_signed_in_is_sent_on_from_the_sign_in_page(inhabited: AppServer, arrive: Arrive) -> None:
    visitor = arrive(inhabited)
    page = signed_in(visitor)
    page.goto(inhabited.url + "/sign-in?next=/models/sandbox-chat")
    page.wait_for_url("**/models/sandbox-chat")


def test_a_closed_store_opens_to_who_signs_in_at_the_address_he_came_for(closed: AppServer, arrive: Arrive) -> None:
    visitor = arrive(closed)
    page = visitor.open("/?q=sandbox")
    page.wait_for_url("**/sign-in?next=**")
    fill_and_sign_in(page)
    page.wait_for_url("**/?q=sandbox")
    page.locator("[data-model]").first.wait_for()
    # Within the pages nothing asks the front door: the socket itself must say no to a stranger.
    other = arrive(closed).open("/sign-in")
    other.get_by_role("navigation").get_by_role("link", name="Store").click()
    other.wait_for_url("**/sign-in?next=**")
