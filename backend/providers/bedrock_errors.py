"""Bedrock's errors, those of HTTP and those inside a stream, as failures in our words.

The type of an error is in the header x-amzn-errortype, in `__type` of the body, or in the stream's `:exception-type`, with or without a
namespace; the sentence is `message`. What cannot be told from status and type is told from the sentence. Sources: the errors of
docs.aws.amazon.com/bedrock/latest/APIReference (InvokeModel, ConverseStream), …/userguide/troubleshooting-api-error-codes.html; the
sentences are those that callers have reported.
"""

from typing import Any

import structlog

from backend.kernel.errors import UpstreamCredentials
from backend.providers.failures import Unsaid, UpstreamFailure, failure_from_error_body
from backend.providers.http import HttpAnswer
from backend.providers.posting import Poster

log = structlog.get_logger(__name__)

_STATUSES = {
    "throttling": 429,
    "servicequotaexceeded": 429,
    "toomanyrequests": 429,
    "validation": 400,
    "accessdenied": 403,
    "expiredtoken": 401,
    "invalidsignature": 401,
    "signaturedoesnotmatch": 401,
    "incompletesignature": 401,
    "missingauthenticationtoken": 401,
    "unrecognizedclient": 401,
    "invalidclienttokenid": 401,
    "resourcenotfound": 404,
    "modeltimeout": 408,
    "modelerror": 500,
    "modelstreamerror": 500,
    "internalserver": 500,
    "internalfailure": 500,
    "modelnotready": 503,
    "serviceunavailable": 503,
}
_OF_THE_MODEL = frozenset({"modelerror", "modelstreamerror"})
_TOO_LONG = (
    "input is too long", "prompt is too long", "too many input tokens", "input tokens exceeded", "maximum context", "context length",
    "context window", "exceed context limit", "expected maxlength",
)  # fmt: skip
_BLOCKED = ("content filter", "content policy", "responsible ai", "blocked by")
_NO_SUCH_MODEL = (
    "model identifier is invalid", "on-demand throughput isn", "inference profile", "end of its life", "legacy by the model provider",
)  # fmt: skip
_OPERATORS_AFFAIR = "operation not allowed"
"""All that Bedrock says of an account that may not ask anything. As part of a longer sentence it may be the caller's own words."""
_TOO_LARGE = "length less than or equal to 25000000"
"""Of a body, in bytes."""
_OTHER_CLOCK = ("signature expired", "signature not yet current")


class BedrockPoster(Poster):
    """Reads Bedrock's errors."""

    def error_value(self, response: HttpAnswer, value: Any) -> Any:
        kind = response.header(b"x-amzn-errortype")
        return {"__type": kind, **value} if kind and isinstance(value, dict) else value

    def looked_status(self, response: HttpAnswer) -> int:
        """401 for a key that AWS does not take, as everybody else says."""
        return 401 if _STATUSES.get(_bare(response.header(b"x-amzn-errortype"))) == 401 else response.status

    def failed(self, status: int, value: Any, *, retry_after: float | None = None) -> UpstreamFailure:
        told = value if isinstance(value, dict) else {}
        return bedrock_failure(self.name, status, told.get("__type"), told, retry_after=retry_after, unsaid=self.unsaid)


def bedrock_failure(
    name: str, status: int | None, kind: Any, told: dict[str, Any], *, retry_after: float | None = None, unsaid: Unsaid = ()
) -> UpstreamFailure:
    """What an error means.

    Args:
        status: of HTTP; None for an error inside a stream, whose type says it.
        kind: the type, however it is written.
        told: the body: `message`, and of a model's own error `originalStatusCode` and `originalMessage`.
    """
    bare = _bare(kind)
    message = " ".join([str(told[field]) for field in ("message", "Message", "originalMessage") if isinstance(told.get(field), str)])
    words = message.lower()
    meant = _meant(status, bare, told, words)
    if meant == 401 and any(word in words for word in _OTHER_CLOCK):
        log.warning("provider.clock_differs", provider=name, told=message[:200])
        sentence = f"The provider {name} refused the signature: its clock and the gateway's differ by more than five minutes."
        return UpstreamFailure("credentials", UpstreamCredentials(sentence), status=401)
    code = None
    if meant in (400, 413, 422):
        if any(word in words for word in _TOO_LONG):
            code = "context_length_exceeded"
        elif any(word in words for word in _BLOCKED):
            code = "content_policy_violation"
    failure = failure_from_error_body(name, meant, {"error": {"message": message, "code": code}}, retry_after=retry_after, unsaid=unsaid)
    # AWS answers 403 to a key that it does not take, too; everybody else says so with 401.
    failure.status = meant if meant == 401 else status or meant
    return failure


def _meant(status: int | None, bare: str, told: dict[str, Any], words: str) -> int:
    """The HTTP status that says what happened, in everybody's words."""
    meant = _STATUSES.get(bare) or status or 502
    original = told.get("originalStatusCode")
    if bare in _OF_THE_MODEL or meant == 424:
        return original if original in (400, 413, 422, 429) else 500
    if meant == 400 and words.strip() == _OPERATORS_AFFAIR:
        return 403
    if meant == 400 and any(word in words for word in _NO_SUCH_MODEL):
        return 404
    if meant == 400 and _TOO_LARGE in words:
        return 413
    return meant


def _bare(kind: Any) -> str:
    """`com.amazon.coral.service#ThrottlingException:http://…`, `throttlingException` and `ThrottlingException` are all `throttling`."""
    return kind.rpartition("#")[2].partition(":")[0].lower().removesuffix("exception") if isinstance(kind, str) else ""
