"""Sound that Gemini's models write down, translate or read out, from OpenAI's shapes and back. No I/O.

All three are chats: a recording goes along as `inlineData` with what is to be done with it, and a text-to-speech model answers with samples
of 16 bits (`audio/L16;codec=pcm;rate=24000`), lowest byte first. Sources: ai.google.dev/gemini-api/docs/audio, …/docs/speech-generation.
"""

import re
import struct
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.answer_events import ANSWERED_WHOLE
from backend.providers.dropping import Vocabulary
from backend.providers.failures import protocol_failure
from backend.providers.file_kinds import sound_type
from backend.providers.gemini_request import gemini_body
from backend.providers.openai_usage import usage_from_openai
from backend.providers.provider import OperationAnswer, Upload
from backend.providers.sound import sound_of

VOICE = "Kore"
_WRITTEN = "Write down word for word what is said in this recording, with punctuation. Answer with these words alone."
_TRANSLATED = "Translate what is said in this recording into English. Answer with the translation alone."
_HEARING = Vocabulary(
    "Gemini's models",
    frozenset({"model", "prompt", "language", "temperature", "response_format"}),
    {**ANSWERED_WHOLE, "chunking_strategy": ("auto",)},
)
_SPEAKING = Vocabulary(
    "Gemini's voices",
    frozenset({"model", "input", "voice", "instructions", "response_format"}),
    {**ANSWERED_WHOLE, "speed": (1,)},
)
_MOST_TOKENS = 65_536
_TOKENS_A_SECOND = 16
"""Four times as fast as anybody speaks."""
_THOUGHTS = 2048
_RATE = re.compile(r"rate=(\d{4,6})")


def transcript_body(body: Mapping[str, Any], upload: Upload, model: str, *, translate: bool) -> dict[str, Any]:
    """The body for `generateContent`. Thinking is turned off where it can be, and capped where not.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    _HEARING.check(body)
    if body.get("response_format") not in (None, "json", "text"):
        raise UnsupportedParameter("Gemini's models say no times: 'response_format' is json or text.", param="response_format")
    task = _TRANSLATED if translate else _WRITTEN
    if body.get("language"):
        task += f" It is in the language {body['language']}."
    if body.get("prompt"):
        task += f" Names and words that may be in it, or what came before: {body['prompt']}"
    kind = sound_type(upload.data)
    if kind is None:
        raise BadRequest("The file is no sound that Gemini's models take: wav, mp3, ogg, flac, aac, m4a, webm, aiff.", param="file")
    file = {"file_data": f"data:{kind};base64,{b64encode(upload.data).decode()}"}
    parts = [{"type": "text", "text": task}, {"type": "file", "file": file}]
    chat = {"messages": [{"role": "user", "content": parts}], "temperature": _temperature(body)}
    cap = 64 + int(sound_of(upload.data).most * _TOKENS_A_SECOND)
    try:
        return gemini_body({**chat, "reasoning_effort": "none"}, model, min(cap, _MOST_TOKENS))
    except UnsupportedParameter:
        return gemini_body({**chat, "reasoning_effort": "low"}, model, min(cap + _THOUGHTS, _MOST_TOKENS))


def written_down(completion: Mapping[str, Any], provider: str, *, plain: bool) -> OperationAnswer:
    """OpenAI's answer out of the chat completion that the model's is.

    Raises:
        UpstreamFailure: it is cut short.
    """
    choice = completion["choices"][0]
    if choice["finish_reason"] != "stop":
        raise protocol_failure(provider, "a transcript that is cut short")
    text, usage = (choice["message"]["content"] or "").strip(), usage_from_openai(completion.get("usage"))
    if plain:
        return OperationAnswer(f"{text}\n".encode(), None, usage, "text/plain; charset=utf-8")
    value: dict[str, Any] = {"text": text}
    if usage is not None:
        read, written = usage.total_input, usage.total_output
        heard = {"text_tokens": read - usage.audio_input, "audio_tokens": usage.audio_input}
        counts = {"input_tokens": read, "input_token_details": heard, "output_tokens": written, "total_tokens": read + written}
        value["usage"] = {"type": "tokens", **counts}
    return OperationAnswer(orjson.dumps(value), value, usage)


def speech_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body for `generateContent`.

    Raises:
        UnsupportedParameter: with `param`.
    """
    _SPEAKING.check(body)
    if body.get("response_format") not in (None, "wav", "pcm"):
        raise UnsupportedParameter("Gemini's models speak wav and pcm.", param="response_format")
    voice = body.get("voice") or VOICE
    if not isinstance(voice, str):
        raise UnsupportedParameter(f"'voice' is the name of one of Gemini's voices, such as {VOICE}.", param="voice")
    told = f"{body['instructions']}\n\n{body['input']}" if body.get("instructions") else body["input"]
    speech = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
    config = {"responseModalities": ["AUDIO"], "speechConfig": speech}
    return {"contents": [{"role": "user", "parts": [{"text": told}]}], "generationConfig": config}


def spoken(completion: Mapping[str, Any], provider: str, *, plain: bool) -> OperationAnswer:
    """The sound, as a wav file or as it came (`plain`).

    Raises:
        UpstreamFailure: there is none.
    """
    found = [one["image_url"]["url"].partition(",") for one in completion["choices"][0]["message"].get("images") or ()]
    try:
        samples = b"".join(b64decode(data, validate=True) for _, _, data in found)
    except (NoBase64, ValueError):
        samples = b""
    if not samples or not all(head.startswith(("data:audio/L16", "data:audio/pcm")) for head, _, _ in found):
        raise protocol_failure(provider, "no sound")
    usage = usage_from_openai(completion.get("usage"))
    if plain:
        return OperationAnswer(samples, None, usage, "audio/pcm")
    rate = _RATE.search(found[0][0])
    return OperationAnswer(wav(samples, int(rate[1]) if rate is not None else 24_000), None, usage, "audio/wav")


def wav(samples: bytes, rate: int) -> bytes:
    """A file (RFC 2361) of one channel of samples of 16 bits."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + len(samples), b"WAVE") + form + struct.pack("<4sI", b"data", len(samples)) + samples


def _temperature(body: Mapping[str, Any]) -> float | None:
    """A form holds texts."""
    given = body.get("temperature")
    try:
        return float(given) if given not in (None, "") else None
    except (TypeError, ValueError):
        raise BadRequest("'temperature' is a number.", param="temperature") from None
