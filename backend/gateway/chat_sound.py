"""Sound in a chat: which calls have it, how long it plays, and about how many tokens it is.

The bounds of such calls are in `media_tokens`. Here is what a call is likely to use, for choosing the cheapest candidate and for answers
whose provider did not count.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

from backend.gateway.media_tokens import is_sound
from backend.providers.sound import sound_of

SPOKEN_TOKENS = 6
"""For one of a transcript, which is a third of a second: OpenAI's models make twenty tokens of sound a second."""
_ELSEWHERE_SECONDS = 30.0
"""Of sound that is not in the call, so that nobody knows how long it plays."""
_MEDIA = ("input_audio", "audio_url", "audio")


def has_sound(body: Mapping[str, Any]) -> bool:
    """Whether the model hears something: sound in a message, or its own of an earlier turn."""
    for message in body.get("messages") or ():
        content = message.get("content")
        if type(content) is list and any(type(part) is dict and is_sound(part) for part in content):
            return True
        if message.get("audio"):
            return True
    return False


def asks_for_sound(body: Mapping[str, Any]) -> bool:
    """Whether the answer is to be spoken."""
    modalities = body.get("modalities")
    return bool(body.get("audio")) or (isinstance(modalities, list) and "audio" in modalities)


def seconds_heard(body: Mapping[str, Any]) -> float:
    """How long all sound of a call plays, by its own headers or as files of its size mostly do."""
    return sum(map(_seconds, _sounds(body)))


def _sounds(body: Mapping[str, Any]) -> Iterator[Any]:
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, list):
            for part in content:
                if isinstance(part, dict) and is_sound(part):
                    yield next((part[name] for name in _MEDIA if name in part), None)
        if message.get("audio"):
            yield None


def _seconds(sound: Any) -> float:
    if isinstance(sound, Mapping):
        sound = sound.get("data") or sound.get("url")
    if not isinstance(sound, str) or "://" in sound[:64]:
        return _ELSEWHERE_SECONDS
    coded = sound.partition(",")[2] if sound.startswith("data:") else sound
    try:
        return sound_of(b64decode(coded)).likely
    except ValueError:
        return _ELSEWHERE_SECONDS
