"""The prompt cache as callers meet it: who gets an answer again, in which form, and what it costs."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from openai import AsyncOpenAI

from backend.audit.service import AuditService
from backend.gateway.cache import prompt_cache
from backend.gateway.cache.service import ClearingService
from backend.gateway.responses import EventWriter
from backend.gateway.watch import Watch
from backend.identity.principal import system
from backend.kernel.clock import FixedClock
from backend.metering.reconcile.service import ReconcileService
from tests.fakes.openai_upstream import MODEL, TEXT, USAGE, answer, canonical_chunks, chunk, completion, events, status, whole
from tests.gateway.cache.conftest import COST, NEIGHBOUR, POOR, THREE_A_MINUTE, Stage
from tests.gateway.errors import assert_error
from tests.gateway.test_watch import never

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOK_UP = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "x"}'}}


def kind(response: Any) -> str:
    return str(response.headers["x-bourse-cache"])


async def test_an_equal_call_gets_the_same_answer_and_pays_nothing(stage: Stage) -> None:
    bought, again = await stage.ask(), await stage.ask()
    assert (kind(bought), kind(again)) == ("miss", "hit")
    assert "age" not in bought.headers
    assert again.headers["age"] == "0"
    assert again.headers["x-bourse-cost-usd"] == "0.000000000"
    assert again.headers["x-bourse-attempts"] == "0"
    assert (again.headers["x-bourse-provider"], again.headers["x-bourse-model"]) == ("acme", MODEL)
    first, second = bought.json(), again.json()
    facts = second.pop("bourse")
    assert second == {name: value for name, value in first.items() if name != "bourse"}
    assert (facts["cache"], facts["costUsd"], facts["savedUsd"], facts["attempts"]) == ("hit", 0, COST / 1e9, [])
    assert (facts["usageSource"], facts["selectedModel"]) == ("provider", MODEL)
    assert stage.asked == 1


async def test_a_hit_is_a_row_that_used_nothing_and_says_what_it_saved(stage: Stage) -> None:
    for stream in (False, True):
        await stage.ask(stream=stream)
    bought, hit = await stage.rows()
    assert (bought["outcome"], bought["charged_nano"], bought["saved_nano"]) == ("completed", COST, 0)
    assert (hit["outcome"], hit["status"], hit["charged_nano"], hit["provider_cost_nano"], hit["saved_nano"]) == ("cached", 200, 0, 0, COST)
    assert (hit["provider"], hit["model"], hit["route"], hit["attempts"], hit["stream"]) == ("acme", MODEL, "kept", 0, 1)
    assert (hit["input_tokens"], hit["cache_read_tokens"], hit["output_tokens"], hit["usage_source"]) == (0, 0, 0, "none")
    assert (hit["budget_ids"], hit["first_token_ms"], hit["price_state"]) == ("[]", None, "free")
    own = (await stage.rig.http.get("/v1/usage?limit=1", headers={"authorization": f"Bearer {stage.rig.client.api_key}"})).json()["data"][0]
    assert (own["outcome"], own["cost_usd"], own["saved_usd"], own["completion_tokens"]) == ("cached", 0, COST / 1e9, 0)


async def test_what_was_bought_whole_is_streamed_and_the_sdk_reads_it(stage: Stage) -> None:
    message = {"role": "assistant", "content": "It is\n42.", "reasoning_content": "Let me see.", "tool_calls": [LOOK_UP]}
    bought = completion()
    bought["choices"] = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    stage.upstream.script(whole(bought))
    await stage.ask()
    content, tools, finish, usage = "", "", None, None
    messages: Any = [{"role": "user", "content": stage.prompt}]
    stream = await stage.rig.client.chat.completions.create(
        model="kept", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    async for event in stream:
        for choice in event.choices:
            content += choice.delta.content or ""
            tools += "".join(call.function.arguments or "" for call in choice.delta.tool_calls or [] if call.function)
            finish = choice.finish_reason or finish
        usage = event.usage or usage
    assert (content, tools, finish) == ("It is\n42.", '{"q": "x"}', "tool_calls")
    assert usage is not None
    assert usage.total_tokens == USAGE["total_tokens"]
    assert stage.asked == 1


@pytest.mark.parametrize("include_usage", [False, True])
async def test_what_was_bought_as_a_stream_is_given_whole(stage: Stage, include_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    streamed = await stage.ask(stream=True, **options)
    assert kind(streamed) == "miss"
    client: AsyncOpenAI = stage.rig.client
    messages: Any = [{"role": "user", "content": stage.prompt}]
    answer = await client.chat.completions.create(model="kept", messages=messages)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == USAGE["total_tokens"]
    assert answer.object == "chat.completion"
    assert answer.model_extra is not None
    assert answer.model_extra["bourse"]["cache"] == "hit"
    assert stage.asked == 1


async def test_a_streamed_hit_ends_like_every_stream_and_carries_the_facts_where_they_are_due(stage: Stage) -> None:
    await stage.ask()
    body = {"model": "kept", "messages": [{"role": "user", "content": stage.prompt}], "stream": True}
    plain, bare = await stage.rig.post(body), await stage.rig.post(body, query="?bourse=0")
    counted = await stage.rig.post({**body, "stream_options": {"include_usage": True}})
    assert plain.headers["content-type"] == "text/event-stream"
    assert (kind(plain), plain.headers["age"]) == ("hit", "0")
    assert all(response.text.endswith("data: [DONE]\n\n") for response in (plain, counted, bare))
    assert '"usage"' not in plain.text
    assert '"finish_reason":"stop"}],"bourse":{' in plain.text
    assert counted.text.count('"usage":null') == counted.text.count("chat.completion.chunk") - 1
    assert '"cache":"hit"' in counted.text.split("\n\n")[-3]
    assert "bourse" not in bare.text


# ── which calls are equal ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"seed": 2},
        {"max_tokens": 11},
        {"n": 2},
        {"stop": ["x"]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"service_tier": "flex"},
        {"something_new": True},
        {"model": "other-kept"},
        {"messages": [{"role": "system", "content": "Be brief."}]},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_whatever_has_a_part_in_the_answer_makes_another_call_of_it(stage: Stage, other: dict[str, Any]) -> None:
    await stage.ask()
    assert kind(await stage.ask(**other)) == "miss"
    assert stage.asked == 2


async def test_what_has_no_part_in_the_answer_makes_no_difference(stage: Stage) -> None:
    await stage.ask(temperature=0.5, seed=1, user="ann", metadata={"a": "b"})
    body = {"seed": 1, "user": "bob", "temperature": 0.5, "store": False, "prompt_cache_key": "x", "top_p": None}
    assert kind(await stage.ask(**body)) == "hit"
    assert kind(await stage.ask(**body, stream=True)) == "hit"
    assert stage.asked == 1


async def test_a_weighted_route_finds_what_any_of_its_candidates_answered(stage: Stage) -> None:
    kinds = [kind(await stage.ask(model="kept-pair")) for _ in range(8)]
    assert kinds == ["miss"] + ["hit"] * 7


async def test_a_route_without_a_time_to_keep_asks_every_time(stage: Stage) -> None:
    assert [kind(await stage.ask(model="fast")) for _ in range(2)] == ["miss", "miss"]
    assert stage.asked == 2


@pytest.mark.case("Z7")
async def test_no_tenant_gets_what_another_bought(stage: Stage) -> None:
    assert [kind(await stage.ask(key=key)) for key in (NEIGHBOUR, THREE_A_MINUTE)] == ["miss", "hit"], "two keys of one tenant"
    assert kind(await stage.ask()) == "miss"
    assert stage.asked == 2
    rows = await stage.rows()
    assert rows[0]["tenant_id"] == rows[1]["tenant_id"] != rows[2]["tenant_id"]


# ── what the caller asks of the cache ────────────────────────────────────────────────────────────────────────────────


async def test_no_cache_buys_anew_and_keeps_the_new_answer(stage: Stage) -> None:
    stage.upstream.script(whole(completion("old")), whole(completion("new")))
    await stage.ask()
    fresh = await stage.ask(headers={"cache-control": "no-cache"})
    assert (kind(fresh), fresh.json()["choices"][0]["message"]["content"]) == ("bypass", "new")
    later = await stage.ask()
    assert (kind(later), later.json()["choices"][0]["message"]["content"]) == ("hit", "new")


async def test_no_store_leaves_no_trace(stage: Stage) -> None:
    first = await stage.ask(headers={"cache-control": "no-store"})
    assert (kind(first), first.json()["bourse"]["cache"]) == ("bypass", "bypass")
    assert kind(await stage.ask()) == "miss"
    assert kind(await stage.ask(headers={"cache-control": "no-store"})) == "bypass"
    assert stage.asked == 3


async def test_max_age_accepts_only_what_is_younger(stage: Stage) -> None:
    await stage.ask()
    assert kind(await stage.ask(headers={"cache-control": "max-age=30"})) == "hit"
    assert kind(await stage.ask(headers={"cache-control": "max-age=0"})) == "bypass"
    assert stage.asked == 2


async def test_an_answer_is_given_again_for_as_long_as_the_route_says_and_no_longer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FixedClock(datetime.now(UTC))
    monkeypatch.setattr(stage.rig.runtime.gateway.cache, "_clock", clock)
    await stage.ask()
    clock.advance(timedelta(seconds=59.5))
    old = await stage.ask()
    assert (kind(old), old.headers["age"]) == ("hit", "59")
    assert kind(await stage.ask(headers={"cache-control": "max-age=60"})) == "hit"
    clock.advance(timedelta(seconds=1))
    assert [kind(await stage.ask()) for _ in range(2)] == ["miss", "hit"]
    clock.advance(timedelta(seconds=20))
    assert kind(await stage.ask(headers={"cache-control": "max-age=10"})) == "miss"
    assert (await stage.ask()).headers["age"] == "0"
    assert stage.asked == 3


# ── what is never kept ───────────────────────────────────────────────────────────────────────────────────────────────

CUT = canonical_chunks()[:5]


@pytest.mark.parametrize(
    ("step", "stream"),
    [
        pytest.param(status(400, {"error": {"message": "no", "type": "invalid_request_error"}}), False, id="an error"),
        pytest.param(whole(completion("", usage=USAGE)), False, id="an empty answer"),
        pytest.param(whole(completion("I can", finish="content_filter")), False, id="a filtered answer"),
        pytest.param(whole(completion("x" * 20_000)), False, id="a large answer"),
        pytest.param(events(*CUT, end="reset"), True, id="a cut stream"),
        pytest.param(events(*CUT, chunk({}, "content_filter"), end="done"), True, id="a filtered stream"),
        pytest.param(events(*CUT, chunk({"content": "x" * 20_000}), chunk({}, "stop"), end="done"), True, id="a large stream"),
        pytest.param(events(*CUT, end="done"), True, id="a stream without a finish_reason"),
        pytest.param(
            events(*CUT, chunk({"verdict": "a"}), chunk({"verdict": "b"}), chunk({}, "stop"), end="done"), True, id="an unclear stream"
        ),
    ],
)
async def test_what_nobody_should_get_again_is_bought_anew(stage: Stage, step: Any, stream: bool) -> None:
    stage.upstream.script(step, whole(completion("good")))
    await stage.ask(stream=stream)
    before = stage.asked
    again = await stage.ask()
    assert (kind(again), again.json()["choices"][0]["message"]["content"]) == ("miss", "good")
    assert stage.asked == before + 1
    assert kind(await stage.ask()) == "hit"


async def test_a_stream_that_went_beyond_its_cap_is_not_kept(stage: Stage) -> None:
    stage.upstream.script(events(*[chunk({"content": "word "}) for _ in range(9)], chunk({}, "stop"), end="done"))
    await stage.ask(stream=True, max_tokens=3)
    stage.upstream.script(whole(completion("good")))
    assert kind(await stage.ask(max_tokens=3)) == "miss"


async def test_an_answer_that_two_candidates_gave_together_is_not_kept(stage: Stage) -> None:
    stage.upstream.script(events(*CUT, end="reset"))
    stage.other.script(events(*canonical_chunks(), end="done"))
    streamed = await stage.ask(model="kept-both", stream=True)
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert (await stage.rows())[-1]["recovered"] == "repeat"
    stage.upstream.script(answer())
    assert kind(await stage.ask(model="kept-both")) == "miss"


async def test_a_call_that_wants_more_than_an_answer_is_always_made(stage: Stage) -> None:
    assert [kind(await stage.ask(store=True)) for _ in range(2)] == ["bypass", "bypass"]
    assert stage.asked == 2


# ── what it is to budgets, limits and sums ───────────────────────────────────────────────────────────────────────────


async def test_who_has_spent_everything_still_gets_what_was_bought(stage: Stage) -> None:
    stage.upstream.script(whole(completion(usage={"prompt_tokens": 20, "completion_tokens": 400, "total_tokens": 420})))
    assert (await stage.ask(key=POOR, max_tokens=400)).status_code == 200
    refused = await stage.ask("Something else.", key=POOR, max_tokens=400)
    assert_error(refused, 403, "insufficient_quota", "budget_exceeded")
    hit = await stage.ask(key=POOR, max_tokens=400)
    assert (hit.status_code, kind(hit)) == (200, "hit")
    assert hit.headers["x-budget-used"] == refused.headers["x-budget-used"]
    assert stage.asked == 1


@pytest.mark.case("L5")
async def test_hits_count_as_requests_and_not_as_tokens(stage: Stage) -> None:
    await stage.ask(key=NEIGHBOUR)
    answers = [await stage.ask(key=THREE_A_MINUTE) for _ in range(4)]
    # One of its three was another test's.
    statuses = [answer.status_code for answer in answers]
    served = statuses.count(200)
    assert statuses == [200] * served + [429] * (4 - served)
    assert served in (2, 3)
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers[:served]]
    assert left == list(range(served - 1, -1, -1))
    assert len({answer.headers["x-ratelimit-remaining-tokens"] for answer in answers[:served]}) == 1
    assert {kind(answer) for answer in answers[:served]} == {"hit"}
    assert answers[-1].headers["retry-after"]


async def test_rollups_and_ledger_agree_on_hits_and_on_what_they_saved(stage: Stage, tmp_path: Path) -> None:
    for number in range(12):
        await stage.ask(f"{stage.prompt} {number % 4}", stream=number % 3 == 0)
    rows = await stage.rows()
    assert [row["outcome"] for row in rows].count("cached") == 8
    runtime = stage.rig.runtime
    found = await ReconcileService(runtime.db, runtime.clock, AuditService(runtime.clock), tmp_path).run(system("test"))
    assert found.differences == ()
    saved = sum(row["saved_nano"] for row in await stage.rig.rows())
    async with runtime.db.read() as session:
        day = sa.text("SELECT SUM(saved_nano) FROM rollup JOIN rollup_series ON id = series_id WHERE span = 86400 AND tenant_id = '*'")
        assert (await session.execute(day)).scalar_one() == saved


async def test_metrics_say_how_often_it_hit_and_what_it_saved(stage: Stage) -> None:
    sample = stage.rig.runtime.metrics.registry.get_sample_value
    names = {"hits": {"result": "hit", "source": "memory"}, "misses": {"result": "miss", "source": ""}}
    before = {name: sample("bourse_cache_lookups_total", labels) or 0 for name, labels in names.items()}
    saved = sample("bourse_cache_saved_usd_total") or 0
    for _ in range(3):
        await stage.ask()
    after = {name: sample("bourse_cache_lookups_total", labels) or 0 for name, labels in names.items()}
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (2, 1)
    assert sample("bourse_cache_saved_usd_total") == pytest.approx(saved + 2 * COST / 1e9)
    assert sample("bourse_calls_total", {"provider": "acme", "outcome": "cached"})
    assert sample("bourse_cache_bytes")


async def test_what_was_cleared_is_not_given_again(stage: Stage) -> None:
    runtime = stage.rig.runtime
    clearing = ClearingService(runtime.db, runtime.clock, AuditService(runtime.clock))
    tenant_id = (await stage.rig.rows())[0]["tenant_id"]
    await stage.ask()
    await stage.ask(key=NEIGHBOUR)
    await clearing.clear(system("test"), tenant_id)
    await runtime.gateway.cache.load()
    assert kind(await stage.ask()) == "miss"
    await clearing.clear(system("test"))
    await runtime.gateway.cache.load()
    assert kind(await stage.ask()) == "miss"
    assert kind(await stage.ask()) == "hit"


async def test_a_long_hit_is_streamed_in_pieces_and_who_does_not_take_them_is_given_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_cache, "PIECE_BYTES", 1000)
    first = await stage.ask()
    second = await stage.ask(stream=True)
    assert second.headers["x-bourse-cache"] == "hit"
    values = [json.loads(line[6:]) for line in second.text.split("\n") if line.startswith("data: {")]
    said = "".join(choice["delta"].get("content") or "" for value in values for choice in value["choices"])
    assert said == first.json()["choices"][0]["message"]["content"]
    assert second.text.endswith("data: [DONE]\n\n")
    monkeypatch.setattr(prompt_cache, "STALL_SECONDS", 0.05)
    sent: list[int] = []

    async def takes_one(message: Any) -> None:
        if len(sent) == 2:
            await asyncio.Event().wait()
        sent.append(len(message.get("body", b"")))

    writer = EventWriter(takes_one, Watch(never, total=5), list)
    await asyncio.wait_for(prompt_cache._hand_out(writer, bytes(10_000)), 20)
    assert sent == [0, 1000]
