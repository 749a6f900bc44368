"""The page that prices a prompt against the whole catalog: costs, tokens that light up, and an address without the text."""

import json
from itertools import pairwise

import pytest

from backend.prompt_prices.schemas import PromptToPrice
from backend.runtime import Runtime
from state.prompt_address import EXAMPLES
from state.prompt_price import MOST_LIT, PromptPriceState
from state.prompt_rows import headline
from tests.state.test_store import at, call, running, sent  # noqa: F401 - `running` is a fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXT = "Tell Zoë's secret: 4711, and don't \"quote\" it."


def dollars(text: str) -> float:
    return float(text.removeprefix("$").replace(",", ""))


async def test_a_text_is_priced_lit_up_and_never_in_the_address(running: Runtime) -> None:  # noqa: F811
    page = at(PromptPriceState, "/price")
    await call(page, "load")
    assert (page.stage, page.rows, page.held) == ("empty", [], False)
    await call(page, "price", text=TEXT)
    assert page.stage == "priced"
    assert page.headline.startswith("This prompt costs from $0.0")
    assert f" on {page.rows[0].name} to $" in page.headline
    assert page.headline.endswith(" tokens")
    assert "an answer of 500 tokens, which is an assumption." in page.about
    assert "without a price" in page.about
    assert len(page.rows) == 10
    totals = [dollars(row.total) for row in page.rows]
    assert totals == sorted(totals)
    assert all(0 <= row.left <= row.at <= row.right <= 1000 for row in page.rows)
    assert "".join(page.pieces) == TEXT
    assert "counted with its own vocabulary" in page.read_as
    assert len({one.count for one in page.cuts}) > 5, "the same text is different tokens"
    assert (page.address, sent(page) < 32_000) == ("", True)


async def test_another_model_cuts_the_same_text_otherwise(running: Runtime) -> None:  # noqa: F811
    page = at(PromptPriceState, "/price?example=japanese")
    await call(page, "load")
    new = list(page.pieces)
    await call(page, "choose", what="cut", value="gpt-4")
    assert "".join(page.pieces) == "".join(new) == EXAMPLES["japanese"][1]
    assert len(page.pieces) > len(new), "the older vocabulary knows less Japanese"
    await call(page, "choose", what="cut", value="claude-opus-4-8")
    assert "Shown are the pieces of o200k_base" in page.read_as
    assert [one.id for one in page.cuts if one.chosen] == ["claude-opus-4-8"]
    await call(page, "choose", what="cut", value="no-such-model")
    assert page.pieces == new
    assert page.address == "?example=japanese"


async def test_how_it_is_priced_is_in_the_address_and_comes_back(running: Runtime) -> None:  # noqa: F811
    page = at(PromptPriceState, "/price?example=code")
    await call(page, "load")
    one = {row.id: dollars(row.total) for row in page.rows}
    await call(page, "choose", what="calls", value="1000")
    assert {row.id: dollars(row.total) for row in page.rows} == pytest.approx({id: cost * 1000 for id, cost in one.items()}, rel=0.01)
    assert page.headline.startswith("1,000 such calls cost from $")
    await call(page, "choose", what="output", value="2,000")
    assert "answer of 2,000 tokens." in page.about
    await call(page, "tick", what="needs", value="tools")
    await call(page, "tick", what="tiers", value="batch")
    await call(page, "choose", what="sort", value="value")
    await call(page, "choose", what="rows", value="25")
    assert len(page.rows) == 25
    worth = [row.low / dollars(row.total) for row in page.rows if row.measured and not row.too_long]
    assert len(worth) == 25
    assert all(first > second * 0.9 for first, second in pairwise(worth)), "rounded figures, in order"
    assert page.address == "?output=2000&needs=tools&tiers=batch&sort=value&calls=1000&rows=25&example=code"
    again = at(PromptPriceState, "/price" + page.address)
    await call(again, "load")
    assert (again.rows, again.headline, again.pieces, again.address) == (page.rows, page.headline, page.pieces, page.address)
    await call(again, "price", text=TEXT)
    assert "example" not in again.address


async def test_the_api_gives_the_same_rows_for_the_line_that_is_shown(running: Runtime) -> None:  # noqa: F811
    page = at(PromptPriceState, "/price?needs=image&task=code")
    await call(page, "load")
    await call(page, "price", text=TEXT)
    (sample,) = page.sample
    assert sample["code"].startswith("curl {origin}/api/get_best_price_for_prompt")
    body = json.loads(sample["code"].partition("-d '")[2][:-1].replace("'\\''", "'"))
    assert body == {"prompt": TEXT, "task": "code", "modality": ["image"], "limit": 10}
    answer = await running.prompt_prices.price(PromptToPrice(**body))
    assert [row.model_name for row in answer.data] == [row.id for row in page.rows]


async def test_a_long_text_is_shown_in_part_and_sent_back_in_none(running: Runtime) -> None:  # noqa: F811
    page = at(PromptPriceState, "/price")
    await call(page, "load")
    await call(page, "price", text="one two three " * 6_000)
    assert len(page.pieces) == MOST_LIT
    assert "more follow" in page.more_pieces
    assert "your prompt here" in page.sample[0]["code"]
    assert "cannot hold it and come last" in page.about
    assert sent(page) < 40_000
    await call(page, "price", text="half a sign \ud83d")
    assert page.stage == "priced"
    assert page.pieces[-1] == " \ufffd"
    await call(page, "price", text="  \n")
    assert (page.stage, page.rows, page.pieces) == ("empty", [], [])


async def test_nothing_left_is_said(running: Runtime) -> None:  # noqa: F811
    page = at(PromptPriceState, "/price?output=10000000&example=question")
    await call(page, "load")
    assert {row.fits for row in page.rows if not row.too_long} == {"not stated"}
    nowhere = await running.prompt_prices.price(PromptToPrice(prompt=TEXT, output_tokens=10_000_000, model_names=["gpt-4o"]))
    assert headline(nowhere, 1) == "No model that is left holds this prompt"
    unpriced = await running.prompt_prices.price(PromptToPrice(prompt=TEXT, modality=["embedding"]))
    assert headline(unpriced, 1) == "No model is left that has a price for this prompt"


async def test_what_is_no_choice_changes_nothing(running: Runtime) -> None:  # noqa: F811
    page = at(PromptPriceState, "/price?example=question")
    await call(page, "load")
    before = page.rows
    await call(page, "choose", what="no such thing", value="x")
    await call(page, "tick", what="no such thing", value="x")
    await call(page, "take_example", example="no such example")
    assert (page.stage, page.rows) == ("priced", before)


@pytest.mark.parametrize("text", ["\x1c", "\x85", " ", "\n"])
async def test_a_text_that_says_nothing_is_held_too_or_the_browser_would_send_it_for_ever(running: Runtime, text: str) -> None:  # noqa: F811
    """What is blank is another question to a browser than to us: U+001C is, here alone."""
    page = at(PromptPriceState, "/price")
    await call(page, "price", text=text)
    assert (page.stage, page.held) == ("empty", True)
