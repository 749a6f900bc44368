"""Streams, judged by the openai SDK and by bytes."""

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.fakes.openai_upstream import MODEL, TEXT, USAGE, WORDS, OpenAIUpstream, canonical_chunks, chunk, events, hang, reset, sse, status
from tests.gateway.conftest import KEY, PLAIN, Rig

HEAD = chunk({"role": "assistant", "content": ""})
END = chunk({}, "stop")


def content(values: list[str]) -> str:
    return "".join(choice["delta"].get("content") or "" for v in values if v != "[DONE]" for choice in json.loads(v).get("choices", ()))


def last_chunk(values: list[str]) -> dict[str, Any]:
    assert values[-1] == "[DONE]"
    value: dict[str, Any] = json.loads(values[-2])
    return value


@pytest.mark.provides("openai", "stream")
async def test_the_sdk_streams_the_answer(gateway: Rig) -> None:
    stream = await gateway.client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "hi"}], stream=True)
    chunks = [value async for value in stream]
    assert "".join(choice.delta.content or "" for value in chunks for choice in value.choices) == TEXT
    assert all(value.usage is None for value in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.provides("openai", "usage")
async def test_the_sdk_gets_the_usage_in_one_last_chunk_when_it_asks(gateway: Rig) -> None:
    stream = await gateway.client.chat.completions.create(
        model="fast", messages=[{"role": "user", "content": "hi"}], stream=True, stream_options={"include_usage": True}
    )
    chunks = [value async for value in stream]
    assert [value for value in chunks if value.usage is not None] == chunks[-1:]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]
    assert all("usage" in value.model_fields_set for value in chunks)


async def test_headers_of_a_stream(gateway: Rig) -> None:
    response, _ = await gateway.events()
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-bourse-provider"] == "acme"
    assert response.headers["x-bourse-model"] == MODEL
    assert "x-bourse-cost-usd" not in response.headers


async def test_usage_is_always_asked_upstream_and_other_stream_options_stay(gateway: Rig, upstream: OpenAIUpstream) -> None:
    await gateway.events(stream_options={"include_usage": False, "include_obfuscation": False})
    assert upstream.requests[0].body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


async def test_unasked_usage_is_hidden_and_the_finish_chunk_carries_the_facts(gateway: Rig) -> None:
    _, values = await gateway.events()
    assert content(values) == TEXT
    assert not any('"usage"' in value for value in values)
    last = last_chunk(values)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["bourse"]["costUsd"] == 44_000 / 1e9
    assert last["bourse"]["ttftMs"] is not None


async def test_asked_usage_comes_once_with_the_facts_and_null_before(gateway: Rig) -> None:
    _, values = await gateway.events(stream_options={"include_usage": True})
    *before, last = [json.loads(value) for value in values[:-1]]
    assert all(value["usage"] is None for value in before)
    assert last["choices"] == []
    assert last["usage"] == USAGE
    assert last["bourse"]["provider"] == "acme"


@pytest.mark.parametrize("asked", [True, False])
async def test_a_provider_that_reports_usage_with_the_finish_chunk_or_with_every_chunk(
    gateway: Rig, upstream: OpenAIUpstream, asked: bool
) -> None:
    running = [chunk({"content": word}, usage={"prompt_tokens": 20, "completion_tokens": n}) for n, word in enumerate(WORDS, 1)]
    upstream.script(events(HEAD, *running, chunk({}, "stop", usage=USAGE), end="done"))
    _, values = await gateway.events(stream_options={"include_usage": asked})
    assert content(values) == TEXT
    if asked:
        assert last_chunk(values)["usage"] == USAGE
        assert all(json.loads(value)["usage"] is None for value in values[:-2])
    else:
        assert not any('"usage"' in value for value in values)
    assert (await gateway.last_row())["input_tokens"] == 16


async def test_usage_that_never_came_is_estimated_and_marked(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*canonical_chunks(usage=None), end="done"))
    _, values = await gateway.events(stream_options={"include_usage": True})
    assert last_chunk(values)["usage"]["completion_tokens"] == len(WORDS)
    assert last_chunk(values)["bourse"]["usageSource"] == "estimated"
    row = await gateway.last_row()
    assert (row["usage_source"], row["outcome"]) == ("estimated", "completed")
    assert row["charged_nano"] > 0


async def test_bourse_0_leaves_the_chunks_without_facts(gateway: Rig) -> None:
    response = await gateway.post({**PLAIN, "stream": True}, query="?bourse=0")
    assert "bourse" not in response.text
    assert response.text.endswith("data: [DONE]\n\n")


async def test_untouched_chunks_pass_byte_for_byte(gateway: Rig, upstream: OpenAIUpstream) -> None:
    odd = b'{"id":"x","object":"chat.completion.chunk","model":"m", "choices":[{"index":0,"delta":{"content":"\\u00e9 \\n"}}],"x":1e2}'
    upstream.script(events(HEAD, b"data: " + odd + b"\n\n", END, end="done"))
    response = await gateway.post({**PLAIN, "stream": True})
    assert b"data: " + odd + b"\n\n" in response.content


# ── what GATEWAY.md says to accept ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("U4")
@pytest.mark.parametrize(
    "script",
    [
        pytest.param([*map(sse, canonical_chunks())], id="no [DONE]"),
        pytest.param([b"\xef\xbb\xbf", *map(sse, canonical_chunks()), sse("[DONE]")], id="BOM"),
        pytest.param([sse(value).replace(b"\n", b"\r\n") for value in canonical_chunks()], id="CRLF"),
        pytest.param([sse(value).replace(b"\n", b"\r") for value in canonical_chunks()], id="CR"),
        pytest.param([b": hello\n\n" + sse(value) + b": bye\n" for value in canonical_chunks()], id="comments"),
        pytest.param([b"event: message\nid: 7\n" + sse(value) for value in canonical_chunks()], id="other fields"),
        pytest.param([sse(value).replace(b"data: ", b"data:") for value in canonical_chunks()], id="no space"),
        pytest.param([sse(value).replace(b',"choices"', b',\ndata: "choices"') for value in canonical_chunks()], id="multi-line data"),
        pytest.param([b"".join(map(sse, canonical_chunks()))[:-2]], id="no blank line at the end"),
        pytest.param([sse('{"id": "x", "cho'), *map(sse, canonical_chunks())], id="malformed first"),
        pytest.param([*map(sse, [*canonical_chunks()[:5], "{oops", "[]", "7", *canonical_chunks()[5:]])], id="malformed"),
        pytest.param([sse({**HEAD, "choices": None}), *map(sse, canonical_chunks())], id="choices null"),
        pytest.param([sse({"ping": 1}), *map(sse, canonical_chunks()), sse("[DONE]"), sse(chunk({"content": "late"}))], id="after [DONE]"),
        pytest.param([*map(sse, canonical_chunks()), *map(sse, canonical_chunks()[-1:])], id="usage twice"),
        pytest.param([*map(sse, canonical_chunks(null_usage=False)[:-1]), sse("[DONE]")], id="no usage"),
    ],
)  # fmt: skip
async def test_the_answer_survives(gateway: Rig, upstream: OpenAIUpstream, script: list[bytes]) -> None:
    upstream.script(events(*script))
    _, values = await gateway.events()
    assert content(values) == TEXT
    assert values.count("[DONE]") == 1
    assert values[-1] == "[DONE]"
    assert last_chunk(values)["bourse"]["provider"] == "acme"
    assert (await gateway.last_row())["outcome"] == "completed"


@pytest.mark.case("U4")
async def test_a_character_cut_in_the_middle_arrives_whole(gateway: Rig, upstream: OpenAIUpstream) -> None:
    text = "größer 🙂"
    data = b"data: " + json.dumps(chunk({"content": text}), ensure_ascii=False).encode() + b"\n\n"
    cut = data.index("🙂".encode()) + 2
    upstream.script(events(HEAD, data[:cut], data[cut:], END, end="done"))
    _, values = await gateway.events()
    assert content(values) == text


async def test_a_finished_answer_is_ended_even_if_the_provider_never_closes(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*canonical_chunks(), end="hang"))
    _, values = await gateway.events(model="hasty-alone")
    assert content(values) == TEXT
    assert values[-1] == "[DONE]"
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 20)


async def test_two_choices_finish_both_before_the_end(gateway: Rig, upstream: OpenAIUpstream) -> None:
    both = [chunk({"content": f"{n}"}, index=n) for n in (0, 1)]
    upstream.script(events(*both, chunk({}, "stop", index=0), chunk({"content": "!"}, index=1), chunk({}, "length", index=1), end="done"))
    _, values = await gateway.events(n=2)
    assert content(values) == "01!"
    finishes = [json.loads(value)["choices"][0]["finish_reason"] for value in values[:-1]]
    assert [finish for finish in finishes if finish] == ["stop", "length"]
    assert [("bourse" in json.loads(value)) for value in values[:-1]].count(True) == 1
    assert "bourse" in last_chunk(values)


@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning", "refusal", "tool_calls"])
async def test_every_kind_of_first_token_opens_the_stream(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, field: str
) -> None:
    token: Any = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}] if field == "tool_calls" else "x"
    upstream.script(events(HEAD, chunk({field: token}), end="reset"))
    _, values = await gateway.events(model="no-recovery")
    assert "error" in json.loads(values[-1])
    assert not other.requests


# ── before the first token: somebody else; after it: one error event ─────────────────────────────────────────────────


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(status(500), id="500"),
        pytest.param(status(429, None, "retry-after: 3"), id="429"),
        pytest.param(reset(), id="reset"),
        pytest.param(hang(), id="silent"),
        pytest.param(events(HEAD, end="reset"), id="reset after the role chunk"),
        pytest.param(events(HEAD, end="eof"), id="end after the role chunk"),
        pytest.param(events(HEAD, end="hang"), id="silent after the role chunk"),
        pytest.param(events(HEAD, {"error": {"message": "overloaded", "code": 503}}), id="error event before the first token"),
    ],
)  # fmt: skip
async def test_before_the_first_token_the_next_candidate_answers(gateway: Rig, upstream: OpenAIUpstream, failure: Any) -> None:
    upstream.script(failure)
    response, values = await gateway.events(model="hasty")
    assert response.headers["x-bourse-attempts"] == "2"
    assert content(values) == TEXT
    assert values[-1] == "[DONE]"
    tries = await gateway.rows("call_attempt")
    assert [attempt["outcome"] for attempt in tries] == ["failed", "completed"]


@pytest.mark.case("U2")
@pytest.mark.parametrize(
    ("end", "code"),
    [("reset", "upstream_error"), ("eof", "upstream_error"), ("hang", "upstream_timeout")],
)
async def test_a_cut_stream_ends_in_one_error_event_and_the_sdk_raises(gateway: Rig, upstream: OpenAIUpstream, end: str, code: str) -> None:
    upstream.script(events(*canonical_chunks()[:6], end=end))
    _, values = await gateway.events(model="hasty-alone")
    assert content(values[:-1]) == "".join(WORDS[:5])
    assert json.loads(values[-1])["error"]["code"] == code
    assert "[DONE]" not in values
    row = await gateway.last_row()
    assert (row["outcome"], row["status"], row["error_code"], row["usage_source"]) == ("failed", 200, code, "estimated")
    assert row["output_tokens"] >= 5
    stream = await gateway.client.chat.completions.create(model="hasty-alone", messages=[{"role": "user", "content": "hi"}], stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


async def test_an_error_event_in_a_running_stream_ends_it_in_our_words(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(
        events(
            *canonical_chunks()[:4], {"error": {"message": "boom at http://10.0.0.7:8000 with sk-secret123456", "code": 500}}, end="done"
        )
    )
    _, values = await gateway.events()
    error = json.loads(values[-1])["error"]
    assert error["code"] == "upstream_error"
    assert "10.0.0.7" not in error["message"]
    assert "sk-secret" not in error["message"]
    assert "[DONE]" not in values


async def test_the_total_limit_ends_a_stream_that_talks_on_and_on(gateway: Rig, upstream: OpenAIUpstream) -> None:
    """The clock is put forward while it talks: a limit short enough to wait for may be over before a busy machine has begun."""
    upstream.script(events(*[chunk({"content": "on and "})] * 1000, end="hang", gap=0.02))
    loop = asyncio.get_running_loop()
    began = loop.time
    headers = {"authorization": f"Bearer {KEY}"}
    async with gateway.http.stream(
        "POST", "/v1/chat/completions", json={**PLAIN, "model": "in-20-s", "stream": True}, headers=headers
    ) as answer:
        lines = answer.aiter_lines()
        assert "on and " in await anext(lines)
        loop.time = lambda: began() + 20  # type: ignore[method-assign]
        rest = [line async for line in lines if line]
    assert json.loads(rest[-1][6:])["error"]["code"] == "upstream_timeout"
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 20)


# ── the caller hangs up ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("C1")
async def test_a_hang_up_closes_the_upstream_and_the_row_has_what_was_delivered(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*canonical_chunks()[:6], end="hang"))
    async with gateway.http.stream(
        "POST", "/v1/chat/completions", json={**PLAIN, "stream": True}, headers={"authorization": f"Bearer {KEY}"}
    ) as response:
        async for line in response.aiter_lines():
            if WORDS[4] in line:
                break
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 20)
    row = await gateway.last_row("client_closed")
    assert row["output_tokens"] == 5
    assert row["usage_source"] == "estimated"
    assert row["charged_nano"] > 0


@pytest.mark.case("C1")
async def test_forty_hang_ups_anywhere_are_forty_rows_and_no_open_connection(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*canonical_chunks()[:9], end="hang"))

    async def hang_up_after(lines: int) -> None:
        async with gateway.http.stream(
            "POST", "/v1/chat/completions", json={**PLAIN, "stream": True}, headers={"authorization": f"Bearer {KEY}"}
        ) as response:
            source = response.aiter_lines()
            for _ in range(lines):
                await anext(source)

    await asyncio.gather(*(hang_up_after(number % 17) for number in range(40)))
    await asyncio.wait_for(asyncio.gather(*(request.hung_up.wait() for request in upstream.requests)), 20)
    async with asyncio.timeout(20):
        while len(rows := await gateway.rows()) < 40:
            await asyncio.sleep(0.02)
    assert [row["outcome"] for row in rows] == ["client_closed"] * 40
    assert all(row["usage_source"] == "estimated" and row["charged_nano"] > 0 for row in rows)


async def test_a_hang_up_before_the_first_token_closes_the_upstream_too(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(hang())
    for number, stream in enumerate((True, False)):
        caller = asyncio.create_task(gateway.post({**PLAIN, "stream": stream}))
        while len(upstream.requests) == number:
            await asyncio.sleep(0.01)
        caller.cancel()
        await asyncio.wait_for(upstream.requests[-1].hung_up.wait(), 20)
        row = await gateway.last_row("client_closed")
        assert (row["status"], row["output_tokens"], row["stream"]) == (499, 0, int(stream))
        assert len(await gateway.rows()) == number + 1


@pytest.mark.provides("sandbox", "stream", "reasoning")
async def test_the_sandbox_streams_reasoning_and_breaks_off_on_demand(gateway: Rig) -> None:
    _, values = await gateway.events(model="sandbox/reasoning")
    assert any(json.loads(value)["choices"][0]["delta"].get("reasoning_content") for value in values[:-1])
    assert (await gateway.last_row())["reasoning_tokens"] > 10
    _, values = await gateway.events(model="sandbox/broken")
    assert json.loads(values[-1])["error"]["code"] == "upstream_error"
