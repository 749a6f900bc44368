"""Streamed completions: the SDK, the bytes, the ledger, and streams that end badly."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateway.operations.text_events import TextEvents
from backend.pricing.usage import Usage
from tests.fakes.openai_operations import text_completion
from tests.fakes.openai_upstream import OpenAIUpstream, events, hang, sse, status, whole
from tests.gateway.conftest import KEY
from tests.gateway.operations.conftest import OperationRig as Rig

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
ASKED = {"model": "instruct", "prompt": "Once upon a time", "max_tokens": 20, "stream": True}


def event(text: str, finish: str | None = None, *, index: int = 0, **extra: Any) -> dict[str, Any]:
    value = text_completion()
    del value["usage"]
    return {**value, "choices": [{"text": text, "index": index, "logprobs": None, "finish_reason": finish}], **extra}


def closing(usage: Any = USAGE) -> dict[str, Any]:
    return {**event(""), "choices": [], "usage": usage}


GOOD = (event(" there", usage=None), event(" was", usage=None), event("", "stop", usage=None), closing())


async def told(gateway: Rig, **body: Any) -> tuple[Any, list[str]]:
    response = await gateway.ask("completions", {**ASKED, **body})
    return response, [line[6:] for line in response.text.split("\n") if line.startswith("data: ")]


module = pytest.mark.asyncio(loop_scope="module")


@module
async def test_the_sdk_reads_the_stream_and_its_usage(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*GOOD, end="done"))
    options: Any = {"include_usage": True}
    stream = await gateway.client.completions.create(model="instruct", prompt="Once", max_tokens=20, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == " there was"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.total_tokens, chunks[-1].choices) == (8, [])
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert upstream.requests[0].body["stream_options"] == {"include_usage": True}
    row = await gateway.last_row()
    assert (row["endpoint"], row["stream"], row["outcome"], row["usage_source"]) == ("completions", 1, "completed", "provider")
    assert (row["input_tokens"], row["output_tokens"], row["charged_nano"]) == (5, 3, 5 * 1000 + 3 * 2000)
    assert row["first_token_ms"] is not None


@module
async def test_usage_that_nobody_asked_for_is_hidden_and_the_facts_are_in_the_last_event(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*GOOD, end="done"))
    response, lines = await told(gateway)
    assert response.headers["content-type"] == "text/event-stream"
    assert lines[-1] == "[DONE]"
    values = [json.loads(line) for line in lines[:-1]]
    assert [value["choices"][0]["text"] for value in values] == [" there", " was", ""]
    assert not any("usage" in value for value in values)
    assert values[-1]["choices"][0]["finish_reason"] == "stop"
    assert (values[-1]["bourse"]["provider"], values[-1]["bourse"]["costUsd"]) == ("acme", 11e-6)


@module
async def test_without_facts_and_usage_a_stream_is_what_came(gateway: Rig, upstream: OpenAIUpstream) -> None:
    plain = (event("a"), event("", "stop"))
    upstream.script(events(*plain, closing(), end="done"))
    response = await gateway.ask("completions?bourse=0", ASKED)
    assert response.content == b"".join(map(sse, (*plain, "[DONE]")))


@module
@pytest.mark.parametrize(
    "step",
    [
        status(503),
        whole({"error": {"message": "no", "type": "server_error"}}),
        whole(text_completion()),
        events({"error": {"message": "overloaded", "code": 503}}),
        events(end="eof"),
        events("[DONE]"),
        events(event(""), end="reset"),
        events("no json", "[]", "{}", end="eof"),
    ],
)
async def test_until_the_first_text_another_candidate_may_answer(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, step: Any
) -> None:
    upstream.script(step)
    other.script(events(*GOOD, end="done"))
    response, lines = await told(gateway, model="instruct-pair")
    assert response.status_code == 200
    assert json.loads(lines[-2])["bourse"]["provider"] == "backup"
    assert (await gateway.last_row())["attempts"] == 2


@module
@pytest.mark.parametrize("end", ["reset", "eof", "error"])
async def test_a_stream_that_breaks_ends_in_one_error_and_what_was_delivered_is_charged(
    gateway: Rig, upstream: OpenAIUpstream, end: str
) -> None:
    broken = [{"error": {"message": "overloaded", "code": 503}}] if end == "error" else []
    upstream.script(events(event("abcd"), event("efgh"), *broken, end="eof" if end == "error" else end, gap=0.02))
    response, lines = await told(gateway)
    assert response.status_code == 200
    assert json.loads(lines[-1])["error"]["code"] == "upstream_error"
    assert "[DONE]" not in lines
    row = await gateway.last_row()
    assert (row["outcome"], row["error_code"], row["usage_source"], row["output_tokens"]) == ("failed", "upstream_error", "estimated", 2)
    assert row["charged_nano"] == 4 * 1000 + 2 * 2000


@module
async def test_a_stream_without_an_end_mark_and_without_usage_is_whole(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(event("abcdefgh"), event("", "stop"), end="eof"))
    _, lines = await told(gateway, stream_options={"include_usage": True})
    assert lines[-1] == "[DONE]"
    assert json.loads(lines[-2])["usage"]["completion_tokens"] == 2
    row = await gateway.last_row()
    assert (row["outcome"], row["usage_source"], row["output_tokens"]) == ("completed", "estimated", 2)


@module
async def test_a_count_of_nothing_at_the_end_of_a_text_is_no_count(gateway: Rig, upstream: OpenAIUpstream) -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    upstream.script(events(event(" there"), event("", "stop"), closing(nothing), end="done"))
    await told(gateway)
    row = await gateway.last_row()
    assert row["usage_source"] == "estimated"
    assert row["charged_nano"] > 0


@module
async def test_who_writes_on_beyond_the_cap_is_cut_off(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*[event(" twelve signs") for _ in range(50)], end="hang"))
    _, lines = await told(gateway, max_tokens=10)
    assert json.loads(lines[-2])["choices"][0]["finish_reason"] == "length"
    row = await gateway.last_row()
    assert (row["outcome"], row["overrun"], row["output_tokens"]) == ("completed", 1, 10)
    await upstream.requests[0].hung_up.wait()


@module
async def test_hanging_up_ends_the_stream_and_pays_for_what_came(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(event("abcd"), event("efgh"), end="hang"))
    async with gateway.http.stream("POST", "/v1/completions", json=ASKED, headers={"authorization": f"Bearer {KEY}"}) as response:
        lines = response.aiter_lines()
        while "efgh" not in await anext(lines):
            pass
    row = await gateway.last_row("client_closed")
    assert (row["output_tokens"], row["charged_nano"]) == (2, 4 * 1000 + 2 * 2000)
    await upstream.requests[0].hung_up.wait()


@module
async def test_hanging_up_before_the_first_text_pays_nothing(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(hang())
    asking = asyncio.create_task(gateway.ask("completions", ASKED))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    asking.cancel()
    assert (await gateway.last_row("client_closed"))["charged_nano"] == 0


@module
async def test_the_sandbox_streams_what_it_says_whole(gateway: Rig) -> None:
    asked: dict[str, Any] = {"model": "my-completion", "prompt": ["a", "b"], "max_tokens": 40}
    plain = await gateway.client.completions.create(**asked)
    texts = ["", ""]
    async for chunk in await gateway.client.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in plain.choices]
    first, second = await gateway.rows()
    assert first["charged_nano"] == second["charged_nano"] > 0


WIRE = b"\xef\xbb\xbf: hello\r\n\r\n" + b"".join(map(sse, (event("", None), event("Grüße"), event(" bye", "stop"), closing(), "[DONE]")))


@given(st.lists(st.integers(0, len(WIRE)), max_size=12))
def test_however_it_is_cut_it_is_the_same_stream(cuts: list[int]) -> None:
    def read(places: list[int]) -> tuple[bytes, Usage | None, bool]:
        stream, out = TextEvents(choices=1, most_tokens=100, wants_usage=False), b""
        for start, end in zip([0, *places], [*places, len(WIRE)], strict=True):
            out += stream.feed(WIRE[start:end])
        out += stream.end()
        return out + stream.closing(Usage(), None), stream.usage, stream.complete

    assert read(sorted(cuts)) == read([])
    assert read([])[1:] == (Usage(input=5, output=3), True)


def test_what_comes_after_the_end_of_the_text_is_not_held_without_end() -> None:
    stream = TextEvents(choices=1, most_tokens=9, wants_usage=False)
    stream.feed(sse(event("x", "stop")))
    more = sse(event("") | {"padding": "x" * 100_000})
    for _ in range(10):
        stream.feed(more)
    assert not stream.done
    stream.feed(more)
    assert stream.done
    assert stream.complete


PIECES = [
    *map(sse, (event("x"), event("", "stop"), "[DONE]", "no", {"choices": 7}, {"error": "e"}, {"choices": [{"text": 5, "index": "x"}]})),
    *(b"data: ", b"\n\n", b"\r", sse(closing({"prompt_tokens": -1})), sse({"choices": [None], "usage": 3, "model": 4})),
]


@given(st.lists(st.sampled_from(PIECES)))
def test_any_events_are_read_without_a_fault(pieces: list[bytes]) -> None:
    stream = TextEvents(choices=1, most_tokens=3, wants_usage=True)
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    assert stream.tokens >= 0
    assert stream.closing(Usage(), {}).endswith(b"data: [DONE]\n\n")
