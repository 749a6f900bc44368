"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`: what is said in a file, as it was said or in English.

Charged by the second, as long as the provider says that it plays, else as its own header says; or by the token where the provider counts
those and the offer has prices for them.
"""

from collections.abc import Mapping
from typing import Any

from backend.gateway.operations.form import FormOperation, files_in, is_on
from backend.gateway.operations.media_events import MediaEvents
from backend.gateway.operations.operation import Asked, Metered, Unit, choice_of, estimated_tokens, objects_in
from backend.kernel.errors import BadRequest
from backend.pricing.usage import Usage
from backend.providers.answer_events import transcript_events
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer
from backend.providers.sound import sound_of

MAX_FILE_BYTES = 25 * 1024 * 1024
_BESIDE_THE_FILE = 256 * 1024
AUDIO_TOKENS_A_SECOND = 32
"""The hungriest model that is known (Gemini); OpenAI's take ten."""
_USUAL_AUDIO_TOKENS = 10
"""In a second, of OpenAI's models; Gemini counts its own."""
_TEXT_TOKENS_A_SECOND = 16
"""Four times as fast as anybody speaks."""
_MOST_TEXT_TOKENS = 16_384

_IN_EVENTS = ("json", "text", "diarized_json")


class Transcriptions(FormOperation):
    name: Name = "audio.transcriptions"
    max_bytes = MAX_FILE_BYTES + _BESIDE_THE_FILE
    files: Mapping[str, int] = {"file": 1}
    formats: tuple[str, ...] = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
    streams = True

    def check(self, asked: Asked) -> None:
        [upload] = files_in(asked, "file", "the sound")
        kind = choice_of(asked.body, "response_format", self.formats, "json")
        asked.stream = self.streams and is_on(asked.body.get("stream"))
        if asked.stream:
            asked.body["stream"] = "true"
            if kind not in _IN_EVENTS:
                raise BadRequest(f"'response_format' of a stream is one of {', '.join(_IN_EVENTS)}.", param="response_format")
        sound = sound_of(upload.data)
        asked.seconds, asked.most_seconds = sound.likely, sound.most

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {"prompt": asked.body["prompt"]} if asked.body.get("prompt") else {}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:
        said = min(longest or _MOST_TEXT_TOKENS, 64 + int(asked.most_seconds * _TEXT_TOKENS_A_SECOND))
        heard = 64 + int(asked.most_seconds * AUDIO_TOKENS_A_SECOND)
        return {"token": Usage(input=tokens, audio_input=heard, output=said), "second": Usage(seconds=asked.most_seconds)}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:
        if answer.value is None:
            return None if asked.body.get("response_format") in ("text", "srt", "vtt") else "a transcript that is not JSON"
        if not isinstance(answer.value.get("text"), str) and objects_in(answer, "segments") is None:
            return "an answer without a text"
        return None

    def events(self, asked: Asked) -> MediaEvents:  # noqa: ARG002
        """As `Streamed.events`."""
        return MediaEvents()

    def in_events(self, answer: OperationAnswer) -> bytes | None:
        """As `Streamed.in_events`."""
        return transcript_events(answer.value if answer.value is not None else {"text": answer.body.decode("utf-8", "replace")})

    def streamed(self, asked: Asked, events: MediaEvents) -> list[Metered]:
        """As `Streamed.streamed`."""
        return self.used(asked, OperationAnswer(b"", None, events.usage if events.complete else None))

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        told: list[Metered] = []
        if answer is not None and (usage := answer.usage) is not None:
            # Who sells both tells both.
            told = [Metered("second", Usage(seconds=usage.seconds), "provider")] if usage.seconds else []
            if usage.total_input + usage.total_output or not told:
                told.append(Metered("token", usage._replace(seconds=0.0), "provider"))
        heard = Usage(audio_input=round(asked.seconds * _USUAL_AUDIO_TOKENS), output=_written(asked, answer))
        return [
            *told,
            Metered("second", Usage(seconds=min(round(asked.seconds, 3), asked.most_seconds)), "counted"),
            Metered("token", heard, "estimated"),
        ]


def _written(asked: Asked, answer: OperationAnswer | None) -> int:
    """About how many tokens the text has, or will have."""
    if answer is None or not (answer.value or answer.body):
        return round(asked.seconds * _TEXT_TOKENS_A_SECOND / 4)
    return estimated_tokens(answer.value.get("text") or "" if answer.value is not None else answer.body.decode("utf-8", "replace"))


class Translations(Transcriptions):
    name: Name = "audio.translations"
    formats = ("json", "text", "srt", "verbose_json", "vtt")
    streams = False
