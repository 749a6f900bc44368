"""A call through the Responses API is a call like any other: its row, its limits, its budget, its replay, its recovery, its errors."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml
from openai import AsyncOpenAI

from backend.gateway.watch import Watch
from backend.kernel.json import MAX_DEPTH
from tests.fakes.openai_upstream import TEXT, USAGE, Exchange, answer, canonical_chunks, chunk, completion, events, hang, sse, status, whole
from tests.gateway.conftest import KEY, Rig, open_gateway
from tests.gateway.errors import assert_error
from tests.gateway.responses_api.conftest import Providers, responses_configuration

pytestmark = pytest.mark.asyncio(loop_scope="module")
_names = (f"key-{number}" for number in itertools.count())


async def post(rig: Rig, body: Any, *, key: str | None = KEY, **headers: str) -> httpx.Response:
    authorization = {"authorization": f"Bearer {key}"} if key else {}
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return await rig.http.post("/v1/responses", headers={**authorization, **headers}, **content)


def told(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in response.text.split("\n") if line.startswith("data: ")]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_ledger_has_its_row(gateway: Rig, providers: Providers, stream: bool) -> None:
    await post(gateway, {"model": "fast", "input": "hi", "stream": stream, "user": "ada"})
    row = await gateway.last_row()
    assert (row["endpoint"], row["outcome"], bool(row["stream"]), row["end_user"]) == ("responses", "completed", stream, "ada")
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (16, 4, 10, 2)
    assert row["charged_nano"] > 0


async def test_the_headers_are_those_of_a_chat_call(gateway: Rig, providers: Providers) -> None:
    response = await post(gateway, {"model": "fast", "input": "hi"})
    assert int(response.headers["content-length"]) == len(response.content)
    assert (response.headers["x-bourse-provider"], response.headers["x-bourse-model"]) == ("acme", "gpt-fake-2026-01-01")
    assert float(response.headers["x-bourse-cost-usd"]) == response.json()["bourse"]["costUsd"] > 0
    assert "x-budget-remaining" in response.headers
    plain = await gateway.http.post(
        "/v1/responses?bourse=0", json={"model": "fast", "input": "hi"}, headers={"authorization": f"Bearer {KEY}"}
    )
    assert "bourse" not in plain.json()


REFUSED = [
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0].type"),
    ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0].type"),
    ({"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://example.org"}]}, "tools[0].type"),
    ({"tools": [{"type": "image_generation"}]}, "tools[0].type"),
    ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
    ({"background": True}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"context_management": [{"type": "compaction"}]}, "context_management"),
    ({"truncation": "auto"}, "truncation"),
    ({"max_tokens": 5}, "max_tokens"),
    ({"messages": []}, "messages"),
    ({"n": 2}, "n"),
    ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}, "input[0].content[0].file_id"),
    ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
    ({"input": [{"type": "computer_call", "id": "x"}]}, "input[0].type"),
]
MALFORMED = [
    ({"input": 5}, "input"),
    ({"input": []}, "input"),
    ({"input": ["hi"]}, "input[0]"),
    ({"input": [{"role": "robot", "content": "hi"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
    ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].input_audio"),
    ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
    ({"instructions": 5}, "instructions"),
    ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
    ({"metadata": {"a": 5}}, "metadata.a"),
    ({"include": ["everything"]}, "include[0]"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"stream": "yes"}, "stream"),
    ({"store": 1}, "store"),
    ({"text": "json"}, "text"),
    ({"reasoning": "hard"}, "reasoning"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"previous_response_id": 5}, "previous_response_id"),
    ({"model": ""}, "model"),
    ({"user": 5}, "user"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=str)
async def test_what_cannot_be_done_is_refused_by_name(gateway: Rig, providers: Providers, fields: dict[str, Any], param: str) -> None:
    response = await post(gateway, {"model": "fast", "input": "hi", **fields})
    assert_error(response, 400, "invalid_request_error", "unsupported_parameter", param)
    assert providers.openai.requests == []


@pytest.mark.parametrize(("fields", "param"), MALFORMED, ids=str)
async def test_what_cannot_be_meant_is_refused_by_name(gateway: Rig, providers: Providers, fields: dict[str, Any], param: str) -> None:
    response = await post(gateway, {"model": "fast", "input": "hi", **fields})
    assert_error(response, 400, "invalid_request_error", None, param)
    assert providers.openai.requests == []


async def test_a_refused_request_has_its_row(gateway: Rig, providers: Providers) -> None:
    await post(gateway, {"model": "fast", "input": "hi", "background": True})
    row = await gateway.last_row()
    assert (row["endpoint"], row["outcome"], row["error_code"]) == ("responses", "refused", "unsupported_parameter")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"model": "fast"}', b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)])
async def test_bodies_of_strangers(gateway: Rig, providers: Providers, body: bytes) -> None:
    assert_error(await post(gateway, body), 400, "invalid_request_error", None, "input" if body[:2] == b'{"' else None)


async def test_the_sdks_error_classes(client: AsyncOpenAI, gateway: Rig, providers: Providers) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model="no-such-model", input="hi")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="fast", input="hi", tools=[{"type": "web_search"}])
    assert refused.value.code == "unsupported_parameter"
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="sk-wrong.secret").responses.create(model="fast", input="hi")
    providers.openai.script(status(429))
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model="fast", input="hi")
    providers.openai.script(status(500))
    with pytest.raises(openai.InternalServerError):
        await client.responses.create(model="fast", input="hi", stream=True)


async def test_other_methods_and_paths(gateway: Rig, providers: Providers) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    assert (await gateway.http.get("/v1/responses", headers=headers)).status_code == 405
    assert (await gateway.http.post("/v1/responses/resp_1", headers=headers)).status_code == 405
    assert (await gateway.http.delete("/v1/responses/resp_1/input_items", headers=headers)).status_code == 405
    assert (await gateway.http.get("/v1/responses/resp_1/other", headers=headers)).status_code == 404
    assert (await gateway.http.get("/v1/responses/", headers=headers)).status_code == 404
    assert (await gateway.http.get("/v1/responses/resp_1")).status_code == 401


async def test_a_stream_that_breaks_off_ends_in_response_failed(gateway: Rig, providers: Providers) -> None:
    providers.openai.script(events(chunk({"role": "assistant", "content": "Half"}), end="reset"))
    response = await post(gateway, {"model": "no-recovery", "input": "hi", "stream": True})
    last = told(response)[-1]
    assert response.text.rstrip().rpartition("event: ")[2].startswith("response.failed\n")
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["code"] == "server_error"
    assert last["response"]["error"]["message"]
    row = await gateway.last_row()
    assert (row["outcome"], row["endpoint"]) == ("failed", "responses")
    kept = await gateway.http.get(f"/v1/responses/{last['response']['id']}", headers={"authorization": f"Bearer {KEY}"})
    assert kept.status_code == 404


async def test_a_broken_stream_is_gone_on_with(gateway: Rig, providers: Providers) -> None:
    """Another provider repeats the text; the caller reads one answer."""
    providers.openai.script(events(*canonical_chunks()[:5], end="reset"))
    providers.other.script(answer())
    response = await post(gateway, {"model": "pair", "input": "hi", "stream": True})
    said = told(response)
    assert "".join(event["delta"] for event in said if event["type"] == "response.output_text.delta") == TEXT
    assert (said[-1]["type"], said[-1]["response"]["bourse"]["recovered"]) == ("response.completed", {"by": "repeat"})
    assert [event["sequence_number"] for event in said] == list(range(len(said)))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_idempotency_key_makes_it_one_call(gateway: Rig, providers: Providers, stream: bool) -> None:
    name, body = next(_names), {"model": "fast", "input": "hi", "stream": stream}
    first, twin = await asyncio.gather(*(post(gateway, body, **{"idempotency-key": name}) for _ in range(2)))
    again = await post(gateway, body, **{"idempotency-key": name})
    assert first.text == twin.text == again.text
    assert again.headers["idempotency-replayed"] == "true"
    assert len(providers.openai.requests) == 1
    other = await post(gateway, {**body, "input": "something else"}, **{"idempotency-key": name})
    assert_error(other, 422, "invalid_request_error", "idempotency_mismatch", "Idempotency-Key")


async def test_a_caller_who_leaves_is_settled_and_nothing_is_kept(gateway: Rig, providers: Providers) -> None:
    providers.openai.script(events(chunk({"role": "assistant", "content": "Half"}), end="hang"))
    request = {"model": "fast", "input": "hi", "stream": True}
    async with gateway.http.stream("POST", "/v1/responses", json=request, headers={"authorization": f"Bearer {KEY}"}) as response:
        async for line in response.aiter_lines():
            if "output_text.delta" in line:
                break
    row = await gateway.last_row("client_closed")
    assert (row["endpoint"], row["output_tokens"]) == ("responses", 1)


async def test_a_provider_that_says_nothing_more_is_told_of_in_an_event(gateway: Rig, providers: Providers) -> None:
    providers.openai.script(events(chunk({"role": "assistant", "content": "Half"}), end="hang"))
    response = await post(gateway, {"model": "hasty-alone", "input": "hi", "stream": True})
    assert told(response)[-1]["type"] == "response.failed"
    providers.openai.script(hang())
    silent = await post(gateway, {"model": "hasty-alone", "input": "hi", "stream": True})
    assert_error(silent, 504, "api_error", "upstream_timeout")


async def test_a_rate_limit_in_the_middle_of_a_stream_is_said_so(gateway: Rig, providers: Providers) -> None:
    error = {"error": {"message": "slow down", "type": "rate_limit_error", "code": 429}}
    providers.openai.script(events(chunk({"content": "Half"}), error))
    last = told(await post(gateway, {"model": "no-recovery", "input": "hi", "stream": True}))[-1]
    assert last["response"]["error"]["code"] == "rate_limit_exceeded"
    assert last["response"]["status"] == "failed"


async def test_events_of_hostile_shapes_do_no_harm(gateway: Rig, providers: Providers) -> None:
    """Whatever a provider puts where text belongs, the stream has an end that says so."""
    strange: list[Any] = [
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Oh"}, 5]},
        {"tool_calls": [None, 5, {"index": 0}, {"index": 0, "function": None}, {"function": {"name": "f", "arguments": 5}}]},
        {"images": [None, {"image_url": {"url": "https://example.org/x.png"}}], "annotations": [None, {"type": "odd"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "x"}], "refusal": 5, "content": "."},
    ]
    chunks = [chunk(delta) for delta in strange]
    broken = {**chunk({}), "choices": [{"index": 0, "delta": {"content": "!"}, "logprobs": {"content": 7}, "finish_reason": None}]}
    providers.openai.script(events(chunk({"content": "So"}), *chunks, broken, chunk({}, "stop"), chunk(None, usage=USAGE), end="done"))
    said = told(await post(gateway, {"model": "fast", "input": "hi", "stream": True}))
    assert said[-1]["type"] == "response.completed"
    body = completion()
    body["choices"][0]["message"] = {name: value for delta in strange for name, value in delta.items()}
    providers.openai.script(whole(body))
    assert (await post(gateway, {"model": "fast", "input": "hi"})).status_code == 200


async def test_a_slow_stream_is_passed_on_piece_by_piece(gateway: Rig, providers: Providers) -> None:
    heard = asyncio.Event()

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        await exchange.chunk(sse(chunk({"content": "First"})))
        await heard.wait()
        for value in (chunk({"content": " second."}), chunk({}, "stop")):
            await exchange.chunk(sse(value))
        await exchange.end()

    providers.openai.script(step)
    request = {"model": "fast", "input": "hi", "stream": True}
    async with gateway.http.stream("POST", "/v1/responses", json=request, headers={"authorization": f"Bearer {KEY}"}) as response:
        async for line in response.aiter_lines():
            if "output_text.delta" in line and "First" in line:
                heard.set()
    assert heard.is_set()


async def test_limits_and_budgets_hold(tmp_path: Path, sqlite_database_url: str, providers: Providers) -> None:
    settings = responses_configuration(
        providers, rate_limits={"default": {"requests_per_minute": 2, "tokens_per_minute": 0, "parallel": 0}}
    )
    budget = {"limit_usd": 0.000_000_001}
    settings["bootstrap"]["api_keys"].append({"tenant": "demo", "name": "poor", "key": "sk-poor.local-only", "budget": budget})
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(settings))
    async with open_gateway(tmp_path / "bourse.yaml", tmp_path, sqlite_database_url) as rig:
        poor = await post(rig, {"model": "fast", "input": "hi", "max_output_tokens": 100}, key="sk-poor.local-only")
        assert_error(poor, 403, "insufficient_quota", "budget_exceeded")
        statuses = [(await post(rig, {"model": "fast", "input": "hi"})).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]


async def test_a_route_that_keeps_answers_gives_them_here_too(tmp_path: Path, sqlite_database_url: str, providers: Providers) -> None:
    settings = responses_configuration(providers)
    settings["models"][0]["cache"] = {"ttl": "10m"}
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(settings))
    async with open_gateway(tmp_path / "bourse.yaml", tmp_path, sqlite_database_url) as rig:
        first = await post(rig, {"model": "fast", "input": "hi"})
        second = await post(rig, {"model": "fast", "input": "hi", "stream": True})
        assert second.headers["x-bourse-cache"] == "hit"
        last = told(second)[-1]["response"]
        assert [item["content"] for item in last["output"]] == [item["content"] for item in first.json()["output"]]
        assert last["id"] != first.json()["id"]
        assert len(providers.openai.requests) == 1


async def test_what_a_provider_cannot_do_is_told_in_the_callers_words(gateway: Rig, providers: Providers) -> None:
    formatted = await post(gateway, {"model": "claude", "input": "hi", "text": {"format": {"type": "json_object"}}})
    assert_error(formatted, 400, "invalid_request_error", "unsupported_parameter", "text.format")
    image = {"type": "input_image", "image_url": "ftp://example.org/a.png"}
    shown = await post(gateway, {"model": "claude", "input": [{"role": "user", "content": [image]}], "instructions": "Look."})
    assert_error(shown, 400, "invalid_request_error", None, "input[0].content[0]")
    streamed = await post(gateway, {"model": "claude", "input": "hi", "text": {"verbosity": "low"}, "stream": True})
    assert_error(streamed, 400, "invalid_request_error", "unsupported_parameter", "text.verbosity")


async def test_a_stream_that_the_process_ends_says_so(gateway: Rig, providers: Providers) -> None:
    providers.openai.script(events(*canonical_chunks()[:6], end="hang"))
    before = asyncio.all_tasks()
    request = {"model": "fast", "input": "hi", "stream": True}
    async with gateway.http.stream("POST", "/v1/responses", json=request, headers={"authorization": f"Bearer {KEY}"}) as response:
        lines = response.aiter_lines()
        async for line in lines:
            if "fox" in line:
                break
        [running] = [task for task in asyncio.all_tasks() - before if "run_asgi" in repr(task.get_coro())]
        running.cancel("the server is ending")
        rest = [line async for line in lines if line.startswith("data: ")]
    last = json.loads(rest[-1][6:])
    assert (last["type"], last["response"]["error"]["message"]) == ("response.failed", "Bourse is restarting.")
    assert (await gateway.last_row())["outcome"] == "interrupted"


async def test_comments_pass_and_an_error_after_them_is_a_whole_stream(
    gateway: Rig, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that has begun with a comment and fails before its first token: created, in progress, failed."""
    defaults = Watch.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "keep_alive_after", 0.05)
    heard = asyncio.Event()

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        await heard.wait()
        exchange.reset()

    providers.openai.script(step)
    request = {"model": "fast", "input": "hi", "stream": True}
    kinds: list[str] = []
    async with gateway.http.stream("POST", "/v1/responses", json=request, headers={"authorization": f"Bearer {KEY}"}) as response:
        async for line in response.aiter_lines():
            if line == ": keep-alive":
                heard.set()
            elif line.startswith("event: "):
                kinds.append(line[7:])
    assert kinds == ["response.created", "response.in_progress", "response.failed"]
