"""Streams that break after the caller has a part of them: gone on with by others, or ended by one error."""

import asyncio
import json
from typing import Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.openai_upstream import MODEL, TEXT, WORDS, OpenAIUpstream, chunk, events, hang, status
from tests.gateway.conftest import PLAIN, Rig
from tests.gateway.recovery.conftest import HALF, HEAD, PROMPT, attempts_of, cut, goes_on, repeats, said
from tests.gateway.test_streams import content, last_chunk

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
    assert (row["outcome"], row["recovered"], row["error_code"]) == ("failed", None, "upstream_error")
    assert (row["provider"], row["model"]) == ("acme", MODEL)
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
