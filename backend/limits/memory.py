"""Limits counted in this process: exact where it is the only one, a share of the limit where there are more and nothing shared counts.

Admitting is synchronous, so between the look at all scopes and the taking nobody else can come: all or nothing.
"""

from collections.abc import Sequence
from math import ceil

from backend.kernel.clock import Clock
from backend.kernel.days import local_day
from backend.kernel.errors import RateLimited
from backend.kernel.header_lines import Header
from backend.limits.admission import Admission, rate_headers, refusal
from backend.limits.schemas import Scope, Unit
from backend.limits.window import GONE, REQUESTS, SECOND, SECONDS, TOKENS, Bucket, Window

PARALLEL_RETRY_SECONDS = 1
"""When a running call ends is not known; a second is the least that a whole number can say."""

_EMPTY = Window()


class Hold:
    """What one call holds in the windows of its scopes."""

    __slots__ = ("_taken",)

    def __init__(self, taken: list[tuple[Window, Bucket, int, int, int]]) -> None:
        self._taken = taken

    def settle(self, tokens: int) -> None:
        """Correct the reserved tokens to the real ones in the second of the reservation, and free the parallel slot. Call it once."""
        for window, bucket, reserved, day, day_reserved in self._taken:
            window.running -= 1
            if reserved != tokens and bucket[SECOND] != GONE:
                bucket[TOKENS] += tokens - reserved
                window.tokens += tokens - reserved
            if day and window.day == day:
                window.day_tokens += tokens - day_reserved

    def undo(self) -> None:
        """As if the call had never come. Instead of `settle`."""
        self.settle(0)
        for window, bucket, _, day, _ in self._taken:
            if bucket[SECOND] != GONE:
                bucket[REQUESTS] -= 1
                window.requests -= 1
            if day and window.day == day:
                window.day_requests -= 1


class MemoryLimiter:
    """Windows by scope name, kept while anything in them counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._windows: dict[str, Window] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def __contains__(self, name: str) -> bool:
        return name in self._windows

    def admit(self, scopes: Sequence[Scope], tokens: int, *, degraded: bool = False) -> Admission:
        """Let a call in that may use up to `tokens`, or refuse it and take nothing.

        More tokens than a limit as such allows are counted as that limit: such a call is let in when nothing else is counted.

        Raises:
            RateLimited, ParallelLimitExceeded, QuotaExceeded: the limit that keeps it out longest, with `retry_after`.
        """
        now = self._monotonic()
        room = self._room(scopes, tokens, now, degraded)
        return Admission(self._take(scopes, tokens, int(now)).settle, *room, degraded)

    def hold(self, scopes: Sequence[Scope], tokens: int) -> Hold:
        """As `admit` when degraded, for a call that somebody else decides about as well: to be settled or undone."""
        now = self._monotonic()
        self._room(scopes, tokens, now, True)
        return self._take(scopes, tokens, int(now))

    def _room(self, scopes: Sequence[Scope], tokens: int, now: float, degraded: bool) -> tuple[int, int, int, int, str | None]:
        """The tightest limits and what is left of them after this call: requests, left, tokens, left; and a used-up soft quota."""
        floor = int(now) - SECONDS
        windows = self._windows
        requests_limit = tokens_limit = 0
        least_requests = least_tokens = 2**62
        soft = None
        for scope in scopes:
            window = windows.get(scope.name)
            if window is None:
                window = windows[scope.name] = Window()
            elif window.oldest < floor:
                window.forget_before(floor)
            limit = scope.requests
            if limit:
                room = limit - window.requests - 1
                if room < 0:
                    raise self._refusal(scopes, tokens, now, degraded)
                if room < least_requests:
                    requests_limit, least_requests = limit, room
            limit = scope.tokens
            if limit:
                room = limit - window.tokens - (tokens if tokens < limit else limit)
                if room < 0:
                    raise self._refusal(scopes, tokens, now, degraded)
                if room < least_tokens:
                    tokens_limit, least_tokens = limit, room
            if scope.parallel and window.running >= scope.parallel:
                raise self._refusal(scopes, tokens, now, degraded)
            if scope.has_quota:
                used_up = self._used_up(scope, window, tokens)
                if used_up is not None:
                    if scope.hard:
                        raise self._refusal(scopes, tokens, now, degraded)
                    soft = soft or f"{scope.kind} {used_up.value}"
        return requests_limit, least_requests, tokens_limit, least_tokens, soft

    def take(self, scopes: Sequence[Scope], tokens: int) -> Hold:
        """Count a call that was let in elsewhere, whatever the limits say."""
        return self._take(scopes, tokens, int(self._monotonic()))

    def _take(self, scopes: Sequence[Scope], tokens: int, second: int) -> Hold:
        taken = []
        windows = self._windows
        for scope in scopes:
            window = windows.get(scope.name)
            if window is None:
                window = windows[scope.name] = Window()
            elif window.oldest < second - SECONDS:
                window.forget_before(second - SECONDS)
            buckets = window.buckets
            bucket = buckets[-1] if buckets and buckets[-1][SECOND] >= second else window.bucket(second)
            reserved = tokens if not scope.tokens or tokens < scope.tokens else scope.tokens
            bucket[REQUESTS] += 1
            bucket[TOKENS] += reserved
            window.requests += 1
            window.tokens += reserved
            window.running += 1
            day = day_reserved = 0
            if scope.has_quota:
                day = self._today(scope, window)
                day_reserved = tokens if not scope.day_tokens or tokens < scope.day_tokens else scope.day_tokens
                window.day_requests += 1
                window.day_tokens += day_reserved
            taken.append((window, bucket, reserved, day, day_reserved))
        return Hold(taken)

    # Daily quotas ------------------------------------------------------------------------------------------------------------------

    def learn_day(self, scope: Scope, day: int, requests: int, tokens: int) -> None:
        """What the ledger knows of a scope's day: no less than that is counted."""
        window = self._windows.setdefault(scope.name, Window())
        if self._today(scope, window) == day:
            window.known_requests = max(window.known_requests, requests - window.day_requests)
            window.known_tokens = max(window.known_tokens, tokens - window.day_tokens)

    def day_of(self, scope: Scope) -> tuple[int, int, int]:
        """The day of a scope with a quota, and the requests and tokens that are known to count in it."""
        window = self._windows.setdefault(scope.name, Window())
        self._today(scope, window)
        return window.day, window.known_requests + window.day_requests, window.known_tokens + window.day_tokens

    def _today(self, scope: Scope, window: Window) -> int:
        number = local_day(scope.zone, self._clock.now().timestamp()).number
        # A clock that is set back a little around midnight must not give the day twice.
        if window.day < number:
            window.begin_day(number)
        return window.day

    def _used_up(self, scope: Scope, window: Window, tokens: int) -> Unit | None:
        """The daily quota that has no room. Of each replica that counts apart it is assumed that it let in as much as this one."""
        self._today(scope, window)
        if scope.day_requests and window.known_requests + window.day_requests * scope.replicas >= scope.day_requests:
            return Unit.DAY_REQUESTS
        if scope.day_tokens:
            room = scope.day_tokens - min(tokens, scope.day_tokens)
            if window.known_tokens + window.day_tokens * scope.replicas > room:
                return Unit.DAY_TOKENS
        return None

    # Refusing ----------------------------------------------------------------------------------------------------------------------

    def _refusal(self, scopes: Sequence[Scope], tokens: int, now: float, degraded: bool) -> RateLimited:
        """The limit that keeps this call out longest; the caller learns how long."""
        worst: tuple[int, Scope, Unit, int] | None = None
        for scope in scopes:
            window = self._windows.get(scope.name)
            if window is None:
                continue
            window.forget_before(int(now) - SECONDS)
            for wait, unit, limit in self._waits(scope, window, tokens, now):
                if worst is None or wait > worst[0]:
                    worst = (wait, scope, unit, limit)
        assert worst is not None, "refused without a reason"
        wait, scope, unit, limit = worst
        return refusal(scope, unit, limit, wait, self._headers(scopes, now), degraded=degraded)

    def _waits(self, scope: Scope, window: Window, tokens: int, now: float) -> list[tuple[int, Unit, int]]:
        waits = []
        if scope.requests and window.requests >= scope.requests:
            waits.append((window.wait_for(REQUESTS, scope.requests - 1, now), Unit.REQUESTS, scope.requests))
        if scope.tokens:
            room = scope.tokens - min(tokens, scope.tokens)
            if window.tokens > room:
                waits.append((window.wait_for(TOKENS, room, now), Unit.TOKENS, scope.tokens))
        if scope.parallel and window.running >= scope.parallel:
            waits.append((PARALLEL_RETRY_SECONDS, Unit.PARALLEL, scope.parallel))
        used_up = self._used_up(scope, window, tokens) if scope.has_quota and scope.hard else None
        if used_up is not None:
            at = self._clock.now().timestamp()
            limit = scope.day_requests if used_up is Unit.DAY_REQUESTS else scope.day_tokens
            waits.append((max(1, ceil(local_day(scope.zone, at).end - at)), used_up, limit))
        return waits

    def _headers(self, scopes: Sequence[Scope], now: float) -> list[Header]:
        headers: list[Header] = []
        for what, of_requests in ((b"requests", True), (b"tokens", False)):
            rooms = []
            for scope in scopes:
                limit = scope.requests if of_requests else scope.tokens
                window = self._windows.get(scope.name, _EMPTY)
                used = window.requests if of_requests else window.tokens
                if limit:
                    rooms.append((limit - used, limit, window.reset(now) if used else 0))
            if rooms:
                room, limit, reset = min(rooms)
                headers += rate_headers(what, limit, room, reset)
        return headers

    def forget_idle(self) -> None:
        """Drop the windows in which nothing counts any more, so that memory follows who is active and not who ever was."""
        floor = int(self._monotonic()) - SECONDS
        yesterday = local_day("Etc/GMT+12", self._clock.now().timestamp()).number
        for name, window in list(self._windows.items()):
            window.forget_before(floor)
            # Etc/GMT+12 is the last zone in which a day ends.
            if window.is_idle and window.day < yesterday:
                del self._windows[name]
