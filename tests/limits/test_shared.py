"""Limits counted in a real Redis, against the limits counted in memory: the same clock, the same calls, the same verdicts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
import redis
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.kernel.clock import FixedClock
from backend.kernel.errors import ParallelLimitExceeded, QuotaExceeded, RateLimited
from backend.limits import shared
from backend.limits.admission import Admission
from backend.limits.memory import MemoryLimiter
from backend.limits.schemas import Scope
from backend.limits.shared import SharedLimiter
from tests.conftest import START
from tests.limits.conftest import PATIENT, a_scope

OpenLimiter = Callable[..., Awaitable[SharedLimiter]]


@pytest.fixture
async def open_limiter(redis_url: str, clock: FixedClock) -> AsyncIterator[OpenLimiter]:
    """Starts limiters that stand for one replica each."""
    opened: list[SharedLimiter] = []

    async def open_one(**options: float) -> SharedLimiter:
        one = SharedLimiter(redis_url, MemoryLimiter(clock), lambda _: None, answer_seconds=PATIENT, **options)
        await one.start()
        assert one.is_up
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        await one.stop()


@pytest.fixture
async def limiter(open_limiter: OpenLimiter) -> SharedLimiter:
    return await open_limiter()


async def admitted(limiter: SharedLimiter, scopes: tuple[Scope, ...], tokens: int, calls: int) -> list[Admission]:
    answers = await asyncio.gather(*[limiter.admit(scopes, tokens) for _ in range(calls)], return_exceptions=True)
    assert all(isinstance(answer, Admission | RateLimited) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Admission)]


@pytest.mark.case("L1")
async def test_replicas_together_let_in_exactly_the_limit(open_limiter: OpenLimiter) -> None:
    replicas = [await open_limiter() for _ in range(3)]
    scopes = (a_scope("tenant", "t", requests_per_minute=80), a_scope(requests_per_minute=60))
    answers = await asyncio.gather(*[admitted(one, scopes, 10, 100) for one in replicas])
    assert sum(len(answer) for answer in answers) == 60


async def test_one_trip_of_all_or_nothing(limiter: SharedLimiter) -> None:
    tenant, key = a_scope("tenant", "t", requests_per_minute=10), a_scope(requests_per_minute=3)
    assert len(await admitted(limiter, (tenant, key), 1, 50)) == 3
    assert (await limiter.admit((tenant,), 1)).remaining_requests == 6


@pytest.mark.case("L3")
async def test_what_was_not_used_comes_back_to_every_replica(open_limiter: OpenLimiter) -> None:
    here, there = await open_limiter(), await open_limiter()
    one = a_scope(tokens_per_minute=10_000)
    first = await here.admit((one,), 9_000)
    with pytest.raises(RateLimited):
        await there.admit((one,), 2_000)
    first.settle(100)
    await here.admit((one,), 100)  # behind the settlement on the same connection
    assert (await there.admit((one,), 2_000)).remaining_tokens == 10_000 - 100 - 100 - 2_000


@pytest.mark.case("L3")
async def test_an_answer_longer_than_its_reservation_is_counted(limiter: SharedLimiter) -> None:
    one = a_scope(tokens_per_minute=1_000)
    (await limiter.admit((one,), 0)).settle(1_500)
    with pytest.raises(RateLimited) as refused:
        await limiter.admit((one,), 1)
    assert refused.value.headers["x-ratelimit-remaining-tokens"] == "0"


@pytest.mark.case("L4")
async def test_slots_are_shared_and_come_back_when_calls_end(open_limiter: OpenLimiter) -> None:
    replicas = [await open_limiter() for _ in range(3)]
    one = a_scope(parallel=10)
    answers = await asyncio.gather(*[admitted(limiter, (one,), 1, 100) for limiter in replicas])
    running = [admission for answer in answers for admission in answer]
    assert len(running) == 10
    with pytest.raises(ParallelLimitExceeded) as refused:
        await replicas[0].admit((one,), 1)
    assert refused.value.retry_after == 1
    for admission in running:
        admission.settle(1)
    for limiter in replicas:
        await limiter.admit((a_scope("key", "other", parallel=1),), 1) if limiter is replicas[0] else None
    assert len(await admitted(replicas[0], (one,), 1, 100)) >= 1


@pytest.mark.case("L4")
async def test_a_running_call_keeps_its_slot_beyond_the_lease(open_limiter: OpenLimiter, redis_url: str) -> None:
    here, there = await open_limiter(lease_seconds=1.5), await open_limiter(lease_seconds=1.5)
    one = a_scope(parallel=1)
    call = await here.admit((one,), 1)
    with redis.Redis.from_url(redis_url) as client:
        slots = "bourse:limits:{t}:key:k:slots"
        first = client.zscore(slots, client.zrange(slots, 0, -1)[0])
        assert first is not None
        while client.zscore(slots, client.zrange(slots, 0, -1)[0]) < first + 1600:
            await asyncio.sleep(0.02)
    with pytest.raises(ParallelLimitExceeded):
        await there.admit((one,), 1)
    call.settle(1)
    await here.admit((a_scope("key", "z", parallel=1),), 1)
    await there.admit((one,), 1)


async def test_a_script_that_redis_forgot_is_sent_again(limiter: SharedLimiter, redis_url: str) -> None:
    one = a_scope(requests_per_minute=10, requests_per_day=100)
    await limiter.admit((one,), 1)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    assert len(await admitted(limiter, (one,), 1, 20)) == 9
    (await limiter.admit((a_scope("key", "x", parallel=1),), 1)).settle(0)
    await limiter.admit((a_scope("key", "x", parallel=1),), 1)


async def test_every_key_of_a_call_has_the_tenants_hash_tag_and_an_end(limiter: SharedLimiter, redis_url: str) -> None:
    limits = {"requests_per_minute": 5, "tokens_per_minute": 5, "parallel": 5, "requests_per_day": 5}
    await limiter.admit((a_scope("tenant", "t", **limits), a_scope("user", "u", **limits), a_scope(**limits)), 1)
    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys()
        assert len(keys) == 9
        assert all(b"{t}" in key for key in keys)
        assert all(client.ttl(key) > 0 for key in keys)


async def test_a_caller_who_left_while_waiting_holds_no_slot(limiter: SharedLimiter) -> None:
    one = a_scope(parallel=1)
    waiting = asyncio.create_task(limiter.admit((one,), 1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await limiter.admit((one,), 1)


# With a clock that a test moves ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def timed(redis_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SharedLimiter, "RedisTime"]]:
    """A limiter whose scripts take the time from a key instead of from Redis' own clock."""
    real = shared._script

    def with_time_from_a_key(name: str) -> shared.Script:
        source = real(name).source.decode()
        assert "redis.call('TIME')" in source
        return shared.Script(source.replace("redis.call('TIME')", "({redis.call('GET', 'clock:s'), redis.call('GET', 'clock:us')})"))

    monkeypatch.setattr(shared, "_script", with_time_from_a_key)
    # Renewals follow the real clock, so no pause of the other one may outlast a lease.
    limiter = SharedLimiter(redis_url, MemoryLimiter(clock), lambda _: None, lease_seconds=10_000_000, answer_seconds=PATIENT)
    time = RedisTime(redis_url, clock)
    time.tell()
    await limiter.start()
    yield limiter, time
    await limiter.stop()
    time.client.close()


class RedisTime:
    """Tells Redis what `clock` says."""

    def __init__(self, url: str, clock: FixedClock) -> None:
        self.client = redis.Redis.from_url(url)
        self.clock = clock

    def forget_everything(self) -> None:
        self.client.flushdb()
        self.tell()

    def tell(self, step: float = 0.0) -> None:
        micros = round((self.clock.now().timestamp() + step) * 1_000_000)
        self.client.mset({"clock:s": micros // 1_000_000, "clock:us": micros % 1_000_000})

    def advance(self, seconds: float) -> None:
        self.clock.advance(timedelta(milliseconds=round(seconds * 1000)))
        self.tell()


PAUSES = st.one_of(st.floats(0, 3), st.sampled_from([0.5, 1.0, 59.0, 60.0, 60.999, 61.0, 7200.0, 30000.0]))
STEP = st.one_of(
    st.tuples(st.just("call"), st.booleans(), st.integers(0, 150)),
    st.tuples(st.just("settle"), st.integers(0, 20), st.integers(0, 150)),
    st.tuples(st.just("wait"), st.just(0), PAUSES),
)


@pytest.mark.case("L1")
@pytest.mark.case("L3")
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEP, min_size=10, max_size=60))
@example(steps=[("wait", 0, 59.9), ("call", True, 1), ("wait", 0, 59.9), *[("wait", 0, 0.1)] * 2, ("call", True, 1)])
@example(steps=[*[("call", False, 0)] * 7, ("wait", 0, 7200.0), ("call", False, 0), ("call", False, 0)])
async def test_redis_decides_as_memory_does(timed: tuple[SharedLimiter, RedisTime], steps: list[tuple[str, int, float]]) -> None:
    limiter, time = timed
    time.clock.__init__(START)  # type: ignore[misc]
    time.forget_everything()
    limiter._memory = MemoryLimiter(time.clock)
    memory = MemoryLimiter(time.clock)
    tenant = a_scope("tenant", "t", requests_per_minute=9, tokens_per_minute=200, parallel=6, requests_per_day=40, zone="Asia/Kolkata")
    key = a_scope(requests_per_minute=6, tokens_per_minute=100, parallel=3, tokens_per_day=500, quota="soft")
    other = a_scope("key", "other", requests_per_minute=5)
    running: list[tuple[Admission, Admission]] = []
    for what, first, second in steps:
        if what == "wait":
            time.advance(second)
        elif what == "settle" and running:
            here, there = running.pop(first % len(running))
            here.settle(int(second))
            there.settle(int(second))
        elif what == "call":
            scopes = (tenant, key) if first else (tenant, other)
            expected, answer = await outcome(memory, scopes, int(second)), await outcome(limiter, scopes, int(second))
            if isinstance(expected, Admission):
                assert isinstance(answer, Admission), answer
                assert answer.headers == expected.headers
                assert answer.soft_quota == expected.soft_quota
                running.append((expected, answer))
            else:
                assert isinstance(answer, type(expected))
                assert (answer.retry_after, answer.details) == (expected.retry_after, expected.details)
                assert answer.headers == expected.headers


async def outcome(limiter: MemoryLimiter | SharedLimiter, scopes: tuple[Scope, ...], tokens: int) -> Admission | RateLimited:
    try:
        answer = limiter.admit(scopes, tokens)
        return answer if isinstance(answer, Admission) else await answer
    except RateLimited as error:
        return error


@pytest.mark.case("L2")
async def test_a_boundary_gives_nothing_twice(timed: tuple[SharedLimiter, RedisTime]) -> None:
    limiter, time = timed
    one = a_scope(requests_per_minute=60)
    time.advance(59.9)
    assert len(await admitted(limiter, (one,), 1, 60)) == 60
    time.advance(0.2)
    assert len(await admitted(limiter, (one,), 1, 60)) == 0


@pytest.mark.case("D8")
async def test_a_clock_of_redis_that_steps_back_neither_frees_nor_freezes(timed: tuple[SharedLimiter, RedisTime]) -> None:
    limiter, time = timed
    one = a_scope(requests_per_minute=10)
    assert len(await admitted(limiter, (one,), 1, 10)) == 10
    for seconds in (0, 20, 40):
        time.tell(step=-3600 + seconds)
        assert len(await admitted(limiter, (one,), 1, 1)) == 0
    time.tell(step=-3600 + 61)
    assert len(await admitted(limiter, (one,), 1, 20)) == 10


async def test_the_day_of_a_quota_is_that_of_redis(timed: tuple[SharedLimiter, RedisTime]) -> None:
    """A replica whose clock is 90 s behind or ahead at midnight counts in the same day as the others."""
    limiter, time = timed
    one = a_scope(requests_per_day=3)
    time.advance(12 * 3600 - 60)  # 23:59 for everybody
    assert len(await admitted(limiter, (one,), 1, 2)) == 2
    time.tell(step=90)  # Redis is past midnight, this process is not
    assert len(await admitted(limiter, (one,), 1, 10)) == 3
    time.advance(120)
    assert len(await admitted(limiter, (one,), 1, 10)) == 0


async def test_a_hard_quota_in_redis_ends_at_local_midnight(timed: tuple[SharedLimiter, RedisTime]) -> None:
    limiter, time = timed
    one = a_scope(requests_per_day=1, zone="Asia/Kolkata")
    await limiter.admit((one,), 1)
    with pytest.raises(QuotaExceeded) as refused:
        await limiter.admit((one,), 1)
    assert refused.value.retry_after == 6.5 * 3600
    time.advance(6.5 * 3600)
    await limiter.admit((one,), 1)


async def test_a_flushed_redis_does_not_give_the_day_twice(timed: tuple[SharedLimiter, RedisTime]) -> None:
    limiter, time = timed
    one = a_scope(requests_per_day=3)
    assert len(await admitted(limiter, (one,), 1, 2)) == 2
    time.forget_everything()
    assert len(await admitted(limiter, (one,), 1, 10)) == 1
