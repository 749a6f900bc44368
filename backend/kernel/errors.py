"""Every error that Bourse shows to anybody, in one tree.

    BourseError
    ├── BadRequest 400
    │   ├── UnsupportedParameter · ContextLengthExceeded · ContentPolicyViolation
    ├── InvalidApiKey 401 · SignInRequired 401
    ├── PermissionDenied 403
    │   ├── ModelNotAllowed · TenantSuspended · AddressNotAllowed
    │   └── InsufficientQuota
    │       ├── BudgetExceeded · PriceUnknown
    ├── NotFound 404
    │   └── ModelNotFound
    ├── MethodNotAllowed 405 · RequestTimeout 408 · RequestTooLarge 413 · UnsupportedEncoding 415
    ├── Conflict 409
    │   └── IdempotencyInProgress
    ├── PreconditionFailed 412
    ├── Unprocessable 422
    │   ├── IdempotencyMismatch · SchemaValidationFailed · GroundingFailed
    ├── RateLimited 429
    │   ├── ParallelLimitExceeded · QuotaExceeded · UpstreamRateLimited
    ├── InternalError 500
    └── Unavailable 503
        ├── NoAvailableProvider · StorageUnavailable · Overloaded · Restarting
        ├── UpstreamError 502 · UpstreamCredentials 502
        └── UpstreamTimeout 504

An error is raised where the rule lives and rendered at the edge by exactly one of `as_openai` (`/v1`, `/router` and the REST
surface share the body; only REST may add `details`), `as_rest` and `as_toast`. The statuses, types and codes are the wire
contract; a test holds one example per row.
"""

from typing import Any, ClassVar


class BourseError(Exception):
    """Base of all errors with a meaning for the caller.

    Args:
        message: one sentence that says what is wrong and, where it can, what to do. Shown to the caller, so it never holds a secret.
        param: the request field at fault, in the caller's spelling.
        retry_after: seconds until trying again can help; sent as `Retry-After`, rounded up.
        details: extra facts for the REST body only.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    code: str | None = "internal_error"
    default_message: ClassVar[str] = "Something went wrong on our side."
    should_retry: ClassVar[bool | None] = None
    """Sent as `x-should-retry` when not None; the OpenAI SDKs obey it."""

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.param = param
        if code is not None:
            self.code = code
        self.retry_after = retry_after
        self.headers = headers or {}
        self.details = details or {}
        super().__init__(self.message)


class BadRequest(BourseError):
    status = 400
    type = "invalid_request_error"
    code: str | None = None
    default_message = "The request is not valid."


class UnsupportedParameter(BadRequest):
    """`others` are further fields that it is about, beside `param`."""

    code = "unsupported_parameter"

    def __init__(self, message: str | None = None, *, param: str | None = None, others: tuple[str, ...] = (), **more: Any) -> None:
        super().__init__(message, param=param, **more)
        self.others = others


class ContextLengthExceeded(BadRequest):
    code = "context_length_exceeded"
    default_message = "The prompt is longer than the model's context window."


class ContentPolicyViolation(BadRequest):
    code = "content_policy_violation"


class InvalidApiKey(BourseError):
    """Missing, malformed, unknown, expired and revoked keys are indistinguishable to the caller."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"
    default_message = "No valid API key was given. Send 'Authorization: Bearer sk-…'."


class SignInRequired(BourseError):
    status = 401
    type = "invalid_request_error"
    code = "sign_in_required"
    default_message = "Sign in to do this."


class PermissionDenied(BourseError):
    status = 403
    type = "permission_error"
    code = "permission_denied"
    default_message = "You may not do this."


class ModelNotAllowed(PermissionDenied):
    code = "model_not_allowed"


class TenantSuspended(PermissionDenied):
    code = "tenant_suspended"
    default_message = "This tenant is suspended."


class AddressNotAllowed(PermissionDenied):
    code = "ip_not_allowed"
    default_message = "This key may not be used from your address."


class InsufficientQuota(PermissionDenied):
    type = "insufficient_quota"
    code = "budget_exceeded"
    should_retry = False


class BudgetExceeded(InsufficientQuota):
    code = "budget_exceeded"
    default_message = "The budget is used up."


class PriceUnknown(InsufficientQuota):
    code = "price_unknown"
    default_message = "The price of this model is unknown, so its cost cannot be bounded."


class NotFound(BourseError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"
    default_message = "There is nothing here."


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(BourseError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"
    default_message = "This method is not allowed here."


class RequestTimeout(BourseError):
    status = 408
    type = "invalid_request_error"
    code = "request_timeout"
    default_message = "The request body did not arrive in time."


class RequestTooLarge(BourseError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"
    default_message = "The request body is too large."


class UnsupportedEncoding(BourseError):
    status = 415
    type = "invalid_request_error"
    code = "unsupported_encoding"
    default_message = "This content encoding or type is not supported."


class Conflict(BourseError):
    status = 409
    type = "invalid_request_error"
    code = "conflict"


class IdempotencyInProgress(Conflict):
    code = "idempotency_in_progress"


class PreconditionFailed(BourseError):
    """What `If-Match` names is not what there is now."""

    status = 412
    type = "invalid_request_error"
    code = "precondition_failed"


class Unprocessable(BourseError):
    status = 422
    type = "invalid_request_error"
    code = "unprocessable"


class IdempotencyMismatch(Unprocessable):
    code = "idempotency_mismatch"


class SchemaValidationFailed(Unprocessable):
    type = "invalid_response_error"
    code = "schema_validation_failed"


class GroundingFailed(Unprocessable):
    type = "invalid_response_error"
    code = "grounding_failed"


class RateLimited(BourseError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    default_message = "Too many requests."


class ParallelLimitExceeded(RateLimited):
    code = "parallel_limit_exceeded"


class QuotaExceeded(RateLimited):
    code = "quota_exceeded"


class UpstreamRateLimited(RateLimited):
    code = "upstream_rate_limited"


class InternalError(BourseError):
    """What an unforeseen exception becomes: the request id and nothing of the trace."""


class Unavailable(BourseError):
    status = 503
    type = "api_error"
    code = "unavailable"
    default_message = "Not available right now."


class Restarting(Unavailable):
    """This process is ending; another one answers, or will."""

    default_message = "Bourse is restarting."


class NoAvailableProvider(Unavailable):
    code = "no_available_provider"


class Overloaded(Unavailable):
    """This process has more to do than it can; nobody was asked and nothing is charged."""

    code = "overloaded"
    default_message = "Bourse is very busy right now."


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    default_message = "The database is not reachable right now."


class UpstreamError(Unavailable):
    status = 502
    code = "upstream_error"


class UpstreamCredentials(UpstreamError):
    code = "upstream_credentials"
    default_message = "The provider did not accept the operator's credentials. The operator was told."


class UpstreamTimeout(Unavailable):
    status = 504
    code = "upstream_timeout"


def status_of(code: str | None) -> int:
    """What an error with that code is answered with where no answer has begun; for one that came in the middle of a stream."""
    kinds: list[type[BourseError]] = [BourseError]
    for kind in kinds:
        if kind.code == code:
            return kind.status
        kinds += kind.__subclasses__()
    return BourseError.status


def as_openai(error: BourseError) -> dict[str, Any]:
    """The body of `/v1` and `/router`: OpenAI's shape, nothing else."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def as_rest(error: BourseError) -> dict[str, Any]:
    """The body of every other API: the same shape, with `details` where there are any."""
    body = as_openai(error)
    if error.details:
        body["error"]["details"] = error.details
    return body


def as_toast(error: BourseError, request_id: str) -> dict[str, str]:
    """What a person reads: title, sentence, and the request id to quote."""
    titles = {401: "Sign in first", 403: "That is not allowed", 404: "Not found", 429: "Too much at once"}
    title = titles.get(error.status, "Please check what you entered" if error.status < 500 else "That did not work")
    return {"title": title, "message": error.message, "request_id": request_id}


def response_headers(error: BourseError) -> dict[str, str]:
    """`Retry-After` (whole seconds, rounded up) and `x-should-retry` where they apply, and the error's own headers."""
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["retry-after"] = str(max(0, -int(-error.retry_after // 1)))
    if error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    return headers
