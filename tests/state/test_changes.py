"""The page of changes and the tape: what they say of news, and what they show of the whole catalog's."""

import shutil
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from backend.configuration import load_settings
from backend.kernel.clock import FixedClock
from backend.pricing.changes import PriceNews, Rate
from backend.runtime import Runtime, open_runtime
from state.changes import PAGE_ROWS, ChangesState, coming_text
from state.changes_address import KINDS, PERIODS, Wanted, read_wanted, write_wanted
from state.news import amounts_text, best_known_first, change_word, evidence_text, first_day, headline_text, kind_of, rows_of, service_kinds
from state.tape import TapeState, chosen, entry
from tests.state.test_store import at, call, sent

TODAY = date(2026, 11, 21)
SINCE = date(2026, 10, 23)


def news(kind: str = "price", was: int | None = 10**9, now: int | None = 5 * 10**8, **changes: Any) -> PriceNews:
    made = PriceNews(
        id="n1",
        day=date(2026, 11, 20),
        kind=kind,
        model_id="m-1",
        model_name="M 1",
        offer_id="acme/m-1",
        provider="acme",
        provider_name="Acme",
        rates=(Rate("input", "token", was, now),) if kind in ("price", "announced") else (),
        dated_by="seller",
        after=None,
        source="genai-prices",
        source_url=None,
    )
    return replace(made, **changes)


RISE = news(now=2 * 10**9, id="n2")


@given(
    st.sampled_from(PERIODS),
    st.frozensets(st.sampled_from(KINDS), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=40),
    st.integers(1, 9_999),
)
def test_what_is_shown_comes_back_from_its_address(days: int, kinds: frozenset[str], text: str, page: int) -> None:
    wanted = Wanted(days, kinds, text, page)
    assert read_wanted(write_wanted(wanted).removeprefix("?")) == wanted


@pytest.mark.parametrize("query", ["", "days=31&kind=nothing&page=0", "page=-1&days=x", "page=99999", "kind=,", "q=%20&page=%C2%B2"])
def test_what_is_not_understood_is_left_out(query: str) -> None:
    assert read_wanted(query) == Wanted()


@pytest.mark.parametrize(
    ("before", "after", "word", "tone"),
    [
        (10**9, 5 * 10**8, "▼ 50\u00a0%", "good"),
        (10**9, 4 * 10**9, "▲ 300\u00a0%", "bad"),
        (10**9, 1_003_000_000, "▲ 0.3\u00a0%", "bad"),
        (75_000_000_000, 75_000_000_400, "▲ <\u00a00.1\u00a0%", "bad"),
        (10**9, 1, "▼ >\u00a099\u00a0%", "good"),
        (10**9, 0, "▼ 100\u00a0%", "good"),
        (None, 10**9, "priced anew", "plain"),
    ],
)
def test_a_change_is_a_word_that_is_true(before: int | None, after: int, word: str, tone: str) -> None:
    assert change_word(news(was=before, now=after)) == (word, tone)
    assert change_word(news("announced", before, after)) == (f"{word} announced", tone)


def test_other_kinds_have_words_of_their_own() -> None:
    assert [change_word(news(kind))[0] for kind in ("arrival", "deprecation", "offer")] == ["new", "ends", "one more seller"]


def test_amounts_carry_what_they_are_of_and_another_unit_than_tokens() -> None:
    rates = (Rate("input", "token", 200_000_000, 10**9), Rate("output", "image", None, 4 * 10**7), Rate("cache_read", "token", 1, None))
    assert amounts_text(rates) == "$0.20 → $1.00 in, $0.04 out per 1M images"
    assert amounts_text((Rate("input", "token", 75_000_000_000, 75_000_000_400),)) == "$75.00 → $75.0000004 in", "not from $75 to $75"
    assert amounts_text(rates[2:]) == "$0.000000001 → unknown cache read"


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (news(), "dated by the seller, from genai-prices"),
        (news(dated_by="store"), "read here, from genai-prices"),
        (
            news(dated_by="map", after=date(2026, 7, 24), source="litellm"),
            "between 24 Jul 2026 and 20 Nov 2026, by LiteLLM's map",
        ),
        (news(dated_by="map", source="litellm", reverted=True), "by 20 Nov 2026, by LiteLLM's map; taken back within 60 days"),
        (news("arrival"), ""),
    ],
)
def test_how_well_a_day_is_known_is_said(one: PriceNews, said: str) -> None:
    assert evidence_text(one) == said


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([], "Nothing changed in the last 30 days"),
        ([news()], "1 price fell in the last 30 days"),
        ([news(), news(), RISE], "2 prices fell and 1 rose in the last 30 days"),
        ([RISE, RISE], "2 prices rose in the last 30 days"),
        ([news("arrival"), news("deprecation"), news("deprecation")], "1 model arrived and 2 ended in the last 30 days"),
        ([news(), news("deprecation")], "1 price fell in the last 30 days; 1 model ended"),
        ([news(dated_by="map", after=date(2026, 7, 24)), RISE], "1 price was seen to fall and 1 to rise in the last 30 days"),
        ([news(dated_by="map", after=date(2026, 11, 1)), RISE], "1 price fell and 1 rose in the last 30 days"),
        ([replace(RISE, dated_by="map")] * 2, "2 prices were seen to rise in the last 30 days"),
    ],
)
def test_the_headline_counts_and_claims_no_day_that_nobody_knows(told: list[PriceNews], said: str) -> None:
    assert headline_text(told, 30, SINCE) == said


def test_what_is_announced_is_told_apart() -> None:
    assert coming_text([]) == ""
    assert coming_text([news("announced")]) == "1 price is announced"
    assert coming_text([news("announced"), news("deprecation"), news("deprecation")]) == "1 price and 2 ends are announced"


def test_two_offers_of_one_seller_are_told_apart() -> None:
    rows = rows_of([news(), news(id="n2", offer_id="acme/eu/m-1"), news(id="n3", model_name="M 2", offer_id="acme/m-2")])
    assert [row.where for row in rows] == ["at Acme as acme/m-1", "at Acme as acme/eu/m-1", "at Acme"]


def test_a_day_has_its_heading_once_and_the_best_known_first() -> None:
    older = news(id="n3", day=date(2026, 11, 19), model_id="famous")
    rows = rows_of(best_known_first([older, RISE, news(model_id="famous")], lambda one: 9 if one.model_id == "famous" else 1))
    assert [(row.id, row.heading) for row in rows] == [("n1", "Friday, 20 November 2026"), ("n2", ""), ("n3", "Thursday, 19 November 2026")]


def test_the_tape_has_a_few_of_each_kind_of_known_models_and_no_trifles() -> None:
    soon = date(2026, 12, 1)
    told = [
        *[news(id=f"cut{number}", model_id=f"cut{number}") for number in range(4)],
        news(id="again", model_id="cut0", now=2 * 10**9),
        news(id="trifle", model_id="trifle", was=1_000, now=1_001),
        news("deprecation", id="ended", model_id="ended"),
        news("deprecation", id="ends", model_id="ends", day=soon),
        news("announced", id="dearer", model_id="dearer", day=soon, now=2 * 10**9),
        news("arrival", id="new", model_id="new"),
    ]
    shown = chosen(told, TODAY, lambda one: {"cut3": 5, "cut0": 4}.get(one.model_id, 1))
    assert [one.id for one in shown] == ["cut3", "cut1", "again", "new", "dearer", "ends"]
    assert [entry(one).text for one in shown] == [
        "in ▼ 50\u00a0%",
        "in ▼ 50\u00a0%",
        "in ▲ 100\u00a0%",
        "new",
        "from 1 Dec ▲ 100\u00a0%",
        "ends 1 Dec",
    ]
    assert entry(shown[0]).href == "/models/cut3"


# Against the catalog ---------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, catalog_file: Path) -> AsyncIterator[Runtime]:
    home = tmp_path_factory.mktemp("changes")
    shutil.copy(catalog_file, home / "bourse.db")
    clock = FixedClock(datetime(2026, 11, 21, 12, tzinfo=UTC))
    async with open_runtime(load_settings({"BOURSE_DATA_DIR": str(home)}), clock=clock) as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_shows_what_its_address_asks_for_and_filters_go_into_it(running: Runtime) -> None:
    state = at(ChangesState, "/changes?days=365&kind=cut")
    await call(state, "load")
    assert state.stage == "open"
    assert len(state.rows) == PAGE_ROWS
    assert state.pages > 1
    assert all(row.word[0] == "▼" for row in state.rows)
    assert "fall" in state.headline or "fell" in state.headline
    counts = {one.value: int(one.count.replace(",", "")) for one in state.kinds}
    assert counts["cut"] > PAGE_ROWS
    assert min(counts["end"], counts["offer"], counts["rise"]) > 0
    assert all("▼" in row.word for row in state.coming)
    await call(state, "turn_page", by=1)
    assert (state.page, state.address) == (2, "?days=365&kind=cut&page=2")
    await call(state, "find", text="gemini")
    assert state.rows
    assert state.page == 1
    assert all("gemini" in f"{row.model} {row.href} {row.where}".lower() for row in state.rows)
    await call(state, "toggle", kind="cut")
    assert state.address == "?days=365&kind=cut&q=gemini", "the last kind stays"
    await call(state, "toggle", kind="end")
    await call(state, "look_back", days="90")
    assert state.address == "?days=90&kind=cut,end&q=gemini"
    assert state.feed == "/pricing/changes.atom?kind=deprecation,price&q=gemini"
    assert sent(state) < 32_000
    listed, left = len(state.coming), state.coming_left
    await call(state, "show_more_coming")
    assert len(state.coming) + state.coming_left == listed + left
    assert len(state.coming) >= min(listed + left, listed + 1)
    await call(state, "look_back", days="31")
    assert state.period == "90"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_year_is_counted_whole(running: Runtime) -> None:
    page = at(ChangesState, "/changes?days=365")
    await call(page, "load")
    told: Counter[str] = Counter()
    cursor = None
    while True:
        part = await running.pricing.changes(first_day(running.clock.now().date(), 365), service_kinds(KINDS), 200, cursor)
        told.update(map(kind_of, part.items))
        cursor = part.next_cursor
        if cursor is None:
            break
    assert told.total() > 5_000, "or a limit would not be seen"
    assert {one.value: one.count for one in page.kinds} == {kind: f"{told[kind]:,}" for kind in KINDS}
    assert page.headline.startswith(f"{told['cut']:,} prices were seen to fall and {told['rise']:,} to rise in the last year; ")


async def test_the_tape_names_what_is_known_of_the_week(running: Runtime) -> None:
    state = at(TapeState, "/")
    await call(state, "load")
    assert state.title in ("Seen this week", "Changed this week", "Seen lately", "Changed lately")
    assert 1 <= len(state.entries) <= 6
    assert all(running.catalog.summary(one.href.removeprefix("/models/")) is not None for one in state.entries)
