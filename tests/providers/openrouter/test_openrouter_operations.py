"""OpenRouter's pictures, speech, transcripts and rankings: the openai SDK on one side, the wire and the ledger on the other."""

from base64 import b64encode
from typing import Any

import openai
import pytest

from tests.fakes import openrouter_upstream as wire
from tests.fakes.google_operations import PNG
from tests.fakes.openai_upstream import OpenAIUpstream, status, whole
from tests.gateway.conftest import KEY as OURS
from tests.gateway.conftest import Rig
from tests.providers.openrouter.conftest import KEY
from tests.providers.test_sound import mp3, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")
RECORDING = ("a.bin", wav(2.0))


async def asked(gateway: Rig, path: str, **body: Any) -> Any:
    return await gateway.http.post(f"/v1/{path}", json=body, headers={"authorization": f"Bearer {OURS}"})


@pytest.mark.provides("openrouter", "images")
async def test_pictures_are_drawn_and_each_is_charged(gateway: Rig, router: OpenAIUpstream) -> None:
    router.script(whole(wire.images(2)))
    answer = await gateway.client.images.generate(
        model="draw", prompt="auto", n=2, size="auto", quality="high", response_format="b64_json", background="transparent"
    )
    assert answer.data is not None
    assert [one.b64_json for one in answer.data] == [wire.PICTURE] * 2
    seen = router.requests[0]
    assert (seen.path, seen.headers["authorization"]) == ("/v1/images", f"Bearer {KEY}")
    assert seen.body == {"model": wire.MODEL, "prompt": "auto", "n": 2, "quality": "high", "background": "transparent"}
    row, attempt = await gateway.last_row(), (await gateway.rows("call_attempt"))[-1]
    assert (row["unit"], row["quantity"], row["charged_nano"]) == ("image", 2, 80_000_000)
    assert attempt["reported_cost_nano"] == 40_000_000


async def test_a_picture_is_changed_and_its_tokens_are_charged(gateway: Rig, router: OpenAIUpstream) -> None:
    router.script(whole(wire.images()))
    await gateway.client.images.edit(model="draw-tokens", prompt="in red", image=("a.bin", PNG), size="1024x1024")
    reference = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"}}
    assert router.requests[0].body == {
        "model": wire.MODEL,
        "prompt": "in red",
        "size": "1024x1024",
        "input_references": [reference],
    }
    row = await gateway.last_row()
    assert (row["endpoint"], row["usage_source"]) == ("images.edits", "provider")
    assert row["charged_nano"] == 12 * 5_000 + 4175 * 40_000


@pytest.mark.provides("openrouter", "audio")
async def test_a_text_is_read_out(gateway: Rig, router: OpenAIUpstream) -> None:
    router.script(wire.speech(b"sound"))
    said = await gateway.client.audio.speech.create(model="speak", input="Grüße", voice="en_paul_neutral", speed=1.5)
    assert (await said.aread(), said.response.headers["content-type"]) == (b"sound", "audio/mpeg")
    assert router.requests[0].path == "/v1/audio/speech"
    expected = {"model": wire.MODEL, "input": "Grüße", "voice": "en_paul_neutral", "speed": 1.5, "response_format": "mp3"}
    assert router.requests[0].body == expected
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["charged_nano"]) == ("character", 5, 75_000)
    router.script(wire.speech(b"pcm", "audio/pcm;rate=24000;channels=1"))
    said = await gateway.client.audio.speech.create(model="speak", input="Grüße", voice="v", response_format="pcm")
    assert (await said.aread(), said.response.headers["content-type"]) == (b"pcm", "audio/pcm;rate=24000;channels=1")


@pytest.mark.parametrize(
    ("model", "usage", "unit", "charged"),
    [
        ("hear", {"seconds": 9.2, "input_tokens": 83, "output_tokens": 30, "total_tokens": 113}, "second", 920_000),
        ("hear-tokens", {"seconds": 9.2, "input_tokens": 83, "output_tokens": 30, "total_tokens": 113}, None, 83 * 6_000 + 30 * 10_000),
        ("hear-tokens", {"input_tokens": 83, "output_tokens": 30}, None, 83 * 6_000 + 30 * 10_000),
        ("hear", {"seconds": 9.2}, "second", 920_000),
        ("hear", {"input_tokens": 83, "output_tokens": 30}, "second", 200_000),
    ],
)
@pytest.mark.provides("openrouter", "audio", "usage")
async def test_a_recording_is_charged_in_the_unit_of_its_price(
    gateway: Rig, router: OpenAIUpstream, model: str, usage: dict[str, Any], unit: str | None, charged: int
) -> None:
    router.script(whole(wire.transcript("Hello.", **usage)))
    answer = await gateway.client.audio.transcriptions.create(model=model, file=RECORDING, language="en", temperature=0)
    assert answer.text == "Hello."
    sound = {"data": b64encode(RECORDING[1]).decode(), "format": "wav"}
    assert router.requests[0].path == "/v1/audio/transcriptions"
    assert router.requests[0].body == {"model": wire.MODEL, "input_audio": sound, "language": "en", "temperature": 0.0}
    row, attempt = await gateway.last_row(), (await gateway.rows("call_attempt"))[-1]
    assert (row["unit"], row["charged_nano"], attempt["reported_cost_nano"]) == (unit, charged, 508_000)


async def test_transcripts_with_times_and_as_text(gateway: Rig, router: OpenAIUpstream) -> None:
    router.script(whole({**wire.transcript("Hello.", seconds=2), "duration": 2.0, "language": "english", "segments": []}))
    answer: Any = await gateway.client.audio.transcriptions.create(
        model="hear", file=("a", mp3(1)), response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert (answer.text, answer.language) == ("Hello.", "english")
    sent = router.requests[0].body
    assert (sent["input_audio"]["format"], sent["timestamp_granularities"]) == ("mp3", ["word"])
    plain: Any = await gateway.client.audio.transcriptions.create(model="hear", file=RECORDING, response_format="text")
    assert plain == "Hello.\n"
    assert "response_format" not in router.requests[1].body


@pytest.mark.parametrize(("usage", "charged"), [({"search_units": 2, "total_tokens": 150, "cost": 0.004}, 4), ({}, 2)])
async def test_documents_are_ranked(gateway: Rig, router: OpenAIUpstream, usage: dict[str, Any], charged: int) -> None:
    router.script(whole(wire.ranking((1, 0.98), (0, 0.02), **usage)))
    answer = await asked(gateway, "rerank", model="rank", query="q", documents=["a " * 900, "b " * 25_000])
    assert [one["index"] for one in answer.json()["results"]] == [1, 0]
    assert router.requests[0].path == "/v1/rerank"
    row = await gateway.last_row()
    assert (row["unit"], row["charged_nano"]) == ("query", charged * 1_000_000)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("images/generations", {"model": "draw", "prompt": "x", "response_format": "url"}, "response_format"),
        ("images/generations", {"model": "draw", "prompt": "x", "style": "vivid"}, "style"),
        ("audio/speech", {"model": "speak", "input": "x", "voice": "v", "response_format": "flac"}, "response_format"),
        ("audio/speech", {"model": "speak", "input": "x", "voice": "v", "instructions": "merrily"}, "instructions"),
        ("audio/speech", {"model": "speak", "input": "x", "voice": {"id": "v"}}, "voice"),
    ],
)
async def test_what_cannot_be_said_there_is_refused_by_name(
    gateway: Rig, router: OpenAIUpstream, path: str, body: dict[str, Any], param: str
) -> None:
    error = (await asked(gateway, path, **body)).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", param)
    assert router.requests == []


async def test_forms_that_cannot_be_said_there(gateway: Rig, router: OpenAIUpstream) -> None:
    for more, param in (
        ({"response_format": "srt"}, "response_format"),
        ({"prompt": "x"}, "prompt"),
        ({"temperature": "x"}, "temperature"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            await gateway.client.audio.transcriptions.create(model="hear", file=RECORDING, **more)  # type: ignore[call-overload]
        assert caught.value.param == param
    with pytest.raises(openai.BadRequestError, match="no sound"):
        await gateway.client.audio.transcriptions.create(model="hear", file=("a.wav", b"hello"))
    with pytest.raises(openai.BadRequestError, match="no mask"):
        await gateway.client.images.edit(model="draw", prompt="x", image=("a", PNG), mask=("m", PNG))
    with pytest.raises(openai.BadRequestError, match="neither PNG"):
        await gateway.client.images.edit(model="draw", prompt="x", image=("a", b"x"))
    assert router.requests == []


async def test_errors_and_answers_that_are_none(gateway: Rig, router: OpenAIUpstream) -> None:
    router.script(status(402, wire.NO_CREDIT))
    with pytest.raises(openai.InternalServerError) as caught:
        await gateway.client.images.generate(model="draw", prompt="x")
    assert caught.value.code == "upstream_credentials"
    for body in ({"error": {"code": 502, "message": "Provider returned error"}}, {"created": 1, "data": []}, {}):
        router.script(whole(body))
        with pytest.raises(openai.InternalServerError):
            await gateway.client.images.generate(model="draw", prompt="x")
        with pytest.raises(openai.InternalServerError):
            await gateway.client.audio.speech.create(model="speak", input="x", voice="v")
        with pytest.raises(openai.InternalServerError):
            await gateway.client.audio.transcriptions.create(model="hear", file=RECORDING)
    router.script(whole(wire.images(usage={"prompt_tokens": "many", "cost": "dear"})))
    await gateway.client.images.generate(model="draw", prompt="x")
    assert (await gateway.rows("call_attempt"))[-1]["reported_cost_nano"] is None
