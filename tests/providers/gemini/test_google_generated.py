"""Pictures and sound of Google's models behind both doors: the openai SDK on one side, the wire and the ledger on the other."""

from base64 import b64decode, b64encode
from typing import Any

import openai
import pytest

from backend.providers.sound import sound_of
from tests.fakes.gemini_upstream import GeminiUpstream, error, text, whole
from tests.fakes.gemini_upstream import answer as answering
from tests.fakes.google_operations import PNG, SAMPLES, blob, heard, no_picture, picture, spoken
from tests.gateway.conftest import KEY, Rig
from tests.providers.test_sound import wav

pytestmark = pytest.mark.asyncio(loop_scope="module")
DRAW, DRAW_3, VERTEX_DRAW = "google/gemini-2.5-flash-image", "google/gemini-3-pro-image", "vertex/gemini-2.5-flash-image"
HEAR, HEAR_PRO, VERTEX_HEAR = "google/gemini-3-flash", "google/gemini-2.5-pro", "vertex/gemini-2.5-flash"
SPEAK, VERTEX_SPEAK = "google/gemini-2.5-flash-preview-tts", "vertex/gemini-2.5-flash-tts"
RECORDING = wav(2.0)
IN_NANO, OUT_NANO = 500, 1500


async def refused(gateway: Rig, path: str, **body: Any) -> dict[str, Any]:
    answer = await gateway.http.post(f"/v1/{path}", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 400, answer.text
    found: dict[str, Any] = answer.json()["error"]
    return found


@pytest.mark.parametrize(("model", "door"), [(DRAW, "/v1beta/models"), (VERTEX_DRAW, "/v1beta/projects")])
@pytest.mark.provides("gemini", "images", "usage")
@pytest.mark.provides("vertex", "images", "usage")
async def test_a_picture_is_drawn_and_its_tokens_are_charged(gateway: Rig, google: GeminiUpstream, model: str, door: str) -> None:
    google.script(picture(words="Here it is."))
    answer = await gateway.client.images.generate(model=model, prompt="a ledger", size="1536x1024", quality="auto")
    assert answer.data is not None
    assert b64decode(answer.data[0].b64_json or "") == PNG
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (8, 1290)
    seen = google.requests[0]
    assert seen.path.startswith(door)
    assert seen.path.endswith("gemini-2.5-flash-image:generateContent")
    assert seen.body == {
        "contents": [{"role": "user", "parts": [{"text": "a ledger"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "3:2"}},
    }
    row = await gateway.last_row()
    assert (row["endpoint"], row["input_tokens"], row["output_tokens"], row["usage_source"]) == ("images.generations", 8, 1290, "provider")
    assert row["charged_nano"] == 8 * IN_NANO + 1290 * OUT_NANO
    assert not row["overrun"]


async def test_a_picture_is_edited_and_thoughts_are_charged_too(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(picture(thought=200))
    await gateway.client.images.edit(model=DRAW_3, prompt="in red", image=[("a.bin", PNG), ("b", b"\xff\xd8\xff\xe0")], size="2048x2048")
    parts = google.requests[0].body["contents"][0]["parts"]
    assert parts == [{"text": "in red"}, blob("image/png", PNG), blob("image/jpeg", b"\xff\xd8\xff\xe0")]
    assert google.requests[0].body["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1", "imageSize": "2K"}
    row = await gateway.last_row()
    assert (row["endpoint"], row["reasoning_tokens"], row["charged_nano"]) == ("images.edits", 200, 8 * IN_NANO + 1490 * OUT_NANO)


@pytest.mark.parametrize(
    ("model", "size", "config"),
    [
        (DRAW, None, None),
        (DRAW, "auto", None),
        (DRAW, "1024x1536", {"aspectRatio": "2:3"}),
        (DRAW, "832x1248", {"aspectRatio": "2:3"}),
        (DRAW_3, "1792x1024", {"aspectRatio": "16:9", "imageSize": "2K"}),
        (DRAW_3, "1024x1024", {"aspectRatio": "1:1", "imageSize": "1K"}),
        (DRAW_3, "4096x4096", {"aspectRatio": "1:1", "imageSize": "4K"}),
    ],
)
async def test_a_size_is_a_ratio_and_a_resolution(
    gateway: Rig, google: GeminiUpstream, model: str, size: Any, config: dict[str, str] | None
) -> None:
    google.script(picture())
    await gateway.client.images.generate(model=model, prompt="a ledger", **({"size": size} if size else {}))
    assert google.requests[0].body["generationConfig"].get("imageConfig") == config


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (DRAW, "n", 2),
        (DRAW, "size", "1024x400"),
        (DRAW, "size", "1792x1024"),
        (DRAW, "response_format", "url"),
        (DRAW, "quality", "high"),
        (DRAW, "background", "transparent"),
        (DRAW, "style", "vivid"),
    ],
)
async def test_what_a_picture_cannot_be_is_refused_by_name(
    gateway: Rig, google: GeminiUpstream, model: str, field: str, value: Any
) -> None:
    found = await refused(gateway, "images/generations", model=model, prompt="a ledger", **{field: value})
    assert (found["code"], found["param"]) == ("unsupported_parameter", field)
    assert google.requests == []


async def test_masks_and_files_that_are_no_pictures_are_refused(gateway: Rig, google: GeminiUpstream) -> None:
    with pytest.raises(openai.BadRequestError, match="mask"):
        await gateway.client.images.edit(model=DRAW, prompt="in red", image=("a.png", PNG), mask=("m.png", PNG))
    with pytest.raises(openai.BadRequestError, match="neither PNG"):
        await gateway.client.images.edit(model=DRAW, prompt="in red", image=("a.png", b"<svg/>"))
    assert google.requests == []


async def test_a_picture_that_is_held_back_and_words_instead_of_one(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(no_picture("IMAGE_SAFETY"))
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.images.generate(model=DRAW, prompt="a ledger")
    assert caught.value.code == "content_policy_violation"
    nothing = {"inlineData": {"mimeType": "image/png"}}
    steps = (no_picture("NO_IMAGE"), answering(text("I would rather not.")), answering(nothing), answering(blob("audio/wav", PNG)))
    for step, model in zip(steps, (DRAW, DRAW, DRAW_3, DRAW_3), strict=True):
        google.script(step)
        with pytest.raises(openai.InternalServerError, match="words where a picture was asked for"):
            await gateway.client.images.generate(model=model, prompt="a ledger")
    google.script(whole(error(404, "NOT_FOUND", "models/x is not found"), status=404))
    with pytest.raises(openai.NotFoundError):
        await gateway.client.images.generate(model=DRAW, prompt="a ledger")


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        (HEAR, {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
        (HEAR_PRO, {"thinkingBudget": 1024, "includeThoughts": True}),
        (VERTEX_HEAR, {"thinkingBudget": 0, "includeThoughts": False}),
    ],
)
@pytest.mark.provides("gemini", "audio")
@pytest.mark.provides("vertex", "audio")
async def test_a_recording_is_written_down(gateway: Rig, google: GeminiUpstream, model: str, thinking: dict[str, Any]) -> None:
    google.script(heard("Every call is one row.\n"))
    answer = await gateway.client.audio.transcriptions.create(
        model=model, file=("a.bin", RECORDING), language="en", prompt="Bourse", temperature=0.5
    )
    assert answer.text == "Every call is one row."
    body = google.requests[0].body
    told, recording = body["contents"][0]["parts"]
    assert recording == blob("audio/wav", RECORDING)
    assert told["text"].endswith("It is in the language en. Names and words that may be in it, or what came before: Bourse")
    config = body["generationConfig"]
    assert (config["temperature"], config["thinkingConfig"]) == (0.5, thinking)
    assert config["maxOutputTokens"] >= 64 + 2 * 16
    row = await gateway.last_row()
    assert (row["endpoint"], row["usage_source"], row["output_tokens"]) == ("audio.transcriptions", "provider", 9)
    assert (row["input_tokens"], row["audio_input_tokens"]) == (30, 64)
    assert not row["overrun"]


async def test_a_transcript_as_plain_text_and_a_translation(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(heard("Guten Tag."))
    plain: Any = await gateway.client.audio.transcriptions.create(model=HEAR, file=("a.wav", RECORDING), response_format="text")
    assert plain == "Guten Tag.\n"
    google.script(heard("Good day."))
    answer = await gateway.client.audio.translations.create(model=HEAR, file=("a.wav", RECORDING))
    assert answer.text == "Good day."
    assert google.requests[1].body["contents"][0]["parts"][0]["text"].startswith("Translate")


async def test_what_a_transcript_cannot_be(gateway: Rig, google: GeminiUpstream) -> None:
    file = ("a.wav", RECORDING)
    for more, param in (({"response_format": "srt"}, "response_format"), ({"include": ["logprobs"]}, "include[]")):
        with pytest.raises(openai.BadRequestError) as caught:
            await gateway.client.audio.transcriptions.create(model=HEAR, file=file, **more)  # type: ignore[call-overload]
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)
    with pytest.raises(openai.BadRequestError, match="no sound"):
        await gateway.client.audio.transcriptions.create(model=HEAR, file=("a.wav", b"hello there"))
    assert google.requests == []
    google.script(heard("Every call is", finish="MAX_TOKENS"))
    with pytest.raises(openai.InternalServerError):
        await gateway.client.audio.transcriptions.create(model=HEAR, file=file)


@pytest.mark.parametrize("model", [SPEAK, VERTEX_SPEAK])
@pytest.mark.provides("gemini", "audio")
@pytest.mark.provides("vertex", "audio")
async def test_a_text_is_read_out_and_its_tokens_are_charged(gateway: Rig, google: GeminiUpstream, model: str) -> None:
    google.script(spoken())
    said = await gateway.client.audio.speech.create(model=model, input="Every call is one row.", voice="Puck", instructions="Say merrily:")
    sound = await said.aread()
    assert (sound[:4], sound[44:], said.response.headers["content-type"]) == (b"RIFF", SAMPLES, "audio/wav")
    assert sound_of(sound).seconds == pytest.approx(len(SAMPLES) / 48_000)
    body = google.requests[0].body
    assert body["contents"][0]["parts"] == [{"text": "Say merrily:\n\nEvery call is one row."}]
    speech = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}}
    assert body["generationConfig"] == {"responseModalities": ["AUDIO"], "speechConfig": speech}
    row = await gateway.last_row()
    assert (row["endpoint"], row["usage_source"], row["input_tokens"], row["audio_output_tokens"]) == ("audio.speech", "provider", 12, 50)
    assert row["charged_nano"] > 0
    assert not row["overrun"]


async def test_plain_samples_and_what_speech_cannot_be(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(spoken())
    said = await gateway.client.audio.speech.create(model=SPEAK, input="Hello.", voice="Kore", response_format="pcm")
    assert await said.aread() == SAMPLES
    for field, value in (("response_format", "mp3"), ("speed", 1.5), ("voice", {"id": "x"})):
        found = await refused(gateway, "audio/speech", **{"model": SPEAK, "input": "Hello.", "voice": "Kore", field: value})
        assert found["param"] == field
    assert len(google.requests) == 1
    for step in (answering(text("I only write.")), spoken(samples=b""), spoken(kind="audio/mp3"), answering(blob("audio/L16", b""))):
        google.script(step)
        with pytest.raises(openai.InternalServerError):
            await gateway.client.audio.speech.create(model=SPEAK, input="Hello.", voice="Kore")


async def test_events_are_made_of_whole_answers(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(picture())
    drawn = await gateway.client.images.generate(model=VERTEX_DRAW, prompt="a ledger", stream=True, partial_images=2)
    [done] = [event async for event in drawn]
    assert (done.type, b64decode(done.b64_json)) == ("image_generation.completed", PNG)
    assert (await gateway.last_row())["charged_nano"] == 8 * IN_NANO + 1290 * OUT_NANO
    google.script(heard("Guten Tag."))
    written = await gateway.client.audio.transcriptions.create(
        model=VERTEX_HEAR, file=("a.wav", RECORDING), response_format="text", stream=True
    )
    events: list[Any] = [event async for event in written]
    assert (events[-1].type, events[-1].text) == ("transcript.text.done", "Guten Tag.")
    row = await gateway.last_row()
    assert (row["audio_input_tokens"], row["output_tokens"], row["usage_source"]) == (64, 9, "provider")
    google.script(spoken())
    async with gateway.client.audio.speech.with_streaming_response.create(
        model=VERTEX_SPEAK, input="Hello.", voice="Kore", response_format="pcm", stream_format="sse"
    ) as said:
        text_ = (await said.read()).decode()
    assert b64encode(SAMPLES).decode() in text_
    row = await gateway.last_row()
    assert (row["input_tokens"], row["audio_output_tokens"], row["usage_source"]) == (12, 50, "provider")


async def test_base64_that_is_none_is_no_sound(gateway: Rig, google: GeminiUpstream) -> None:
    broken = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": f"{b64encode(SAMPLES).decode()[:-3]}*"}}
    google.script(answering(broken))
    with pytest.raises(openai.InternalServerError):
        await gateway.client.audio.speech.create(model=SPEAK, input="Hello.", voice="Kore")
