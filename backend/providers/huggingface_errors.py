"""Errors of Hugging Face's router, of the servers behind it, and of its text-generation-inference, in OpenAI's shape. No I/O.

Sources: huggingface.co/docs/inference-providers (router), huggingface/text-generation-inference `router/src/server.rs` (`error_type`:
overloaded, validation, incomplete_generation, generation) and the `estimated_time` of models that are being loaded.
"""

import re
from typing import Any

import orjson

from backend.providers.failures import MAX_RETRY_AFTER_SECONDS

_TOO_LONG = re.compile(r"tokens.{0,80}must be <=|must have less than \d+ tokens|longer than the maximum", re.IGNORECASE | re.DOTALL)
_NO_MODEL = frozenset({"model_not_supported", "model_not_found"})
_GENERATION_FAILED = 424


def explained(body: Any) -> Any:
    """An error body as OpenAI would write it; what is no error body comes back as it is."""
    error = body.get("error") if isinstance(body, dict) else None
    if not error:
        return body
    facts: dict[str, Any] = dict(error) if isinstance(error, dict) else {"message": _words(error)}
    facts.setdefault("type", body.get("error_type"))
    if _TOO_LONG.search(str(facts.get("message") or "")):
        facts["code"] = "context_length_exceeded"
    return {**body, "error": facts}


def status_of(status: int, body: Any) -> int:
    """The status that says what happened: a model that nobody serves is told as a bad request, a generation that failed as 424."""
    error = body.get("error") if isinstance(body, dict) else None
    if status == 400 and isinstance(error, dict) and str(error.get("code")) in _NO_MODEL:
        return 404
    return 500 if status == _GENERATION_FAILED else status


def seconds_to_load(body: Any) -> float | None:
    """How long a model is being loaded still; None if it is not."""
    seconds = body.get("estimated_time") if isinstance(body, dict) else None
    if isinstance(seconds, int | float) and 0 <= seconds <= MAX_RETRY_AFTER_SECONDS:
        return float(seconds)
    return None


def edited(data: bytes) -> bytes:
    """The data of one event of a stream, errors in OpenAI's shape, with the status that they have as their code."""
    if b'"error"' not in data:
        return data
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return data
    told = explained(chunk)
    if told is chunk:
        return data
    facts = told["error"]
    status = facts.get("http_status_code")
    if type(status) is int and not facts.get("code"):
        facts["code"] = status_of(status, told)
    return orjson.dumps(told)


def _words(error: Any) -> str:
    if isinstance(error, list):
        return " ".join([word for word in error if isinstance(word, str)])
    return error if isinstance(error, str) else ""
