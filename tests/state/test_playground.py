"""The playground's address, code, texts on their way, columns and headline; and the page itself over its socket, asking the sandbox."""

import asyncio
import json
import shlex
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateway.fan_out.schemas import Answered, Failure
from backend.metering.record import CallRecord
from backend.playground.comparison import Answer
from state.playground_address import Trial, read_trial, write_trial
from state.playground_columns import column, headline_text
from state.playground_samples import trial_samples
from state.playground_stream import Piece, TextFlow
from tests.state.page_socket import ROOT, PageSocket
from tests.state.test_sockets import EMAIL, SHELL, PageServer

PLAYGROUND = f"{ROOT}.state___playground____playground_state"
CHAT = "/playground?models=sandbox/chat"

# The address -----------------------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters=","), min_size=1, max_size=40)


@given(
    st.lists(NAMES, max_size=4, unique=True).map(tuple),
    st.none() | st.integers(0, 200).map(lambda hundredths: hundredths / 100),
    st.none() | st.integers(1, 200_000),
)
def test_what_is_chosen_comes_back_from_its_address(models: tuple[str, ...], temperature: float | None, tokens: int | None) -> None:
    trial = Trial(models, temperature, tokens)
    assert read_trial(write_trial(trial).removeprefix("?")) == trial


@pytest.mark.parametrize(
    ("query", "trial"),
    [
        ("", Trial()),
        ("models=a,b,a,,%20c%20", Trial(("a", "b", "c"))),
        ("models=a,b,c,d,e", Trial(("a", "b", "c", "d"))),
        ("models=a&temperature=hot&max_tokens=-3", Trial(("a",))),
        ("temperature=2.01&max_tokens=0", Trial()),
        ("temperature=nan&max_tokens=1e9", Trial()),
        ("temperature=0,7&max_tokens=1%20000", Trial((), 0.7, 1000)),
        ("models=a%00b,%0a", Trial()),
    ],
)
def test_an_address_that_somebody_mangled_still_opens(query: str, trial: Trial) -> None:
    assert read_trial(query) == trial


# The code --------------------------------------------------------------------------------------------------------------------------

TRIAL = Trial(("sandbox/chat", "other"), 0.2, 300)


@given(st.text(max_size=60), st.text(max_size=20), NAMES)
def test_the_code_says_what_was_written_in_every_language_and_nobody_leaves_its_quotes(prompt: str, system: str, model: str) -> None:
    curl, python, javascript = (one["code"] for one in trial_samples(Trial((model,), 0.2, 300), prompt, system))
    messages = [{"role": "system", "content": system}] if system.strip() else []
    messages.append({"role": "user", "content": prompt or "Say hello."})
    told = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 300, "stream": True}
    if "\r" not in prompt + system + model:  # shlex reads it as the end of a line, which a shell does not
        words = shlex.split(curl.replace("\\\n", " "))
        assert json.loads(words[words.index("-d") + 1]) == told
    called: list[dict[str, object]] = []

    class OpenAI:
        """As much of the client as the sample needs."""

        def __init__(self, base_url: str, api_key: str) -> None:
            self.chat = self.completions = self

        def create(self, **given: object) -> list[object]:
            called.append(given)
            return []

    environment = SimpleNamespace(environ={"BOURSE_API_KEY": "sk-x.y"})
    exec(python.replace("import os\n\nfrom openai import OpenAI\n", "", 1), {"OpenAI": OpenAI, "os": environment})
    assert called == [told]
    assert json.dumps(messages[-1]["content"], ensure_ascii=False).replace("{origin}", "{\\u006frigin}") in javascript


def test_no_code_holds_a_key_and_none_is_there_without_a_model() -> None:
    assert trial_samples(Trial()) == []
    for sample in trial_samples(TRIAL, "hi"):
        assert "BOURSE_API_KEY" in sample["code"]
        assert "sk-" not in sample["code"]
        assert "{origin}/v1" in sample["code"]


# Texts on their way ----------------------------------------------------------------------------------------------------------------


class Browser:
    """As `streamed.jsx` puts pieces together: in UTF-16 units, and leaving out what has no place yet."""

    def __init__(self) -> None:
        self.units = b""

    def take(self, piece: Piece) -> None:
        if piece.start * 2 <= len(self.units):
            text = self.units[: piece.start * 2] + piece.text.encode("utf-16-le")
            if len(text) >= len(self.units) or piece.start == 0:
                self.units = text

    @property
    def text(self) -> str:
        return self.units.decode("utf-16-le")


def answer(model: str = "m", *pieces: str, **changes: object) -> Answer:
    made = Answer(model, Answered(model_name=model, provider="acme"), list(pieces))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@given(st.lists(st.tuples(st.text(max_size=30), st.booleans()), max_size=60))
def test_a_text_arrives_whole_whatever_a_browser_leaves_out(told: list[tuple[str, bool]]) -> None:
    growing, browser = answer(), Browser()
    flow = TextFlow(growing, 1, 0)
    for text, drawn in told:
        growing.pieces.append(text)
        piece = flow.piece()
        if drawn:
            browser.take(piece)
    browser.take(flow.whole())
    assert browser.text == growing.text


def test_a_long_text_costs_a_few_times_its_length_and_what_is_lost_is_mended_on_the_way() -> None:
    growing, browser = answer(), Browser()
    flow, sent, length = TextFlow(growing, 1, 0), 0, 0
    for number in range(2_000):
        growing.pieces.append(f"word {number} ")
        piece = flow.piece()
        sent += len(piece.text)
        if not 200 <= number < 210:
            browser.take(piece)
        if number == 400:
            length = len(browser.text)
            assert length == len(growing.text)
    assert browser.text == growing.text
    assert sent < 11 * len(growing.text)
    assert length


# Columns ---------------------------------------------------------------------------------------------------------------------------


def record(**changes: object) -> CallRecord:
    row = CallRecord(
        id="evt_1", request_id="req_1", tenant_id="ten_1", user_id=None, key_id="key_1", endpoint="chat.completions", created_us=0
    )
    seen = {"provider": "acme", "outcome": "completed", "price_state": "priced", "usage_source": "provider", "attempts": 1}
    seen |= {"input_tokens": 12, "output_tokens": 101, "latency_ms": 2_400, "first_token_ms": 400, "charged_nano": 44_000}
    for name, value in (seen | changes).items():
        setattr(row, name, value)
    return row


def done(model: str = "m", **changes: object) -> Answer:
    made = answer(model, "text", ended=True, record=record(**changes))
    made.answered.success = True
    return made


def test_a_column_has_the_ledgers_figures_with_their_units() -> None:
    shown = column(0, done(), simulated=False, request_id="req_1")
    assert (shown.word, shown.provider, shown.first_token, shown.speed) == ("answered", "acme", "400 ms", "50")
    assert (shown.tokens, shown.cost, shown.note) == ("12 / 101", "$0.000044", "")


def test_what_nobody_knows_is_no_figure() -> None:
    running = column(0, answer("m", "a", first_token_ms=12), simulated=False, request_id="")
    assert (running.word, running.first_token, running.speed, running.tokens, running.cost) == ("answering", "12 ms", "—", "—", "—")
    assert column(0, answer(), simulated=False, request_id="").word == "waiting for the first token"
    unpriced = column(0, done(price_state="unpriced", charged_nano=0, usage_source="estimated"), simulated=False, request_id="")
    assert (unpriced.cost, unpriced.tokens, unpriced.speed) == ("unpriced", "≈ 12 / 101", "≈ 50")


def test_a_failure_says_what_is_wrong_what_to_do_and_which_request_it_was() -> None:
    failed = answer("m", ended=True, record=record(outcome="refused", charged_nano=0, usage_source="none", first_token_ms=None))
    failed.answered.error = Failure(message="The budget is used up.", code="budget_exceeded", status=403)
    shown = column(1, failed, simulated=False, request_id="req_7")
    assert (shown.stage, shown.error, shown.request_id, shown.cost) == ("failed", "The budget is used up.", "req_7", "$0")
    assert "larger budget" in shown.advice
    failed.answered.error = Failure(message="Odd.", code="never_heard_of", status=500)
    assert "request's id" in column(1, failed, simulated=False, request_id="req_7").advice


def test_thinking_is_counted_among_what_came_out_as_on_the_page_of_usage() -> None:
    made = answer("m", "said", ended=True, record=record(reasoning_tokens=34))
    assert column(0, made, simulated=False, request_id="").tokens == "12 / 135"


@pytest.mark.parametrize(
    ("made", "note"),
    [
        (answer("m", "half", ended=True, stopped=True), "paid for"),
        (answer("m", "much", ended=True, too_long=True), "more than a page"),
        (done(attempts=2), "try 2"),
        (answer("m", ended=True, record=record(reasoning_tokens=900)), "900 tokens went into thinking"),
        (answer("m", ended=True), "said nothing"),
    ],
)
def test_what_one_should_know_of_an_answer_is_under_it(made: Answer, note: str) -> None:
    made.answered.success = not made.stopped
    assert note in column(0, made, simulated=False, request_id="").note


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([answer("a")], "a is answering"),
        ([answer("a"), done("b")], "1 of 2 models are answering"),
        ([done("a")], "a answered, for $0.000044"),
        ([done("a"), done("b", first_token_ms=20, charged_nano=1_000)], "b began first, after 20 ms and cost least, $0.000001"),
        ([done("a", charged_nano=1_000), done("b", first_token_ms=20)], "b began first, after 20 ms; a cost least, $0.000001"),
        ([done("a"), done("b", first_token_ms=20)], "b began first, after 20 ms"),
        ([done("a"), done("b"), done("c", first_token_ms=900, charged_nano=90_000)], "3 models answered"),
        ([done("a"), done("b", first_token_ms=20, price_state="unpriced")], "b began first, after 20 ms"),
        ([done("a"), answer("b", ended=True)], "Only a answered, for $0.000044"),
        ([done("a"), done("b", first_token_ms=20), answer("c", ended=True)], "2 of 3 answered: b began first, after 20 ms"),
        ([answer("a", ended=True), answer("b", ended=True)], "None of the 2 models answered"),
        ([answer("a", ended=True)], "There is no answer"),
        ([answer("a", ended=True, stopped=True)], "Stopped"),
    ],
)
def test_the_headline_says_who_was_first_and_who_was_cheapest(answers: list[Answer], said: str) -> None:
    assert headline_text(answers) == said


# The page --------------------------------------------------------------------------------------------------------------------------

Open = Callable[..., Awaitable[PageSocket]]


@pytest.fixture(scope="module")
def server(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    data_dir = tmp_path_factory.mktemp("playground")
    shutil.copy(catalog_file, data_dir / "bourse.db")
    running = PageServer(data_dir)
    yield running
    running.server.stop()


@pytest.fixture
async def open_page(server: PageServer) -> AsyncIterator[Open]:
    pages: list[PageSocket] = []

    async def opened(path: str, **options: str) -> PageSocket:
        pages.append(PageSocket(server.url, **options))
        await pages[-1].open(path)
        return pages[-1]

    yield opened
    for page in pages:
        await page.close()


async def run(page: PageSocket, path: str, prompt: str = "Why is the sky blue?") -> None:
    await page.send(f"{PLAYGROUND}.run", path=path, prompt=prompt, system="")


def text_of(page: PageSocket, number: int) -> str:
    browser = Browser()
    for update in page.updates:
        for piece in update.get(PLAYGROUND, {}).get("pieces_rx_state_", []):
            if piece["number"] == number:
                browser.take(Piece(**piece))
    return browser.text


def columns(page: PageSocket) -> list[dict[str, str]]:
    found: list[dict[str, str]] = page.value(PLAYGROUND, "columns")
    return found


async def test_a_stranger_asks_the_sandbox_and_sees_texts_and_figures(open_page: Open) -> None:
    path = "/playground?models=sandbox/chat,sandbox/broken&max_tokens=50"
    page = await open_page(path)
    assert [one["model"] for one in columns(page)] == ["sandbox/chat", "sandbox/broken"]
    assert page.value(PLAYGROUND, "is_visitor")
    assert "not signed in" in page.value(PLAYGROUND, "authority")
    await run(page, path)
    await page.until(lambda: page.value(PLAYGROUND, "running") is True)
    await page.until(lambda: page.value(PLAYGROUND, "running") is False)
    chat, broken = columns(page)
    assert "no model was called" in text_of(page, 0)
    assert (chat["word"], chat["provider"], chat["cost"][0], chat["simulated"]) == ("answered", "sandbox", "$", True)
    assert chat["first_token"].endswith("ms")
    assert int(chat["speed"]) > 0
    assert (broken["stage"], broken["error"] != "", broken["advice"] != "", broken["request_id"][:4]) == ("failed", True, True, "req_")
    assert page.value(PLAYGROUND, "headline").startswith("Only sandbox/chat answered")
    sent = [update[PLAYGROUND]["pieces_rx_state_"] for update in page.updates if "pieces_rx_state_" in update.get(PLAYGROUND, {})]
    assert len(sent) < 60, "texts go out in portions, not token by token"


async def test_a_column_is_stopped_alone_and_a_page_that_is_left_hangs_up(open_page: Open, server: PageServer) -> None:
    path = "/playground?models=sandbox/slow"
    page = await open_page(path)
    await run(page, path, "Tell me a long story, please, and take your time with it.")
    await page.until(lambda: text_of(page, 0) != "")
    await page.send(f"{PLAYGROUND}.stop", path=path, number=0)
    await page.until(lambda: page.value(PLAYGROUND, "running") is False)
    (stopped,) = columns(page)
    assert (stopped["word"], stopped["cost"][0]) == ("stopped", "$")
    seen = len(page.updates)
    await run(page, path, "Once more, a long story, please.")
    await page.until(lambda: any("running_rx_state_" in update.get(PLAYGROUND, {}) for update in page.updates[seen:]))
    await page.send(f"{ROOT}.state___shell____shell_state.arrive", path="/usage")
    await page.until(lambda: page.value(PLAYGROUND, "running") is False)
    assert columns(page)[0]["stage"] != "answered"


async def test_a_page_that_is_closed_hangs_up(open_page: Open, server: PageServer) -> None:
    path = "/playground?models=sandbox/slow"
    page = await open_page(path)
    await run(page, path, "A story that nobody waits for, with as many words as you like to use for it.")
    await page.until(lambda: text_of(page, 0) != "")
    await page.close()
    with sqlite3.connect(server.log.parent / "bourse.db") as ledger:
        async with asyncio.timeout(30):
            while ledger.execute("SELECT outcome FROM call ORDER BY created_at DESC LIMIT 1").fetchone() != ("client_closed",):
                await asyncio.sleep(0.05)
    assert columns(page)[0]["word"] == "answering"


async def test_a_member_calls_in_the_name_of_his_tenant_until_he_signs_out(open_page: Open, server: PageServer) -> None:
    cookie = server.sign_in()
    who = httpx.get(f"{server.url}/auth/session", headers={"cookie": cookie}, timeout=60).json()
    assert (who["email"], who["tenant"]["slug"]) == (EMAIL, "demo")
    page = await open_page(CHAT, cookie=cookie)
    assert "in the name of Demo" in page.value(PLAYGROUND, "authority")
    await run(page, CHAT)
    await page.until(lambda: page.value(PLAYGROUND, "headline").startswith("sandbox/chat answered, for $"))
    usage = await open_page("/usage", cookie=cookie)
    state = f"{ROOT}.state___usage____usage_state"
    await usage.until(lambda: [row["key"] for row in usage.value(state, "rows") or []] == ["Playground"])
    server.sign_out(cookie)
    slow = "/playground?models=sandbox/slow"
    await run(page, slow)
    await page.until(lambda: page.value(PLAYGROUND, "headline") == "sandbox/chat is answering")
    await page.until(lambda: page.value(PLAYGROUND, "running") is False)


async def test_a_models_page_leads_to_its_sandbox_model(open_page: Open) -> None:
    page = await open_page("/playground?models=sandbox-chat,gpt-4o")
    assert [one["model"] for one in columns(page)] == ["sandbox/chat", "gpt-4o"]


async def test_models_are_found_picked_dropped_and_put_into_the_address(open_page: Open) -> None:
    page = await open_page("/playground")
    assert [one["model"] for one in columns(page)] == ["sandbox/chat", "sandbox/slow"]
    assert page.value(PLAYGROUND, "address") in (None, "")
    await page.send(f"{PLAYGROUND}.ask", path="/playground", text="sandbox")
    await page.until(lambda: page.value(PLAYGROUND, "hits_for") == "sandbox")
    found = [one["id"] for one in page.value(PLAYGROUND, "hits")]
    assert "sandbox/flaky" in found
    assert not {"sandbox/chat", "sandbox/embedding"} & set(found)
    assert all("simulated" in one["hint"] for one in page.value(PLAYGROUND, "hits"))
    for model in ("sandbox/flaky", "sandbox/long", "sandbox/reasoning"):
        await page.send(f"{PLAYGROUND}.pick", path="/playground", model=model)
    await page.send(f"{PLAYGROUND}.drop", path="/playground", number=1)
    await page.send(f"{PLAYGROUND}.set_temperature", path="/playground", text="0,3")
    await page.send(f"{PLAYGROUND}.set_max_tokens", path="/playground", text="lots")
    wanted = "?models=sandbox/chat,sandbox/flaky,sandbox/long&temperature=0.3"
    await page.until(lambda: page.value(PLAYGROUND, "address") == wanted)
    assert page.value(PLAYGROUND, "max_tokens") == ""


@pytest.mark.parametrize(
    ("path", "prompt", "said"),
    [
        ("/playground?models=gpt-4o", "hi", "only the sandbox's models answer"),
        (CHAT, "  ", "prompt first"),
        (CHAT, "x" * 5_000, "at most 4,000"),
    ],
)
async def test_what_a_stranger_may_not_ask_is_said_in_a_toast(open_page: Open, path: str, prompt: str, said: str) -> None:
    page = await open_page(path)
    await run(page, path, prompt)
    await page.until(lambda: said in (page.value(SHELL, "notice") or {}).get("message", ""))
    assert page.value(PLAYGROUND, "running") in (None, False)
