"""What is said in a file, in English: the same as transcriptions, elsewhere."""

import pytest

from tests.fakes.openai_operations import form_of, text
from tests.fakes.openai_upstream import OpenAIUpstream, whole
from tests.gateway.conftest import KEY
from tests.gateway.operations.conftest import OperationRig as Rig
from tests.providers.test_sound import wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.mark.provides("openai", "audio")
async def test_the_sdk_gets_a_translation_and_the_files_seconds_are_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({"text": "good day"}))
    answer = await gateway.client.audio.translations.create(
        model="hear", file=("tag.wav", wav(2.5), "audio/wav"), prompt="greetings", temperature=0.2
    )
    assert answer.text == "good day"
    assert upstream.requests[0].path == "/v1/audio/translations"
    sent = {"model": [b"hear-fake"], "prompt": [b"greetings"], "temperature": [b"0.2"], "file": [wav(2.5)]}
    assert form_of(upstream.requests[0]) == sent
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["usage_source"]) == ("audio.translations", "second", 2.5, "counted")
    assert row["charged_nano"] == 250_000


async def test_what_the_provider_measured_counts(gateway: Rig, upstream: OpenAIUpstream) -> None:
    verbose = {"task": "translate", "language": "english", "duration": 2.44, "text": "good day", "segments": []}
    upstream.script(whole(verbose))
    answer = await gateway.client.audio.translations.create(model="hear", file=("a.wav", wav(2.5)), response_format="verbose_json")
    assert (answer.duration, answer.text) == (2.44, "good day")
    row = await gateway.last_row()
    assert (row["quantity"], row["usage_source"], row["charged_nano"]) == (2.44, "provider", 244_000)


@pytest.mark.parametrize(
    ("kind", "data"), [("text", "good day\n"), ("srt", "1\n00:00:00,000 --> 00:00:02,000\nhello\n"), ("vtt", "WEBVTT\n")]
)
async def test_plain_translations_pass_as_they_are(gateway: Rig, upstream: OpenAIUpstream, kind: str, data: str) -> None:
    upstream.script(text(data))
    answer = await gateway.client.audio.translations.create(model="hear", file=("a.wav", wav(3)), response_format=kind)  # type: ignore[call-overload]
    assert answer == data
    assert (await gateway.last_row())["charged_nano"] == 300_000


async def test_who_is_speaking_is_not_told_of_translations(gateway: Rig, upstream: OpenAIUpstream) -> None:
    form, files = {"model": "hear", "response_format": "diarized_json"}, {"file": ("a.wav", wav(1))}
    response = await gateway.http.post("/v1/audio/translations", data=form, files=files, headers=BEARER)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "response_format")
    assert upstream.requests == []


@pytest.mark.provides("sandbox", "audio")
async def test_the_sandbox_says_how_long_the_file_plays(gateway: Rig) -> None:
    answer = await gateway.client.audio.translations.create(model="my-transcriber", file=("a.wav", wav(2)))
    assert answer.text == "This is a simulated translation of 2 seconds of sound."
    assert (await gateway.last_row())["charged_nano"] == 200_000
