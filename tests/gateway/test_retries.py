"""Who is asked after whom, how often and when, on the wire. Pauses are milliseconds, and none unless a test asks for them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
import structlog

from backend.gateway.attempt import Asking, CallerGone
from backend.gateway.retry_budget import RetryBudget
from backend.gateway.watch import Watch
from backend.kernel.errors import (
    ContentPolicyViolation,
    ContextLengthExceeded,
    NoAvailableProvider,
    RequestTooLarge,
    UpstreamCredentials,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from backend.providers.failures import reset_failure
from backend.providers.openai import OpenAIProvider
from backend.routing.bulkhead import Bulkhead
from backend.routing.route import Breaker, Retries, Timeouts
from tests.fakes.openai_upstream import Exchange, Step, answer, chunk, events, garbage, hang, reset, status, whole
from tests.gateway.asking import TIMEOUTS, Outcome, Stage, never, stage

OPENED = Breaker(failures=3, open=300, probe_interval=10)
HASTY = Timeouts(connect=5, attempt=1, first_token=1, idle=5, total=30)
POLICY = {"error": {"message": "We do not say that.", "type": "invalid_request_error", "code": "content_policy_violation"}}
TOO_LONG = {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded"}}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
async def two() -> AsyncIterator[Stage]:
    async with stage("ab") as found:
        yield found


@BOTH
@pytest.mark.parametrize(
    ("script", "asked"),
    [
        pytest.param([status(500), answer()], "aa", id="500 once"),
        pytest.param([status(503)], "aaab", id="503 for ever"),
        pytest.param([reset(), answer()], "aa", id="reset once"),
        pytest.param([status(408), answer()], "aa", id="408"),
        pytest.param([status(409), answer()], "aa", id="409"),
        pytest.param([status(504), answer()], "aa", id="504"),
        pytest.param([status(429), answer()], "ab", id="429"),
        pytest.param([status(503, None, "retry-after: 60"), answer()], "ab", id="503 that names a time"),
        pytest.param([status(401)], "ab", id="401"),
        pytest.param([status(404)], "ab", id="404"),
        pytest.param([status(405)], "ab", id="405"),
        pytest.param([status(413)], "ab", id="413"),
        pytest.param([status(429, None, "retry-after: Wed, 21 Oct 2015 07:28:00 +99999999999999999999")], "ab", id="a time that is none"),
        pytest.param([garbage(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")], "ab", id="not HTTP"),
        pytest.param([whole(b"<html></html>", content_type="text/html")], "ab", id="a web page"),
        pytest.param([hang()], "ab", id="silent"),
    ],
)
async def test_who_may_answer_the_second_time_is_asked_again_and_then_the_next(
    two: Stage, script: list[Step], asked: str, stream: bool
) -> None:
    two.a.script(*script)
    timeouts = HASTY if asked == "ab" and len(script) == 1 and script[0].__qualname__.startswith("hang") else TIMEOUTS
    outcome = await two.ask(two.route(timeouts=timeouts), stream=stream)
    assert outcome.error is None
    assert outcome.asked == asked
    assert [attempt.outcome for attempt in outcome.call.attempts] == ["failed"] * (len(asked) - 1) + ["completed"]
    assert outcome.call.fell_back == ("b" in asked)


async def test_nobody_listening_is_asked_again_and_then_the_next(two: Stage) -> None:
    await two.a.__aexit__(None, None, None)
    outcome = await two.ask(two.route())
    assert (outcome.asked, outcome.answer is not None) == ("aaab", True)


@BOTH
@pytest.mark.case("U1")
async def test_six_attempts_at_the_most_and_those_that_were_silent_are_asked_once(two: Stage, stream: bool) -> None:
    for server in two.servers.values():
        server.script(status(503))
    outcome = await two.ask(two.route(), stream=stream)
    assert (outcome.asked, type(outcome.error)) == ("aaabbb", UpstreamError)
    for server in two.servers.values():
        server.script(hang())
    outcome = await two.ask(two.route(timeouts=HASTY), stream=stream)
    assert (outcome.asked, type(outcome.error)) == ("ab", UpstreamTimeout)


@pytest.mark.parametrize(
    ("retries", "asked"),
    [
        (Retries(per_candidate=0, backoff=0), "ab"),
        (Retries(per_candidate=1, backoff=0), "aabb"),
        (Retries(attempts=1, backoff=0), "a"),
        (Retries(attempts=4, backoff=0), "aaab"),
    ],
)
async def test_the_route_says_how_often(two: Stage, retries: Retries, asked: str) -> None:
    for server in two.servers.values():
        server.script(status(500))
    assert (await two.ask(two.route(retries=retries))).asked == asked


async def test_pauses_double_and_are_drawn_up_to_the_most_they_may_be(two: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in two.servers.values():
        server.script(status(500))
    slept: list[float] = []
    monkeypatch.setattr(Asking, "_sleep", _noting(slept))
    two.pauses = 1.0
    await two.ask(two.route(retries=Retries(backoff=0.25, max_wait=0.4)))
    assert slept == [0.25, 0.4, 0.25, 0.4]
    two.pauses = 0.5
    await two.ask(two.route(retries=Retries(per_candidate=3, attempts=12, backoff=0.25)))
    assert slept[4:] == [0.125, 0.25, 0.5] * 2


def _noting(slept: list[float]) -> Callable[[Asking, float], Any]:
    async def sleep(_: Asking, seconds: float) -> None:
        slept.append(seconds)

    return sleep


# ── 429 and the time that it names ───────────────────────────────────────────────────────────────────────────────────


@BOTH
async def test_a_limited_candidate_is_come_back_to_when_nobody_else_is_left_and_not_before_its_time(two: Stage, stream: bool) -> None:
    two.a.script(status(429, None, "retry-after: 0.15"), answer())
    two.b.script(status(400 + 29, None, "retry-after: 30"))
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = await two.ask(two.route(), stream=stream)
    assert (outcome.error, outcome.asked) == (None, "aba")
    assert loop.time() - began >= 0.15


async def test_a_time_that_does_not_fit_is_told_to_the_caller_at_once(two: Stage) -> None:
    two.a.script(status(429, None, "retry-after: 40"))
    two.b.script(status(429, None, "retry-after: 31"))
    outcome = await two.ask(two.route(timeouts=Timeouts(5, 300, 60, 30, 600)))
    assert (outcome.asked, type(outcome.error)) == ("ab", UpstreamRateLimited)
    assert outcome.error is not None
    assert outcome.error.retry_after == 31
    # max_wait would allow it, the deadline does not.
    again = await two.ask(two.route("b", retries=Retries(max_wait=60)))
    assert (again.asked, type(again.error)) == ("", UpstreamRateLimited)
    assert again.error is not None
    assert 20 < (again.error.retry_after or 0) <= 31


async def test_no_call_comes_back_before_the_time_as_long_as_others_can_answer(two: Stage) -> None:
    two.a.script(status(429, None, "retry-after: 30"), answer())
    assert [(await two.ask(two.route())).asked for _ in range(4)] == ["ab", "b", "b", "b"]


async def test_a_new_call_waits_for_a_limited_candidate_if_it_is_the_only_one(two: Stage) -> None:
    two.a.script(status(429, None, "retry-after: 0.05"), answer())
    route = two.route("a", retries=Retries(per_candidate=0))
    assert type((await two.ask(route)).error) is UpstreamRateLimited
    assert (await two.ask(route)).asked == "a"
    assert len(two.a.requests) == 2


@pytest.mark.case("U5")
async def test_who_asks_for_an_hour_is_looked_at_now_and_then_where_nobody_else_is_left(two: Stage) -> None:
    at = 1000.0
    two.upstreams.health.now = lambda: at
    two.a.script(status(429, None, "retry-after: 3600"), status(429, None, "retry-after: 3600"), answer())
    route = two.route("a", breaker=OPENED)
    assert [(await two.ask(route)).asked for _ in range(2)] == ["a", ""]
    at += 10
    assert [(await two.ask(route)).asked for _ in range(2)] == ["a", ""]
    at += 10
    assert (await two.ask(two.route("ba", breaker=OPENED))).asked == "b", "as long as somebody else can answer it has its hour"
    assert [(await two.ask(route)).error for _ in range(2)] == [None, None]


@pytest.mark.case("U5")
async def test_absurd_times_are_an_hour_and_dates_are_understood(two: Stage) -> None:
    two.a.script(status(429, None, "retry-after: 1000000000"))
    two.b.script(status(429, None, "retry-after: Wed, 21 Oct 2215 07:28:00 GMT"))
    outcome = await two.ask(two.route())
    assert outcome.error is not None
    assert outcome.error.retry_after == 3600


# ── breakers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
@pytest.mark.case("U10")
async def test_when_all_are_left_out_the_caller_hears_so_without_anybody_being_asked(two: Stage, stream: bool) -> None:
    for server in two.servers.values():
        server.script(status(503))
    route = two.route(breaker=OPENED)
    assert (await two.ask(route, stream=stream)).asked == "aaabbb"
    outcome = await two.ask(route, stream=stream)
    assert (outcome.asked, type(outcome.error)) == ("", NoAvailableProvider)
    assert outcome.error is not None
    assert 5 < (outcome.error.retry_after or 0) <= 10


async def test_a_breaker_that_opens_ends_the_retries_and_a_probe_finds_out_and_falls_over(two: Stage) -> None:
    two.a.script(status(503))
    health = two.upstreams.health
    at = 1000.0
    health.now = lambda: at
    route = two.route(breaker=Breaker(failures=2, open=300, probe_interval=10))
    assert [(await two.ask(route)).asked for _ in range(3)] == ["aab", "b", "b"]
    at += 10
    assert [(await two.ask(route)).asked for _ in range(3)] == ["ab", "b", "b"]
    two.a.script(answer())
    at += 10
    assert [(await two.ask(route)).asked for _ in range(3)] == ["a", "a", "a"]


@pytest.mark.case("U5")
async def test_in_a_storm_breakers_keep_most_calls_away(two: Stage) -> None:
    for server in two.servers.values():
        server.script(status(503))
    route = two.route(breaker=OPENED)
    for _ in range(50):
        await two.ask(route)
    assert sum(len(server.requests) for server in two.servers.values()) == 6


@pytest.mark.case("U6")
async def test_a_refused_key_is_tried_once_and_nobody_is_told_a_401(two: Stage) -> None:
    two.a.script(status(401))
    route = two.route("a")
    outcomes = [await two.ask(route) for _ in range(3)]
    assert [outcome.asked for outcome in outcomes] == ["a", "", ""]
    assert {type(outcome.error) for outcome in outcomes} == {UpstreamCredentials}


async def test_cut_streams_count_as_failures_and_whole_ones_as_answers(two: Stage) -> None:
    two.a.script(events(chunk({"content": "x"}), end="hang"))
    route = two.route("a", breaker=OPENED)
    for broken in (True, True, False, True, True, True):
        call = two.call(route, stream=True)
        watch = Watch(never, total=30)
        asking = Asking(call, watch, two.upstreams)
        opened = await asking.stream()
        assert two.upstreams.health.of(route.candidates[0]).in_flight == 1
        opened.answer.close()
        if broken:
            asking.broke(reset_failure("a"))
        asking.close()
        watch.stop()
        assert two.upstreams.health.of(route.candidates[0]).in_flight == 0
    assert (await two.ask(route, stream=True)).asked == ""


async def test_after_a_break_the_others_are_asked_and_then_the_same_again(two: Stage) -> None:
    for server in two.servers.values():
        server.script(events(chunk({"content": "x"}), end="hang"))
    call = two.call(two.route(), stream=True)
    watch = Watch(never, total=30)
    asking = Asking(call, watch, two.upstreams)
    for _ in range(4):
        (await asking.stream()).answer.close()
        asking.broke(reset_failure("?"))
    asking.close()
    watch.stop()
    assert "".join(attempt.provider for attempt in call.attempts) == "abab"


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
async def test_a_content_refusal_is_the_callers_to_know_unless_the_route_asks_elsewhere(two: Stage, stream: bool) -> None:
    two.a.script(status(400, POLICY))
    outcome = await two.ask(two.route(), stream=stream)
    assert (outcome.asked, type(outcome.error)) == ("a", ContentPolicyViolation)
    assert outcome.error is not None
    assert outcome.error.message == "We do not say that."
    allowed = two.route(fallback_on_content_policy=True)
    assert (await two.ask(allowed, stream=stream)).asked == "ab"
    two.b.script(status(400, POLICY))
    outcome = await two.ask(allowed, stream=stream)
    assert (outcome.asked, type(outcome.error)) == ("ab", ContentPolicyViolation)


async def test_a_prompt_that_is_too_long_goes_to_larger_and_unknown_windows_only() -> None:
    windows = {"a": 8000, "b": 4000, "c": 8000, "d": 16000, "e": None}
    async with stage("abcde") as found:
        found.upstreams.window = lambda candidate: windows[candidate.provider]
        for server in found.servers.values():
            server.script(status(400, TOO_LONG))
        outcome = await found.ask(found.route())
        assert (outcome.asked, type(outcome.error)) == ("ade", ContextLengthExceeded)


async def test_when_it_is_too_large_for_all_the_caller_hears_that(two: Stage) -> None:
    two.a.script(status(413))
    two.b.script(status(413))
    outcome = await two.ask(two.route())
    assert (outcome.asked, type(outcome.error)) == ("ab", RequestTooLarge)


@pytest.mark.parametrize("choices", [[], [{"index": 0, "message": {"role": "assistant", "content": "half"}, "finish_reason": "error"}]])
async def test_an_answer_without_an_answer_in_it_is_asked_for_elsewhere_and_billed_all_the_same(two: Stage, choices: list[Any]) -> None:
    two.a.script(whole({"id": "x", "object": "chat.completion", "model": "m", "choices": choices, "usage": None}))
    outcome = await two.ask(two.route())
    assert (outcome.asked, outcome.answer is not None) == ("ab", True)
    first = outcome.call.attempts[0]
    assert (first.outcome, first.status, first.error_code) == ("failed", 200, "upstream_error")
    assert [bill.attempt for bill in outcome.call.lost] == [first]


@BOTH
async def test_an_adapter_that_stumbles_is_one_that_did_not_answer(two: Stage, stream: bool) -> None:
    class Stumbling(OpenAIProvider):
        async def posted(self, *_: Any) -> Any:
            raise ZeroDivisionError

    two.upstreams.providers["a"].__class__ = Stumbling
    with structlog.testing.capture_logs() as logs:
        outcome = await two.ask(two.route(), stream=stream)
    assert (outcome.asked, outcome.error) == ("ab", None)
    assert [(entry["event"], entry["exc_info"]) for entry in logs] == [("provider.not_understood", True)]
    assert {health.in_flight for health in two.upstreams.health.all()} == {0}


# ── limits and hang-ups between attempts ─────────────────────────────────────────────────────────────────────────────


async def test_a_pause_beyond_the_deadline_is_not_begun(two: Stage) -> None:
    two.a.script(status(500))
    two.pauses = 1.0
    patient = Retries(backoff=60, max_wait=60)
    outcome = await two.ask(two.route("a", retries=patient, timeouts=Timeouts(5, 20, 20, 20, 25)))
    assert (outcome.asked, type(outcome.error)) == ("a", UpstreamError)


async def test_a_hang_up_during_a_pause_ends_the_call(two: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.gateway.watch.LOOK_SECONDS", 0.01)
    two.a.script(status(500))
    two.pauses = 1.0
    paused = asyncio.Event()

    async def gone() -> dict[str, Any]:
        await paused.wait()
        return {"type": "http.disconnect"}

    asking = asyncio.create_task(two.ask(two.route("a", retries=Retries(backoff=15)), receive=gone))
    while not two.upstreams.health.of(two.route("a").candidates[0]).circuit.failures:
        await asyncio.sleep(0.001)
    paused.set()
    with pytest.raises(CallerGone):
        await asking
    assert two.upstreams.health.of(two.route("a").candidates[0]).in_flight == 0


async def test_headers_that_do_not_come_are_noticed_before_the_first_token_is_due(two: Stage) -> None:
    two.a.script(hang())
    outcome = await two.ask(two.route(timeouts=Timeouts(5, 20, 20, 20, 30, first_byte=1)), stream=True)
    assert outcome.asked == "ab"
    assert outcome.call.attempts[0].error_code == "upstream_timeout"


# ── all of it at once ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("failures", [4, 30])
async def test_whatever_happens_nobody_is_asked_too_often_and_nothing_stays_taken(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty calls at once, of which some are given up, at three providers that do everything, with four places each and four to wait."""
    monkeypatch.setattr("backend.gateway.watch.LOOK_SECONDS", 0.01)
    chance = random.Random(failures)
    limited = status(429, None, "retry-after: 0.02")
    faults = [answer(), answer(), status(500), status(503), limited, reset(), hang(), status(400, POLICY), status(404)]
    faults += [status(401)] if failures < 10 else []

    async def anything(exchange: Exchange) -> None:
        await asyncio.sleep(chance.random() * 0.01)
        await chance.choice(faults)(exchange)

    async with stage("abc", limits={name: Bulkhead(4, 4) for name in "abc"}) as found:
        found.pauses = 1.0
        for server in found.servers.values():
            server.script(anything)
        found.upstreams.retries = RetryBudget(10, 1000)
        # Breakers that open and heal all the time, and limits that are short beside a hang.
        breaker, timeouts = Breaker(failures=failures, open=0.2, probe_interval=0.01), Timeouts(5, 0.2, 0.2, 5, 10)
        outcomes: list[Outcome] = []

        async def one(number: int) -> None:
            names = "".join(chance.sample("abc", 3))
            route = found.route(names, breaker=breaker, timeouts=timeouts, fallback_on_content_policy=True)
            patience = chance.random() * 0.3 if number % 5 == 0 else None

            async def gone() -> dict[str, Any]:
                await (asyncio.sleep(patience) if patience is not None else asyncio.Event().wait())
                return {"type": "http.disconnect"}

            await asyncio.sleep(chance.random() * 0.2)
            with suppress(CallerGone):
                outcomes.append(await found.ask(route, stream=bool(number % 2), receive=gone))

        await asyncio.gather(*(one(number) for number in range(60)))
        assert any(outcome.error is None for outcome in outcomes)
        for outcome in outcomes:
            assert len(outcome.asked) <= 6
            for name in "abc":
                assert outcome.asked.count(name) <= 3
                silent = [attempt for attempt in outcome.call.attempts if attempt.provider == name and attempt.status is None]
                assert sum(attempt.error_code == "upstream_timeout" for attempt in silent) <= 1
        for health in found.upstreams.health.all():
            assert (health.in_flight, health.provider.bulkhead.running, health.provider.bulkhead.waiting) == (0, 0, 0)


async def test_the_tier_that_one_attempt_was_served_by_is_not_the_next_ones(two: Stage) -> None:
    call = two.call(two.route())
    call.begin_attempt(call.bounds[0])
    call.service_tier = "priority"
    call.begin_attempt(call.bounds[1])
    assert call.service_tier is None
