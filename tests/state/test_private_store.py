"""`store.public: false`: who is nobody reads no model and no price, by page, by socket and by API; and comes back after signing in."""

import json
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from state.guard import PUBLIC, permission_of
from tests.state.page_socket import ROOT, PageSocket
from tests.state.test_guard import all_handlers
from tests.state.test_sockets import CONFIGURATION, PageServer

STORE_STATE, MODEL_STATE, PALETTE = (f"{ROOT}.state___{name}____{name}_state" for name in ("store", "model", "palette"))


@pytest.fixture(scope="module")
def server(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    data_dir = tmp_path_factory.mktemp("private")
    shutil.copy(catalog_file, data_dir / "bourse.db")
    running = PageServer(data_dir, CONFIGURATION + "store: {public: false}\n")
    yield running
    running.server.stop()


@asynccontextmanager
async def a_page(server: PageServer, path: str, cookie: str = "", token: str | None = None) -> AsyncIterator[PageSocket]:
    page = PageSocket(server.url, cookie=cookie, token=token)
    await page.open(path)
    try:
        yield page
    finally:
        await page.close()


@pytest.mark.parametrize(
    "path",
    ["/", "/index.html", "/models/gpt-4o", "/models/gpt-4.1", "/models/gpt-4o/", "/usage", "/no-such-page", "/sign-in/../models/gpt-4o"],
)
def test_a_page_takes_a_stranger_to_the_sign_in_and_back(server: PageServer, path: str) -> None:
    answer = httpx.get(server.url, params={"q": "gpt"}, timeout=60) if path == "/" else httpx.get(server.url + path, timeout=60)
    assert answer.status_code == 303
    back = {"/": "/%3Fq%3Dgpt", "/sign-in/../models/gpt-4o": "/models/gpt-4o"}.get(path, path)
    assert answer.headers["location"] == f"/sign-in?next={back}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b""


def test_the_sign_in_page_and_the_files_behind_it_are_open(server: PageServer) -> None:
    # The pages are not built here: 404 is what the file server says to whom it was asked by.
    for path in ("/sign-in", "/sign-in/", "/setup", "/assets/x.js", "/assets/x.css", "/fonts/x.woff2", "/favicon.svg"):
        assert httpx.get(server.url + path, timeout=60).status_code in (200, 404), path


def test_who_is_signed_in_gets_pages_and_models(server: PageServer) -> None:
    cookie = {"cookie": server.sign_in()}
    assert httpx.get(server.url + "/models/gpt-4o", headers=cookie, timeout=60).status_code in (200, 404)
    assert httpx.get(server.url + "/catalog/models", headers=cookie, timeout=60).json()["total"] > 1000
    server.sign_out(cookie["cookie"])
    assert httpx.get(server.url + "/catalog/models", headers=cookie, timeout=60).status_code == 401
    assert httpx.get(server.url + "/models/gpt-4o", headers=cookie, timeout=60).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/catalog/models", "/catalog/models?search=gpt", "/catalog/models?format=csv", "/catalog/models/gpt-4o", "/catalog/models/nobody",
        "/catalog/models?x=1", "/api/models", "/api/models/provider/openai", "/api/models/provider/nobody", "/api/providers",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "headers", [{}, {"cookie": "__Host-bourse=made-up"}, {"authorization": "Bearer sk-demo.wrong"}, {"authorization": "Basic eDp5"}]
)
def test_the_api_tells_a_stranger_nothing_not_even_whether_a_model_exists(server: PageServer, path: str, headers: dict[str, str]) -> None:
    answer = httpx.get(server.url + path, headers=headers, timeout=60)
    assert answer.status_code == 401
    assert "gpt" not in answer.text


def test_a_key_reads_the_catalog_too(server: PageServer) -> None:
    answer = httpx.get(server.url + "/catalog/models/gpt-4o", headers={"authorization": "Bearer sk-demo.my-secret"}, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["id"] == "gpt-4o"


@pytest.mark.case("Z2")
async def test_no_event_of_a_strangers_socket_brings_a_model_or_a_price(server: PageServer) -> None:
    async with a_page(server, "/") as page:
        events: list[tuple[str, dict[str, object]]] = [
            (f"{STORE_STATE}.load", {}),
            (f"{STORE_STATE}.find", {"text": "gpt"}),
            (f"{STORE_STATE}.clear", {}),
            (f"{MODEL_STATE}.load", {}),
            (f"{MODEL_STATE}.show_all_offers", {}),
            (f"{MODEL_STATE}.open_offer", {"offer_id": "openai/gpt-4o"}),
            (f"{PALETTE}.ask", {"text": "gpt"}),
        ]
        for name, payload in events:
            await page.send(name, path="/models/claude-haiku-4-5", **payload)
        # Events of one page are answered in their order, so this answer is the last.
        await page.send(f"{ROOT}.state___usage____usage_state.load")
        await page.until(lambda: page.value(f"{ROOT}.state___usage____usage_state", "stage") == "signed_out")
        told = json.dumps(page.updates).lower()
        assert "openai" not in told
        assert "anthropic" not in told
        assert page.value(STORE_STATE, "rows") in (None, [])
        assert page.value(MODEL_STATE, "offers") in (None, [])
        assert page.value(PALETTE, "hits") in (None, [])


async def test_a_page_of_somebody_who_is_signed_in_shows_models(server: PageServer) -> None:
    async with a_page(server, "/", server.sign_in()) as page:
        assert page.value(STORE_STATE, "rows")
        await page.send(f"{PALETTE}.ask", text="gpt")
        await page.until(lambda: page.value(PALETTE, "hits_for") == "gpt")
        assert page.value(PALETTE, "hits")


@pytest.mark.case("Z2")
async def test_who_comes_after_somebody_in_the_same_tab_is_told_nothing_of_what_he_saw(server: PageServer) -> None:
    cookie, token = server.sign_in(), str(uuid.uuid4())
    async with a_page(server, "/", cookie, token) as page:
        assert page.value(STORE_STATE, "rows"), "or nothing is tried here"
    server.sign_out(cookie)
    async with a_page(server, "/sign-in", token=token) as page:
        told = json.dumps(page.updates).lower()
        assert "openai" not in told
        assert "anthropic" not in told


def test_only_pages_that_show_no_model_can_be_asked_by_anybody_where_the_store_is_not_public() -> None:
    open_to_all = {
        f"{kind.__name__}.{name}"
        for _, kind, name, one in all_handlers()
        if permission_of(one.fn) is PUBLIC and kind.__module__.startswith("state.")
    }
    asks_for_itself = {"IngestionState.load", "QuarantineState.load", "UsageState.load"}
    tells_of_the_installation = {"SessionState.arrive", "ShellState.arrive", "SetupState.load", "SignInState.load"}
    assert open_to_all == asks_for_itself | tells_of_the_installation
