"""`POST /v1/audio/speech`: a text is read out. The sound is passed on as it comes, and each character of the text is charged."""

from collections.abc import Mapping
from typing import Any

from backend.gateway.operations.operation import Asked, JsonOperation, Metered, Unit, choice_of, text_of
from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

MOST_TEXT = 100_000
"""Characters. OpenAI takes 4,096 of them, others more; each provider refuses what is too long for it."""
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")


class Speech(JsonOperation):
    name: Name = "audio.speech"

    def check(self, asked: Asked) -> None:
        body = asked.body
        text_of(body, "input", MOST_TEXT)
        voice = body.get("voice")
        if voice is not None and not (isinstance(voice, str) and voice) and not isinstance(voice, dict):
            raise BadRequest("'voice' is the name of a voice.", param="voice")
        choice_of(body, "response_format", FORMATS, "mp3")
        speed = body.get("speed")
        if speed is not None and (type(speed) not in (int, float) or not 0.25 <= speed <= 4):
            raise BadRequest("'speed' is a number from 0.25 to 4.", param="speed")
        if body.get("stream_format") not in (None, "audio"):
            raise UnsupportedParameter("The sound comes as it is, not in events.", param="stream_format")

    def prompt(self, asked: Asked) -> Mapping[str, Any]:  # noqa: ARG002
        return {}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        return {"character": Usage(characters=len(asked.body["input"]))}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:  # noqa: ARG002
        return None if answer.stream is not None or answer.body else "no sound"

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:  # noqa: ARG002
        return [Metered("character", Usage(characters=len(asked.body["input"])), "counted")]
