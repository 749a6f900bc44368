"""Gemini's `usageMetadata` as OpenAI's `usage`.

`promptTokenCount` includes what was cached; what a tool's use added to the prompt and what was thought are counted beside prompt and
candidates. Vertex has counted thoughts among the candidates at times: the total tells. A count of 0 is left out on the wire.
Source: UsageMetadata in ai.google.dev/api/generate-content and in Vertex AI's GenerateContentResponse.
"""

from typing import Any

_MAX_COUNT = 2**31 - 1


def openai_usage(metadata: Any) -> dict[str, Any] | None:
    """None where the prompt was not counted. Nothing in it is counted twice but the details, which are parts of their whole."""
    if not isinstance(metadata, dict):
        return None
    prompt = _count(metadata.get("promptTokenCount"))
    if prompt is None:
        return None
    prompt += _count(metadata.get("toolUsePromptTokenCount")) or 0
    thoughts, total = _count(metadata.get("thoughtsTokenCount")) or 0, _count(metadata.get("totalTokenCount"))
    said = _count(metadata.get("candidatesTokenCount"))
    if said is None:
        said = max(0, (total or 0) - prompt - thoughts)
    completion = said if thoughts and total == prompt + said and said >= thoughts else said + thoughts
    cached = min(_count(metadata.get("cachedContentTokenCount")) or 0, prompt)
    heard = _of("AUDIO", metadata.get("promptTokensDetails")) + _of("AUDIO", metadata.get("toolUsePromptTokensDetails"))
    # Sound that was cached is cheap for having been cached, so it counts there.
    heard = max(0, heard - _of("AUDIO", metadata.get("cacheTokensDetails")))
    spoken, drawn = (_of(modality, metadata.get("candidatesTokensDetails")) for modality in ("AUDIO", "IMAGE"))
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": heard},
        "completion_tokens_details": {"reasoning_tokens": thoughts, "audio_tokens": spoken},
    }
    if drawn:
        usage["completion_tokens_details"]["image_tokens"] = drawn
    return usage


def counts_the_prompt(metadata: Any) -> bool:
    """Whether `openai_usage` has something to say of it."""
    return isinstance(metadata, dict) and _count(metadata.get("promptTokenCount")) is not None


def counts_the_answer(metadata: Any) -> bool:
    """Whether something of the answer is counted in it; the first events of a stream may count the prompt alone."""
    return isinstance(metadata, dict) and bool(_count(metadata.get("candidatesTokenCount")) or _count(metadata.get("thoughtsTokenCount")))


def _of(modality: str, details: Any) -> int:
    if not isinstance(details, list):
        return 0
    return sum(_count(one.get("tokenCount")) or 0 for one in details if isinstance(one, dict) and one.get("modality") == modality)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else None
