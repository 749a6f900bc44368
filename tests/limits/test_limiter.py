"""The door of the room: which limits a key has, what happens without Redis, when tokens are counted exactly."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from backend.identity.snapshot import KeyRecord
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import ParallelLimitExceeded, RateLimited
from backend.limits.admission import DEGRADED_HEADER, Admission
from backend.limits.book import LimitBook
from backend.limits.limiter import Limiter
from backend.limits.redis_link import SECOND_LOOK_SECONDS
from backend.limits.shared import ANSWER_SECONDS
from backend.limits.standing_link import PROBE_SECONDS
from backend.observability.metrics import Metrics
from backend.settings import RateLimit
from tests.limits.conftest import KeyFactory
from tests.rig.processes import Server, free_port
from tests.rig.redis import RedisServer

OpenLimiter = Callable[..., Awaitable[Limiter]]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def open_limiter(sqlite_database: Database, metrics: Metrics) -> AsyncIterator[OpenLimiter]:
    opened: list[Limiter] = []

    async def open_one(redis_url: str | None = None, replicas: int = 1, **default: int) -> Limiter:
        book = LimitBook(sqlite_database, RateLimit(**default))
        await book.load()
        limiter = Limiter(
            book, sqlite_database, SystemClock(), metrics, redis_url=redis_url, known_replicas=lambda: replicas, answer_seconds=2
        )
        await limiter.start()
        opened.append(limiter)
        return limiter

    yield open_one
    for limiter in opened:
        await limiter.stop()


async def admitted(limiter: Limiter, key: KeyRecord, calls: int, tokens: int = 1) -> list[Admission]:
    answers = await asyncio.gather(*[limiter.admit(key, tokens) for _ in range(calls)], return_exceptions=True)
    assert all(isinstance(answer, Admission | RateLimited) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Admission)]


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


# Alone -----------------------------------------------------------------------------------------------------------------------------


async def test_defaults_bind_keys_and_a_keys_own_limits_override_them(open_limiter: OpenLimiter, a_key: KeyFactory) -> None:
    limiter = await open_limiter(requests_per_minute=3)
    assert len(await admitted(limiter, a_key("a"), 10)) == 3
    assert len(await admitted(limiter, a_key("b", requests_per_minute=5), 10)) == 5
    assert len(await admitted(limiter, a_key("c", requests_per_minute=0), 60)) == 60


async def test_without_any_limit_nothing_is_counted_or_said(open_limiter: OpenLimiter, a_key: KeyFactory) -> None:
    limiter = await open_limiter(requests_per_minute=0, tokens_per_minute=0, parallel=0)
    admission = await limiter.admit(a_key(), 10**9)
    assert admission.headers == []
    admission.settle(5)


@pytest.mark.case("L4")
async def test_ten_of_a_hundred_run_at_once(open_limiter: OpenLimiter, a_key: KeyFactory) -> None:
    limiter = await open_limiter(parallel=10)
    running = most = done = 0

    async def client() -> None:
        nonlocal running, most, done
        while True:
            try:
                admission = await limiter.admit(a_key("busy"), 1)
            except ParallelLimitExceeded:
                await asyncio.sleep(0)
                continue
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            admission.settle(1)
            done += 1
            return

    await asyncio.gather(*[client() for _ in range(100)])
    assert (most, done) == (10, 100)


async def test_a_bound_that_is_too_high_is_counted_exactly_before_a_refusal(open_limiter: OpenLimiter, a_key: KeyFactory) -> None:
    limiter = await open_limiter(tokens_per_minute=1000)
    key, asked = a_key(), 0

    async def exact() -> int:
        nonlocal asked
        asked += 1
        return 250

    (await limiter.admit(key, 400, exact)).settle(400)
    assert asked == 0
    assert (await limiter.admit(key, 900, exact)).remaining_tokens == 350
    assert asked == 1
    with pytest.raises(RateLimited):
        await limiter.admit(key, 200 + 250 + 1, lambda: asyncio.sleep(0, 451))
    with pytest.raises(RateLimited):
        await limiter.admit(key, 10**6)


async def test_refusals_are_counted_by_scope_and_limit(open_limiter: OpenLimiter, a_key: KeyFactory, metrics: Metrics) -> None:
    limiter = await open_limiter(requests_per_minute=1)
    await admitted(limiter, a_key(), 4)
    assert value(metrics, "bourse_limit_refusals_total", scope="key", limit="requests_per_minute") == 3


@pytest.mark.case("L1")
async def test_replicas_without_redis_have_shares_and_say_so(open_limiter: OpenLimiter, a_key: KeyFactory) -> None:
    replicas = [await open_limiter(requests_per_minute=60, replicas=3) for _ in range(3)]
    answers = [await admitted(one, a_key(), 100) for one in replicas]
    assert [len(answer) for answer in answers] == [20, 20, 20]
    assert all(DEGRADED_HEADER in admission.headers for answer in answers for admission in answer)
    with pytest.raises(RateLimited) as refused:
        await replicas[0].admit(a_key(), 1)
    assert refused.value.headers["x-bourse-limits"] == "degraded"


# With Redis that fails -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that a test may harm."""
    server = RedisServer()
    yield server
    server.server.process.send_signal(signal.SIGCONT)
    server.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def falls_back_and_recovers(
    limiter: Limiter, key: KeyRecord, metrics: Metrics, harm: Callable[[], None], heal: Callable[[], None]
) -> None:
    shared = limiter._shared
    assert shared is not None
    assert DEGRADED_HEADER not in (await limiter.admit(key, 1)).headers
    harm()
    during = await admitted(limiter, key, 20)
    assert len(during) == 19  # the replica alone has the whole limit, and remembers what it let in with Redis
    assert all(DEGRADED_HEADER in admission.headers for admission in during)
    assert not shared.is_up, "the first failure opens the breaker"
    assert value(metrics, "bourse_limits_degraded") == 1
    asked = shared._count
    for _ in range(1000):
        with pytest.raises(RateLimited):
            await limiter.admit(key, 1)
    assert shared._count == asked, "while it is open nobody asks Redis"
    heal()
    await until(lambda: shared.is_up)
    assert value(metrics, "bourse_limits_degraded") == 0
    assert len(await admitted(limiter, key, 20)) == 0, "what was let in without Redis still counts"


@pytest.mark.case("D4")
async def test_redis_killed(own_redis: RedisServer, open_limiter: OpenLimiter, a_key: KeyFactory, metrics: Metrics) -> None:
    limiter = await open_limiter(own_redis.url, requests_per_minute=20)

    def start_again() -> None:
        own_redis.server = Server(own_redis.server.command, log=own_redis.server.log)

    await falls_back_and_recovers(limiter, a_key(), metrics, own_redis.server.kill, start_again)


@pytest.mark.case("D4")
async def test_redis_frozen(own_redis: RedisServer, open_limiter: OpenLimiter, a_key: KeyFactory, metrics: Metrics) -> None:
    limiter = await open_limiter(own_redis.url, requests_per_minute=20)
    process = own_redis.server.process
    await falls_back_and_recovers(
        limiter, a_key(), metrics, lambda: process.send_signal(signal.SIGSTOP), lambda: process.send_signal(signal.SIGCONT)
    )


@pytest.mark.case("D4")
async def test_redis_slow(own_redis: RedisServer, open_limiter: OpenLimiter, a_key: KeyFactory, metrics: Metrics) -> None:
    proxy = SlowProxy(own_redis.port)
    url = await proxy.start()
    limiter = await open_limiter(url, requests_per_minute=20)
    await falls_back_and_recovers(limiter, a_key(), metrics, lambda: proxy.delay_by(20.0), lambda: proxy.delay_by(0.0))
    await proxy.stop()


class SlowProxy:
    """Passes bytes on to a port, each portion after a delay."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._delay = 0.0
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        port = free_port()
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", port)
        return f"redis://127.0.0.1:{port}/0"

    def delay_by(self, seconds: float) -> None:
        self._delay = seconds

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        for source, target in ((reader, back), (there, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await asyncio.sleep(self._delay)
                target.write(data)
        except OSError:
            pass
        finally:
            target.close()

    async def stop(self) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


def test_the_waits_keep_what_is_promised() -> None:
    assert ANSWER_SECONDS + SECOND_LOOK_SECONDS <= 0.1
    assert max(PROBE_SECONDS) <= 30


@pytest.mark.case("D4")
async def test_redis_that_was_never_there_is_found_when_it_comes(open_limiter: OpenLimiter, a_key: KeyFactory, metrics: Metrics) -> None:
    server = RedisServer()
    server.server.kill()
    limiter = await open_limiter(server.url, requests_per_minute=20)
    assert len(await admitted(limiter, a_key(), 5)) == 5
    server.server = Server(server.server.command, log=server.server.log)
    shared = limiter._shared
    assert shared is not None
    await until(lambda: shared.is_up)
    assert len(await admitted(limiter, a_key(), 30)) == 15
    server.close()


@pytest.mark.case("L4")
async def test_calls_that_began_without_redis_hold_their_slots_when_it_is_back(
    own_redis: RedisServer, open_limiter: OpenLimiter, a_key: KeyFactory
) -> None:
    here, there = [await open_limiter(own_redis.url, parallel=4, replicas=2) for _ in range(2)]
    own_redis.server.kill()
    running = [*await admitted(here, a_key(), 10), *await admitted(there, a_key(), 10)]
    assert len(running) == 4
    own_redis.server = Server(own_redis.server.command, log=own_redis.server.log)
    for limiter in (here, there):
        shared = limiter._shared
        assert shared is not None
        await until(lambda: shared.is_up)  # noqa: B023 - waited for at once
        await shared._link.call("PING")  # type: ignore[union-attr]
    assert await admitted(here, a_key(), 10) == []
    running[0].settle(1)
    assert len(await admitted(here, a_key(), 10)) == 1
