"""What Gemini's models answer that draw, hear and speak, as steps of a `GeminiUpstream`.

Wire: ai.google.dev/gemini-api/docs/image-generation, …/docs/audio and …/docs/speech-generation; how tokens are counted by modality, and
finish reasons, ai.google.dev/api/generate-content (ModalityTokenCount, FinishReason).
"""

from base64 import b64encode
from typing import Any

from tests.fakes.gemini_upstream import answer, response, text, whole
from tests.fakes.openai_upstream import Step

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32
SAMPLES = bytes(range(0, 240, 2)) * 40


def blob(media_type: str, data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": b64encode(data).decode()}}


def usage(modality: str, *, read: int, heard: int = 0, written: int, thought: int = 0) -> dict[str, Any]:
    """Of an answer in one modality, to a prompt of words and, where some was sent, sound."""
    prompt = [{"modality": "TEXT", "tokenCount": read}] + ([{"modality": "AUDIO", "tokenCount": heard}] if heard else [])
    counted: dict[str, Any] = {"promptTokenCount": read + heard, "candidatesTokenCount": written}
    counted |= {"totalTokenCount": read + heard + written + thought, "promptTokensDetails": prompt}
    counted["candidatesTokensDetails"] = [{"modality": modality, "tokenCount": written}]
    return counted | ({"thoughtsTokenCount": thought} if thought else {})


def picture(*, thought: int = 0, words: str | None = None) -> Step:
    """1290 tokens, as every picture of about 1024x1024 has; with words before it where the model adds some."""
    parts = [text(words)] if words is not None else []
    counted = usage("IMAGE", read=8, written=1290, thought=thought)
    return answer(*parts, blob("image/png", PNG), usage=counted, modelVersion="gemini-2.5-flash-image")


def no_picture(reason: str) -> Step:
    """Its prompt is charged all the same."""
    return whole(response(finish=reason, usage={"promptTokenCount": 8, "totalTokenCount": 8}))


def heard(words: str, *, finish: str = "STOP") -> Step:
    return answer(text(words), finish=finish, usage=usage("TEXT", read=30, heard=64, written=9))


def spoken(*, samples: bytes = SAMPLES, kind: str = "audio/L16;codec=pcm;rate=24000") -> Step:
    return answer(blob(kind, samples), usage=usage("AUDIO", read=12, written=50))
