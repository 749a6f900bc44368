"""Why an attempt brought no answer, in one shape for all protocols, and what of it a caller may read.

A provider's words reach the caller only where they explain the caller's own request (400, 413, 422), and then without addresses and
without anything that looks like a credential. Everything else is told in our words.
"""

import re
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import orjson

from backend.kernel.clock import Clock
from backend.kernel.errors import (
    BadRequest,
    BourseError,
    ContentPolicyViolation,
    ContextLengthExceeded,
    ModelNotFound,
    RequestTooLarge,
    UnsupportedParameter,
    UpstreamCredentials,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from backend.providers.refused_names import refused_names

Kind = Literal[
    "connect", "forbidden", "reset", "timeout", "server", "rate_limited", "credentials", "not_found", "refused", "protocol", "differs"
]  # fmt: skip

Unsaid = tuple[str, ...]
"""Credentials and whatever else of a request nobody is to hear of; none of them is empty."""

MAX_RETRY_AFTER_SECONDS = 3600.0
_MAY_PASS = frozenset({"connect", "reset", "server", "rate_limited", "differs"})
_BLAMELESS = frozenset({"refused", "not_found", "differs"})
_CONFLICT = 409
_REFUSALS = frozenset({400, 413, 422})
_MAX_REASON = 400
_DEPTH = 8
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"\b(?:sk|pk|rk|key|gsk|xai|api|bearer|token)[-_ ][A-Za-z0-9._*\-]{6,}|\b[A-Za-z0-9_\-*]{32,}\b|\b(?:org|proj)[-_]\w{4,}", re.IGNORECASE
)
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_CONTEXT_WORDS = (
    "context_length", "context length", "maximum context", "context window", "context size", "too many tokens", "prompt is too long",
    "exceed context limit", "maximum prompt length", "exceeded model token limit", "exceeds the maximum number of tokens",
)  # fmt: skip
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""OpenAI's codes, under 400, 403 and 429."""
_NO_CREDIT_WORDS = (
    "your credit balance is too low",
    "you have reached your specified api usage limits",
    "this organization has been disabled",
)
"""Beginnings of Anthropic's sentences, under 400. Further on in a sentence they may be what the caller wrote."""
_TOO_LARGE_FOR_LIMIT = "request too large for"
"""OpenAI, under 429: the request alone is more than its limit for a minute, and will be after any wait."""
_POLICY_WORDS = (
    "content_policy", "content_filter", "content policy", "content management policy", "responsible ai", "safety system", "moderation",
    "was flagged",
)  # fmt: skip


class UpstreamFailure(Exception):
    """One attempt failed.

    Args:
        kind: what happened, in the words of attempts and metrics.
        error: what the caller sees if nobody else answers.
        status: the provider's HTTP status, None if none came; 402 for whatever says that its account cannot pay.
        retry_after: seconds that the provider asked for, within an hour.
    """

    def __init__(self, kind: Kind, error: BourseError, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{kind} {status or ''}".strip())
        self.kind: Kind = kind
        self.error = error
        self.status = status
        self.retry_after = retry_after

    @property
    def elsewhere(self) -> bool:
        """Whether another candidate may answer what this one did not: everything but a refusal of the request itself. How large a request
        may be, and what can be said in it, is different from one to the next."""
        return self.kind != "refused" or self.too_long or isinstance(self.error, RequestTooLarge | UnsupportedParameter)

    @property
    def too_long(self) -> bool:
        """The prompt does not fit this model; it may fit one with a larger window."""
        return isinstance(self.error, ContextLengthExceeded)

    @property
    def is_policy(self) -> bool:
        """The provider does not want to answer this; another one may."""
        return isinstance(self.error, ContentPolicyViolation)

    @property
    def may_pass(self) -> bool:
        """Whether the same model may answer if it is asked once more. One that was silent until a limit of ours passed is not asked to be
        silent again; 408 and 504 were said in time."""
        return self.kind in _MAY_PASS or (self.kind == "timeout" and self.status is not None)

    @property
    def blames_provider(self) -> bool:
        """Whether it says that the provider is not well: everything but a refusal of the request, an unknown model, another answer than
        the one to go on with, a conflict, and other statuses that are about this one request."""
        if self.kind == "protocol":
            return self.status is None or not 400 <= self.status < 500
        return self.kind not in _BLAMELESS and self.status != _CONFLICT


def connect_failure(name: str) -> UpstreamFailure:
    return UpstreamFailure("connect", UpstreamError(f"The provider {name} cannot be reached."))


def address_failure(name: str) -> UpstreamFailure:
    return UpstreamFailure(
        "forbidden",
        UpstreamError(f"The provider {name} is in a private network that the operator has not allowed (network.allow_private)."),
    )


def reset_failure(name: str) -> UpstreamFailure:
    return UpstreamFailure("reset", UpstreamError(f"The provider {name} broke off the connection."))


def timeout_failure(name: str, what: str, seconds: float) -> UpstreamFailure:
    """`what` completes the sentence: 'no connection', 'no first token', 'no data', 'no whole answer'."""
    return UpstreamFailure("timeout", UpstreamTimeout(f"The provider {name} gave {what} within {seconds:g} s."))


def protocol_failure(name: str, what: str) -> UpstreamFailure:
    return UpstreamFailure("protocol", UpstreamError(f"The provider {name} sent {what}."))


def other_answer(name: str) -> UpstreamFailure:
    """Asked to go on where another one broke off, it gave an answer of its own; nothing is wrong with it."""
    return UpstreamFailure("differs", UpstreamError(f"The provider {name} gave another answer than the one that it should go on with."))


def failure_from_error_body(name: str, status: int, body: Any, *, retry_after: float | None = None, unsaid: Unsaid = ()) -> UpstreamFailure:
    """The failure that an OpenAI-shaped (or unreadable) error answer means. A message may quote the caller, so nothing that takes a
    provider or a key from others is told from words inside it.

    Args:
        body: the parsed JSON, or None. An error inside a 200 comes with the status that its code suggests, see `status_of_error`.
        unsaid: what was sent and is never to be repeated.
    """
    error = body.get("error") if isinstance(body, dict) else None
    facts: dict[str, Any] = error if isinstance(error, dict) else {}
    raw = facts.get("message") or (error if isinstance(error, str) else "") or (body.get("message") if isinstance(body, dict) else "") or ""
    reason = readable_reason(str(raw), unsaid)
    words = f"{facts.get('code') or ''} {facts.get('type') or ''} {raw}".lower()
    if status in (400, 403, 429) and _lacks_credit(facts, raw):
        status = 402
    # An account without credit is the operator's affair like a bad key, and no fault of the request.
    if status in (401, 402) or (status == 403 and not any(word in words for word in _POLICY_WORDS)):
        return UpstreamFailure("credentials", UpstreamCredentials(), status=status)
    if status == 404:
        return UpstreamFailure("not_found", ModelNotFound(f"The provider {name} does not have this model."), status=status)
    if status == 429 and str(raw).lower().startswith(_TOO_LARGE_FOR_LIMIT):
        return UpstreamFailure("refused", RequestTooLarge(reason), status=status)
    if status == 429:
        busy = UpstreamRateLimited(f"The provider {name} is limiting its callers.", retry_after=retry_after)
        return UpstreamFailure("rate_limited", busy, status=status, retry_after=retry_after)
    if status in (408, 504):
        return UpstreamFailure("timeout", UpstreamTimeout(f"The provider {name} gave up waiting (HTTP {status})."), status=status)
    if 400 <= status < 500 and status != _CONFLICT:
        if status in _REFUSALS or any(word in words for word in (*_CONTEXT_WORDS, *_POLICY_WORDS)):
            return UpstreamFailure("refused", _refusal(name, status, facts, raw, reason, words, unsaid), status=status)
        # Gone, not allowed there, misdirected, too early…: it says much about where this provider was asked, and little about the request.
        return UpstreamFailure("protocol", UpstreamError(f"The provider {name} does not answer this (HTTP {status})."), status=status)
    broken = UpstreamError(f"The provider {name} failed (HTTP {status}).", retry_after=retry_after)
    return UpstreamFailure("server", broken, status=status, retry_after=retry_after)


def _lacks_credit(facts: dict[str, Any], raw: Any) -> bool:
    """Whether an account that cannot pay is told under another status than 402."""
    told = (facts.get("code"), facts.get("type"))
    return any(isinstance(one, str) and one in _NO_CREDIT for one in told) or str(raw).lower().startswith(_NO_CREDIT_WORDS)


def _refusal(name: str, status: int, facts: dict[str, Any], raw: Any, reason: str, words: str, unsaid: Unsaid) -> BourseError:
    given = facts.get("param")
    param = readable_reason(given, unsaid)[:100] if isinstance(given, str) else None
    sentence = reason or f"The provider {name} refused the request (HTTP {status})."
    if any(word in words for word in _CONTEXT_WORDS):
        return ContextLengthExceeded(sentence, param=param)
    if any(word in words for word in _POLICY_WORDS):
        return ContentPolicyViolation(sentence, param=param)
    if "unsupported_parameter" in words or "unsupported_value" in words:
        return UnsupportedParameter(sentence, param=param)
    if names := refused_names(raw):
        return UnsupportedParameter(sentence, param=names[0], others=names[1:])
    if status == 413:
        return RequestTooLarge(sentence, param=param)
    return BadRequest(sentence, param=param)


def status_of_error(body: dict[str, Any]) -> int:
    """The HTTP status that an error inside a 200 stands for: its own number where it has one, else what its words suggest, else 502."""
    error = body.get("error")
    if isinstance(error, dict):
        for field in ("status", "code", "status_code"):
            number = error.get(field)
            if isinstance(number, str) and number.isdecimal() and len(number) == 3:
                number = int(number)
            if type(number) is int and 400 <= number <= 599:
                return number
        words = f"{error.get('type') or ''} {error.get('code') or ''}".lower()
        if not _NO_CREDIT.isdisjoint(words.split()):
            return 402
        if "rate_limit" in words:
            return 429
        if "invalid_request" in words or any(word in words for word in (*_CONTEXT_WORDS, *_POLICY_WORDS)):
            return 400
        if "authentication" in words or "invalid_api_key" in words:
            return 401
    return 502


def readable_reason(text: str, unsaid: Unsaid = ()) -> str:
    """A provider's sentence without addresses, credentials and control characters, at most 400 characters."""
    text = text[:4000]
    for one in unsaid:
        text = text.replace(one, "…")
    text = _CREDENTIAL.sub("…", _ADDRESS.sub("…", _URL.sub("…", _CONTROL.sub(" ", text)))).strip()
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"


def innermost_words(raw: Any) -> str:
    """What an error says that is JSON of somebody else's, more often than not inside a text; "" if nothing."""
    for _ in range(_DEPTH):
        if isinstance(raw, dict):
            raw = raw.get("error") or raw.get("message") or raw.get("detail")
        elif isinstance(raw, str):
            try:
                inner = orjson.loads(raw)
            except orjson.JSONDecodeError:
                return raw
            if not isinstance(inner, dict):
                return raw
            raw = inner
    return ""


def retry_after_seconds(value: str | None, clock: Clock) -> float | None:
    """A `Retry-After` header (seconds or an HTTP date) as seconds from now, at most an hour; None if there is none or it is no time."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - clock.now()).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    if seconds != seconds or seconds < 0:
        return None
    return min(seconds, MAX_RETRY_AFTER_SECONDS)
