"""What a broken answer costs whom, and what happens while others are asked to go on with it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.audit.service import AuditService
from backend.gateway.settle import Settler
from backend.gateway.watch import Watch
from backend.identity.principal import system
from backend.metering.reconcile.service import ReconcileService
from backend.metering.record import ATTEMPT_FIELDS, CALL_FIELDS
from backend.metering.replay import Replay
from tests.fakes.openai_upstream import TEXT, WORDS, Exchange, OpenAIUpstream, Step, chunk, events, hang, sse, status, whole
from tests.gateway.conftest import PLAIN, Rig
from tests.gateway.recovery.conftest import BEARER, HALF, PROMPT, attempts_of, cut, goes_on, repeats, said
from tests.gateway.test_streams import content

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.case("B10")
@pytest.mark.parametrize("by", ["repeat", "prefill"])
async def test_two_that_die_and_a_third_that_finishes_are_one_answer_and_three_bills(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, third: OpenAIUpstream, by: str, tmp_path: Path
) -> None:
    upstream.script(cut(WORDS[:3]))
    other.script(cut(WORDS[:6]) if by == "repeat" else goes_on(WORDS[3:6], finish=None, end="reset"))
    third.script(repeats() if by == "repeat" else goes_on())
    _, values = await gateway.events(model="three" if by == "repeat" else "three-declared")
    assert content(values) == TEXT
    row = await gateway.last_row()
    whole_answer = len(WORDS)
    assert row["charged_nano"] == PROMPT * 3000 + whole_answer * 6000
    costs = [attempt["provider_cost_nano"] for attempt in await attempts_of(gateway, row["id"])]
    # The second continuation broke before it was clear that it is one: nothing of it was shown, and the third begins where it did.
    put_in, made = ((PROMPT,) * 3, (3, 6, whole_answer)) if by == "repeat" else ((PROMPT, PROMPT + 3, PROMPT + 3), (3, 3, whole_answer - 3))
    rates = ((1000, 2000), (10_000, 20_000), (3000, 6000))
    assert costs == [rate[0] * sent + rate[1] * said for rate, sent, said in zip(rates, put_in, made, strict=True)]
    assert row["provider_cost_nano"] == sum(costs)
    runtime = gateway.runtime
    found = await ReconcileService(runtime.db, runtime.clock, AuditService(runtime.clock), tmp_path).run(system("test"))
    assert found.differences == ()


# ── meanwhile ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def hang_up_when(gateway: Rig, is_time: Callable[[], bool], **body: Any) -> None:
    async with gateway.http.stream("POST", "/v1/chat/completions", json={**PLAIN, "stream": True, **body}, headers=BEARER) as response:
        assert response.status_code == 200
        async with asyncio.timeout(30):
            while not is_time():
                await asyncio.sleep(0.01)


@pytest.mark.case("C1")
@pytest.mark.parametrize("has_begun", [False, True], ids=["nobody has answered", "it has not caught up"])
async def test_a_hang_up_while_others_are_asked_closes_them_and_is_charged_what_was_delivered(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, has_begun: bool
) -> None:
    upstream.script(cut())
    other.script(cut(WORDS[:2], end="hang") if has_begun else events(end="hang"))
    await hang_up_when(gateway, lambda: bool(other.requests), model="patient")
    await asyncio.wait_for(other.requests[0].hung_up.wait(), 20)
    row = await gateway.last_row("client_closed")
    assert (row["provider"], row["output_tokens"]) == ("acme", HALF)
    assert row["charged_nano"] == row["input_tokens"] * 1000 + HALF * 2000
    tries = await attempts_of(gateway, row["id"])
    assert row["provider_cost_nano"] == sum(attempt["provider_cost_nano"] for attempt in tries)
    assert not any(part.reserved for part in gateway.runtime.keeper._books.slices.values())


@pytest.mark.case("D1")
async def test_a_process_that_is_killed_while_others_are_asked_has_told_what_was_delivered(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    catches_up, said_all = asyncio.Event(), asyncio.Event()

    async def slowly(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream")
        await catches_up.wait()
        for value in said(WORDS, finish=None):
            await exchange.chunk(sse(value))
        await said_all.wait()
        exchange.reset()

    def killed_now() -> dict[str, Any]:
        replay = Replay(gateway.runtime.metering._journal.directory)
        list(replay.finished())
        [(row, attempts)] = replay.interrupted()
        return dict(zip(CALL_FIELDS, row, strict=True)) | {"tries": [dict(zip(ATTEMPT_FIELDS, one, strict=True)) for one in attempts]}

    async def until(is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while not is_so(row := killed_now()):
                await asyncio.sleep(0.02)
        return row

    upstream.script(cut())
    other.script(slowly)
    await gateway.runtime.metering.flush()
    waiting = asyncio.create_task(gateway.events(model="patient", max_tokens=50))
    async with asyncio.timeout(30):
        while not other.requests:
            await asyncio.sleep(0.01)
    row = await until(lambda row: len(row["tries"]) == 2)
    prompt = row["input_tokens"]
    assert (row["provider"], row["output_tokens"], row["charged_nano"]) == ("acme", HALF, prompt * 1000 + HALF * 2000)
    first, second = row["tries"]
    assert (first["provider_cost_nano"], second["provider_cost_nano"]) == (prompt * 1000 + HALF * 2000, prompt * 10_000)
    assert row["provider_cost_nano"] == first["provider_cost_nano"] + second["provider_cost_nano"]
    catches_up.set()
    row = await until(lambda row: row["provider"] == "backup" and row["output_tokens"] == len(WORDS))
    assert row["charged_nano"] == prompt * 10_000 + len(WORDS) * 20_000
    assert row["provider_cost_nano"] == row["charged_nano"] + first["provider_cost_nano"]
    assert sum(attempt["provider_cost_nano"] for attempt in row["tries"]) == row["provider_cost_nano"]
    said_all.set()
    _, values = await waiting
    assert "error" in json.loads(values[-1])


async def test_comments_keep_the_connection_awake_while_others_are_asked(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Watch.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "keep_alive_after", 0.4)
    commented = asyncio.Event()

    async def thinks(exchange: Exchange) -> None:
        await commented.wait()
        await repeats()(exchange)

    upstream.script(cut())
    other.script(thinks)
    text = ""
    async with gateway.http.stream(
        "POST", "/v1/chat/completions", json={**PLAIN, "stream": True, "model": "patient"}, headers=BEARER
    ) as got:
        async for piece in got.aiter_text():
            text += piece
            if other.requests and text.endswith(": keep-alive\n\n"):
                commented.set()
    assert commented.is_set()
    assert text.endswith("data: [DONE]\n\n")


# ── whole answers ────────────────────────────────────────────────────────────────────────────────────────────────────


async def half_a_body(exchange: Exchange) -> None:
    await exchange.head(length=1000)
    await exchange.send(b'{"choices": [')
    await asyncio.sleep(0.05)
    exchange.reset()


@pytest.mark.case("B10")
@pytest.mark.parametrize(
    ("first", "is_billed"),
    [(half_a_body, True), (whole(b"not json"), True), (hang(), True), (status(500), False), (whole({"error": {"message": "no"}}), False)],
    ids=["cut", "garbled", "silent", "500", "an error under 200"],
)
async def test_who_has_taken_a_whole_answer_on_bills_its_prompt_and_the_caller_pays_for_the_other(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, first: Step, is_billed: bool
) -> None:
    upstream.script(first)
    response: httpx.Response = await gateway.post({**PLAIN, "model": "hasty"})
    assert response.json()["choices"][0]["message"]["content"] == TEXT
    row = await gateway.last_row()
    tries = await attempts_of(gateway, row["id"])
    assert tries[0]["provider_cost_nano"] == (PROMPT * 1000 if is_billed else 0)
    assert row["charged_nano"] == tries[1]["provider_cost_nano"] > 0
    assert row["provider_cost_nano"] == sum(attempt["provider_cost_nano"] for attempt in tries)


@pytest.mark.parametrize("model", ["off", "two-declared"])
async def test_what_was_delivered_is_charged_though_the_provider_counts_zeros_until_its_last_chunk(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, model: str
) -> None:
    zeros = {"prompt_tokens": PROMPT, "completion_tokens": 0, "total_tokens": PROMPT}
    upstream.script(events(*({**chunk({"content": word}), "usage": zeros} for word in WORDS[:HALF]), end="reset"))
    other.script(goes_on())
    await gateway.events(model=model)
    row = await gateway.last_row()
    assert row["output_tokens"] == (HALF if model == "off" else len(WORDS))
    first = (await attempts_of(gateway, row["id"]))[0]
    assert first["provider_cost_nano"] == PROMPT * 1000 + HALF * 2000


async def test_a_call_that_cannot_be_settled_leaves_no_provider_writing(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ValueError

    async def writes_on(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream")
        for value in [*said(WORDS, finish="stop"), "[DONE]"]:
            await exchange.chunk(sse(value))
        await exchange.until_hang_up()

    monkeypatch.setattr(Settler, "completed", fails)
    upstream.script(cut())
    other.script(writes_on)
    _, values = await gateway.events(model="two")
    assert json.loads(values[-1])["error"]["code"] == "internal_error"
    await asyncio.wait_for(other.requests[0].hung_up.wait(), 20)
