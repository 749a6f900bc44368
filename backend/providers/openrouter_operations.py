"""Pictures, speech and transcripts of OpenRouter, from OpenAI's shapes and back. No I/O.

Nearly OpenAI's: pictures are asked for at `/images`, and what is to be changed goes along as `input_references`; a recording goes along in
the JSON; speech is `pcm` where nothing is said, so it is always said.
Source: createImages, createAudioSpeech and createAudioTranscriptions of OpenRouter's OpenAPI description (openrouter.ai/openapi.json).
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.answer_events import ANSWERED_WHOLE, as_text
from backend.providers.dropping import Vocabulary
from backend.providers.file_kinds import picture_type, sound_type
from backend.providers.openai_usage import usage_from_openai
from backend.providers.provider import Operation, OperationAnswer, OperationRequest, Upload

PATHS: Mapping[Operation, str] = {
    "images.generations": "/images",
    "images.edits": "/images",
    "audio.speech": "/audio/speech",
    "audio.transcriptions": "/audio/transcriptions",
}
"""Of those that are not just as OpenAI's."""
_DRAWING = Vocabulary(
    "OpenRouter's images",
    frozenset({"model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression", "seed"}),
    {**ANSWERED_WHOLE, "response_format": ("b64_json",), "moderation": ("auto",)},
)
_UNSAID = frozenset({"model", "image", "response_format", "moderation", "stream", "partial_images"})
_SPEAKING = Vocabulary("OpenRouter's voices", frozenset({"model", "input", "voice", "response_format", "speed"}), ANSWERED_WHOLE)
_HEARING = Vocabulary(
    "OpenRouter's transcripts",
    frozenset({"model", "language", "temperature", "response_format", "timestamp_granularities[]"}),
    {**ANSWERED_WHOLE, "chunking_strategy": ("auto",)},
)
_FORMATS = {"mp4": "m4a"}
_MOST = 2**31


def body_of(request: OperationRequest) -> dict[str, Any]:
    """The JSON that is posted to the operation's path.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, where it cannot be said.
    """
    if request.operation == "audio.speech":
        return _speech(request.body, request.model)
    if request.operation == "audio.transcriptions":
        return _transcription(request.body, request.uploads[0], request.model)
    return _picture(request.body, request.uploads, request.model)


def read(request: OperationRequest, value: dict[str, Any]) -> OperationAnswer:
    """What came, where it is JSON. Whether it is an answer is for who asked."""
    usage = value.get("usage")
    given: Mapping[str, Any] = usage if isinstance(usage, dict) else {}
    if request.operation != "audio.transcriptions":
        return OperationAnswer(orjson.dumps(value), value, _drawn(given))
    used = _heard(given)
    if as_text(request.body) and isinstance(value.get("text"), str):
        return OperationAnswer(f"{value['text']}\n".encode(), None, used, "text/plain; charset=utf-8")
    return OperationAnswer(orjson.dumps(value), value, used)


def _picture(body: Mapping[str, Any], uploads: tuple[Upload, ...], model: str) -> dict[str, Any]:
    _DRAWING.check({name: value for name, value in body.items() if name != "image"})
    said = {name: value for name, value in body.items() if name not in _UNSAID and value is not None}
    if said.get("size") == "auto":
        del said["size"]
    for upload in uploads:
        if not upload.name.startswith("image"):
            raise UnsupportedParameter("OpenRouter's images take no mask: say in the prompt what is to change.", param=upload.name[:60])
        kind = picture_type(upload.data)
        if kind is None:
            raise BadRequest("The picture is neither PNG, nor JPEG, nor WebP, nor GIF.", param=upload.name[:60])
        url = f"data:{kind};base64,{b64encode(upload.data).decode()}"
        said.setdefault("input_references", []).append({"type": "image_url", "image_url": {"url": url}})
    return {**said, "model": model}


def _speech(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    _SPEAKING.check(body)
    form = body.get("response_format") or "mp3"
    if form not in ("mp3", "pcm"):
        raise UnsupportedParameter("OpenRouter's voices speak mp3 and pcm.", param="response_format")
    if not isinstance(body.get("voice", ""), str):
        raise UnsupportedParameter("'voice' is the name of a voice.", param="voice")
    said = {name: body[name] for name in ("input", "voice", "speed") if body.get(name) is not None}
    return {**said, "response_format": form, "model": model}


def _transcription(body: Mapping[str, Any], upload: Upload, model: str) -> dict[str, Any]:
    _HEARING.check(body)
    form = body.get("response_format") or "json"
    if form not in ("json", "verbose_json", "text"):
        raise UnsupportedParameter("OpenRouter's transcripts are json, verbose_json or text.", param="response_format")
    kind = sound_type(upload.data)
    if kind is None:
        raise BadRequest("The file is no sound: wav, mp3, flac, m4a, ogg, webm or aac.", param="file")
    name = kind.partition("/")[2]
    said: dict[str, Any] = {"model": model, "input_audio": {"data": b64encode(upload.data).decode(), "format": _FORMATS.get(name, name)}}
    if body.get("language"):
        said["language"] = body["language"]
    if body.get("temperature") not in (None, ""):
        try:
            said["temperature"] = float(body["temperature"])
        except (TypeError, ValueError):
            raise BadRequest("'temperature' is a number.", param="temperature") from None
    if form == "verbose_json":
        said["response_format"] = form
        if body.get("timestamp_granularities[]"):
            said["timestamp_granularities"] = body["timestamp_granularities[]"]
    return said


def _drawn(usage: Mapping[str, Any]) -> Usage | None:
    """All that was written is the picture, but for thoughts; most of its providers do not tell them apart."""
    counted = usage_from_openai(usage)
    if counted is None:
        return None
    return counted._replace(output=0, image_output=counted.image_output + counted.output)


def _heard(usage: Mapping[str, Any]) -> Usage | None:
    """Seconds or tokens, as the provider behind it is priced, or both."""
    seconds = usage.get("seconds")
    heard, written = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    played = float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _MOST else 0.0
    return Usage(seconds=played, audio_input=heard, output=written) if played or heard or written else None


def searches(usage: Any) -> Usage | None:
    """Of a ranking; None where it is not sold by the search."""
    units = _count(usage.get("search_units")) if isinstance(usage, dict) else 0
    return Usage(requests=units) if units else None


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < _MOST else 0
