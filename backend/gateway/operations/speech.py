"""`POST /v1/audio/speech`: a text is read out. The sound is passed on as it comes, or in events (`stream_format`). Each character of the
text is charged, or the tokens of text and sound where the provider counts them."""

from collections.abc import Mapping
from typing import Any

from backend.gateway.operations.media_events import MediaEvents
from backend.gateway.operations.operation import Asked, JsonOperation, Metered, Unit, choice_of, estimated_tokens, text_of
from backend.kernel.errors import BadRequest
from backend.pricing.usage import Usage
from backend.providers.answer_events import speech_events
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

MOST_TEXT = 100_000
"""Characters. OpenAI takes 4,096 of them, others more; each provider refuses what is too long for it."""
MOST_TOKENS = 16_384
"""Of sound in one answer, where the model does not say: eleven minutes."""
_MOST_TOKENS_A_CHARACTER = 16
"""Half a second each: numbers are long when they are read."""
_TOKENS_A_CHARACTER = 2
"""At fifteen characters a second."""
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
        asked.stream = choice_of(body, "stream_format", ("audio", "sse"), "audio") == "sse"

    def prompt(self, asked: Asked) -> Mapping[str, Any]:  # noqa: ARG002
        return {}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        characters = len(asked.body["input"])
        # A token has a byte at least.
        read = len(f"{asked.body['input']}{asked.body.get('instructions') or ''}".encode("utf-8", "surrogatepass"))
        said = min(longest or MOST_TOKENS, 256 + characters * _MOST_TOKENS_A_CHARACTER)
        return {"character": Usage(characters=characters), "token": Usage(input=64 + read, audio_output=said)}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:  # noqa: ARG002
        return None if answer.stream is not None or answer.body else "no sound"

    def events(self, asked: Asked) -> MediaEvents:  # noqa: ARG002
        """As `Streamed.events`."""
        return MediaEvents()

    def in_events(self, answer: OperationAnswer) -> bytes | None:
        """As `Streamed.in_events`."""
        return speech_events(answer.body, answer.usage)

    def streamed(self, asked: Asked, events: MediaEvents) -> list[Metered]:
        """As `Streamed.streamed`."""
        return self.used(asked, OperationAnswer(b"", None, events.usage if events.complete else None))

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        told = [Metered("token", answer.usage, "provider")] if answer is not None and answer.usage is not None else []
        characters = len(asked.body["input"])
        guessed = Usage(input=estimated_tokens(asked.body["input"]), audio_output=characters * _TOKENS_A_CHARACTER)
        return [*told, Metered("character", Usage(characters=characters), "counted"), Metered("token", guessed, "estimated")]
