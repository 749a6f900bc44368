"""OpenAI-shaped `usage`, which overlaps, into disjoint buckets, which do not.

`prompt_tokens` includes cached, cache-written and audio tokens; `completion_tokens` includes reasoning and audio. Servers differ in
where they put the details (or put null there, or count details beyond the whole), so every number is taken with care: what is not a
non-negative integer counts as absent, and details never exceed the whole they are part of.

xAI and Gemini leave the reasoning out of `completion_tokens`; `total_tokens` has it. What the total has beyond the two is therefore
output, unless it is just the cached tokens, which some servers count beside the prompt. Where one of the two is missing, the total
tells it.
"""

from typing import Any

from backend.pricing.usage import Usage

_ASKED, _ANSWERED = "prompt_tokens_details", "completion_tokens_details"
_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", _ASKED, _ANSWERED})


def usage_from_openai(usage: Any) -> Usage | None:
    """The buckets of an OpenAI-shaped `usage` object; None where prompt or completion were not counted, which is different from an
    explicit 0."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    total = _count(usage.get("total_tokens"))
    if prompt is None or completion is None:
        known = prompt if completion is None else completion
        if known is None or total is None or total < known:
            return None
        prompt, completion = (known, total - known) if completion is None else (total - known, known)
    if total == prompt + completion and usage.keys() <= _PLAIN and not (_tells(usage, _ASKED) or _tells(usage, _ANSWERED)):
        # Of most answers there is no more to say.
        return Usage(input=prompt, output=completion)
    given = usage.get(_ASKED)
    details = given if isinstance(given, dict) else {}
    # DeepSeek reports prompt_cache_hit_tokens beside prompt_tokens; Moonshot cached_tokens; OpenRouter cache_write_tokens; we ourselves how
    # many of those are kept for an hour.
    cached = _first(details.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens"))
    written = _first(details.get("cache_write_tokens"), details.get("cache_creation_tokens"))
    for_an_hour = _first(details.get("cache_write_1h_tokens")) if written else 0
    heard = _first(details.get("audio_tokens"))
    given = usage.get(_ANSWERED)
    details = given if isinstance(given, dict) else {}
    thought = _first(details.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    beside = total - prompt - completion if total is not None else 0
    if beside > 0:
        if beside == cached + written and beside != thought:
            prompt += beside
        else:
            completion += beside
            thought = max(thought, beside)
    cache_read = min(cached, prompt)
    cache_write = min(written, prompt - cache_read)
    cache_write_1h = min(for_an_hour, cache_write)
    audio_input = min(heard, prompt - cache_read - cache_write)
    reasoning = min(thought, completion)
    audio_output = min(_first(details.get("audio_tokens")), completion - reasoning)
    image_output = min(_first(details.get("image_tokens")), completion - reasoning - audio_output)
    return Usage(
        input=prompt - cache_read - cache_write - audio_input,
        cache_read=cache_read,
        cache_write=cache_write - cache_write_1h,
        cache_write_1h=cache_write_1h,
        audio_input=audio_input,
        output=completion - reasoning - audio_output - image_output,
        reasoning=reasoning,
        audio_output=audio_output,
        image_output=image_output,
    )


def usage_to_openai(usage: Usage) -> dict[str, Any]:
    """The buckets as OpenAI would report them; for answers whose provider reported nothing, or in a shape of its own."""
    prompt, completion = usage.total_input, usage.total_output
    written = usage.cache_write + usage.cache_write_1h
    kept = {"cache_write_tokens": written, "cache_write_1h_tokens": usage.cache_write_1h} if written else {}
    drawn = {"image_tokens": usage.image_output} if usage.image_output else {}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_input} | kept,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output} | drawn,
    }


def usage_from_operation(value: dict[str, Any]) -> Usage | None:
    """What an answer that is no chat says that it used: `usage` as chat has it, or in the words of images and transcriptions
    (`input_tokens`, `output_tokens`, `seconds`), or Cohere's `meta.billed_units`; None if it says nothing."""
    given = value.get("usage")
    if isinstance(given, dict):
        if (counted := usage_from_openai(given)) is not None:
            return counted
        if (seconds := _seconds(given.get("seconds"))) is not None:
            return Usage(seconds=seconds)
        put_in, put_out = _count(given.get("input_tokens", given.get("prompt_tokens"))), _count(given.get("output_tokens"))
        if put_in is not None:
            details = given.get("input_tokens_details") or given.get("input_token_details")
            details = details if isinstance(details, dict) else {}
            heard = min(_first(details.get("audio_tokens")), put_in)
            draws = "data" in value
            seen = min(_first(details.get("image_tokens")), put_in - heard) if draws else 0
            written = put_out or 0
            drawn = written if draws else 0
            if draws and isinstance(told := given.get("output_tokens_details"), dict) and _count(told.get("image_tokens")) is not None:
                drawn = min(_first(told.get("image_tokens")), written)
            return Usage(input=put_in - heard - seen, audio_input=heard, image_input=seen, output=written - drawn, image_output=drawn)
        if (total := _count(given.get("total_tokens"))) is not None:
            return Usage(input=total)
    meta = value.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    if isinstance(billed, dict) and (searches := _count(billed.get("search_units"))) is not None:
        return Usage(requests=searches)
    if (seconds := _seconds(value.get("duration"))) is not None:
        return Usage(seconds=seconds)
    return None


_MAX_COUNT = 2**31 - 1
"""What a column of the ledger holds; a larger number is no token count but nonsense."""


def _count(value: Any) -> int | None:
    if type(value) is int and 0 <= value <= _MAX_COUNT:
        return value
    if type(value) is float and value.is_integer() and 0 <= value <= _MAX_COUNT:
        return int(value)
    return None


def _seconds(value: Any) -> float | None:
    """Whisper spells a duration as text in its verbose answer."""
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds <= _MAX_COUNT else None


def _tells(usage: dict[str, Any], name: str) -> bool:
    """Whether these details hold anything but zeros."""
    details = usage.get(name)
    return isinstance(details, dict) and any(details.values())


def _first(*values: Any) -> int:
    for value in values:
        if value is not None and (number := _count(value)) is not None:
            return number
    return 0
