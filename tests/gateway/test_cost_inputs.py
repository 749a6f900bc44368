"""Everything that decides what a call costs, over the gateway: odd caps, odd counts, and a price that changes while the call runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from backend.pricing.cost import PriceCard, PriceLine
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, _whole, chunk, completion, events, whole
from tests.gateway.conftest import Rig, open_gateway
from tests.gateway.errors import assert_error

KEY = "sk-till.local-only"
ASK = {"model": "catalog", "messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 10}
USED = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
MILLION = 1_000_000

pytestmark = pytest.mark.case("B9")


def card(version: str, nano_per_input: int, nano_per_output: int) -> PriceCard:
    """Prices in nano-dollars per token; the ids of the rows name the version."""
    lines = (("input", nano_per_input), ("output", nano_per_output))
    return PriceCard("acme/gpt-4o", "priced", tuple(PriceLine(f"{name}:{version}", name, "token", nano * MILLION) for name, nano in lines))


OLD, NEW = card("old", 1_000, 8_000), card("new", 3_000, 70_000)


@pytest.fixture
async def shop(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream) -> AsyncIterator[Rig]:
    budget = {"limit_usd": 10, "window": "calendar_month"}
    settings = {
        "providers": {"acme": {"protocol": "openai", "base_url": upstream.base_url}},
        "models": [{"alias": "catalog", "candidates": [{"provider": "acme", "model": "gpt-4o"}]}],
        "bootstrap": {
            "tenants": [{"slug": "shop", "name": "Shop"}],
            "api_keys": [{"tenant": "shop", "name": "till", "key": KEY, "budget": budget}],
        },
    }
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        rig.runtime.prices._cards["acme/gpt-4o"] = OLD
        yield rig


async def reserved(rig: Rig) -> int:
    return max((part.reserved for part in rig.runtime.keeper._books.slices.values()), default=0)


NOT_MEANT = ("0", "-1", "1e18", "1000000000000000000", "NaN", "Infinity", "1.5", '"10"', "true", "[10]")


async def test_a_number_that_cannot_be_meant_is_a_400_and_costs_nothing(shop: Rig, upstream: OpenAIUpstream) -> None:
    for field in ("max_tokens", "max_completion_tokens", "n", "best_of"):
        for value in NOT_MEANT:
            body = f'{{"model": "catalog", "messages": [{{"role": "user", "content": "hi"}}], "{field}": {value}}}'
            answer = await shop.post(body.encode(), key=KEY, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error"), (field, value)
    rows = await shop.rows()
    assert {(row["outcome"], row["charged_nano"]) for row in rows} == {("refused", 0)}
    assert len(rows) == 4 * len(NOT_MEANT)
    assert await reserved(shop) == 0
    assert not upstream.requests


async def test_all_choices_are_reserved_while_the_call_runs(shop: Rig, upstream: OpenAIUpstream) -> None:
    gate = asyncio.Event()
    many = {**USED, "completion_tokens": 1280, "total_tokens": 1380}
    upstream.script(_held(gate, completion("word", usage=many)))
    for extra, choices in (({"n": 128}, 128), ({"n": 2, "best_of": 128}, 128), ({"n": None, "max_tokens": 1280}, 1)):
        gate.clear()
        asked = len(upstream.requests)
        running = asyncio.create_task(shop.post({**ASK, **extra}, key=KEY))
        while len(upstream.requests) == asked:
            await asyncio.sleep(0.01)
        tokens = choices * (1280 if choices == 1 else 10)
        assert tokens == 1280
        assert await reserved(shop) >= tokens * 8_000
        gate.set()
        assert (await running).status_code == 200
        row = await shop.last_row()
        assert (row["charged_nano"], row["overrun"]) == (100 * 1_000 + 1280 * 8_000, 0)
        assert await reserved(shop) == 0


def _held(gate: asyncio.Event, body: Any) -> Any:
    async def step(exchange: Exchange) -> None:
        await gate.wait()
        await _whole(exchange, 200, body)

    return step


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_price_that_changes_while_a_call_runs_changes_nothing_for_it(shop: Rig, upstream: OpenAIUpstream, stream: bool) -> None:
    """The rows that the ledger names and the amount that it has belong together, and to what was reserved."""
    gate = asyncio.Event()

    async def held(exchange: Exchange) -> None:
        await gate.wait()
        if stream:
            await events(chunk({"content": "word"}), chunk({}, "stop"), chunk(None, usage=USED), end="done")(exchange)
        else:
            await _whole(exchange, 200, completion("word", usage=USED))

    upstream.script(held)
    running = asyncio.create_task(shop.post({**ASK, "stream": stream}, key=KEY))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    shop.runtime.prices._cards["acme/gpt-4o"] = NEW
    gate.set()
    assert (await running).status_code == 200
    assert (await shop.post({**ASK, "stream": stream}, key=KEY)).status_code == 200
    rows = await shop.rows()
    assert [(row["price_ids"], row["charged_nano"], row["overrun"]) for row in rows] == [
        ('["input:old","output:old"]', 100 * 1_000 + 10 * 8_000, 0),
        ('["input:new","output:new"]', 100 * 3_000 + 10 * 70_000, 0),
    ]


NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
COUNTS: dict[str, tuple[Any, int | None]] = {
    # what the provider says that was used, and the charge; None where it is estimated
    "as it should be": (USED, 100 * 1_000 + 10 * 8_000),
    "explicitly nothing": (NOTHING, 0),
    "no output": ({"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}, 100 * 1_000),
    "without a total": ({"prompt_tokens": 100, "completion_tokens": 10}, 100 * 1_000 + 10 * 8_000),
    "only a prompt and a total": ({"prompt_tokens": 100, "total_tokens": 110}, 100 * 1_000 + 10 * 8_000),
    "a total below its parts": ({**USED, "total_tokens": 7}, 100 * 1_000 + 10 * 8_000),
    "details beyond the whole": ({**USED, "prompt_tokens_details": {"cached_tokens": 5_000}}, 100 * 1_000 + 10 * 8_000),
    "below zero": ({**USED, "completion_tokens": -5}, 100 * 1_000 + 10 * 8_000),
    "missing": (None, None),
    "empty": ({}, None),
    "no numbers": ({"prompt_tokens": "many", "completion_tokens": None}, None),
    "beyond all measure": ({"prompt_tokens": 10**18, "completion_tokens": 10**18, "total_tokens": 2 * 10**18}, None),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_a_provider_counts_is_charged_and_what_it_does_not_count_is_estimated(
    shop: Rig, upstream: OpenAIUpstream, stream: bool
) -> None:
    spent = 0
    for name, (usage, charge) in COUNTS.items():
        if stream:
            last = [] if usage is None else [chunk(None, usage=usage)]
            upstream.script(events(chunk({"content": "two words"}), chunk({}, "stop"), *last, end="done"))
        else:
            upstream.script(whole(completion("two words", usage=usage)))
        assert (await shop.post({**ASK, "stream": stream}, key=KEY)).status_code == 200
        row = await shop.last_row()
        spent += row["charged_nano"]
        assert row["overrun"] == 0, name
        if charge is None:
            assert row["usage_source"] == "estimated", name
            assert 0 < row["output_tokens"] <= 10, name
            assert row["charged_nano"] == row["input_tokens"] * 1_000 + row["output_tokens"] * 8_000, name
        else:
            assert (row["usage_source"], row["charged_nano"]) == ("provider", charge), name
    assert await reserved(shop) == 0
    async with shop.runtime.db.read() as session:
        days = await session.scalar(
            sa.text("SELECT sum(spent_nano) FROM budget_day WHERE budget_id IN (SELECT id FROM budget WHERE scope = 'key')")
        )
    assert days == spent


async def test_a_picture_sound_and_tools_are_in_the_reservation(shop: Rig, upstream: OpenAIUpstream) -> None:
    """Each makes the prompt's bound larger; sound without a price for it is refused instead of guessed."""
    gate = asyncio.Event()
    upstream.script(_held(gate, completion("word", usage=USED)))
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}}
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 2_000, "parameters": {"type": "object"}}}]
    plain = [{"type": "text", "text": "hi"}]
    held = []
    for extra in ({}, {"messages": [{"role": "user", "content": [*plain, picture]}]}, {"tools": tools}):
        asked = len(upstream.requests)
        running = asyncio.create_task(shop.post({**ASK, **extra}, key=KEY))
        while len(upstream.requests) == asked:
            await asyncio.sleep(0.01)
        held.append(await reserved(shop))
        gate.set()
        assert (await running).status_code == 200
        gate.clear()
    words, seen, told = held
    assert seen > words + 500 * 1_000
    assert told > words + 400 * 1_000
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    answer = await shop.post({**ASK, "messages": [{"role": "user", "content": [*plain, sound]}]}, key=KEY)
    assert_error(answer, 403, "insufficient_quota", "price_unknown", "model")
