"""The states of the store, a model and the palette against the whole catalog: what is asked, what is answered, what is sent."""

import re
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
import reflex as rx
from reflex.utils.format import json_dumps

from backend import runtime
from backend.configuration import load_settings
from backend.runtime import Runtime, open_runtime
from state.model import ModelState
from state.palette import PaletteState
from state.shell import ShellState
from state.store import ORDERS, StoreState
from state.store_address import PAGE_ROWS
from state.storefront import Storefront, load_storefront, save_storefront

pytestmark = pytest.mark.asyncio(loop_scope="module")
Kind = TypeVar("Kind", bound=rx.State)
MOST_BYTES = 32_000
"""What one state may send to one browser at once, as JSON."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, catalog_file: Path) -> AsyncIterator[Runtime]:
    """One runtime for all tests here: none of them writes."""
    home = tmp_path_factory.mktemp("store")
    shutil.copy(catalog_file, home / "bourse.db")
    async with open_runtime(load_settings({"BOURSE_DATA_DIR": str(home)})) as opened:
        assert opened.readiness.missing is None, opened.readiness.missing
        yield opened


def at(kind: type[Kind], address: str) -> Kind:
    """The state of a page that is open at this address."""
    root = rx.State(_reflex_internal_init=True)  # type: ignore[call-arg]
    data = {"asPath": address, "pathname": address.partition("?")[0], "headers": {"origin": "http://localhost:3000"}}
    root.router_data = root._update_router_vars(data, {})
    found = root.get_substate(kind.get_full_name().split("."))
    assert isinstance(found, kind)
    return found


class Unlocked:
    """A state as a handler in the background has it: changed only between `async with`."""

    def __init__(self, state: rx.State) -> None:
        self.__dict__["state"], self.__dict__["open"] = state, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.state, name)

    def __setattr__(self, name: str, value: Any) -> None:
        assert self.open, f"{name} is changed without the lock"
        setattr(self.state, name, value)

    async def __aenter__(self) -> None:
        self.__dict__["open"] = True

    async def __aexit__(self, *_: object) -> None:
        self.__dict__["open"] = False


async def fill(store: StoreState) -> None:
    await StoreState.event_handlers["fill"].fn(Unlocked(store))


async def call(state: rx.State, name: str, **payload: Any) -> None:
    await type(state).event_handlers[name].fn(state, **payload)


def notice_of(state: rx.State) -> dict[str, str]:
    shell = state._get_root_state().get_substate(ShellState.get_full_name().split("."))
    assert isinstance(shell, ShellState)
    return dict(shell.notice)


def sent(state: rx.State) -> int:
    """Bytes of everything that the state would send to a browser."""
    return len(json_dumps(state.dict()).encode())


async def test_the_question_of_the_issue_has_an_answer_and_an_address(running: Runtime) -> None:
    store = at(StoreState, "/")
    await call(store, "load")
    everything = store.total
    await call(store, "toggle", facet="can", value="vision")
    await call(store, "toggle", facet="can", value="tools")
    await call(store, "pick_price_in", low=None, high=1)
    await call(store, "pick_context", low=128_000, _high=None)
    assert 20 < store.total < everything / 3
    assert store.address == "?can=tools,vision&price_in=-1&context=128000"
    assert "call tools" in store.headline
    assert "128k" in store.headline
    assert len(store.rows) == PAGE_ROWS
    assert all(row.input and float(row.input.replace(",", "")) <= 1 for row in store.rows)
    again = at(StoreState, "/" + store.address)
    await call(again, "load")
    assert [row.slug for row in again.rows] == [row.slug for row in store.rows]
    assert (again.headline, again.address, again.total) == (store.headline, store.address, store.total)


async def test_a_browser_is_sent_little_however_much_is_found(running: Runtime) -> None:
    store = at(StoreState, "/")
    await call(store, "load")
    await call(store, "find_provider", text="a")
    assert store.total > 2_500
    assert len(store.rows) == PAGE_ROWS
    assert len(store.sold_by) <= 12
    assert sent(store) < MOST_BYTES


async def test_a_state_that_was_forgotten_goes_on_from_the_address(running: Runtime) -> None:
    store = at(StoreState, "/?can=tools&price_in=-1")
    await call(store, "toggle", facet="can", value="vision")
    assert store.address == "?can=tools,vision&price_in=-1"


async def test_rows_come_first_and_their_marks_follow(running: Runtime) -> None:
    store = at(StoreState, "/?q=gpt-4o&by=openai")
    store.marks = {}
    assert (await StoreState.event_handlers["load"].fn(store)).fn.__name__ == "fill"
    assert store.rows
    assert store.marks == {}
    await fill(store)
    assert set(store.marks) == {row.slug for row in store.rows}
    told = store.marks["gpt-4o"]
    assert told.spark.startswith("M")
    assert told.spark_said.startswith("Input price")
    assert told.quality == "few results"
    assert "2 results" in told.quality_said
    others = [mark.quality for slug, mark in store.marks.items() if slug != "gpt-4o"]
    assert all(re.fullmatch(r"\d\d ± \d\d?|few results|", text) for text in others)
    assert any("±" in text for text in others)
    assert not store.times_first_token
    assert 5 < len(store.benchmarks) <= 31
    kept = dict(store.marks)
    await call(store, "toggle", facet="can", value="vision")
    assert {slug: mark for slug, mark in kept.items() if slug in {row.slug for row in store.rows}} == store.marks
    assert sent(store) < MOST_BYTES


async def test_a_newer_answer_is_not_overwritten_by_marks_that_come_late(running: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    store = at(StoreState, "/?q=gpt-4o")
    await call(store, "load")
    read = running.pricing.input_over_time

    async def meanwhile(offers: Sequence[str]) -> Any:
        await call(store, "find", text="claude")
        return await read(offers)

    monkeypatch.setattr(running.pricing, "input_over_time", meanwhile)
    await fill(store)
    assert all("claude" in row.slug for row in store.rows)
    assert "gpt-4o" not in store.marks


async def test_language_and_quality_are_asked_like_any_filter(running: Runtime) -> None:
    store = at(StoreState, "/")
    await call(store, "load")
    await fill(store)
    assert ["de", "German"] in [[tag, words.partition(" (")[0]] for tag, words in store.languages]
    await call(store, "toggle", facet="language", value="de")
    speaking = store.total
    await call(store, "pick_score", low=60.0, _high=None)
    assert 0 < store.total < speaking < 1000
    assert store.address == "?language=de&min_score=60"
    assert store.headline == f"{store.total} models speak German and score at least 60 overall"
    assert [chip.label for chip in store.chips] == ["German", "Quality ≥ 60"]
    await call(store, "measure_by", benchmark="llm-stats-mmlu-pro-score")
    assert "score at least 60 on MMLU-Pro" in store.headline
    await fill(store)
    assert all(mark.quality.isdigit() and int(mark.quality) >= 60 for mark in store.marks.values())
    for facet, value in (("benchmark", ""), ("min_score", ""), ("language", "de")):
        await call(store, "remove", facet=facet, value=value)
    assert store.address == ""


async def test_a_benchmark_that_is_none_is_left_out(running: Runtime) -> None:
    store = at(StoreState, "/?benchmark=no-such-benchmark&min_score=70")
    await call(store, "load")
    assert (store.address, store.failure) == ("?min_score=70", "")
    assert store.total > 10


async def test_the_scatter_shows_what_the_filters_found(running: Runtime) -> None:
    store = at(StoreState, "/?can=vision&view=scatter")
    await call(store, "load")
    assert store.plot_stage == "waiting"
    await fill(store)
    assert store.plot_stage == "drawn"
    assert 10 < len(store.plot.dots) <= 60
    assert re.match(r"Nothing beats \d+ of these \d+ models on price and quality at once", store.plot.sentence)
    assert sent(store) < 2 * MOST_BYTES
    await call(store, "find", text="no-model-has-this-name-zzz")
    await fill(store)
    assert (store.plot_stage, store.plot.dots) == ("nothing", [])
    await call(store, "show_as", view="table")
    assert (store.plot_stage, store.address) == ("waiting", "?q=no-model-has-this-name-zzz&can=vision")


@pytest.mark.parametrize("order", [order for order, _ in ORDERS if order not in ("relevance", "name")])
async def test_every_order_starts_with_what_people_want_on_top_and_turns_round(running: Runtime, order: str) -> None:
    store = at(StoreState, "/?mode=chat&status=active")
    await call(store, "load")
    await call(store, "order_by", order=order)
    assert not store._asked.turned
    assert store.descending is (order in ("context", "released", "offers"))
    first = [row.slug for row in store.rows]
    await call(store, "order_by", order=order)
    assert store._asked.turned
    assert [row.slug for row in store.rows] != first
    assert f"sort={order}&order=reverse" in store.address


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("toggle", {"facet": "can", "value": 7}),
        ("toggle", {"facet": ["can"], "value": "tools"}),
        ("find", {"text": None}),
        ("find", {"text": "x\x00"}),
        ("turn_page", {"by": "1"}),
        ("pick_price_in", {"low": "0", "high": 1}),
        ("order_by", {}),
        ("show_as", {"view": "table", "more": 1}),
    ],
)
async def test_what_no_page_of_ours_sends_is_refused_and_changes_nothing(running: Runtime, name: str, payload: dict[str, Any]) -> None:
    store = at(StoreState, "/?can=tools")
    await call(store, "load")
    before = (store.address, store.total, store.answered)
    await call(store, name, **payload)
    assert (store.address, store.total, store.answered) == before
    assert notice_of(store)["tone"] == "bad"


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("toggle", {"facet": "no-such", "value": "x"}),
        ("order_by", {"order": "no-such"}),
        ("show_as", {"view": "no-such"}),
        ("remove", {"facet": "no-such", "value": ""}),
        ("pick_price_in", {"low": float("nan"), "high": -5.0}),
        ("pick_context", {"low": 1e300, "_high": None}),
        ("turn_page", {"by": -1}),
    ],
)
async def test_what_makes_no_sense_leaves_the_filters_as_they_are(running: Runtime, name: str, payload: dict[str, Any]) -> None:
    store = at(StoreState, "/?can=tools")
    await call(store, "load")
    await call(store, name, **payload)
    assert store.address == "?can=tools"
    assert notice_of(store) == {}


async def test_a_store_that_cannot_answer_says_so_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_current", None)  # as while the process is starting
    store = at(StoreState, "/")
    await call(store, "load")
    assert "starting" in store.failure
    assert store.failure_id.startswith("req_")
    model = at(ModelState, "/models/gpt-4o")
    await call(model, "load")
    assert (model.stage, model.failure) == ("failed", store.failure)


@pytest.mark.parametrize("name", ["sandbox-chat", "sandbox/chat", "Sandbox/CHAT", "sandbox%2Fchat"])
async def test_a_model_is_found_by_its_slug_and_by_its_offers_ids(running: Runtime, name: str) -> None:
    model = at(ModelState, f"/models/{name}")
    await call(model, "load")
    assert (model.stage, model.slug, model.sample_note) == ("found", "sandbox-chat", "")
    assert [offer.id for offer in model.offers] == ["sandbox/chat"]
    assert [sample["name"] for sample in model.samples] == ["curl", "Python", "JavaScript"]
    await call(model, "open_offer", offer_id="sandbox/chat")
    assert {(price.label, price.amount) for price in model.prices} >= {("Input", "0.50"), ("Output", "1.50")}
    await call(model, "open_offer", offer_id="sandbox/chat")
    assert model.prices == []
    await call(model, "open_offer", offer_id="openai/not-of-this-model")
    assert model.prices == []


async def test_a_model_that_nobody_serves_here_says_what_is_missing(running: Runtime) -> None:
    model = at(ModelState, "/models/gpt-4o-mini")
    await call(model, "load")
    assert "operator connects" in model.sample_note
    assert sent(model) < MOST_BYTES


async def test_a_quarantined_price_is_unpriced_everywhere(running: Runtime) -> None:
    model = at(ModelState, "/models/azure_ai/jais-30b-chat")
    await call(model, "load")
    assert [line.value for line in model.key_facts][:2] == ["unpriced", "unpriced"]
    offer = next(offer for offer in model.offers if offer.id == "azure_ai/jais-30b-chat")
    assert (offer.input, offer.price_note, offer.evidence) == ("", "unpriced", "in quarantine")


async def test_an_unknown_model_is_missing_and_near_names_are_offered(running: Runtime) -> None:
    model = at(ModelState, "/models/openai/gpt-4o-mnii")
    await call(model, "load")
    assert model.stage == "missing"
    assert any("gpt-4o" in near.href for near in model.near)
    model = at(ModelState, "/models/" + "x" * 5000)
    await call(model, "load")
    assert (model.stage, model.near) == ("missing", [])


async def test_the_palette_answers_with_few_lines_for_the_text_it_was_asked(running: Runtime) -> None:
    palette = at(PaletteState, "/")
    await call(palette, "ask", text="  gpt ")
    assert palette.hits_for == "gpt"
    assert 0 < len(palette.hits) <= 8
    assert all(hit.href.startswith("/models/") for hit in palette.hits)
    await call(palette, "ask", text="")
    assert palette.hits == []


async def test_the_first_paint_survives_being_written_and_read_and_never_breaks_a_start(tmp_path: Path, running: Runtime) -> None:
    from backend.catalog.schemas import StoreQuery
    from state.store import storefront

    front = storefront(running.catalog.search(StoreQuery()), running.catalog.freshness(), running.clock.now())
    file = tmp_path / "deep" / "storefront.json"
    save_storefront(front, file)
    assert load_storefront(file) == front
    assert len(front.rows) == PAGE_ROWS
    for text in ("", "{}", "[]", '{"rows": 1}', '{"rows": [], "facets": {}, "unknown": 1}'):
        file.write_text(text)
        assert load_storefront(file) == Storefront()
    assert load_storefront(tmp_path / "absent.json") == Storefront()
