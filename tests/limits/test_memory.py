"""Limits in one process, against a model that remembers every call and counts by hand."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backend.kernel.clock import FixedClock
from backend.kernel.errors import ParallelLimitExceeded, QuotaExceeded, RateLimited
from backend.limits.admission import Admission
from backend.limits.memory import MemoryLimiter
from backend.limits.schemas import Limits, Scope


def scope(kind: str = "key", scope_id: str = "k", zone: str = "UTC", **limits: object) -> Scope:
    return Scope(kind, "t", scope_id, Limits(**limits), zone)  # type: ignore[arg-type]


class Model(RuleBasedStateMachine):
    """Three scopes, one inside the other. The model keeps every admitted call with its exact time and its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FixedClock(datetime(2026, 7, 15, 12, 0, tzinfo=UTC))
        self.limiter = MemoryLimiter(self.clock)
        self.scopes = (
            scope("tenant", "t", requests_per_minute=9, tokens_per_minute=200, parallel=6),
            scope("user", "u", requests_per_minute=0, tokens_per_minute=120, parallel=5),
            scope("key", "k", requests_per_minute=6, tokens_per_minute=100, parallel=3),
        )
        self.other = (self.scopes[0], scope("key", "other", requests_per_minute=5, tokens_per_minute=0, parallel=0))
        # (time, names of scopes, tokens counted for each)
        self.calls: list[tuple[float, dict[str, int]]] = []
        self.running: deque[tuple[Admission, int]] = deque()

    def conservative(self, name: str) -> tuple[int, int]:
        """Requests and tokens of the present second and the 60 before it."""
        floor = int(self.clock.monotonic()) - 60
        counted = [used[name] for at, used in self.calls if int(at) >= floor and name in used]
        return len(counted), sum(counted)

    def has_room(self, scopes: tuple[Scope, ...], tokens: int) -> bool:
        for one in scopes:
            requests, used = self.conservative(one.name)
            running = sum(1 for _, index in self.running if one.name in self.calls[index][1])
            if one.requests and requests + 1 > one.requests:
                return False
            if one.tokens and used + min(tokens, one.tokens) > one.tokens:
                return False
            if one.parallel and running + 1 > one.parallel:
                return False
        return True

    @rule(tokens=st.integers(0, 150), other=st.booleans())
    def call(self, tokens: int, other: bool) -> None:
        scopes = self.other if other else self.scopes
        expected = self.has_room(scopes, tokens)
        try:
            admission = self.limiter.admit(scopes, tokens)
        except RateLimited:
            assert not expected, "refused although the conservative window has room"
            return
        assert expected, "let in although a limit is reached"
        self.calls.append((self.clock.monotonic(), {one.name: min(tokens, one.tokens) if one.tokens else tokens for one in scopes}))
        self.running.append((admission, len(self.calls) - 1))

    @precondition(lambda self: self.running)
    @rule(share=st.floats(0, 1), oldest=st.booleans())
    def settle(self, share: float, oldest: bool) -> None:
        admission, index = self.running.popleft() if oldest else self.running.pop()
        _, used = self.calls[index]
        real = int(share * min(used.values()))
        admission.settle(real)
        admission.settle(10**6)
        for name in used:
            used[name] = real

    @rule(seconds=st.one_of(st.floats(0, 3), st.sampled_from([0.5, 1.0, 59.0, 59.999, 60.0, 60.001, 61.0, 200.0])))
    def wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def tidy(self) -> None:
        self.limiter.forget_idle()

    @rule(tokens=st.integers(0, 150))
    def retry_after_is_the_first_second(self, tokens: int) -> None:
        try:
            self.limiter.hold(self.scopes, tokens).undo()
        except ParallelLimitExceeded:
            return
        except RateLimited as error:
            wait = error.retry_after
            assert wait is not None
            assert 1 <= wait <= 61
            now, running = self.clock, self.running
            self.running = deque()  # a slot may be taken for longer; nobody can know
            try:
                for seconds, fits in ((wait, True), (wait - 1, False)):
                    self.clock = deepcopy(now)
                    self.clock.advance(timedelta(seconds=seconds))
                    assert self.has_room(self.scopes, tokens) is fits
            finally:
                self.clock, self.running = now, running

    @invariant()
    def no_sliding_minute_holds_more_than_the_limit(self) -> None:
        for one in {each.name: each for each in (*self.scopes, *self.other)}.values():
            at = [(time, used[one.name]) for time, used in self.calls if one.name in used]
            for end, _ in at[-12:]:
                inside = [tokens for time, tokens in at if end - 60 < time <= end]
                assert not one.requests or len(inside) <= one.requests
                assert not one.tokens or sum(inside) <= one.tokens


SLOW_MACHINE = [HealthCheck.too_slow]
Model.TestCase.settings = hypothesis_settings(max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=SLOW_MACHINE)
TestLimitsAgainstTheModel = pytest.mark.case("L1")(pytest.mark.case("L3")(Model.TestCase))


@pytest.fixture
def limiter(clock: FixedClock) -> MemoryLimiter:
    return MemoryLimiter(clock)


@pytest.mark.case("L2")
def test_a_boundary_between_minutes_gives_nothing_twice(limiter: MemoryLimiter, clock: FixedClock) -> None:
    one = scope(requests_per_minute=60)
    clock.advance(timedelta(seconds=59.9))
    for _ in range(60):
        limiter.admit((one,), 1)
    clock.advance(timedelta(seconds=0.2))
    admitted = 0
    for _ in range(60):
        try:
            limiter.admit((one,), 1)
            admitted += 1
        except RateLimited:
            pass
    assert admitted == 0


def test_a_refused_call_takes_nothing_from_any_scope(limiter: MemoryLimiter) -> None:
    tenant, key = scope("tenant", "t", requests_per_minute=10), scope(parallel=1)
    limiter.admit((tenant, key), 1)
    for _ in range(50):
        with pytest.raises(ParallelLimitExceeded):
            limiter.admit((tenant, key), 1)
    assert limiter.admit((tenant,), 1).remaining_requests == 8


@pytest.mark.case("L5")
def test_headers_speak_of_the_tightest_scope(limiter: MemoryLimiter) -> None:
    tenant = scope("tenant", "t", requests_per_minute=100, tokens_per_minute=500)
    key = scope(requests_per_minute=10, tokens_per_minute=1000)
    assert limiter.admit((tenant, key), 200).headers == [
        (b"x-ratelimit-limit-requests", b"10"),
        (b"x-ratelimit-remaining-requests", b"9"),
        (b"x-ratelimit-reset-requests", b"61s"),
        (b"x-ratelimit-limit-tokens", b"500"),
        (b"x-ratelimit-remaining-tokens", b"300"),
        (b"x-ratelimit-reset-tokens", b"61s"),
    ]


@pytest.mark.case("L5")
def test_a_refusal_says_when_and_by_which_limit(limiter: MemoryLimiter, clock: FixedClock) -> None:
    one = scope(requests_per_minute=2)
    limiter.admit((one,), 1)
    clock.advance(timedelta(seconds=10))
    limiter.admit((one,), 1)
    clock.advance(timedelta(seconds=5.5))
    with pytest.raises(RateLimited) as refused:
        limiter.admit((one,), 1)
    assert refused.value.retry_after == 46  # the second of the first call, 61 later, rounded up
    assert refused.value.details == {"scope": "key", "limit": "requests_per_minute"}
    assert refused.value.headers == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "56s",
    }
    clock.advance(timedelta(seconds=45))
    with pytest.raises(RateLimited):
        limiter.admit((one,), 1)
    clock.advance(timedelta(seconds=1))
    limiter.admit((one,), 1)


@pytest.mark.case("L3")
def test_what_was_reserved_and_not_used_is_free_at_once(limiter: MemoryLimiter) -> None:
    one = scope(tokens_per_minute=10_000)
    for _ in range(50):
        limiter.admit((one,), 2_500).settle(150)
    assert limiter.admit((one,), 2_500).remaining_tokens == 0
    with pytest.raises(RateLimited):
        limiter.admit((one,), 1)


@pytest.mark.case("L3")
def test_a_call_beyond_the_whole_limit_is_let_in_alone_and_only_once(limiter: MemoryLimiter) -> None:
    one = scope(tokens_per_minute=10_000)
    call = limiter.admit((one,), 16_384)
    with pytest.raises(RateLimited):
        limiter.admit((one,), 1)
    call.settle(12_000)
    with pytest.raises(RateLimited):
        limiter.admit((one,), 1)


@pytest.mark.case("L4")
def test_parallel_calls_are_freed_by_settling_and_by_nothing_else(limiter: MemoryLimiter, clock: FixedClock) -> None:
    one = scope(parallel=10)
    running = [limiter.admit((one,), 1) for _ in range(10)]
    clock.advance(timedelta(hours=1))
    limiter.forget_idle()
    with pytest.raises(ParallelLimitExceeded) as refused:
        limiter.admit((one,), 1)
    assert refused.value.retry_after == 1
    running[3].settle(1)
    limiter.admit((one,), 1)


def test_idle_scopes_are_forgotten_and_busy_ones_are_not(limiter: MemoryLimiter, clock: FixedClock) -> None:
    running = limiter.admit((scope("key", "long", parallel=2),), 1)
    for number in range(1000):
        limiter.admit((scope("key", f"k{number}", requests_per_minute=5),), 1).settle(1)
    clock.advance(timedelta(seconds=61))
    limiter.forget_idle()
    assert len(limiter) == 1
    running.settle(1)
    limiter.forget_idle()
    assert len(limiter) == 0


# Daily quotas ----------------------------------------------------------------------------------------------------------------------


def test_a_hard_quota_refuses_until_the_tenants_midnight(limiter: MemoryLimiter, clock: FixedClock) -> None:
    one = scope(requests_per_day=2, zone="Asia/Kolkata")  # noon in UTC is 17:30 there
    limiter.admit((one,), 1)
    limiter.admit((one,), 1)
    with pytest.raises(QuotaExceeded) as refused:
        limiter.admit((one,), 1)
    assert refused.value.retry_after == 6.5 * 3600
    clock.advance(timedelta(hours=6.5, seconds=-1))
    with pytest.raises(QuotaExceeded):
        limiter.admit((one,), 1)
    clock.advance(timedelta(seconds=1))
    limiter.admit((one,), 1)


def test_a_soft_quota_marks_the_call_and_lets_it_in(limiter: MemoryLimiter) -> None:
    one = scope("user", "u", tokens_per_day=100, quota="soft")
    assert limiter.admit((one,), 60).soft_quota is None
    assert limiter.admit((one,), 60).soft_quota == "user tokens_per_day"


def test_a_day_of_tokens_counts_what_was_used_and_not_what_was_reserved(limiter: MemoryLimiter) -> None:
    one = scope(tokens_per_day=1000)
    for _ in range(10):
        limiter.admit((one,), 190).settle(90)
    with pytest.raises(QuotaExceeded):
        limiter.admit((one,), 101)
    limiter.admit((one,), 100)


def test_a_quota_outlives_tidying_and_ends_with_the_day(limiter: MemoryLimiter, clock: FixedClock) -> None:
    one = scope(requests_per_day=1)
    limiter.admit((one,), 1).settle(1)
    clock.advance(timedelta(hours=2))
    limiter.forget_idle()
    with pytest.raises(QuotaExceeded):
        limiter.admit((one,), 1)
    clock.advance(timedelta(days=3))
    limiter.forget_idle()
    assert len(limiter) == 0


def test_what_the_ledger_knows_of_the_day_counts(limiter: MemoryLimiter) -> None:
    one = scope(requests_per_day=100)
    limiter.admit((one,), 1)
    day, *_ = limiter.day_of(one)
    limiter.learn_day(one, day, 99, 0)
    limiter.learn_day(one, day - 1, 100, 0)
    limiter.admit((one,), 1)
    with pytest.raises(QuotaExceeded):
        limiter.admit((one,), 1)


@pytest.mark.parametrize("replicas", [1, 2, 3, 7])
def test_shares_together_let_in_at_most_the_replicas_shares(clock: FixedClock, replicas: int) -> None:
    limiters = [MemoryLimiter(clock) for _ in range(replicas)]
    one = scope(requests_per_minute=60, requests_per_day=1000).share(replicas)
    assert admitted_of(900, limiters, one) == -(-60 // replicas) * replicas


def admitted_of(tries: int, limiters: Sequence[MemoryLimiter], one: Scope) -> int:
    """How many calls get in, each at the next of the limiters."""
    admitted = 0
    for limiter in islice(cycle(limiters), tries):
        with suppress(RateLimited):
            limiter.admit((one,), 1)
            admitted += 1
    return admitted


def test_a_daily_quota_of_processes_that_count_apart_is_not_exceeded_beyond_a_share(clock: FixedClock) -> None:
    limiters = [MemoryLimiter(clock) for _ in range(3)]
    one = scope(requests_per_day=100).share(3)
    for limiter in limiters:
        limiter.learn_day(one, limiter.day_of(one)[0], 10, 0)
    assert admitted_of(900, limiters, one) == 90
