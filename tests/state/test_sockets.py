"""The pages' websocket as an attacker uses it: any handler, any argument, any name for the tab, with somebody's cookie or none."""

import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import socketio

from state.gate import REFLEX_OWN
from state.guard import PUBLIC, STORE, permission_of
from tests.rig.forks import WHOLE
from tests.rig.processes import Server, free_port
from tests.rig.server import ROOT as PROJECT
from tests.rig.server import clean_environment
from tests.state.page_socket import ROOT, PageSocket
from tests.state.test_guard import all_handlers

EMAIL, PASSWORD = "ann@example.org", "correct horse battery"
CONFIGURATION = f'bootstrap: {{admin_users: [{{email: {EMAIL}, password: "{PASSWORD}"}}]}}\n'
USAGE, SHELL = f"{ROOT}.state___usage____usage_state", f"{ROOT}.state___shell____shell_state"
STORE_PAGE = f"{ROOT}.state___store____store_state"
Open = Callable[..., Awaitable[PageSocket]]
ON_A_BUSY_MACHINE = 30.0
"""The seconds that are promised are measured by the long tests: how long it takes here says how busy the machine is."""


class PageServer:
    """Bourse with its pages' state and routes; the built pages themselves are not needed here."""

    def __init__(self, data_dir: Path, configuration: str = CONFIGURATION) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (data_dir / "bourse.yaml").write_text(configuration)
        env = clean_environment(data_dir, PORT=str(self.port)) | {"__REFLEX_SKIP_COMPILE": "1", "REFLEX_ENV_MODE": "prod"}
        command = [sys.executable, "-m", "uvicorn", "--factory", "app.app:app", "--host", "127.0.0.1", "--port", str(self.port)]
        self.log = data_dir / "server.log"
        self.server = Server([*command, "--ws", "wsproto", "--log-level", "warning"], log=self.log, env=env, cwd=PROJECT, imported=WHOLE)
        self.server.wait_until(self._is_ready, seconds=60, what="Bourse with pages")

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=60).status_code == 200
        except httpx.TransportError:
            return False

    def sign_in(self) -> str:
        """The Cookie header of a fresh session."""
        answer = httpx.post(f"{self.url}/auth/sign-in", json={"email": EMAIL, "password": PASSWORD}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.headers["set-cookie"].partition(";")[0]

    def sign_out(self, cookie: str) -> None:
        assert httpx.post(f"{self.url}/auth/sign-out", headers={"cookie": cookie}, timeout=60).status_code == 200

    def call(self) -> None:
        body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "hi"}]}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, headers={"authorization": "Bearer sk-demo.my-secret"}, timeout=60)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def server(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    data_dir = tmp_path_factory.mktemp("pages")
    shutil.copy(catalog_file, data_dir / "bourse.db")
    running = PageServer(data_dir)
    yield running
    running.server.stop()


@pytest.fixture
async def open_page(server: PageServer) -> AsyncIterator[Open]:
    """Opens a page's socket: `open_page("/usage", cookie=…, token=…)`."""
    pages: list[PageSocket] = []

    async def opened(path: str, **options: str) -> PageSocket:
        pages.append(PageSocket(server.url, **options))
        await pages[-1].open(path)
        return pages[-1]

    yield opened
    for page in pages:
        await page.close()


async def open_store(open_page: Open) -> PageSocket:
    """The store's page with the marks of its rows, which come by themselves: they are no answer to what is sent afterwards."""
    page = await open_page("/")
    await page.until(lambda: page.value(STORE_PAGE, "benchmarks"))
    return page


@pytest.mark.case("Z2")
async def test_an_anonymous_socket_changes_nothing_through_any_guarded_or_refused_handler(open_page: Open) -> None:
    page = await open_store(open_page)
    tried = 0
    for full_name, kind, name, one in all_handlers():
        open_to_all = permission_of(one.fn) in (PUBLIC, STORE)  # the store is public here
        if kind.__module__.startswith("tests.") or (kind, name) in REFLEX_OWN or open_to_all:
            continue
        payloads = [{}, {"var_name": "is_hydrated", "value": "x"}, {"value": True}, {"vars": {f"{USAGE}.stage": "calls"}}]
        for payload in payloads:
            changed = await page.deltas_of(full_name, **payload)
            assert set(changed) <= {SHELL}, (full_name, payload, changed)
            assert set(changed.get(SHELL, {})) <= {"notice_rx_state_"}, (full_name, payload, changed)
            tried += 1
    assert tried > 50


@pytest.mark.case("Z2")
async def test_a_guarded_handler_tells_an_anonymous_socket_to_sign_in(open_page: Open) -> None:
    page = await open_page("/")
    changed = await page.deltas_of(f"{USAGE}.watch")
    if not changed:  # it runs in the background, so its answer may come after the marker's
        await page.until(lambda: page.value(SHELL, "notice"))
    assert page.value(SHELL, "notice")["message"] == "Sign in to do this."


async def test_setvar_does_not_reach_even_a_public_pages_vars(open_page: Open) -> None:
    page = await open_store(open_page)
    assert await page.deltas_of(f"{STORE_PAGE}.setvar", var_name="headline", value="hacked") == {}
    assert await page.deltas_of(f"{STORE_PAGE}.find", text="claude") != {}


async def test_an_event_that_nobody_knows_changes_nothing_and_its_content_is_not_logged(open_page: Open, server: PageServer) -> None:
    page = await open_store(open_page)
    assert await page.deltas_of(f"{ROOT}.state___nothing.at_all", text="canary-unknown") == {}
    changed = await page.deltas_of(f"{STORE_PAGE}.turn_page", by="canary-wrong-kind")
    assert set(changed) == {SHELL}
    assert "canary" not in json.dumps(page.updates)
    assert "canary" not in server.log.read_text()


@pytest.mark.case("A6")
@pytest.mark.parametrize("seconds", [ON_A_BUSY_MACHINE, pytest.param(5.0, marks=pytest.mark.soak)])
async def test_signing_out_ends_what_an_open_socket_may_see(open_page: Open, server: PageServer, seconds: float) -> None:
    cookie = server.sign_in()
    server.call()
    page = await open_page("/usage", cookie=cookie)
    await page.until(lambda: page.value(USAGE, "stage") == "calls")
    server.sign_out(cookie)
    await page.until(lambda: page.value(USAGE, "stage") == "signed_out", seconds=seconds)
    assert page.value(USAGE, "rows") == []


@pytest.mark.parametrize("seconds", [ON_A_BUSY_MACHINE, pytest.param(2.0, marks=pytest.mark.soak)])
async def test_a_call_is_soon_on_the_page(open_page: Open, server: PageServer, seconds: float) -> None:
    page = await open_page("/usage", cookie=server.sign_in())
    before = len(page.value(USAGE, "rows") or [])
    server.call()
    await page.until(lambda: len(page.value(USAGE, "rows") or []) == before + 1, seconds=seconds)
    newest = page.value(USAGE, "rows")[0]
    assert (newest["outcome"], newest["key"], newest["simulated"]) == ("answered", "demo", True)
    assert newest["cost"].startswith("$0.")


async def test_the_name_of_a_tab_is_no_identity(open_page: Open, server: PageServer) -> None:
    """A tab keeps its state under a name that its browser chose: whoever opens it again without the cookie finds it empty."""
    server.call()
    page = await open_page("/usage", cookie=server.sign_in())
    assert page.value(USAGE, "stage") == "calls"
    assert EMAIL in json.dumps(page.updates)
    await page.close()
    other = await open_page("/", token=page.token)
    assert other.token == page.token
    seen = json.dumps(other.updates)
    assert EMAIL not in seen
    assert "sandbox/chat" not in json.dumps(other.value(USAGE, "rows"))


@pytest.mark.case("S1")
async def test_neither_cookie_nor_password_comes_back_through_the_socket_or_is_in_the_log(open_page: Open, server: PageServer) -> None:
    cookie = server.sign_in()
    page = await open_page("/usage", cookie=cookie)
    secret = cookie.partition("=")[2]
    for text in (json.dumps(page.updates), server.log.read_text()):
        assert secret not in text
        assert PASSWORD not in text


@pytest.mark.case("W1")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
async def test_another_sites_page_cannot_open_a_socket_with_a_persons_cookie(open_page: Open, server: PageServer, origin: str) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        await open_page("/usage", cookie=server.sign_in(), origin=origin)


@pytest.mark.case("W1")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_sockets_polling_fallback_is_closed(server: PageServer, method: str) -> None:
    """Were it open, it would take events as plain requests, which a neighbouring site can send with the person's cookie."""
    answer = httpx.request(
        method, f"{server.url}/_event/?EIO=4&transport=polling&token=x", headers={"cookie": server.sign_in()}, timeout=60
    )
    assert answer.status_code == 404
