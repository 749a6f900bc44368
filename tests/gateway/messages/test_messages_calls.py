"""A Messages call is the call that a chat completion is: replayed, cached, recovered, counted and charged like one."""

import asyncio
import json
from typing import Any

import pytest
from anthropic import AsyncAnthropic

from tests.fakes.anthropic_upstream import counted, failing, message, redacted, text, thinking
from tests.fakes.openai_upstream import TEXT, chunk, completion, events, hang, whole
from tests.gateway.conftest import Rig
from tests.gateway.messages.conftest import ASKED, HI, Upstreams, posted

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_THE_MOMENT = ("date", "x-request-id", "request-id", "openai-processing-ms", "x-bourse-overhead-ms", "age")


def told(response: Any) -> list[dict[str, Any]]:
    """The events of a stream, each held to its `event:` line."""
    found = []
    for block in filter(None, response.text.split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_idempotency_key_gets_the_same_answer_again(gateway: Rig, upstreams: Upstreams, streamed: bool) -> None:
    body, key = {**ASKED, "stream": streamed}, f"once-{streamed}"
    first = await posted(gateway, body, idempotency_key=key)
    again = await posted(gateway, body, idempotency_key=key)
    assert (first.status_code, first.content) == (200, again.content)
    assert len(upstreams.openai.requests) == 1
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-bourse-replay-of"] == first.headers["request-id"]
    assert again.headers["request-id"] == again.headers["x-request-id"] != first.headers["request-id"]
    other = await posted(gateway, {**body, "max_tokens": 7}, idempotency_key=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    refused = await posted(gateway, {**body, "max_tokens": 0}, idempotency_key=f"{key}-wrong")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "max_tokens")


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_cache_answers_with_the_same_message(gateway: Rig, upstreams: Upstreams, streamed: bool) -> None:
    body = {**ASKED, "model": "cached", "messages": [{"role": "user", "content": f"{streamed}"}]}
    bought = await posted(gateway, body)
    kept = await posted(gateway, {**body, "stream": streamed})
    assert (bought.headers["x-bourse-cache"], kept.headers["x-bourse-cache"]) == ("miss", "hit")
    assert len(upstreams.openai.requests) == 1
    if streamed:
        seen = told(kept)
        assert "".join([event["delta"]["text"] for event in seen if event["type"] == "content_block_delta"]) == TEXT
        assert seen[-2]["bourse"]["cache"] == "hit"
        assert seen[-2]["usage"] == {
            name: count for name, count in bought.json()["usage"].items() if name not in ("cache_creation", "service_tier")
        }
    else:
        assert kept.json()["content"] == bought.json()["content"]
        assert kept.json()["usage"] == bought.json()["usage"]
    row = await gateway.last_row()
    assert (row["outcome"], row["charged_nano"], row["endpoint"]) == ("cached", 0, "messages")


async def test_thoughts_that_were_kept_are_told_as_they_came(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    blocks = [thinking("Hm."), redacted(), thinking("Yes.", "second"), text("Four.")]
    upstreams.claude.script(message(*blocks))
    asked: dict[str, Any] = {**ASKED, "model": "cached-claude", "thinking": {"type": "enabled", "budget_tokens": 1024}}
    first = await client.messages.create(**asked)
    async with client.messages.stream(**asked) as stream:
        kept = await stream.get_final_message()
    assert len(upstreams.claude.requests) == 1
    for said in (first, kept):
        told = [{name: value for name, value in block.to_dict().items() if name != "citations"} for block in said.content]
        assert told == blocks


async def test_somebody_else_goes_on_where_a_stream_broke(gateway: Rig, upstreams: Upstreams) -> None:
    begun = [chunk({"role": "assistant", "content": ""}), chunk({"content": "The quick"})]
    rest = [*begun, chunk({"content": " brown fox."}), chunk({}, "stop")]
    upstreams.openai.script(events(*begun, end="reset"), events(*rest, end="done"))
    seen = told(await posted(gateway, {**ASKED, "model": "gpt-pair", "stream": True}))
    assert [event["type"] for event in seen].count("message_start") == 1
    assert "".join([event["delta"]["text"] for event in seen if event["type"] == "content_block_delta"]) == "The quick brown fox."
    assert seen[-2]["bourse"]["recovered"] == {"by": "repeat"}
    assert seen[-1] == {"type": "message_stop"}


async def test_another_kind_of_provider_answers_where_the_first_does_not(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    """The first is asked with everything that it knows, the second without."""
    upstreams.claude.script(whole({"type": "error", "error": {"type": "api_error", "message": "no"}}, 500))
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    said = await client.messages.create(
        **{**ASKED, "model": "mixed", "system": system, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    )
    assert said.content[0].text == TEXT  # type: ignore[union-attr]
    assert upstreams.claude.requests[0].body["system"] == system
    assert upstreams.openai.requests[0].body["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert upstreams.openai.requests[0].body["reasoning_effort"] == "low"
    assert said.to_dict()["bourse"]["provider"] == "acme"  # type: ignore[index]


async def test_facts_are_told_or_not_as_for_everybody(gateway: Rig, upstreams: Upstreams) -> None:
    with_facts = await posted(gateway, ASKED)
    assert with_facts.json()["bourse"]["costUsd"] == pytest.approx(0.0002292)
    assert with_facts.headers["x-bourse-cost-usd"] == "0.000229200"
    without = await posted(gateway, {**ASKED, "stream": True}, query="?bourse=0&beta=true")
    assert "bourse" not in told(without)[-2]
    assert without.headers["x-bourse-provider"] == "acme"


async def test_what_nobody_counted_is_estimated(gateway: Rig, upstreams: Upstreams) -> None:
    upstreams.openai.script(whole(completion("Four words of text.", usage=None)))
    used = (await posted(gateway, ASKED)).json()["usage"]
    assert (used["input_tokens"], used["output_tokens"]) == (5, 5)
    row = await gateway.last_row()
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (5, 5, "estimated")


async def test_message_start_tells_what_the_provider_has_counted_by_then(gateway: Rig, upstreams: Upstreams) -> None:
    upstreams.claude.script(message(text("Hello")))
    start = told(await posted(gateway, {**ASKED, "model": "claude", "stream": True}))[0]["message"]["usage"]
    buckets = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    assert [start[name] for name in buckets] == [20, 30, 40, 1]
    start = told(await posted(gateway, {**ASKED, "stream": True}))[0]["message"]["usage"]
    assert [start[name] for name in buckets] == [5, 0, 0, 0], "our estimate, where nobody has counted yet"


async def test_a_caller_who_hangs_up_is_settled(gateway: Rig, upstreams: Upstreams) -> None:
    upstreams.openai.script(hang())
    asking = asyncio.create_task(posted(gateway, ASKED))
    while not upstreams.openai.requests:
        await asyncio.sleep(0.005)
    asking.cancel()
    await asyncio.wait_for(upstreams.openai.requests[0].hung_up.wait(), 20)
    assert (await gateway.last_row("client_closed"))["endpoint"] == "messages"


async def test_the_end_user_is_in_the_ledger(client: AsyncAnthropic, gateway: Rig, upstreams: Upstreams) -> None:
    await client.messages.create(**ASKED, metadata={"user_id": "user_1"})
    assert (await gateway.last_row())["end_user"] == "user_1"
    assert upstreams.openai.requests[0].body["user"] == "user_1"


async def test_tokens_are_counted_without_a_call(client: AsyncAnthropic, gateway: Rig, upstreams: Upstreams) -> None:
    before = len(await gateway.rows())
    asked: Any = {"messages": [{"role": "user", "content": "The quick brown fox jumps over the lazy dog. " * 20}], "system": "Be brief."}
    tools: Any = [{"name": "now", "input_schema": {"type": "object", "properties": {}}}]
    how = ""
    while how != "counted":  # the tokenizer is loaded by the first count, which does not wait for it for ever
        how = (await posted(gateway, {"model": "gpt", **asked}, path="/count_tokens")).headers["x-bourse-token-count"]
    plain = (await client.messages.count_tokens(model="gpt", **asked)).input_tokens
    assert 200 < plain < 240, "ten tokens a sentence, and what the template adds at most"
    assert (await client.messages.count_tokens(model="gpt", **asked, tools=tools)).input_tokens > plain
    for model, how in (("gpt", "counted"), ("gemini", "upper-bound"), ("sandbox/chat", "upper-bound")):
        answer = await posted(gateway, {"model": model, **asked}, path="/count_tokens")
        assert answer.headers["x-bourse-token-count"] == how
        assert answer.json().keys() == {"input_tokens"}
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert not upstreams.openai.requests
    assert len(await gateway.rows()) == before


async def test_anthropics_own_count_is_exact(client: AsyncAnthropic, gateway: Rig, upstreams: Upstreams) -> None:
    upstreams.claude.script(counted(42))
    asked: Any = {"model": "claude", "messages": HI, "system": "Be brief.", "thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert (await client.messages.count_tokens(**asked)).input_tokens == 42
    (seen,) = upstreams.claude.requests
    assert seen.path == "/v1/messages/count_tokens"
    assert seen.body == {**asked, "model": "claude-sonnet-4-5-20250929"}
    exact = await posted(gateway, asked, path="/count_tokens")
    assert exact.headers["x-bourse-token-count"] == "exact"
    for step in (failing(529, "overloaded_error", "no"), counted(-1), whole([])):
        upstreams.claude.script(step)
        ours = await posted(gateway, asked, path="/count_tokens")
        assert (ours.status_code, ours.headers["x-bourse-token-count"]) == (200, "upper-bound")
    upstreams.claude.script(failing(400, "invalid_request_error", "messages: roles must alternate"))
    refused = await posted(gateway, asked, path="/count_tokens")
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_fields_of_the_request_reach_a_server_that_speaks_openai(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    await client.messages.create(
        **ASKED,
        system="Be brief.",
        stop_sequences=["END"],
        service_tier="standard_only",
        tools=[{"name": "now", "input_schema": schema, "cache_control": {"type": "ephemeral"}, "strict": True}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": schema}, "effort": "low"},
        extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 5},
    )
    sent = upstreams.openai.requests[0].body
    assert sent == {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Be brief."}, *HI],
        "max_tokens": 2000,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop": ["END"],
        "service_tier": "default",
        "tools": [{"type": "function", "function": {"name": "now", "parameters": schema, "strict": True}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}},
        "reasoning_effort": "low",
    }


async def test_betas_and_versions(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    betas = ["interleaved-thinking-2025-05-14", "context-1m-2025-08-07", "oauth-2025-04-20", "claude-code-20250219"]
    for model in ("claude", "gpt"):
        await client.beta.messages.create(**{**ASKED, "model": model}, betas=betas)
    assert upstreams.claude.requests[0].headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    assert "anthropic_beta" not in upstreams.claude.requests[0].body
    assert "anthropic_beta" not in upstreams.openai.requests[0].body
    assert "anthropic-beta" not in upstreams.openai.requests[0].headers


async def test_why_it_stopped(client: AsyncAnthropic, upstreams: Upstreams) -> None:
    upstreams.claude.script(message(text("One, two"), stop="stop_sequence", delta={"stop_sequence": "three"}))
    asked: dict[str, Any] = {**ASKED, "model": "claude", "stop_sequences": ["three"]}
    async with client.messages.stream(**asked) as stream:
        streamed = await stream.get_final_message()
    for said in (await client.messages.create(**asked), streamed):
        assert (said.stop_reason, said.stop_sequence) == ("stop_sequence", "three")
    for reason in ("pause_turn", "model_context_window_exceeded", "max_tokens", "refusal"):
        upstreams.claude.script(message(text("One"), stop=reason))
        assert (await client.messages.create(**asked)).stop_reason == reason
    for finish, reason in (("length", "max_tokens"), ("content_filter", "refusal"), ("stop", "end_turn")):
        upstreams.openai.script(whole(completion("One", finish=finish)))
        assert (await client.messages.create(**ASKED)).stop_reason == reason
