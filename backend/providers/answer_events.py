"""The events in which OpenAI's servers speak, write down and draw, and how these become whole sound, and whole answers become them.

Offers that are priced by the token of sound can be charged only where the server says how many it made. Of speech it says so in events
alone (`stream_format: sse`), so sound that is to be charged so is asked for in events and unfolded on its way to who asked for sound.
Sources: platform.openai.com/docs/api-reference/audio (speech.audio.done, transcript.text.done), developers.openai.com/api/reference
/resources/images/generation-streaming-events and …/edit-streaming-events.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.sse import EventSplitter, EventTooLarge
from backend.pricing.usage import Usage
from backend.providers.failures import failure_from_error_body, protocol_failure, reset_failure, status_of_error
from backend.providers.openai_usage import usage_from_operation
from backend.providers.provider import StreamAnswer

EVENT_STREAM = "text/event-stream"
SPOKEN, SPEECH_DONE = "speech.audio.delta", "speech.audio.done"
_DRAWN = {"images.generations": "image_generation.completed", "images.edits": "image_edit.completed"}
DELTAS = frozenset({
    SPOKEN, "transcript.text.delta", "transcript.text.segment", "image_generation.partial_image", "image_edit.partial_image",
})  # fmt: skip
DONE = frozenset({SPEECH_DONE, "transcript.text.done", *_DRAWN.values()})
ANSWERED_WHOLE: Mapping[str, tuple[Any, ...]] = {
    "stream": (False, True, "false", "true"), "partial_images": (0, 1, 2, 3), "stream_format": ("audio", "sse"),
}  # fmt: skip
"""What asks for events: of a provider that answers whole the gateway makes them, so its adapter need not say it."""
KINDS = {"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm"}
"""What sound is called in HTTP by its `response_format`."""


def as_text(body: Mapping[str, Any]) -> bool:
    """Whether a transcript is to be plain text; events are made of one that is JSON."""
    return body.get("response_format") == "text" and not body.get("stream")


def usage_of(event: dict[str, Any]) -> Usage | None:
    """What the last event says that was used; whatever is made of a text to speak is sound."""
    kind = event.get("type")
    if kind in _DRAWN.values():
        return usage_from_operation({"data": [], "usage": event.get("usage")})
    usage = usage_from_operation(event)
    if usage is not None and kind == SPEECH_DONE:
        return usage._replace(output=0, audio_output=usage.output)
    return usage


def transcript_events(value: dict[str, Any]) -> bytes:
    """A whole transcript as events."""
    text = value.get("text") if isinstance(value.get("text"), str) else ""
    delta: dict[str, Any] = {"type": "transcript.text.delta", "delta": text}
    done: dict[str, Any] = {"type": "transcript.text.done", "text": text}
    if isinstance(value.get("usage"), dict):
        done["usage"] = value["usage"]
    return _told(delta, done)


def picture_events(operation: str, value: dict[str, Any]) -> bytes:
    """A whole answer with one picture as its only event."""
    told: dict[str, Any] = {name: value[name] for name in ("background", "output_format", "quality", "size", "usage") if name in value}
    return _told({"type": _DRAWN[operation], **value["data"][0], "created_at": value.get("created"), **told})


def speech_events(sound: bytes, usage: Usage | None) -> bytes:
    """Whole sound as events."""
    return _told({"type": SPOKEN, "audio": b64encode(sound).decode()}, _speech_done(usage))


def _speech_done(usage: Usage | None) -> dict[str, Any]:
    done: dict[str, Any] = {"type": SPEECH_DONE}
    if usage is not None:
        read, spoken = usage.total_input, usage.total_output
        done["usage"] = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
    return done


def _told(*events: dict[str, Any]) -> bytes:
    return b"".join([b"data: " + orjson.dumps(event) + b"\n\n" for event in events])


class FoldedSpeech:
    """A `StreamAnswer` of events, of sound that comes as it is."""

    def __init__(self, sound: StreamAnswer) -> None:
        self._sound = sound
        self._ended = False

    async def read(self) -> bytes:
        if self._ended:
            return b""
        data = await self._sound.read()
        self._ended = not data
        return _told({"type": SPOKEN, "audio": b64encode(data).decode()} if data else _speech_done(None))

    def release(self) -> None:
        self._sound.release()

    def close(self) -> None:
        self._sound.close()


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
