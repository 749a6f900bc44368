"""Google's errors, `{"error": {"code", "message", "status", "details"}}`, as failures in our words.

A key that is not valid is answered with 400 INVALID_ARGUMENT, a stream's error may come in a list, and how long to wait is in
`details` rather than in a header. Shapes: google.rpc.Status and google.rpc.RetryInfo (googleapis, google/rpc); the sentences are those
that ai.google.dev/gemini-api/docs/troubleshooting lists and that callers have reported.
"""

from typing import Any

from backend.providers.failures import MAX_RETRY_AFTER_SECONDS, Unsaid, UpstreamFailure, failure_from_error_body

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 503,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_KEY_REASONS = ("API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED")
_KEY_WORDS = ("api key not valid", "api key expired")
"""Beginnings of sentences; further on they may be the caller's words."""
_NOT_SERVED = ("user location is not supported", "billing")
"""Under FAILED_PRECONDITION, which is about the account; what the caller wrote is quoted under INVALID_ARGUMENT."""
_TOO_LONG = ("input token count", "exceeds the maximum number of tokens", "token count exceeds", "context window")


def error_of(value: Any) -> dict[str, Any] | None:
    """The error that an answer or an event holds, alone or in a list; None if it holds none."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) and error else None


def google_failure(name: str, status: int | None, value: Any, *, retry_after: float | None = None, unsaid: Unsaid = ()) -> UpstreamFailure:
    """What an error answer means.

    Args:
        status: of HTTP; None for an error inside an answer that began well, which has its own.
        retry_after: from the header; what the body asks for counts where there is none.
    """
    error = error_of(value) or {}
    message = error.get("message")
    message = message if isinstance(message, str) else ""
    details = (
        [detail for detail in error.get("details") or () if isinstance(detail, dict)] if isinstance(error.get("details"), list) else []
    )
    status = status or _status_of(error)
    words, code = message.lower(), None
    if status == 400 and (any(detail.get("reason") in _KEY_REASONS for detail in details) or words.startswith(_KEY_WORDS)):
        status = 401
    elif status == 400 and error.get("status") == "FAILED_PRECONDITION" and any(word in words for word in _NOT_SERVED):
        status = 403
    elif status in (400, 413) and any(word in words for word in _TOO_LONG):
        status, code = 400, "context_length_exceeded"
    if retry_after is None:
        retry_after = next((seconds for detail in details if (seconds := _delay(detail.get("retryDelay"))) is not None), None)
    shaped = {"error": {"message": message, "code": code}}
    return failure_from_error_body(name, status, shaped, retry_after=retry_after, unsaid=unsaid)


def _status_of(error: dict[str, Any]) -> int:
    code, status = error.get("code"), error.get("status")
    if type(code) is int and 400 <= code <= 599:
        return code
    return _STATUS.get(status, 502) if isinstance(status, str) else 502


def _delay(value: Any) -> float | None:
    """A protobuf duration such as `37s` or `0.5s`."""
    if not isinstance(value, str) or not value.endswith("s"):
        return None
    try:
        seconds = float(value[:-1])
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER_SECONDS) if 0 <= seconds < float("inf") else None
