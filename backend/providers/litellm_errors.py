"""litellm's exceptions as failures in our words. By the names of their classes, so that nothing here imports it.

Source: litellm/exceptions.py. It wraps whatever it does not know in an APIConnectionError, so that one is looked into.
"""

import re
from collections.abc import Iterator

from backend.kernel.clock import Clock
from backend.kernel.errors import UnsupportedParameter
from backend.providers.failures import (
    Unsaid,
    UpstreamFailure,
    connect_failure,
    failure_from_error_body,
    innermost_words,
    protocol_failure,
    readable_reason,
    reset_failure,
    retry_after_seconds,
)

_STATUS = {
    "ContextWindowExceededError": 400,
    "ContentPolicyViolationError": 400,
    "PaymentRequiredError": 402,
    "LiteLLMUnknownProvider": 404,
    "NotFoundError": 404,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "RateLimitError": 429,
    "Timeout": 408,
    "UnprocessableEntityError": 422,
    "BadRequestError": 400,
    "ServiceUnavailableError": 503,
    "BadGatewayError": 502,
    "InternalServerError": 500,
}
_CODES = {"ContextWindowExceededError": "context_length_exceeded", "ContentPolicyViolationError": "content_policy_violation"}
_PREFIX = re.compile(r"^(?:litellm\.\w+: ?)*(?:\w+Exception -? ?)?(?:Error code: \d+ - )?")
_UNSUPPORTED = re.compile(r"does not support parameters: (?:\[|\{)'([\w.]{1,60})'")
_NOT_CONNECTED = re.compile(r"Cannot connect to host|ConnectError|All connection attempts failed|Name or service not known")
_BROKEN_OFF = re.compile(
    r"payload is not completed|Server disconnected|ReadError|RemoteProtocolError|Connection reset|ConnectionResetError"
)
_NO_PROVIDER = "LLM Provider NOT provided"


def failure_of(name: str, error: BaseException, clock: Clock, unsaid: Unsaid = ()) -> UpstreamFailure:
    """What an exception of litellm's means."""
    error = getattr(error, "original_exception", None) or error
    kinds = [kind.__name__ for kind in type(error).__mro__]
    words = str(getattr(error, "message", None) or error)
    if "UnsupportedParamsError" in kinds:
        found = _UNSUPPORTED.search(words)
        param = found[1] if found else None
        return UpstreamFailure("refused", UnsupportedParameter(f"The provider {name} has no {param or 'such parameter'!r}.", param=param))
    if _NO_PROVIDER in words:
        return failure_from_error_body(name, 404, None)
    kind = next((kind for kind in kinds if kind in _STATUS), None)
    if kind is None:
        return _of_connection(name, error, words)
    body = {"error": {"message": readable_reason(innermost_words(_PREFIX.sub("", words)), unsaid), "code": _CODES.get(kind)}}
    return failure_from_error_body(name, _STATUS[kind], body, retry_after=_retry_after(error, clock), unsaid=unsaid)


def _of_connection(name: str, error: BaseException, words: str) -> UpstreamFailure:
    said = " ".join([words[:2000], *[f"{type(one).__name__} {str(one)[:500]}" for one in _chain(error)]])
    if _BROKEN_OFF.search(said):
        return reset_failure(name)
    if _NOT_CONNECTED.search(said):
        return connect_failure(name)
    status = getattr(error, "status_code", None)
    if type(status) is int and 400 <= status <= 599 and status != 500:
        return failure_from_error_body(name, status, None)
    return protocol_failure(name, "what litellm could not read")


def _chain(error: BaseException) -> Iterator[BaseException]:
    for _ in range(8):
        cause = error.__cause__ or error.__context__
        if cause is None:
            return
        yield cause
        error = cause


def _retry_after(error: BaseException, clock: Clock) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers is not None else None
    return retry_after_seconds(value if isinstance(value, str) else None, clock)
