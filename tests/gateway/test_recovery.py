"""Streams that break after the caller has a part of them: gone on with by others, or ended by one error; and what that costs whom."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
import yaml
from prometheus_client.parser import text_string_to_metric_families

from backend.audit.service import AuditService
from backend.gateway.retry_budget import RetryBudget
from backend.gateway.watch import Watch
from backend.identity.principal import system
from backend.metering.reconcile.service import ReconcileService
from backend.metering.record import ATTEMPT_FIELDS, CALL_FIELDS
from backend.metering.replay import Replay
from tests.fakes.openai_upstream import TEXT, WORDS, Exchange, OpenAIUpstream, Step, answer, chunk, events, hang, sse, status, whole
from tests.gateway.conftest import KEY, PLAIN, Rig, configuration, open_gateway
from tests.gateway.test_streams import content, last_chunk
from tests.rig.schema import sqlite_url

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEARER = {"authorization": f"Bearer {KEY}"}
HEAD = chunk({"role": "assistant", "content": ""})
PROMPT = 20
HALF = 5
"""Words that the caller has when the stream breaks."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _providers() -> AsyncIterator[tuple[OpenAIUpstream, OpenAIUpstream, OpenAIUpstream]]:
    async with OpenAIUpstream() as one, OpenAIUpstream() as two, OpenAIUpstream() as three:
        yield one, two, three


@pytest.fixture
def providers(_providers: tuple[OpenAIUpstream, OpenAIUpstream, OpenAIUpstream]) -> tuple[OpenAIUpstream, OpenAIUpstream, OpenAIUpstream]:
    """Well again, and with empty logs."""
    for provider in _providers:
        provider.script(answer())
        provider.requests.clear()
    return _providers


@pytest.fixture
def upstream(providers: tuple[OpenAIUpstream, ...]) -> OpenAIUpstream:
    return providers[0]


@pytest.fixture
def other(providers: tuple[OpenAIUpstream, ...]) -> OpenAIUpstream:
    return providers[1]


@pytest.fixture
def third(providers: tuple[OpenAIUpstream, ...]) -> OpenAIUpstream:
    return providers[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _providers: tuple[OpenAIUpstream, ...]
) -> AsyncIterator[Rig]:
    """`two` and `three` ask so many providers in order and repeat; with `-declared` all but the first take a prefill; `alone` asks the
    first again where that may help."""
    home = tmp_path_factory.mktemp("gateway")
    (home / "bourse.db").write_bytes(_sqlite_template.read_bytes())
    settings = configuration(_providers[0].base_url, _providers[1].base_url)
    settings["providers"]["third"] = {"protocol": "openai", "base_url": _providers[2].base_url}
    prices = [(1, 2), (10, 20), (3, 6)]
    candidates = [
        {"provider": name, "model": f"gpt-{name}", "price": {"input": put_in, "output": put_out}}
        for name, (put_in, put_out) in zip(("acme", "backup", "third"), prices, strict=True)
    ]
    declared = [candidates[0], *({**candidate, "prefill": True} for candidate in candidates[1:])]
    quick = {"idle": "300ms", "first_token": "2s", "total": "30s"}
    free = {"strategy": "ordered", "timeouts": quick, "breaker": {"failures": 1000}, "retries": {"per_candidate": 0}}
    settings["models"] = [
        {**free, "alias": "two", "candidates": candidates[:2]},
        {**free, "alias": "three", "candidates": candidates},
        {**free, "alias": "two-declared", "candidates": declared[:2]},
        {**free, "alias": "three-declared", "candidates": declared},
        {**free, "alias": "alone", "candidates": candidates[:1], "retries": {"per_candidate": 2, "backoff": "10ms"}},
        {**free, "alias": "off", "candidates": candidates[:2], "recover": "off"},
        {**free, "alias": "brief", "candidates": candidates[:2], "timeouts": {**quick, "total": "900ms"}},
        {**free, "alias": "hasty", "candidates": candidates[:2], "timeouts": {**quick, "attempt": "300ms"}},
        {**free, "alias": "patient", "candidates": candidates[:2], "timeouts": {**quick, "first_token": "20s", "idle": "20s"}},
    ]
    settings["bootstrap"] = {}
    (home / "bourse.yaml").write_text(yaml.safe_dump(settings))
    async with open_gateway(home / "bourse.yaml", home, sqlite_url(home / "bourse.db")) as rig:
        yield rig


@pytest.fixture(autouse=True)
def _room_for_retries(gateway: Rig) -> None:
    """More fails here within a few seconds than the retry budget of all calls allows."""
    gateway.runtime.gateway._pipeline._upstreams.retries = RetryBudget()


def said(words: list[str], *, finish: str | None = "stop", prompt: int = PROMPT, identity: str = "chatcmpl-other") -> list[Any]:
    """Chunks that say these words, with an id of their own."""
    own = {"id": identity, "created": 7, "model": "gpt-of-others"}
    chunks: list[Any] = [{**HEAD, **own}, *({**chunk({"content": word}), **own} for word in words)]
    if finish is not None:
        usage = {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
        chunks += [{**chunk({}, finish), **own}, {**chunk(None, usage=usage), **own}]
    return chunks


def cut(words: list[str] = WORDS[:HALF], *, end: str = "reset") -> Step:
    return events(HEAD, *(chunk({"content": word}) for word in words), end=end)


def repeats(*, prompt: int = PROMPT) -> Step:
    return events(*said(WORDS, prompt=prompt), end="done")


def goes_on(words: list[str] | None = None, *, finish: str | None = "stop", end: str = "done") -> Step:
    """Goes on from the beginning that it is given, which counts as a part of its prompt; without one it refuses."""

    async def step(exchange: Exchange) -> None:
        last = exchange.seen.body["messages"][-1]
        if last["role"] != "assistant":
            await status(400)(exchange)
            return
        begun = next(count for count in range(len(WORDS) + 1) if "".join(WORDS[:count]) == last["content"])
        rest = WORDS[begun:] if words is None else words
        await events(*said(rest, finish=finish, prompt=PROMPT + begun), end=end)(exchange)

    return step


async def attempts_of(rig: Rig, call_id: str) -> list[dict[str, Any]]:
    return [row for row in await rig.rows("call_attempt") if row["call_id"] == call_id]


# ── the answer is whole ──────────────────────────────────────────────────────────────────────────────────────────────

BREAKS = {
    "reset": cut(),
    "end without finish_reason": cut(end="eof"),
    "silence": cut(end="hang"),
    "error event": events(HEAD, *(chunk({"content": word}) for word in WORDS[:HALF]), {"error": {"message": "no", "code": 503}}),
    "[DONE] without finish_reason is an end": cut(end="done"),
}


@pytest.mark.case("U3")
@pytest.mark.parametrize("by", ["repeat", "prefill"])
@pytest.mark.parametrize("how", [name for name in BREAKS if not name.startswith("[DONE]")])
async def test_a_stream_that_breaks_is_gone_on_with(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, how: str, by: str
) -> None:
    upstream.script(BREAKS[how])
    other.script(repeats() if by == "repeat" else goes_on())
    _, values = await gateway.events(model="two" if by == "repeat" else "two-declared", stream_options={"include_usage": True})
    assert content(values) == TEXT
    chunks = [json.loads(value) for value in values[:-1]]
    assert {(value["id"], value["created"]) for value in chunks} == {("chatcmpl-fake", chunk(None)["created"])}
    assert sum("role" in choice["delta"] for value in chunks for choice in value["choices"]) == 1
    assert chunks[-2]["model"] == "gpt-of-others"
    last = last_chunk(values)
    assert last["bourse"]["recovered"] == {"by": by}
    assert [attempt.get("recovered") for attempt in last["bourse"]["attempts"]] == [None, by]
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (PROMPT, len(WORDS))
    assert (len(upstream.requests), len(other.requests)) == (1, 1)
    row = await gateway.last_row()
    assert (row["outcome"], row["recovered"], row["provider"], row["model"]) == ("completed", by, "backup", "gpt-of-others")
    first, second = await attempts_of(gateway, row["id"])
    assert (first["outcome"], first["status"], second["outcome"], second["recovered"]) == ("failed", 200, "completed", by)
    # One answer, by the prices of whoever finished it; each provider bills what it did. The prompt is the one that was counted.
    assert row["charged_nano"] == PROMPT * 10_000 + len(WORDS) * 20_000
    assert first["provider_cost_nano"] == PROMPT * 1000 + HALF * 2000
    sent, made = (PROMPT, len(WORDS)) if by == "repeat" else (PROMPT + HALF, len(WORDS) - HALF)
    assert second["provider_cost_nano"] == sent * 10_000 + made * 20_000
    assert row["provider_cost_nano"] == first["provider_cost_nano"] + second["provider_cost_nano"]


async def test_the_sdk_sees_one_answer(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    upstream.script(cut())
    other.script(repeats())
    async with gateway.client.chat.completions.stream(model="two", messages=[{"role": "user", "content": "hi"}]) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    assert (final.choices[0].message.role, final.choices[0].message.content) == ("assistant", TEXT)
    assert final.id == "chatcmpl-fake"


async def test_the_sdk_sees_one_call_of_a_tool(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    def call(arguments: str, key: str | None = None) -> dict[str, Any]:
        begun = {"id": key, "type": "function"} if key else {}
        return chunk({"tool_calls": [{"index": 0, **begun, "function": {"arguments": arguments} | ({"name": "find"} if key else {})}]})

    upstream.script(events(HEAD, call("", "call_first"), call('{"wh'), call('at":'), end="reset"))
    other.script(events(HEAD, call('{"what": ', "call_second"), call("7}"), chunk({}, "tool_calls"), end="done"))
    async with gateway.client.chat.completions.stream(model="two-declared", messages=[{"role": "user", "content": "hi"}]) as stream:
        async for _ in stream:
            pass
        [found] = (await stream.get_final_completion()).choices[0].message.tool_calls or []
    assert (found.id, found.function.name, found.function.arguments) == ("call_first", "find", '{"what": 7}')
    assert other.requests[0].body["messages"] == PLAIN["messages"]


@pytest.mark.parametrize(
    "asks",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
    ],
    ids=["json", "schema", "tool"],
)
async def test_json_and_forced_calls_are_repeated_and_never_prefilled(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, asks: dict[str, Any]
) -> None:
    upstream.script(cut())
    other.script(repeats())
    _, values = await gateway.events(model="two-declared", **asks)
    assert content(values) == TEXT
    assert last_chunk(values)["bourse"]["recovered"] == {"by": "repeat"}
    assert [message["role"] for message in other.requests[0].body["messages"]] == ["user"]


async def test_thoughts_are_delivered_text_so_an_answer_with_them_is_repeated(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(events(HEAD, chunk({"reasoning_content": "hm"}), chunk({"content": WORDS[0]}), end="reset"))
    other.script(events(HEAD, chunk({"reasoning_content": "hm"}), *(chunk({"content": word}) for word in WORDS), chunk({}, "stop")))
    _, values = await gateway.events(model="two-declared")
    assert content(values) == TEXT
    assert len(other.requests[0].body["messages"]) == 1


@pytest.mark.case("U3")
@pytest.mark.parametrize("first", ["refuses it", "starts anew", "starts anew in other words", "cannot be reached"])
async def test_who_does_not_go_on_from_a_beginning_is_asked_the_question_itself(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, first: str
) -> None:
    upstream.script(cut())
    anew = events(*said(["Well, ", "once upon a time there was a ", *WORDS]), end="done")
    begins = {"refuses it": status(400), "starts anew": repeats(), "starts anew in other words": anew, "cannot be reached": status(503)}
    other.script(begins[first], repeats())
    _, values = await gateway.events(model="two-declared")
    if first == "cannot be reached":
        # It had its one try.
        assert json.loads(values[-1])["error"]["code"] == "upstream_error"
        return
    assert content(values) == TEXT
    assert last_chunk(values)["bourse"]["recovered"] == {"by": "repeat"}
    assert [len(request.body["messages"]) for request in other.requests] == [2, 1]


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


async def test_the_one_provider_there_is_is_asked_again_if_it_broke_off_and_not_if_it_fell_silent(
    gateway: Rig, upstream: OpenAIUpstream
) -> None:
    upstream.script(cut(), repeats())
    _, values = await gateway.events(model="alone")
    assert content(values) == TEXT
    assert len(upstream.requests) == 2
    upstream.requests.clear()
    upstream.script(cut(end="hang"), repeats())
    _, values = await gateway.events(model="alone")
    assert json.loads(values[-1])["error"]["code"] == "upstream_timeout"
    assert len(upstream.requests) == 1


async def test_what_is_left_of_the_cap_is_what_a_continuation_may_take(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(cut())
    other.script(goes_on())
    await gateway.events(model="two-declared", max_tokens=50)
    assert other.requests[0].body["max_tokens"] == 50 - HALF
    assert other.requests[0].body["messages"][-1] == {"role": "assistant", "content": "".join(WORDS[:HALF])}
    upstream.script(cut())
    other.script(events(*said(["x "] * 60, finish=None), end="hang"))
    _, values = await gateway.events(model="two-declared", max_tokens=8)
    assert last_chunk(values)["choices"][0]["finish_reason"] == "length"
    assert content(values) == "".join(WORDS[:HALF]) + "x x x "
    assert (await gateway.last_row())["overrun"] == 1


async def test_an_answer_that_had_its_finish_reason_is_not_asked_for_again(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(events(HEAD, *(chunk({"content": word}) for word in WORDS), chunk({}, "stop"), end="reset"))
    _, values = await gateway.events(model="two")
    assert content(values) == TEXT
    assert "recovered" not in last_chunk(values)["bourse"]
    assert not other.requests


# ── it cannot be ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("U2")
@pytest.mark.parametrize(
    ("model", "asks"),
    [("off", {}), ("two", {"n": 2}), ("two", {"logprobs": True, "top_logprobs": 2})],
    ids=["off", "two choices", "logprobs"],
)
async def test_what_cannot_be_gone_on_with_ends_in_one_error(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, model: str, asks: dict[str, Any]
) -> None:
    upstream.script(cut())
    _, values = await gateway.events(model=model, **asks)
    assert content(values[:-1]) == "".join(WORDS[:HALF])
    assert json.loads(values[-1])["error"]["code"] == "upstream_error"
    assert not other.requests


async def test_a_refusal_in_the_middle_is_the_callers_to_know(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    refusal = {"error": {"message": "Not with me.", "type": "invalid_request_error", "code": "content_policy_violation"}}
    upstream.script(events(HEAD, chunk({"content": "x"}), refusal))
    _, values = await gateway.events(model="two")
    assert json.loads(values[-1])["error"]["code"] == "content_policy_violation"
    assert not other.requests


@pytest.mark.case("U3")
@pytest.mark.parametrize("model", ["two", "two-declared"])
async def test_text_of_two_answers_is_never_mixed(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, model: str) -> None:
    upstream.script(cut())
    shouted = [word.upper() for word in WORDS]
    other.script(events(*said(shouted), end="done"))
    _, values = await gateway.events(model=model)
    assert content(values[:-1]) == "".join(WORDS[:HALF])
    assert "[DONE]" not in values
    assert "acme" in json.loads(values[-1])["error"]["message"]
    row = await gateway.last_row()
    assert (row["outcome"], row["recovered"], row["provider"], row["error_code"]) == ("failed", None, "acme", "upstream_error")
    # What was delivered is charged as if nobody else had been asked; the others bill all the same.
    tries = await attempts_of(gateway, row["id"])
    assert row["charged_nano"] == tries[0]["provider_cost_nano"] == row["input_tokens"] * 1000 + HALF * 2000
    assert all(attempt["provider_cost_nano"] > 0 for attempt in tries)
    assert row["provider_cost_nano"] == sum(attempt["provider_cost_nano"] for attempt in tries)
    stream = await gateway.client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}], stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


async def test_the_total_limit_holds_while_others_are_asked(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    upstream.script(cut())
    other.script(hang())
    _, values = await gateway.events(model="brief")
    assert json.loads(values[-1])["error"]["code"] == "upstream_error"
    await asyncio.wait_for(other.requests[0].hung_up.wait(), 20)


async def test_recoveries_and_failed_ones_are_counted(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    async def counted() -> dict[str, float]:
        families = text_string_to_metric_families((await gateway.http.get("/metrics")).text)
        return {one.labels["by"]: one.value for f in families for one in f.samples if one.name == "bourse_stream_recoveries_total"}

    before = await counted()
    upstream.script(cut())
    for step in (repeats(), status(500)):
        other.script(step)
        await gateway.events(model="two")
    after = await counted()
    assert {by: after[by] - before.get(by, 0) for by in ("repeat", "failed")} == {"repeat": 1, "failed": 1}


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
