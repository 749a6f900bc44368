"""Which of the operations beside chat a model of Google's does by `generateContent`, and how each is asked for and read. No I/O."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from backend.providers.answer_events import as_text
from backend.providers.google_pictures import drawn, picture_body
from backend.providers.google_sound import speech_body, spoken, transcript_body, written_down
from backend.providers.provider import Operation, OperationAnswer, OperationRequest

OPERATIONS: frozenset[Operation] = frozenset({
    "images.generations", "images.edits", "audio.speech", "audio.transcriptions", "audio.translations",
})  # fmt: skip
Read = Callable[[Mapping[str, Any], str], OperationAnswer]
"""The chat completion that came, and the provider's name, as what was asked for. Raises UpstreamFailure: it is not that."""


def generating(request: OperationRequest) -> tuple[dict[str, Any], Read]:
    """The body for `generateContent`, and what reads its answer.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, where it cannot be said there.
    """
    body = request.body
    if request.operation.startswith("images."):
        return picture_body(body, request.uploads, request.model), drawn
    if request.operation == "audio.speech":
        return speech_body(body), partial(spoken, plain=body.get("response_format") == "pcm")
    translate, plain = request.operation == "audio.translations", as_text(body)
    return transcript_body(body, request.uploads[0], request.model, translate=translate), partial(written_down, plain=plain)
