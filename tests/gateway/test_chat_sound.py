"""Sound in chats: what is heard and spoken is counted and priced as such, also where nobody counted and where the cheapest is sought."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.gateway.chat_sound import asks_for_sound, seconds_heard
from backend.gateway.estimate import estimated_prompt
from backend.gateway.token_families import family_of
from tests.fakes.openai_upstream import OpenAIUpstream, answer, chunk, completion, events, whole
from tests.gateway.conftest import KEY, Rig, gateway_in
from tests.gateway.errors import assert_error
from tests.providers.test_sound import mp3, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOUND = b64encode(wav(2.5)).decode()
HEARD: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}
ASK: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "What is said?"}, HEARD]}]
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
SAID = {"id": "audio_1", "data": "UklGRg==", "expires_at": 1_790_000_000, "transcript": "A good day to you all"}
USED = {
    "prompt_tokens": 45,
    "completion_tokens": 130,
    "total_tokens": 175,
    "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 20, "audio_tokens": 25},
    "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": 30, "audio_tokens": 100},
}
PRICE = {"input": 2.5, "output": 10, "audio_input": 40, "audio_output": 80}
CHARGED = 20 * 2_500 + 25 * 40_000 + 30 * 10_000 + 100 * 80_000
DEAR_SOUND = {"input": 0.1, "output": 0.2, "audio_input": 100, "audio_output": 200}


@dataclass
class Listening:
    rig: Rig
    upstream: OpenAIUpstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _listening(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> AsyncIterator[Listening]:
    home = tmp_path_factory.mktemp("sound")
    async with OpenAIUpstream() as upstream:

        def one(model: str, price: dict[str, float]) -> dict[str, Any]:
            return {"provider": "acme", "model": model, "price": price}

        settings = {
            "network": {"allow_private": ["127.0.0.1/32"]},
            "providers": {"acme": {"protocol": "openai", "base_url": upstream.base_url}},
            "models": [
                {"alias": "listen", "candidates": [one("gpt-audio", PRICE)]},
                {"alias": "cheap", "strategy": "cheapest", "candidates": [one("dear-sound", DEAR_SOUND), one("dear-text", PRICE)]},
                {"alias": "deaf", "candidates": [one("gpt-audio", {"input": 2.5, "output": 10})]},
            ],
        }
        async with gateway_in(home, _sqlite_template, settings) as rig:
            yield Listening(rig, upstream)


@pytest.fixture
def upstream(_listening: Listening) -> OpenAIUpstream:
    _listening.upstream.requests.clear()
    _listening.upstream.script(answer())
    return _listening.upstream


@pytest.fixture
def gateway(_listening: Listening) -> Rig:
    return _listening.rig


def spoken(usage: Any) -> dict[str, Any]:
    whole_answer = completion("", usage=usage)
    whole_answer["choices"][0]["message"] |= {"content": None, "audio": SAID}
    return whole_answer


@pytest.mark.provides("openai", "audio")
async def test_the_sdk_hears_and_is_heard_and_both_are_charged_as_sound(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(spoken(USED)))
    found = await gateway.client.chat.completions.create(model="listen", messages=ASK, **SPOKEN)  # type: ignore[call-overload]
    assert found.choices[0].message.audio.transcript == SAID["transcript"]
    sent = upstream.requests[0].body
    assert (sent["messages"], sent["modalities"], sent["audio"]) == (ASK, SPOKEN["modalities"], SPOKEN["audio"])
    row = await gateway.last_row()
    assert [row[f"{name}_tokens"] for name in ("input", "audio_input", "output", "audio_output")] == [20, 25, 30, 100]
    assert (row["charged_nano"], row["usage_source"], row["overrun"]) == (CHARGED, "provider", 0)
    [told, *_] = (await gateway.http.get("/v1/usage", headers={"authorization": f"Bearer {KEY}"})).json()["data"]
    names = ("prompt_tokens", "audio_input_tokens", "completion_tokens", "audio_output_tokens", "unit")
    assert [told[name] for name in names] == [45, 25, 130, 100, None]


@pytest.mark.provides("openai", "audio")
async def test_streamed_sound_is_passed_on_and_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    pieces = [{"id": "audio_1", "transcript": "A good"}, {"data": "AAAA"}, {"expires_at": 1_790_000_000}]
    upstream.script(events(*[chunk({"audio": one}) for one in pieces], chunk({}, "stop"), chunk(None, usage=USED), end="done"))
    stream = await gateway.client.chat.completions.create(model="listen", messages=ASK, stream=True, **SPOKEN)  # type: ignore[call-overload]
    deltas = [found.choices[0].delta.model_dump() async for found in stream if found.choices]
    assert [delta["audio"] for delta in deltas if "audio" in delta] == pieces
    assert (await gateway.last_row())["charged_nano"] == CHARGED


async def test_what_nobody_counted_is_estimated_as_sound(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(spoken(None)))
    await gateway.client.chat.completions.create(model="listen", messages=ASK, **SPOKEN)  # type: ignore[call-overload]
    row = await gateway.last_row()
    assert row["usage_source"] == "estimated"
    # 2.5 s at ten tokens a second; 21 letters are six tokens of text and 36 of sound.
    assert [row[f"{name}_tokens"] for name in ("audio_input", "output", "audio_output")] == [25, 6, 36]
    assert row["charged_nano"] == row["input_tokens"] * 2_500 + 25 * 40_000 + 6 * 10_000 + 36 * 80_000


@pytest.mark.parametrize(
    ("body", "model"),
    [
        pytest.param({"messages": [{"role": "user", "content": "What is said?"}]}, "dear-sound", id="text goes where text is cheap"),
        pytest.param({"messages": ASK}, "dear-text", id="what is heard, where sound is"),
        pytest.param({"messages": [{"role": "user", "content": "Speak"}], **SPOKEN}, "dear-text", id="what is spoken, too"),
    ],
)
async def test_the_cheapest_counts_sound(gateway: Rig, upstream: OpenAIUpstream, body: dict[str, Any], model: str) -> None:
    assert (await gateway.post({"model": "cheap", "max_tokens": 100, **body})).status_code == 200
    assert upstream.requests[0].body["model"] == model


@pytest.mark.parametrize("body", [{"messages": ASK}, {"messages": [{"role": "user", "content": "Speak"}], **SPOKEN}])
async def test_sound_without_a_price_is_refused(gateway: Rig, upstream: OpenAIUpstream, body: dict[str, Any]) -> None:
    assert_error(await gateway.post({"model": "deaf", **body}), 403, "insufficient_quota", "price_unknown", "model")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("part", "seconds"),
    [
        (HEARD, 2.5),
        ({"type": "input_audio", "input_audio": {"data": b64encode(mp3(100)).decode(), "format": "mp3"}}, None),
        ({"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{SOUND}"}}, 2.5),
        ({"type": "audio_url", "audio_url": {"url": "https://example.org/hour.mp3"}}, 30),
        ({"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}, 30),
        ({"type": "input_audio", "input_audio": {"data": "ä", "format": "wav"}}, 30),
        ({"type": "input_audio"}, 30),
        ({"type": "text", "text": "audio"}, 0),
    ],
)
async def test_sound_plays_as_long_as_it_says(part: dict[str, Any], seconds: float | None) -> None:
    body = {"messages": [{"role": "user", "content": [part]}]}
    if seconds is None:
        assert 2 < seconds_heard(body) < 3
    else:
        assert seconds_heard(body) == pytest.approx(seconds, abs=0.01)


async def test_a_second_has_as_many_tokens_as_the_model_makes_of_it() -> None:
    prompt = estimated_prompt({"messages": ASK})
    counted = [prompt.usage(family_of(model)).audio_input for model in ("gpt-audio", "gemini-3-flash", "qwen3-omni")]
    assert counted == [25, 80, 62]
    assert prompt.usage(family_of("gpt-audio")).input < 20


@pytest.mark.parametrize(
    ("body", "asks"), [({}, False), ({"modalities": ["text"]}, False), ({"modalities": ["text", "audio"]}, True), ({"audio": {}}, False)]
)
async def test_who_asks_for_sound(body: dict[str, Any], asks: bool) -> None:
    assert asks_for_sound(body) is asks
