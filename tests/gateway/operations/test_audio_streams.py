"""Sound in events: speech whose tokens are charged, transcripts as they are written, and streams that end badly."""

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateway.operations.media_events import MediaEvents
from backend.pricing.usage import Usage
from tests.fakes.openai_operations import form_of, sound
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step, events, hang, sse, status, whole
from tests.gateway.conftest import KEY
from tests.gateway.operations.conftest import OperationRig as Rig
from tests.providers.test_sound import wav

module = pytest.mark.asyncio(loop_scope="module")

SAY = {"model": "speak-tokens", "input": "Good day", "voice": "alloy"}
COUNTED = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
SPOKEN = (
    {"type": "speech.audio.delta", "audio": b64encode(b"ID3 some").decode()},
    {"type": "speech.audio.delta", "audio": b64encode(b" of it").decode()},
)
SAID = {"type": "speech.audio.done", "usage": COUNTED}
SPOKEN_NANO = 14 * 600 + 101 * 12_000
WRITTEN = ({"type": "transcript.text.delta", "delta": "Good"}, {"type": "transcript.text.delta", "delta": " day"})
HEARD = {
    "type": "tokens",
    "input_tokens": 30,
    "input_token_details": {"text_tokens": 5, "audio_tokens": 25},
    "output_tokens": 4,
    "total_tokens": 34,
}
DONE = {"type": "transcript.text.done", "text": "Good day", "usage": HEARD}
HEARD_NANO = 5 * 2_500 + 25 * 6_000 + 4 * 10_000
FILE = ("a.wav", wav(2.5), "audio/wav")
BEARER = {"authorization": f"Bearer {KEY}"}


def in_two(first: Iterable[Any], last: Iterable[Any], heard: asyncio.Event) -> Step:
    """Events, and others once the caller has heard of the first."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        await exchange.chunk(b"".join(map(sse, first)))
        await heard.wait()
        for one in last:
            await exchange.chunk(sse(one))
        await exchange.end()

    return step


# ── speech ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@module
@pytest.mark.provides("openai", "audio")
async def test_sound_that_is_priced_by_its_tokens_is_asked_for_in_events_and_passed_on_as_sound(
    gateway: Rig, upstream: OpenAIUpstream
) -> None:
    upstream.script(events(*SPOKEN, SAID))
    answer = await gateway.client.audio.speech.create(model="speak-tokens", input="Good day", voice="alloy", response_format="aac")
    assert (answer.content, answer.response.headers["content-type"]) == (b"ID3 some of it", "audio/aac")
    body = {"model": "speak-tokens-fake", "input": "Good day", "voice": "alloy", "response_format": "aac", "stream_format": "sse"}
    assert upstream.requests[0].body == body
    row = await gateway.last_row()
    assert (row["unit"], row["input_tokens"], row["audio_output_tokens"], row["usage_source"]) == (None, 14, 101, "provider")
    assert (row["charged_nano"], row["outcome"], row["overrun"]) == (SPOKEN_NANO, "completed", 0)


@module
async def test_a_server_that_knows_no_events_is_charged_by_our_estimate_and_never_nothing(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"ID3 some"))
    response = await gateway.ask("audio/speech", SAY)
    assert (response.content, response.headers["content-type"]) == (b"ID3 some", "audio/mpeg")
    row = await gateway.last_row()
    assert (row["usage_source"], row["audio_output_tokens"]) == ("estimated", 16)
    assert row["charged_nano"] >= 16 * 12_000


@module
@pytest.mark.parametrize(
    "last",
    [
        pytest.param((), id="no last event"),
        pytest.param(({"type": "error", "message": "out of breath"},), id="an error"),
        pytest.param(({"type": "speech.audio.delta", "audio": "??"},), id="no base64"),
    ],
)
async def test_unfolded_sound_that_breaks_off_breaks_off_for_the_caller_who_pays_nothing(
    gateway: Rig, upstream: OpenAIUpstream, last: tuple[Any, ...]
) -> None:
    heard = asyncio.Event()
    upstream.script(in_two(SPOKEN, last, heard))
    got = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with gateway.http.stream("POST", "/v1/audio/speech", json=SAY, headers=BEARER) as response:
            async for piece in response.aiter_bytes():
                got += piece
                heard.set()
    assert got == b"ID3 some of it"
    row = await gateway.last_row("failed")
    assert (row["charged_nano"], row["provider_cost_nano"] > 0) == (0, True)


@module
async def test_an_error_before_any_sound_has_a_status_of_its_own(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events({"type": "error", "message": "out of breath"}))
    assert (await gateway.ask("audio/speech", SAY)).status_code == 502


@module
async def test_who_asks_for_events_gets_them_and_is_charged_by_the_last(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*SPOKEN, SAID))
    response = await gateway.ask("audio/speech", {**SAY, "stream_format": "sse"})
    assert response.headers["content-type"].startswith("text/event-stream")
    *pieces, last = [line for line in response.text.split("\n\n") if line]
    assert [f"{piece}\n\n".encode() for piece in pieces] == [sse(one) for one in SPOKEN]
    assert '"usage":{"input_tokens":14' in last.replace(" ", "")
    assert '"bourse":{' in last
    row = await gateway.last_row()
    assert (row["charged_nano"], row["stream"], row["first_token_ms"] is not None) == (SPOKEN_NANO, 1, True)


@module
async def test_events_of_a_model_that_is_priced_by_the_character_are_charged_by_it(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*SPOKEN, SAID))
    await gateway.ask("audio/speech", {**SAY, "model": "speak", "stream_format": "sse"})
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["charged_nano"]) == ("character", 8, 8 * 15_000)


@module
@pytest.mark.provides("sandbox", "audio")
async def test_the_sandbox_speaks_in_events(gateway: Rig) -> None:
    response = await gateway.ask(
        "audio/speech", {"model": "my-speech", "input": "Good day to you", "response_format": "wav", "stream_format": "sse"}
    )
    assert response.text.count("speech.audio.delta") >= 2
    assert response.text.count("speech.audio.done") == 1
    assert (await gateway.last_row())["charged_nano"] == 15 * 15_000


# ── transcripts ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def streamed(gateway: Rig, model: str = "hear-tokens", **more: Any) -> list[Any]:
    stream = await gateway.client.audio.transcriptions.create(model=model, file=FILE, stream=True, **more)
    return [event async for event in stream]


@module
@pytest.mark.provides("openai", "audio")
async def test_the_sdk_reads_a_transcript_as_it_is_written(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*WRITTEN, DONE))
    found = await streamed(gateway)
    assert [event.type for event in found] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert (found[0].delta, found[-1].text, found[-1].usage.total_tokens) == ("Good", "Good day", 34)
    assert form_of(upstream.requests[0])["stream"] == [b"true"]
    row = await gateway.last_row()
    assert [row[f"{name}_tokens"] for name in ("input", "audio_input", "output")] == [5, 25, 4]
    assert (row["charged_nano"], row["usage_source"], row["stream"], row["endpoint"]) == (HEARD_NANO, "provider", 1, "audio.transcriptions")


@module
async def test_a_stream_is_charged_by_the_second_where_the_offer_is(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*WRITTEN, {**DONE, "usage": {"type": "duration", "seconds": 3}}))
    await streamed(gateway, "hear")
    upstream.script(events(*WRITTEN, {"type": "transcript.text.done", "text": "Good day"}, end="done"))
    await streamed(gateway, "hear")
    told, counted = await gateway.rows()
    assert (told["unit"], told["quantity"], told["usage_source"], told["charged_nano"]) == ("second", 3, "provider", 300_000)
    assert (counted["quantity"], counted["usage_source"], counted["charged_nano"]) == (2.5, "counted", 250_000)


@module
async def test_who_cannot_stream_answers_in_two_events(gateway: Rig, upstream: OpenAIUpstream) -> None:
    """OpenAI's own whisper-1 overlooks `stream`."""
    upstream.script(whole({"text": "Good day", "usage": {"type": "duration", "seconds": 3}}))
    delta, done = await streamed(gateway, "hear")
    assert (delta.delta, done.text) == ("Good day", "Good day")
    assert (await gateway.last_row())["quantity"] == 3


@module
@pytest.mark.parametrize(
    "step",
    [
        status(500),
        events(),
        events({"type": "error", "message": "no"}),
        events({"error": {"message": "no"}}),
        whole({"error": {"message": "no"}}),
    ],
)
async def test_until_the_first_event_another_candidate_may_answer(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, step: Any
) -> None:
    upstream.script(step)
    other.script(events(*WRITTEN, DONE))
    assert (await streamed(gateway, "hear-tokens-pair"))[-1].text == "Good day"
    row = await gateway.last_row()
    assert (row["provider"], row["attempts"], row["charged_nano"]) == ("backup", 2, HEARD_NANO * 10)


@module
@pytest.mark.parametrize("last", [(), ({"type": "error", "message": "lost it"},)])
async def test_a_transcript_that_breaks_ends_in_one_error_and_costs_nothing(
    gateway: Rig, upstream: OpenAIUpstream, last: tuple[Any, ...]
) -> None:
    heard = asyncio.Event()
    upstream.script(in_two(WRITTEN, last, heard))
    got, form = b"", {"model": "hear-tokens", "stream": "true"}
    async with gateway.http.stream("POST", "/v1/audio/transcriptions", data=form, files={"file": FILE}, headers=BEARER) as response:
        with suppress(httpx.RemoteProtocolError):  # after the error the stream is cut
            async for piece in response.aiter_bytes():
                got += piece
                heard.set()
    *parts, error = [part for part in got.split(b"\n\n") if part]
    assert (response.status_code, len(parts), b'"error"' in error) == (200, 2, True)
    row = await gateway.last_row("failed")
    assert (row["charged_nano"], row["provider_cost_nano"] > 0) == (0, True)


@module
async def test_hanging_up_is_charged_for_all_of_the_file(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(WRITTEN[0], end="hang"))
    form = {"model": "hear", "stream": "true"}
    async with gateway.http.stream("POST", "/v1/audio/transcriptions", data=form, files={"file": FILE}, headers=BEARER) as response:
        async for _ in response.aiter_bytes():
            break
    row = await gateway.last_row("client_closed")
    assert (row["quantity"], row["charged_nano"]) == (2.5, 250_000)


@module
async def test_hanging_up_before_anybody_took_it_on_costs_nothing(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(hang())
    form = {"model": "hear", "stream": "true"}
    asking = asyncio.create_task(gateway.http.post("/v1/audio/transcriptions", data=form, files={"file": FILE}, headers=BEARER))
    async with asyncio.timeout(10):
        while not upstream.requests:
            await asyncio.sleep(0.01)
    asking.cancel()
    assert (await gateway.last_row("client_closed"))["charged_nano"] == 0


@module
@pytest.mark.provides("sandbox", "audio")
async def test_the_sandbox_writes_in_events(gateway: Rig) -> None:
    delta, done = await streamed(gateway, "my-transcriber")
    assert delta.delta == done.text == "This is a simulated transcript of 2.5 seconds of sound."
    assert (await gateway.last_row())["charged_nano"] == 250_000


# ── the bytes ────────────────────────────────────────────────────────────────────────────────────────────────────────

WHOLE = b": hello\r\n\r\n" + b"".join(map(sse, ({"type": "session"}, *WRITTEN, DONE))) + b"data: not JSON\n\ndata: [DONE]\n\n"


def told(pieces: list[bytes]) -> tuple[bytes, MediaEvents]:
    read = MediaEvents()
    out = b"".join(read.feed(piece) for piece in pieces) + read.end()
    return out + (read.closing(Usage(), {"provider": "acme"}) if read.complete else b""), read


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_any_cutting_gives_the_same_events(places: list[int]) -> None:
    edges = [0, *sorted(places), len(WHOLE)]
    out, read = told([WHOLE[first:last] for first, last in pairwise(edges)])
    assert (out, read.usage) == (told([WHOLE])[0], Usage(input=5, audio_input=25, output=4))
    assert out.endswith(b'"bourse":{"provider":"acme"}}\n\ndata: [DONE]\n\n')


@given(
    st.lists(
        st.sampled_from(
            [
                *map(sse, (*WRITTEN, DONE, {"type": "error"}, {"error": "x"}, {"type": 7}, [], "x")),
                b"data: {\n\n",
                b"data: [DONE]\n\n",
                b"\xff",
                b"\n\n",
            ]
        )
    )
)
def test_a_broken_stream_is_never_taken_for_a_whole_one(pieces: list[bytes]) -> None:
    _, read = told(pieces)
    if read.complete:
        assert any(b"transcript.text.done" in piece for piece in pieces)
    assert read.usage is None or read.error is not None or read.complete
