"""A call that was let in: what it holds until it is settled, and the headers that tell the caller how much room is left."""

from collections.abc import Callable

from backend.kernel.errors import ParallelLimitExceeded, QuotaExceeded, RateLimited
from backend.limits.schemas import Scope, Unit
from backend.limits.window import COUNTED

Header = tuple[bytes, bytes]

DEGRADED_HEADER: Header = (b"x-bourse-limits", b"degraded")


class Admission:
    """Settle it exactly once, whatever becomes of the call; settling again does nothing.

    `soft_quota` names the first used-up soft quota, such as `user requests_per_day`, or is None. Remaining numbers are those of the
    tightest scope after this call; -1 where nothing limits.
    """

    __slots__ = (
        "_headers",
        "_settle",
        "degraded",
        "remaining_requests",
        "remaining_tokens",
        "requests_limit",
        "settled",
        "soft_quota",
        "tokens_limit",
    )

    def __init__(
        self,
        settle: Callable[[int], None],
        requests_limit: int,
        remaining_requests: int,
        tokens_limit: int,
        remaining_tokens: int,
        soft_quota: str | None = None,
        degraded: bool = False,
    ) -> None:
        self._settle = settle
        self.requests_limit = requests_limit
        self.remaining_requests = remaining_requests
        self.tokens_limit = tokens_limit
        self.remaining_tokens = remaining_tokens
        self.soft_quota = soft_quota
        self.degraded = degraded
        self.settled = False
        self._headers: list[Header] | None = None

    def settle(self, tokens: int) -> None:
        """The call is over and used `tokens` (0 if no provider did anything): the difference and the parallel slot go back at once."""
        if not self.settled:
            self.settled = True
            self._settle(tokens)

    def also(self, settle: Callable[[int], None]) -> None:
        """Let somebody else know as well when the call is settled."""
        first = self._settle

        def both(tokens: int) -> None:
            first(tokens)
            settle(tokens)

        self._settle = both

    @property
    def headers(self) -> list[Header]:
        """`x-ratelimit-*` of the tightest scope, as it was when the call was let in; `x-bourse-limits: degraded` where that is so."""
        if self._headers is None:
            headers: list[Header] = []
            if self.requests_limit:
                headers += rate_headers(b"requests", self.requests_limit, self.remaining_requests, COUNTED)
            if self.tokens_limit:
                headers += rate_headers(b"tokens", self.tokens_limit, self.remaining_tokens, COUNTED)
            if self.degraded:
                headers.append(DEGRADED_HEADER)
            self._headers = headers
        return self._headers


def rate_headers(what: bytes, limit: int, remaining: int, reset: int) -> list[Header]:
    """Three headers; `reset` is the seconds until all of the limit is free again if nothing else comes."""
    return [
        (b"x-ratelimit-limit-" + what, b"%d" % limit),
        (b"x-ratelimit-remaining-" + what, b"%d" % (remaining if remaining > 0 else 0)),
        (b"x-ratelimit-reset-" + what, b"%ds" % reset),
    ]


_WORDS = {
    Unit.REQUESTS: "requests per minute",
    Unit.TOKENS: "tokens per minute",
    Unit.PARALLEL: "calls at the same time",
    Unit.DAY_REQUESTS: "requests per day",
    Unit.DAY_TOKENS: "tokens per day",
}


def refusal(scope: Scope, unit: Unit, limit: int, retry_after: int, headers: list[Header], *, degraded: bool) -> RateLimited:
    """The error for a caller whom this limit of this scope keeps out longest."""
    kind: type[RateLimited] = RateLimited
    if unit is Unit.PARALLEL:
        kind = ParallelLimitExceeded
    elif unit in (Unit.DAY_REQUESTS, Unit.DAY_TOKENS):
        kind = QuotaExceeded
    if degraded:
        headers = [*headers, DEGRADED_HEADER]
    error = kind(
        f"The limit of {limit:,} {_WORDS[unit]} of this {scope.kind.replace('_', ' ')} is reached. Try again in {retry_after} s.",
        retry_after=retry_after,
        headers={name.decode(): value.decode() for name, value in headers},
    )
    error.details = {"scope": scope.kind, "limit": unit.value}
    return error
