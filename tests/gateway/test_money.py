"""Budgets over the gateway: real sockets, a fake upstream that counts, a ledger in SQLite. Amounts in nano-dollars."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai
import pytest
import sqlalchemy as sa
import yaml

from tests.fakes.openai_upstream import (
    WORDS,
    Exchange,
    OpenAIUpstream,
    _whole,
    answer,
    canonical_chunks,
    completion,
    events,
    hang,
    reset,
    sse,
    status,
)
from tests.gateway.conftest import Rig, open_gateway
from tests.gateway.errors import assert_error

TILL, POOR, SHORT = "sk-till.local-only", "sk-poor.local-only", "sk-short.local-only"
CALL = 10_000_000
"""Ten tokens of answer at $1,000 per million; prompts are free."""
TEN = {"model": "dear", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
UNLIMITED = {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}


def configuration(upstream: str, other: str, **budget: Any) -> dict[str, Any]:
    def key(text: str, limit_usd: float) -> dict[str, Any]:
        budget = {"limit_usd": limit_usd, "window": "calendar_month"}
        return {"tenant": "shop", "name": text[3:7], "key": text, "budget": budget, "rate_limit": UNLIMITED}

    dear = {"provider": "acme", "model": "gpt-fake", "price": {"input": 0, "output": 1000}}
    cheap = {"provider": "backup", "model": "gpt-other", "price": {"input": 0, "output": 100}}
    # Breakers have tests of their own; here failures in a row depend on which of many calls is answered first.
    routes: list[dict[str, Any]] = [
        {"alias": "dear", "strategy": "ordered", "candidates": [dear]},
        {"alias": "either", "strategy": "ordered", "candidates": [dear, cheap]},
        {"alias": "capped", "strategy": "ordered", "candidates": [dear], "max_output_tokens": 900},
        {"alias": "thinker", "candidates": [{**dear, "model": "openai/o3-mini"}], "max_output_tokens": 300},
        {"alias": "unpriced", "strategy": "ordered", "candidates": [{"provider": "acme", "model": "gpt-fake"}]},
        {"alias": "free", "candidates": [{"provider": "acme", "model": "gpt-fake", "price": {"input": 0, "output": 0}}]},
    ]
    return {
        "providers": {
            "acme": {"protocol": "openai", "base_url": upstream},
            "backup": {"protocol": "openai", "base_url": other},
        },
        "models": [{**route, "breaker": {"failures": 1000}} for route in routes],
        "budgets": {"default": {"limit_usd": 1000, **budget}},
        "bootstrap": {
            "tenants": [{"slug": "shop", "name": "Shop"}],
            "api_keys": [key(TILL, 1), key(POOR, 0.005), key(SHORT, 0.5)],
        },
    }


async def honours_the_cap(exchange: Exchange) -> None:
    """As many tokens as were asked for, prompt 5."""
    made = exchange.seen.body["max_tokens"] * exchange.seen.body.get("n", 1)
    await _whole(exchange, 200, completion("word", usage={"prompt_tokens": 5, "completion_tokens": made, "total_tokens": made + 5}))


@pytest.fixture
async def shop(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream) -> AsyncIterator[Rig]:
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration(upstream.base_url, other.base_url)))
    upstream.script(honours_the_cap)
    other.script(honours_the_cap)
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


async def held(rig: Rig) -> list[int]:
    """What calls still hold: reserved in each slice of this process."""
    return [part.reserved for part in rig.runtime.keeper._books.slices.values()]


async def leases(rig: Rig) -> int:
    """How many slices of budgets were ever taken for a call."""
    async with rig.runtime.db.read() as session:
        return int(await session.scalar(sa.text("SELECT count(*) FROM budget_lease")) or 0)


async def in_the_database(rig: Rig) -> tuple[int, int]:
    """What the key's budget says is spent, and the ledger's sum over its calls."""
    await rig.runtime.metering.flush()
    async with rig.runtime.db.read() as session:
        spent = await session.scalar(
            sa.text("SELECT coalesce(sum(spent_nano), 0) FROM budget_day WHERE budget_id IN (SELECT id FROM budget WHERE scope = 'key')")
        )
        charged = await session.scalar(sa.text("SELECT coalesce(sum(charged_nano), 0) FROM call"))
    return int(spent or 0), int(charged or 0)


@pytest.mark.case("B1")
async def test_of_500_calls_at_once_exactly_100_fit_into_the_budget(shop: Rig, upstream: OpenAIUpstream) -> None:
    async def call(session: aiohttp.ClientSession) -> tuple[int, Mapping[str, str], Any]:
        async with session.post(f"{shop.url}/v1/chat/completions", json=TEN, headers={"authorization": f"Bearer {TILL}"}) as response:
            return response.status, response.headers, await response.json()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        answers = await asyncio.gather(*(call(session) for _ in range(500)))
    assert sorted({code for code, _, _ in answers}) == [200, 403]
    assert sum(code == 200 for code, _, _ in answers) == len(upstream.requests) == 100
    _, headers, body = next(answer for answer in answers if answer[0] == 403)
    assert (body["error"]["type"], body["error"]["code"]) == ("insufficient_quota", "budget_exceeded")
    assert (headers["x-should-retry"], headers["x-budget-exceeded"]) == ("false", "true")
    assert await in_the_database(shop) == (100 * CALL, 100 * CALL)
    assert not any(await held(shop))
    outcomes = [row["outcome"] for row in await shop.rows()]
    assert (outcomes.count("completed"), outcomes.count("refused")) == (100, 400)


async def test_the_headers_of_an_answer_say_how_the_tightest_budget_stands(shop: Rig) -> None:
    first = await shop.post(TEN, key=TILL)
    second = await shop.post(TEN, key=TILL)
    assert float(first.headers["x-budget-limit"]) == 1
    assert [float(answer.headers["x-budget-used"]) for answer in (first, second)] == [0.01, 0.02]
    assert float(second.headers["x-budget-remaining"]) == 0.98
    assert (second.headers["x-budget-warning"], second.headers["x-budget-exceeded"]) == ("false", "false")
    assert second.headers["x-budget-scope"] == "key"
    ends = datetime.fromisoformat(second.headers["x-budget-resets-at"])
    assert (ends.day, ends.hour, ends.utcoffset()) == (1, 0, timedelta(0))
    assert ends > datetime.now(UTC)
    stream = await shop.post({**TEN, "stream": True}, key=TILL)
    assert "x-budget-limit" in stream.headers
    refused = await shop.post({**TEN, "messages": []}, key=TILL)
    assert refused.headers["x-budget-limit"] == first.headers["x-budget-limit"]


@pytest.mark.case("L7")
async def test_the_sdk_tries_once_when_the_budget_refuses(shop: Rig, upstream: OpenAIUpstream) -> None:
    tries: list[httpx.Request] = []

    async def count(request: httpx.Request) -> None:
        tries.append(request)

    async with httpx.AsyncClient(event_hooks={"request": [count]}, timeout=60) as http:
        client = openai.AsyncOpenAI(base_url=f"{shop.url}/v1", api_key=POOR, http_client=http)
        assert client.max_retries == 2
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await client.chat.completions.create(model="dear", messages=[{"role": "user", "content": "hi"}], max_tokens=10)
    assert (refused.value.code, refused.value.type) == ("budget_exceeded", "insufficient_quota")
    assert len(tries) == 1
    assert not upstream.requests


# ── what is reserved and what is sent ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("B9")
async def test_every_choice_is_reserved(shop: Rig, upstream: OpenAIUpstream) -> None:
    assert (await shop.post({**TEN, "n": 100}, key=TILL)).status_code == 200
    assert_error(await shop.post({**TEN, "n": 101}, key=SHORT), 403, "insufficient_quota", "budget_exceeded")
    assert (await in_the_database(shop))[0] == 100 * CALL
    assert len(upstream.requests) == 1


async def test_a_cap_that_the_caller_named_goes_upstream_as_it_is(shop: Rig, upstream: OpenAIUpstream) -> None:
    await shop.post({**TEN, "max_tokens": 7}, key=TILL)
    assert upstream.requests[0].body["max_tokens"] == 7


async def test_a_model_that_thinks_gets_our_cap_under_the_name_that_it_knows(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(answer())
    body = {"model": "thinker", "messages": TEN["messages"], "max_tokens": None}
    assert (await shop.post(body, key=TILL)).status_code == 200
    sent = upstream.requests[0].body
    assert (sent["max_completion_tokens"], "max_tokens" in sent) == (300, False)


async def test_without_a_cap_the_routes_is_sent_and_lowered_near_the_end_to_no_less_than_256(shop: Rig, upstream: OpenAIUpstream) -> None:
    uncapped = {"model": "capped", "messages": TEN["messages"]}
    first = await shop.post(uncapped, key=TILL)
    assert upstream.requests[0].body["max_tokens"] == 900
    assert "x-bourse-max-output-lowered" not in first.headers
    second = await shop.post(uncapped, key=TILL)
    assert_error(second, 403, "insufficient_quota", "budget_exceeded")
    short = await shop.post(uncapped, key=SHORT)
    assert short.status_code == 200
    assert short.headers["x-bourse-max-output-lowered"] == str(upstream.requests[1].body["max_tokens"]) == "500"
    named = await shop.post({**uncapped, "max_tokens": 900}, key=SHORT)
    assert_error(named, 403, "insufficient_quota", "budget_exceeded")


async def test_a_dear_candidate_is_dropped_before_a_call_is_refused(shop: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    answer = await shop.post({**TEN, "model": "either"}, key=POOR)
    assert answer.headers["x-bourse-provider"] == "backup"
    assert not upstream.requests
    assert other.requests[0].body["max_tokens"] == 10
    assert not any(await held(shop))


@pytest.mark.case("B9")
async def test_an_unknown_price_is_refused_and_a_free_one_needs_no_budget(shop: Rig, upstream: OpenAIUpstream) -> None:
    response = await shop.post({**TEN, "model": "unpriced"}, key=TILL)
    assert_error(response, 403, "insufficient_quota", "price_unknown", "model")
    assert response.headers["x-should-retry"] == "false"
    assert not upstream.requests
    assert (await shop.post({**TEN, "model": "free", "max_tokens": 10**9}, key=POOR)).status_code == 200


@pytest.mark.case("B9")
async def test_an_unknown_price_costs_the_operators_fallback(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream) -> None:
    fallback = {"input": 2, "output": 10}
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration(upstream.base_url, upstream.base_url, on_unknown_price=fallback)))
    upstream.script(honours_the_cap)
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        assert (await rig.post({**TEN, "model": "unpriced"}, key=TILL)).status_code == 200
        row = await rig.last_row()
    assert (row["charged_nano"], row["price_state"]) == (5 * 2000 + 10 * 10_000, "priced")
    assert "fallback:output" in row["price_ids"]


# ── the upstream goes beyond its cap ─────────────────────────────────────────────────────────────────────────────────


def words(count: int) -> list[dict[str, Any]]:
    """Events of a stream that says so many words, finishes, and tells its usage."""
    first, *_, finish, usage = canonical_chunks()
    spoken = [{**first, "choices": [{"index": 0, "delta": {"content": f"{WORDS[1]}"}, "finish_reason": None}]} for _ in range(count)]
    return [first, *spoken, finish, {**usage, "usage": {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": count + 5}}]


@pytest.mark.case("B4")
@pytest.mark.parametrize("at_once", [False, True], ids=["chunk by chunk", "in one piece"])
async def test_a_stream_is_cut_at_its_cap_and_marked(shop: Rig, upstream: OpenAIUpstream, at_once: bool) -> None:
    said = words(30)
    upstream.script(events(b"".join(sse(value) for value in said), end="done") if at_once else events(*said, end="hang"))
    async with asyncio.timeout(30):
        response = await shop.post({**TEN, "stream": True}, key=TILL)
    assert response.text.count(WORDS[1]) == 10
    assert response.text.count('"finish_reason":"length"') == 1
    assert response.text.endswith("data: [DONE]\n\n")
    row = await shop.last_row()
    assert (row["outcome"], row["overrun"], row["charged_nano"]) == ("completed", 1, CALL)
    assert not any(await held(shop))


async def test_a_stream_that_keeps_to_its_cap_is_not_cut(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*words(10), end="done"))
    response = await shop.post({**TEN, "stream": True}, key=TILL)
    assert '"finish_reason":"length"' not in response.text
    row = await shop.last_row()
    assert (row["overrun"], row["usage_source"], row["charged_nano"]) == (0, "provider", CALL)


@pytest.mark.case("B4")
async def test_a_whole_answer_beyond_its_cap_is_charged_and_marked(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(lambda exchange: _whole(exchange, 200, completion("x", usage={"prompt_tokens": 5, "completion_tokens": 30})))
    assert (await shop.post(TEN, key=TILL)).status_code == 200
    row = await shop.last_row()
    assert (row["overrun"], row["charged_nano"]) == (1, 3 * CALL)
    assert await in_the_database(shop) == (3 * CALL, 3 * CALL)


# ── whatever happens, nothing stays reserved ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("step", [status(500), status(429), status(400), reset()], ids=["500", "429", "400", "reset"])
async def test_a_failed_call_costs_nothing_and_holds_nothing(shop: Rig, upstream: OpenAIUpstream, step: Any, stream: bool) -> None:
    upstream.script(step)
    assert (await shop.post({**TEN, "stream": stream}, key=TILL)).status_code >= 400
    assert not any(await held(shop))
    assert await in_the_database(shop) == (0, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_hang_up_holds_nothing(shop: Rig, upstream: OpenAIUpstream, stream: bool) -> None:
    upstream.script(events(*words(3)[:3], end="hang") if stream else hang())
    caller = asyncio.create_task(shop.post({**TEN, "stream": stream}, key=TILL))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    caller.cancel()
    row = await shop.last_row("client_closed")
    assert not any(await held(shop))
    assert await in_the_database(shop) == (row["charged_nano"], row["charged_nano"])


async def test_a_mistake_of_ours_holds_nothing(shop: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr("backend.gateway.bill.cost_of_call", broken)
    assert (await shop.post(TEN, key=TILL)).status_code == 500
    assert not any(await held(shop))


@pytest.mark.case("B3")
async def test_among_failures_and_hang_ups_the_budget_equals_the_ledger_and_nothing_is_left(shop: Rig, upstream: OpenAIUpstream) -> None:
    """Less is used than was reserved, a third of the calls goes wrong in every way, and then the rest of the budget is still there."""

    def using(tokens: int) -> Any:
        usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": tokens + 5}
        return lambda exchange: _whole(exchange, 200, completion("word", usage=usage))

    steps: list[Any] = []
    for number in range(90):
        steps.append((status(500), reset(), hang())[number // 3 % 3] if number % 3 == 0 else using(number % 10 + 1))
    upstream.script(*steps, honours_the_cap)

    async def call(patience: float = 3) -> int:
        try:
            return (await shop.post(TEN, key=TILL, timeout=patience)).status_code
        except httpx.ReadTimeout:
            return 499

    await asyncio.gather(*(call() for _ in range(90)))
    while any(await held(shop)):
        await asyncio.sleep(0.02)
    spent, charged = await in_the_database(shop)
    assert spent == charged <= 100 * CALL
    places = (100 * CALL - spent) // CALL
    upstream.script(honours_the_cap)
    drained = [await call(30) for _ in range(places + 1)]
    assert drained == [200] * places + [403]
    spent, charged = await in_the_database(shop)
    assert spent == charged > 99 * CALL
