"""A call that was let in: what it holds until it is settled, and the headers that tell the caller how much room is left."""

from collections.abc import Callable

from backend.kernel.errors import ParallelLimitExceeded, QuotaExceeded, RateLimited
from backend.kernel.header_lines import Header, Lines, lines_of, pairs_of
from backend.limits.schemas import Scope, Unit
from backend.limits.window import COUNTED

DEGRADED_HEADER: Header = (b"x-bourse-limits", b"degraded")
_DEGRADED_LINES = lines_of((DEGRADED_HEADER,))


class Admission:
    """Settle it exactly once, whatever becomes of the call; settling again does nothing.

    `soft_quota` names the first used-up soft quota, such as `user requests_per_day`, or is None. Remaining numbers are those of the
    tightest scope after this call; -1 where nothing limits.
    """

    __slots__ = (
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
    def lines(self) -> Lines:
        """`x-ratelimit-*` of the tightest scope, as it was when the call was let in; `x-bourse-limits: degraded` where that is so."""
        block, count = b"", 0
        if self.requests_limit:
            block, count = rate_lines(b"requests", self.requests_limit, self.remaining_requests, COUNTED)
        if self.tokens_limit:
            more, added = rate_lines(b"tokens", self.tokens_limit, self.remaining_tokens, COUNTED)
            block, count = block + more, count + added
        if self.degraded:
            more, added = _DEGRADED_LINES
            block, count = block + more, count + added
        return block, count

    @property
    def headers(self) -> list[Header]:
        """As `lines`, one by one."""
        return pairs_of(self.lines)


def rate_lines(what: bytes, limit: int, remaining: int, reset: int) -> Lines:
    """Three headers; `reset` is the seconds until all of the limit is free again if nothing else comes."""
    return b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %ds\r\n" % (
        what,
        limit,
        what,
        remaining if remaining > 0 else 0,
        what,
        reset,
    ), 3


def rate_headers(what: bytes, limit: int, remaining: int, reset: int) -> list[Header]:
    """As `rate_lines`, one by one."""
    return pairs_of(rate_lines(what, limit, remaining, reset))


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
