"""Pictures, speech and transcriptions: the SDK, the wire, the ledger, and callers and providers who leave."""

import asyncio
import base64
import struct
from typing import Any

import httpx
import orjson
import pytest

from backend.metering.journal import lines_of
from tests.fakes.openai_operations import PIXEL, form_of, images, sound, text
from tests.fakes.openai_upstream import OpenAIUpstream, hang, status, whole
from tests.gateway.conftest import KEY
from tests.gateway.operations.conftest import OperationRig as Rig
from tests.providers.test_sound import mp3, opus, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAY = {"model": "speak", "input": "Grüße", "voice": "alloy"}

DRAW = {"model": "draw", "prompt": "a ledger"}


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", [False, True])
@pytest.mark.provides("openai", "images")
async def test_the_sdk_gets_pictures_and_each_is_charged(gateway: Rig, upstream: OpenAIUpstream, url: bool) -> None:
    upstream.script(whole(images(many=3, url=url)))
    answer = await gateway.client.images.generate(model="draw", prompt="a ledger", n=3, size="1024x1024", response_format="url")
    assert answer.data is not None
    assert [one.url if url else one.b64_json for one in answer.data] == ["https://pictures.example/1.png" if url else PIXEL] * 3
    body = {"model": "draw-fake", "prompt": "a ledger", "n": 3, "size": "1024x1024", "response_format": "url"}
    assert (upstream.requests[0].path, upstream.requests[0].body) == ("/v1/images/generations", body)
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["usage_source"]) == ("images.generations", "image", 3, "counted")
    assert (row["charged_nano"], row["input_tokens"], row["output_tokens"]) == (3 * 40_000_000, 0, 0)


async def test_what_came_is_charged_and_not_what_was_asked_for(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images(many=2)))
    await gateway.ask("images/generations", {**DRAW, "n": 4})
    row = await gateway.last_row()
    assert (row["quantity"], row["charged_nano"]) == (2, 80_000_000)


async def test_tokens_are_charged_where_the_offer_is_priced_by_them(gateway: Rig, upstream: OpenAIUpstream) -> None:
    usage = {
        "total_tokens": 1066,
        "input_tokens": 10,
        "output_tokens": 1056,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    }
    upstream.script(whole(images(usage=usage)))
    await gateway.ask("images/generations", {**DRAW, "model": "draw-tokens", "quality": "medium"})
    row = await gateway.last_row()
    assert (row["unit"], row["input_tokens"], row["output_tokens"], row["usage_source"]) == (None, 10, 1056, "provider")
    assert row["charged_nano"] == 10 * 5_000 + 1056 * 40_000
    assert not row["overrun"]


async def test_pictures_whose_tokens_nobody_counted_are_not_free(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images(usage={"total_tokens": 0, "input_tokens": 0, "output_tokens": 0})))
    await gateway.ask("images/generations", {**DRAW, "model": "draw-tokens", "size": "1024x1024"})
    row = await gateway.last_row()
    assert (row["usage_source"], row["output_tokens"]) == ("estimated", 64 * 64 + 64)
    assert row["charged_nano"] >= 4160 * 40_000


@pytest.mark.parametrize("field", ["width", "height", "steps", "num_inference_steps", "num_images", "image_size", "resolution"])
async def test_what_makes_pictures_dearer_beside_their_size_and_number_is_refused(
    gateway: Rig, upstream: OpenAIUpstream, field: str
) -> None:
    """Together, DeepInfra, fal and xAI bill by these, and a price is found by `size`, `n` and `quality`."""
    response = await gateway.ask("images/generations", {**DRAW, "size": "256x256", field: 2048})
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)
    assert upstream.requests == []


@pytest.mark.parametrize("broken", [{}, {"data": []}, {"data": [{}]}, {"data": [None]}, {"data": "picture"}])
async def test_an_answer_without_a_picture_is_the_providers_failure(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, broken: Any
) -> None:
    upstream.script(whole(broken))
    other.script(whole(images()))
    assert (await gateway.ask("images/generations", {**DRAW, "model": "draw-pair"})).json()["bourse"]["provider"] == "backup"
    row = await gateway.last_row()
    assert (row["charged_nano"], row["provider_cost_nano"]) == (400_000_000, 440_000_000)


@pytest.mark.provides("sandbox", "images")
async def test_the_sandbox_draws_one_color(gateway: Rig) -> None:
    answer = await gateway.client.images.generate(model="my-image", prompt="red", size="1536x1024", n=2)
    assert answer.data is not None
    pictures = [base64.b64decode(one.b64_json or "") for one in answer.data]
    for picture in pictures:
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", picture[16:24]) == (1536, 1024)
    again = await gateway.client.images.generate(model="my-image", prompt="red", size="1536x1024", n=2, response_format="url")
    assert again.data is not None
    assert (again.data[0].url or "").removeprefix("data:image/png;base64,") == answer.data[0].b64_json
    assert [row["charged_nano"] for row in await gateway.rows()] == [80_000_000] * 2


# ── speech ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.provides("openai", "audio")
async def test_the_sdk_gets_the_sound_as_it_came_and_characters_are_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"ID3 some", b" of it", b" and the rest", content_type="audio/aac"))
    answer = await gateway.client.audio.speech.create(model="speak", input="Grüße", voice="alloy", response_format="aac")
    assert answer.content == b"ID3 some of it and the rest"
    assert answer.response.headers["content-type"] == "audio/aac"
    assert answer.response.headers["x-bourse-provider"] == "acme"
    assert upstream.requests[0].path == "/v1/audio/speech"
    assert upstream.requests[0].body == {"model": "speak-fake", "input": "Grüße", "voice": "alloy", "response_format": "aac"}
    row = await gateway.last_row()
    assert (row["endpoint"], row["outcome"], row["unit"], row["quantity"]) == ("audio.speech", "completed", "character", 5)
    assert (row["charged_nano"], row["usage_source"]) == (5 * 15_000, "counted")
    assert row["first_token_ms"] is not None


@pytest.mark.parametrize("step", [status(500), whole({"error": {"message": "no"}}), whole({"not": "sound"}), sound(), sound(end="reset")])
async def test_who_brings_no_sound_makes_way(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, step: object) -> None:
    upstream.script(step)  # type: ignore[arg-type]
    other.script(sound(b"hello"))
    response = await gateway.ask("audio/speech", {**SAY, "model": "speak-pair"})
    assert (response.status_code, response.content) == (200, b"hello")
    row = await gateway.last_row()
    assert (row["provider"], row["attempts"], row["charged_nano"]) == ("backup", 2, 5 * 150_000)


async def test_sound_that_breaks_off_breaks_off_for_the_caller_who_pays_nothing(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"hel", end="reset"))
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.ask("audio/speech", SAY)
    row = await gateway.last_row("failed")
    assert (row["error_code"], row["charged_nano"], row["provider_cost_nano"]) == ("upstream_error", 0, 75_000)


async def test_sound_that_stalls_is_given_up(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"hel", end="hang"))
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.ask("audio/speech", {**SAY, "model": "speak-hasty"})
    row = await gateway.last_row("failed")
    assert (row["error_code"], row["charged_nano"], row["provider_cost_nano"]) == ("upstream_timeout", 0, 75_000)
    await upstream.requests[0].hung_up.wait()


async def test_hanging_up_ends_the_sound_and_pays_for_the_text(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"hel", end="hang"))
    headers = {"authorization": f"Bearer {KEY}"}
    async with gateway.http.stream("POST", "/v1/audio/speech", json=SAY, headers=headers) as response:
        assert await anext(response.aiter_bytes()) == b"hel"
    row = await gateway.last_row("client_closed")
    assert (row["charged_nano"], row["quantity"]) == (75_000, 5)
    await upstream.requests[0].hung_up.wait()


@pytest.mark.provides("sandbox", "audio")
async def test_the_sandbox_speaks_and_hears_itself(gateway: Rig) -> None:
    for kind in ("mp3", "wav"):
        spoken = await gateway.client.audio.speech.create(model="my-speech", input="x" * 45, voice="any", response_format=kind)  # type: ignore[arg-type]
        heard = await gateway.client.audio.transcriptions.create(model="my-transcriber", file=(f"x.{kind}", spoken.content))
        assert heard.text == "This is a simulated transcript of 3 seconds of sound."
        row = await gateway.last_row()
        assert (row["unit"], row["quantity"], row["charged_nano"]) == ("second", 3, 300_000)


async def test_how_fast_a_text_is_read_out_costs_nothing_and_is_passed_on(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"x"))
    response = await gateway.ask("audio/speech", {**SAY, "speed": 1.5})
    assert response.status_code == 200, response.text
    assert upstream.requests[0].body["speed"] == 1.5


# ── transcriptions ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.provides("openai", "audio")
async def test_the_sdk_gets_a_transcript_and_the_providers_seconds_are_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({"text": "hello", "usage": {"type": "duration", "seconds": 3}}))
    answer = await gateway.client.audio.transcriptions.create(
        model="hear", file=('a "b".wav', wav(2.5), "audio/wav"), language="en", timestamp_granularities=["word", "segment"]
    )
    assert answer.text == "hello"
    assert upstream.requests[0].path == "/v1/audio/transcriptions"
    assert form_of(upstream.requests[0]) == {
        "model": [b"hear-fake"],
        "language": [b"en"],
        "timestamp_granularities[]": [b"word", b"segment"],
        "file": [wav(2.5)],
    }
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["usage_source"]) == ("audio.transcriptions", "second", 3, "provider")
    assert row["charged_nano"] == 300_000


async def test_a_transcript_that_is_not_to_be_streamed_is_asked_for_as_it_was(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({"text": "hello"}))
    await gateway.client.audio.transcriptions.create(model="hear", file=("a.wav", wav(1)), stream=False)
    assert form_of(upstream.requests[0]) == {"model": [b"hear-fake"], "stream": [b"false"], "file": [wav(1)]}


async def test_a_verbose_answers_duration_counts_and_else_the_files_own(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({"text": "hello", "duration": 2.44, "segments": []}))
    answer = await gateway.client.audio.transcriptions.create(model="hear", file=("a.ogg", opus(2.5)), response_format="verbose_json")
    assert answer.duration == 2.44
    upstream.script(whole({"text": "hello"}))
    await gateway.client.audio.transcriptions.create(model="hear", file=("a.ogg", opus(2.5)))
    first, second = await gateway.rows()
    assert (first["quantity"], first["usage_source"], first["charged_nano"]) == (2.44, "provider", 244_000)
    assert (second["quantity"], second["usage_source"], second["charged_nano"]) == (2.5, "counted", 250_000)


async def test_a_file_that_plays_longer_than_it_can_is_charged_in_full_and_marked(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({"text": "hello", "usage": {"type": "duration", "seconds": 100}}))
    await gateway.client.audio.transcriptions.create(model="hear", file=("a.wav", wav(1)))
    row = await gateway.last_row()
    assert (row["quantity"], row["charged_nano"], row["overrun"]) == (100, 10_000_000, 1)


@pytest.mark.parametrize(("kind", "data"), [("text", "hello\n"), ("srt", "1\n00:00:00,000 --> 00:00:02,000\nhello\n"), ("vtt", "WEBVTT\n")])
async def test_plain_transcripts_pass_as_they_are(gateway: Rig, upstream: OpenAIUpstream, kind: str, data: str) -> None:
    upstream.script(text(data))
    answer = await gateway.client.audio.transcriptions.create(model="hear", file=("a.mp3", mp3(125)), response_format=kind)  # type: ignore[call-overload]
    assert answer == data
    row = await gateway.last_row()
    assert (row["quantity"], row["charged_nano"], row["outcome"]) == (3, 300_000, "completed")


async def test_a_plain_transcript_that_is_priced_by_the_token_is_charged_by_the_providers_count(
    gateway: Rig, upstream: OpenAIUpstream
) -> None:
    usage = {"type": "tokens", "input_tokens": 25, "input_token_details": {"text_tokens": 0, "audio_tokens": 25}, "output_tokens": 2}
    upstream.script(whole({"text": "hello", "usage": {**usage, "total_tokens": 27}}))
    answer: Any = await gateway.client.audio.transcriptions.create(model="hear-tokens", file=("a.wav", wav(2.5)), response_format="text")
    assert answer == "hello\n"
    assert form_of(upstream.requests[0])["response_format"] == [b"json"]
    row = await gateway.last_row()
    assert (row["usage_source"], row["charged_nano"]) == ("provider", 25 * 6_000 + 2 * 10_000)


async def test_a_transcript_that_nobody_counted_is_estimated_by_its_length_and_its_text(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(text("good day\n"))
    answer: Any = await gateway.client.audio.transcriptions.create(model="hear-tokens", file=("a.wav", wav(2.5)), response_format="text")
    assert answer == "good day\n"
    row = await gateway.last_row()
    assert (row["usage_source"], row["audio_input_tokens"], row["output_tokens"]) == ("estimated", 25, 3)


async def test_the_cheapest_transcriber_is_who_is_likely_to_be(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    """By the second and by the token: ten tokens a second, and not the 32 that are reserved. An mp3 may play much longer than it does."""
    for server in (upstream, other):
        server.script(whole({"text": "hello"}))
    for seconds in (1, 60):
        file = ("a.wav", wav(seconds))
        await gateway.client.audio.transcriptions.create(model="hear-cheapest", file=file)
    assert (len(upstream.requests), len(other.requests)) == (0, 2)


@pytest.mark.parametrize("broken", [{}, {"text": None}, {"segments": "none"}, []])
async def test_an_answer_without_a_transcript_is_the_providers_failure(gateway: Rig, upstream: OpenAIUpstream, broken: object) -> None:
    upstream.script(whole(broken))
    form, headers = {"model": "hear"}, {"authorization": f"Bearer {KEY}"}
    response = await gateway.http.post("/v1/audio/transcriptions", data=form, files={"file": ("a.wav", wav(1))}, headers=headers)
    assert response.status_code == 502


async def test_the_same_upload_is_answered_once_whatever_boundary_is_drawn(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({"text": "hello"}))
    headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "upload"}
    form, file = {"model": "hear"}, {"file": ("a.wav", wav(1))}
    first, second = [await gateway.http.post("/v1/audio/transcriptions", data=form, files=file, headers=headers) for _ in range(2)]
    assert first.request.headers["content-type"] != second.request.headers["content-type"]
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    other = await gateway.http.post("/v1/audio/transcriptions", data=form, files={"file": ("a.wav", wav(2))}, headers=headers)
    assert other.status_code == 422
    assert len(upstream.requests) == 1


async def test_the_journal_is_told_what_a_call_comes_to_that_runs(gateway: Rig, upstream: OpenAIUpstream) -> None:
    """If this process were killed now, this is what would be charged."""
    upstream.script(hang())
    journal = gateway.runtime.metering._journal
    earlier = set(lines_of(journal.directory))
    asking = asyncio.create_task(gateway.ask("audio/speech", SAY))
    told: list[Any] = []
    async with asyncio.timeout(20):
        while not told:
            await asyncio.sleep(0.05)
            lines = [line for line in lines_of(journal.directory) if line.startswith(b'["progress"')]
            told = [orjson.loads(line) for line in lines if line not in earlier]
    asking.cancel()
    _, _, columns, usage, [attempt] = told[-1]
    assert (columns["unit"], columns["quantity"], columns["charged_nano"]) == ("character", 5, 75_000)
    assert (usage, attempt[1]) == ({"character": 5}, "acme")
    row = await gateway.last_row("client_closed")
    assert {name: row[name] for name in ("unit", "quantity", "charged_nano", "usage_source")} == {
        name: columns[name] for name in ("unit", "quantity", "charged_nano", "usage_source")
    }


async def test_a_key_sees_its_calls_in_their_units(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"hello"))
    await gateway.ask("audio/speech", SAY)
    (row, *_) = (await gateway.http.get("/v1/usage", headers={"authorization": f"Bearer {KEY}"})).json()["data"]
    assert (row["endpoint"], row["unit"], row["quantity"], row["cost_usd"]) == ("audio.speech", "character", 5, 0.000075)


async def test_prices_of_other_things_than_tokens_are_listed(gateway: Rig) -> None:
    models = {model.id: model.model_dump()["price"] for model in (await gateway.client.models.list()).data}
    assert models["draw"] == {"input": None, "output": None, "currency": "USD", "per": "1M tokens", "image": 0.04}
    assert [models[name][unit] for name, unit in (("speak", "character"), ("hear", "second"), ("rank", "query"))] == [15, 0.0001, 0.002]
    assert [models["hear-tokens"]["audio_input"], models["speak-tokens"]["audio_output"]] == [6, 12]
    assert set(models["instruct"]) == {"input", "output", "currency", "per"}


async def test_two_who_ask_at_once_do_not_hear_each_other(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(sound(b"one"))
    answers = await asyncio.gather(*[gateway.ask("audio/speech", SAY) for _ in range(5)])
    assert {answer.content for answer in answers} == {b"one"}
    assert [row["charged_nano"] for row in await gateway.rows()] == [75_000] * 5
