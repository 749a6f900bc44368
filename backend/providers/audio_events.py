"""The events in which OpenAI's servers speak and write down, and how these become whole sound, and whole transcripts become them.

Offers that are priced by the token of sound can be charged only where the server says how many it made. Of speech it says so in events
alone (`stream_format: sse`), so sound that is to be charged so is asked for in events and unfolded on its way to who asked for sound.
Source: platform.openai.com/docs/api-reference/audio (speech.audio.done, transcript.text.done).
"""

import binascii
from base64 import b64decode
from typing import Any

import orjson

from backend.kernel.sse import EventSplitter, EventTooLarge
from backend.pricing.usage import Usage
from backend.providers.failures import failure_from_error_body, protocol_failure, reset_failure, status_of_error
from backend.providers.openai_usage import usage_from_operation
from backend.providers.provider import StreamAnswer

SPOKEN, SPEECH_DONE = "speech.audio.delta", "speech.audio.done"
DELTAS = frozenset({SPOKEN, "transcript.text.delta", "transcript.text.segment"})
DONE = frozenset({SPEECH_DONE, "transcript.text.done"})
KINDS = {"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm"}
"""What sound is called in HTTP by its `response_format`."""


def usage_of(event: dict[str, Any]) -> Usage | None:
    """What the last event says that was used; whatever is made of a text to speak is sound."""
    usage = usage_from_operation(event)
    if usage is not None and event.get("type") == SPEECH_DONE:
        return usage._replace(output=0, audio_output=usage.output)
    return usage


def transcript_events(value: dict[str, Any]) -> bytes:
    """A whole transcript as events, for who asked for those: models that cannot stream answer whole (whisper-1)."""
    text = value.get("text") if isinstance(value.get("text"), str) else ""
    delta: dict[str, Any] = {"type": "transcript.text.delta", "delta": text}
    done: dict[str, Any] = {"type": "transcript.text.done", "text": text}
    if isinstance(value.get("usage"), dict):
        done["usage"] = value["usage"]
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in (delta, done))


class UnfoldedSpeech:
    """A `StreamAnswer` of the sound that is in a stream of events; `usage` once it is read to its end."""

    def __init__(self, name: str, events: StreamAnswer) -> None:
        self._name = name
        self._events = events
        self._splitter = EventSplitter()
        self._ended = False
        self.usage: Usage | None = None

    async def read(self) -> bytes:
        """The next of it; b"" at the end. Raises UpstreamFailure: it broke, or ended before its last event."""
        while not self._ended:
            data = await self._events.read()
            try:
                sound = b"".join(map(self._sound, self._splitter.feed(data) if data else self._splitter.finish()))
            except EventTooLarge:
                raise protocol_failure(self._name, "an event without end") from None
            if sound:
                return sound
            if not data and not self._ended:
                raise reset_failure(self._name)
        return b""

    def release(self) -> None:
        self._events.release()

    def close(self) -> None:
        self._events.close()

    def _sound(self, payload: bytes) -> bytes:
        try:
            event = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return b""
        if not isinstance(event, dict) or self._ended:
            return b""
        kind = event.get("type")
        if event.get("error") or kind == "error":
            body = event if event.get("error") else {"error": event}
            raise failure_from_error_body(self._name, status_of_error(body), body)
        if kind == SPEECH_DONE:
            self._ended, self.usage = True, usage_of(event)
        elif kind == SPOKEN and isinstance(event.get("audio"), str):
            try:
                return b64decode(event["audio"], validate=True)
            except binascii.Error:
                raise protocol_failure(self._name, "sound that is no base64") from None
        return b""
