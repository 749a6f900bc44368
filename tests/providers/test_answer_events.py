"""Sound out of events and events out of whole answers: cut anywhere, broken anyhow."""

import itertools
from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.usage import Usage
from backend.providers.answer_events import FoldedSpeech, UnfoldedSpeech, picture_events, speech_events, transcript_events, usage_of
from backend.providers.failures import UpstreamFailure
from backend.providers.posting import Bytes
from tests.fakes.openai_upstream import sse

COUNTED = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
DONE = {"type": "speech.audio.done", "usage": COUNTED}


class Pieces:
    """A stream of these bytes, cut so."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.ends: list[str] = []

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def release(self) -> None:
        self.ends.append("released")

    def close(self) -> None:
        self.ends.append("closed")


def spoken(data: bytes) -> dict[str, Any]:
    return {"type": "speech.audio.delta", "audio": b64encode(data).decode()}


async def heard(stream: UnfoldedSpeech) -> bytes:
    found = b""
    while data := await stream.read():
        found += data
    return found


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5), st.lists(st.integers(0, 400), max_size=6))
async def test_sound_is_the_same_however_its_events_are_cut(sounds: list[bytes], places: list[int]) -> None:
    whole = b": hello\n\n" + b"".join(sse(spoken(sound)) for sound in sounds) + sse({"type": "other"}) + sse(DONE) + b"data: [DONE]\n\n"
    edges = [0, *sorted(min(place, len(whole)) for place in places), len(whole)]
    stream = UnfoldedSpeech("acme", Pieces(*[whole[first:last] for first, last in itertools.pairwise(edges)]))
    assert await heard(stream) == b"".join(sounds)
    assert stream.usage == Usage(input=14, audio_output=101)


BROKEN = (sse(spoken(b"x")), sse({"type": "speech.audio.delta", "audio": "?"}), sse({"type": "speech.audio.delta"}), sse({"type": "error"}),
    sse({"error": {"message": "no"}}), sse([]), sse(DONE), b"data: {\n\n", b"\xff", b"data: [DONE]\n\n")  # fmt: skip


@given(st.lists(st.sampled_from(BROKEN), max_size=8))
async def test_what_is_not_brought_to_its_end_is_a_failure_and_counts_nothing(pieces: list[bytes]) -> None:
    stream = UnfoldedSpeech("acme", Pieces(*pieces))
    try:
        await heard(stream)
    except UpstreamFailure:
        assert stream.usage is None
    else:
        assert sse(DONE) in pieces
        assert stream.usage == Usage(input=14, audio_output=101)


async def test_the_connection_ends_as_whoever_reads_it_says() -> None:
    for wrapped in (UnfoldedSpeech, FoldedSpeech):
        for end in ("release", "close"):
            pieces = Pieces(sse(DONE))
            getattr(wrapped("acme", pieces) if wrapped is UnfoldedSpeech else FoldedSpeech(pieces), end)()
            assert pieces.ends == [f"{end}d"]


async def test_folded_and_unfolded_again_is_what_it_was() -> None:
    sound = bytes(range(256)) * 300
    again = UnfoldedSpeech("acme", FoldedSpeech(Bytes(sound)))
    assert await heard(again) == sound
    assert again.usage is None
    told = UnfoldedSpeech("acme", Bytes(speech_events(sound, Usage(input=3, audio_output=40))))
    assert await heard(told) == sound
    assert told.usage == Usage(input=3, audio_output=40)


WRITTEN = ["transcript.text.delta", "transcript.text.done"]
HEARD = {"type": "duration", "seconds": 3}
DREW = Usage(input=14, image_output=101)


@pytest.mark.parametrize(
    ("told", "kinds", "usage"),
    [
        (transcript_events({"text": "hi", "usage": HEARD}), WRITTEN, Usage(seconds=3)),
        (transcript_events({"text": "hi"}), WRITTEN, None),
        (transcript_events({"segments": []}), WRITTEN, None),
        (picture_events("images.edits", {"data": [{"b64_json": "x"}], "usage": COUNTED}), ["image_edit.completed"], DREW),
        (picture_events("images.generations", {"data": [{"url": "x"}], "size": "1024x1024"}), ["image_generation.completed"], None),
    ],
)
def test_a_whole_answer_is_told_in_events(told: bytes, kinds: list[str], usage: Usage | None) -> None:
    events = [orjson.loads(part[6:]) for part in told.split(b"\n\n") if part]
    assert ([event["type"] for event in events], usage_of(events[-1])) == (kinds, usage)
