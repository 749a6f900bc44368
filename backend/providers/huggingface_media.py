"""Pictures and transcripts of Hugging Face's own inference (`hf-inference`), from OpenAI's shapes and back. No I/O.

A picture is asked for in JSON and comes as bytes; a recording goes as bytes and comes back as `{"text": …}`. The other providers behind the
router each have a shape of their own for these. Sources: huggingface.co/docs/inference-providers/tasks/text-to-image and
…/tasks/automatic-speech-recognition.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.answer_events import ANSWERED_WHOLE
from backend.providers.dropping import Vocabulary
from backend.providers.failures import protocol_failure
from backend.providers.file_kinds import picture_type, sound_type
from backend.providers.provider import OperationAnswer, Upload

_DRAWING = Vocabulary(
    "Hugging Face's models of pictures",
    frozenset({"model", "prompt", "n", "size", "seed", "negative_prompt", "guidance_scale"}),
    {
        **ANSWERED_WHOLE,
        "response_format": ("b64_json",),
        "quality": ("auto", "standard"),
        "background": ("auto", "opaque"),
        "moderation": ("auto",),
    },
)
_HEARING = Vocabulary("Hugging Face's transcripts", frozenset({"model", "response_format"}), ANSWERED_WHOLE)


def picture_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of text-to-image.

    Raises:
        UnsupportedParameter: with `param`.
    """
    _DRAWING.check(body)
    if (body.get("n") or 1) > 1:
        raise UnsupportedParameter("Hugging Face draws one picture at a time.", param="n")
    more = {name: body[name] for name in ("seed", "negative_prompt", "guidance_scale") if body.get(name) is not None}
    if body.get("size") not in (None, "auto"):
        width, height = str(body["size"]).split("x")
        more |= {"width": int(width), "height": int(height)}
    return {"inputs": body["prompt"], **({"parameters": more} if more else {})}


def picture_answer(data: bytes, provider: str, now: int) -> OperationAnswer:
    """OpenAI's answer. Raises UpstreamFailure: it is no picture."""
    kind = picture_type(data)
    if kind is None:
        raise protocol_failure(provider, "what is no picture")
    value = {"created": now, "data": [{"b64_json": b64encode(data).decode()}], "output_format": kind.partition("/")[2]}
    return OperationAnswer(orjson.dumps(value), value, None)


def recording_type(body: Mapping[str, Any], upload: Upload) -> str:
    """The media type under which the recording goes, which is all that is said.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    _HEARING.check(body)
    if body.get("response_format") not in (None, "json", "text"):
        raise UnsupportedParameter("Hugging Face's transcripts are json or text.", param="response_format")
    kind = sound_type(upload.data)
    if kind is None:
        raise BadRequest("The file is no sound: wav, mp3, flac, ogg, m4a, webm or aac.", param="file")
    return "audio/mpeg" if kind == "audio/mp3" else kind


def transcript_answer(value: Any, provider: str, *, plain: bool) -> OperationAnswer:
    """OpenAI's answer. Raises UpstreamFailure: there is no text in it."""
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise protocol_failure(provider, "an answer without a text")
    text = text.strip()
    if plain:
        return OperationAnswer(f"{text}\n".encode(), None, None, "text/plain; charset=utf-8")
    return OperationAnswer(orjson.dumps({"text": text}), {"text": text}, None)
