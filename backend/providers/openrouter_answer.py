"""What OpenRouter adds to OpenAI's answers: what they cost, whose provider failed and why, and errors in the middle of a stream. No I/O.

Sources: openrouter.ai/docs/api/reference/errors-and-debugging, …/streaming, openrouter.ai/docs/use-cases/usage-accounting.
"""

from typing import Any

import orjson

from backend.kernel.money import MAX_NANO_USD, nano_from_usd
from backend.providers.failures import MAX_RETRY_AFTER_SECONDS, innermost_words

_UNSAID = "Provider returned error"
"""Then the provider's own words are in `metadata.raw`."""


def reported_nano(usage: Any) -> int | None:
    """What the account is charged for an answer, in nano-dollars; with a key of one's own (BYOK) what the provider charges, too."""
    if not isinstance(usage, dict):
        return None
    details = usage.get("cost_details")
    beside = details.get("upstream_inference_cost") if usage.get("is_byok") is True and isinstance(details, dict) else None
    try:
        nano = _nano(usage.get("cost")) + (_nano(beside) if beside is not None else 0)
    except ValueError:
        return None
    return nano if 0 <= nano <= MAX_NANO_USD else None


def explained(body: Any) -> Any:
    """An error body with the reason that is deep inside it as its message; else the same."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(metadata := error.get("metadata"), dict):
        return body
    message = str(error.get("message") or "")
    reasons = metadata.get("reasons")
    if isinstance(reasons, list) and reasons:
        named = ", ".join([reason for reason in reasons if isinstance(reason, str)])
        return {**body, "error": {**error, "type": "content_policy_violation", "message": f"{message} Reasons: {named}."}}
    raw = metadata.get("raw")
    if message != _UNSAID or not raw:
        return body
    return {**body, "error": {**error, "message": innermost_words(raw) or _UNSAID}}


def seconds_to_reset(body: Any, now: float) -> float | None:
    """How long the account is limited: the rate limit's end is in the body, in milliseconds since 1970. `now` is in seconds."""
    metadata = body["error"].get("metadata") if isinstance(body, dict) and isinstance(body.get("error"), dict) else None
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    reset = headers.get("X-RateLimit-Reset") if isinstance(headers, dict) else None
    try:
        seconds = float(reset) / 1000 - now if isinstance(reset, str | int) else -1.0
    except (ValueError, OverflowError):
        return None
    return min(seconds, MAX_RETRY_AFTER_SECONDS) if seconds >= 0 else None


def failed_choice(body: dict[str, Any]) -> dict[str, Any] | None:
    """The error body that an answer stands for whose choices ended in an error; None if one of them did not."""
    choices = body.get("choices")
    if body.get("error") or not isinstance(choices, list) or not choices:
        return None
    if not all([isinstance(choice, dict) and choice.get("finish_reason") == "error" for choice in choices]):
        return None
    told = choices[0].get("error")
    return {"error": told if isinstance(told, dict) and told else {"code": 502, "message": "The answer ended in an error."}}


def edited(data: bytes) -> tuple[bytes, Any]:
    """The data of one event as OpenAI's clients know it, with errors explained, and the usage that is in it."""
    if b'"cost"' not in data and b'"error"' not in data:
        return data, None
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return data, None
    if not isinstance(chunk, dict):
        return data, None
    failed = failed_choice(chunk)
    told = explained({**chunk, **failed} if failed is not None else chunk)
    return data if told is chunk else orjson.dumps(told), chunk.get("usage")


def _nano(amount: Any) -> int:
    if type(amount) not in (int, float):
        raise ValueError("no amount of money")
    return nano_from_usd(str(amount))
