"""Asking the candidates, one after another, until one answers.

The order is the route's, without those whose breaker is open, who asked us to come back later, or who have all the calls that they may
have. A whole answer counts once all of it is here, a stream once it has brought its first token: until then the caller has seen nothing
and another candidate may still answer.

Who broke off or failed is asked again at once, after a short pause; who says that we ask too much is left alone while somebody else is
left. Who was silent until a limit passed, and who refused, is not asked again in the same call. What was refused for the request's own
sake is not asked elsewhere either; only a prompt that is too long goes to candidates whose window is larger or unknown, and what one has
no parameter for to those that may. Before that the same one is asked without the parameter, where it may be left out (`dropping`): it is
the same attempt, because it has answered nothing and bills nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import structlog

from backend.gateway.bounds import Bound
from backend.gateway.call import Call
from backend.gateway.first_token import OpenedStream, first_token, stream_failure
from backend.gateway.upstreams import Upstreams, Window
from backend.gateway.verdict import nobody_to_ask, verdict
from backend.gateway.watch import Watch
from backend.kernel.errors import BourseError, UnsupportedParameter, UpstreamTimeout
from backend.metering.record import AttemptRecord
from backend.providers.dropping import leave_out
from backend.providers.failures import UpstreamFailure, protocol_failure, timeout_failure
from backend.providers.provider import ChatRequest, Provider, StreamAnswer, WholeAnswer
from backend.routing.bulkhead import Bulkhead
from backend.routing.health import CandidateHealth

__all__ = ["Asking", "CallerGone", "OpenedStream", "Opener", "Willing", "Window", "stream_failure"]

log = structlog.get_logger(__name__)

T = TypeVar("T")
Opener = Callable[[Bound, Provider, ChatRequest], ChatRequest]
"""Changes what one candidate is going to be sent."""
Willing = Callable[[Bound], bool]
"""Whether a candidate can be asked so."""


class CallerGone(Exception):
    """The caller hung up (or stopped reading); there is nobody to answer."""


class Asking:
    """One call that asks its candidates: who was asked how often, who was silent, what failed, and so who is left.

    `whole` is awaited once. `stream` may be awaited again after `broke`, and then goes on with the candidates that are left. The candidate
    of a stream counts as busy until `broke` or `close`.
    """

    __slots__ = (
        "_asked", "_call", "_failures", "_number", "_outgrown", "_retry", "_route", "_tried", "_upstreams", "_waits", "_watch", "_willing",
    )  # fmt: skip

    def __init__(self, call: Call, watch: Watch, upstreams: Upstreams) -> None:
        assert call.route is not None
        self._call = call
        self._route = call.route
        self._watch = watch
        self._upstreams = upstreams
        self._asked: CandidateHealth | None = None
        """Whoever is answering."""
        self._number = 0
        """Of the call that it was sent."""
        self._tried: dict[Bound, _Tried] = {}
        self._failures: list[UpstreamFailure] = []
        self._retry: Bound | None = None
        """Who is asked again before anybody else."""
        self._willing: Willing | None = None
        self._outgrown = 0
        """The largest window, as far as known, that the prompt did not fit into."""
        self._waits = 0
        upstreams.retries.calls += 1

    async def whole(self) -> tuple[WholeAnswer, AttemptRecord]:
        """The first whole answer that a candidate gives.

        Raises:
            BourseError: what the caller is to be told when nobody answers.
            CallerGone: the caller hung up.
        """
        seconds = self._route.timeouts.attempt

        async def ask(provider: Provider, request: ChatRequest, attempt: AttemptRecord) -> tuple[WholeAnswer, AttemptRecord]:
            self._watch.limit(seconds, "attempt")
            answer = await provider.complete(request)
            self._call.end_attempt(attempt, "completed", status=200)
            return answer, attempt

        answered, asked = await self._ask(ask, None), self._asked
        assert asked is not None
        asked.took(answered[1].latency_ms, streamed=False)
        self.close()
        return answered

    async def stream(self, opener: Opener | None = None, willing: Willing | None = None) -> OpenedStream:
        """The first stream that brings a token; with `willing`, only of candidates that are. Raises as `whole`."""
        timeouts, watch = self._route.timeouts, self._watch
        self._willing = willing

        async def ask(provider: Provider, request: ChatRequest, attempt: AttemptRecord) -> OpenedStream:
            if timeouts.first_byte is None:
                watch.limit(timeouts.first_token, "first_token")
                answer = await provider.open_stream(request)
            else:
                answer = await self._first_byte(provider, request, timeouts.first_byte)
            attempt.status = 200
            try:
                return await first_token(self._call, provider.name, answer, attempt)
            except BaseException:
                answer.close()
                raise

        opened, asked = await self._ask(ask, opener), self._asked
        assert asked is not None
        asked.took(opened.attempt.latency_ms, streamed=True)
        asked.answers(self._number)
        return opened

    def broke(self, failure: UpstreamFailure) -> None:
        """The stream that was opened last is not going to be completed. Its attempt's row says why."""
        attempt = self._call.attempts[-1]
        attempt.outcome, attempt.error_code = "failed", failure.error.code
        self._failed(failure)
        # Another model may be in a better state; it was the first one's turn.
        self._retry = None

    def ended(self, failure: UpstreamFailure | None) -> None:
        """As `broke`, where nobody is going to be asked to go on: the candidate's health is all that is left to know of it. None: it was
        cut off by a limit of the call, or was not asked after all, which is nobody's fault. Does nothing after `broke`."""
        asked, self._asked = self._asked, None
        if asked is not None:
            if failure is not None:
                asked.failed(failure, self._route.breaker, self._number)
            else:
                asked.left()

    def close(self) -> None:
        """The call has its answer, or needs none any more. May be called twice, and after `broke`."""
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.answered(self._number)

    async def _first_byte(self, provider: Provider, request: ChatRequest, seconds: float) -> StreamAnswer:
        watch, limit, started = self._watch, self._route.timeouts.first_token, self._call.attempt_started
        watch.limit(min(seconds, limit), "first_byte")
        answer = await provider.open_stream(request)
        watch.limit(max(0.0, limit - (self._upstreams.health.now() - started)), "first_token")
        return answer

    async def _ask(self, ask: Callable[[Provider, ChatRequest, AttemptRecord], Awaitable[T]], opener: Opener | None) -> T:
        call, upstreams = self._call, self._upstreams
        while True:
            bound = await self._again() if self._retry is not None else None
            if bound is None:
                bound = self._next() or await self._later()
            if bound is None:
                raise self._verdict()
            candidate = bound.candidate
            provider = upstreams.providers[candidate.provider]
            request = ChatRequest(call.body, candidate.model, self._route.timeouts.connect, call.context.outgoing_traceparent(), bound.cap)
            request.metadata = candidate.metadata
            if bound.without is not None:  # as it was asked last
                request.body, request.dropped = bound.without
            health = upstreams.health.of(candidate)
            if opener is not None:
                request = opener(bound, provider, request)
            attempt = call.begin_attempt(bound)
            call.simulated = provider.capabilities.simulated
            call.request = request
            self._number = health.begin()
            self._asked = health
            failure: UpstreamFailure | None = None
            while failure is None or self._leaves_out(bound, request, attempt, failure):
                try:
                    return await ask(provider, request, attempt)
                except UpstreamFailure as caught:
                    failure = caught
                except asyncio.CancelledError:
                    failure = self._expired(attempt)
                except UnsupportedParameter as error:
                    # The adapter cannot say it in its provider's words; the next one's may have them.
                    failure = UpstreamFailure("refused", error)
                except BourseError:
                    call.end_attempt(attempt, "failed")
                    self.ended(None)
                    raise
                except Exception:
                    # An answer that nobody foresaw is no reason not to ask somebody else.
                    log.exception("provider.not_understood", provider=candidate.provider, model=candidate.model)
                    failure = protocol_failure(candidate.provider, "what could not be read")
            request.dropped = ()  # only of an answer is told what it was given without
            call.end_attempt(attempt, "failed", status=failure.status, error=failure.error)
            self._failed(failure)
            if not self._goes_elsewhere(failure):
                raise self._verdict()

    def _leaves_out(self, bound: Bound, request: ChatRequest, attempt: AttemptRecord, failure: UpstreamFailure) -> bool:
        """Whether the candidate can be asked again, without what it has no words for."""
        error = failure.error
        if not isinstance(error, UnsupportedParameter) or attempt.status is not None:
            return False
        if not leave_out(request, error, drops=self._route.drops):
            return False
        bound.does_without(request.body, request.dropped)
        return True

    # Who is next. There is a place for it at its provider until the next thing is awaited.

    def _next(self) -> Bound | None:
        """The first one that was not asked yet and may be."""
        call, upstreams, breaker = self._call, self._upstreams, self._route.breaker
        if self._failures and len(call.attempts) >= self._route.retries.attempts:
            return None
        for bound in call.bounds:
            if bound in self._tried or not self._may_be_asked(bound):
                continue
            health = upstreams.health.of(bound.candidate)
            if not health.well and (health.cooling or health.wait(breaker)):
                continue
            bulkhead = health.provider.bulkhead
            if bulkhead.running < bulkhead.limit and (not self._failures or self._pays(health)):
                return bound
        return None

    async def _again(self) -> Bound | None:
        """The one that failed last, after a pause; None where it is better to ask others."""
        bound, self._retry = self._retry, None
        assert bound is not None
        if not self._may_be_asked(bound):
            return None
        pause = self._pause(self._tried[bound].times)
        if len(self._call.attempts) >= self._route.retries.attempts or pause > self._watch.left:
            return None
        retries = self._upstreams.retries
        if self._upstreams.health.of(bound.candidate).wait(self._route.breaker) or not retries.take():
            return None
        await self._sleep(pause)
        found = self._enter(bound)
        if found is None:
            retries.give_back()
        return found

    async def _later(self) -> Bound | None:
        """Nobody can be asked now. Wait for whoever can be first, if that is soon enough."""
        route = self._route
        patience = min(route.retries.max_wait, self._watch.left)
        if self._willing is not None:
            # The caller sits before half an answer.
            patience = min(patience, route.timeouts.idle)
        has_budget = True
        while self._waits < route.retries.attempts and len(self._call.attempts) < route.retries.attempts:
            self._waits += 1
            full = self._full()
            places = self._upstreams.health.of(full.candidate).provider.bulkhead if full is not None else None
            pauses = self._pauses() if has_budget else ()
            pause, _, bound = min(pauses, key=lambda one: one[:2], default=(float("inf"), 0, None))
            if full is None and pause > patience:
                return self._overdue() if bound is not None else None
            before = self._watch.left
            if full is None or places is None:
                await self._sleep(pause)
            elif not await self._queue(places, min(pause, patience)):
                if pause > patience:
                    return None
            elif self._enter(full) is not None:
                return full
            else:
                # Its breaker has opened meanwhile, it asked for time, or it is another provider by now, with places of its own: the next in
                # the queue finds out the same.
                places.pass_on()
                pause = float("inf")
            found = self._enter(bound) if bound is not None and pause <= patience else None
            if found is not None:
                if not self._failures or self._upstreams.retries.take():
                    return found
                has_budget = False
            found = self._next()
            if found is not None:
                return found
            patience = min(patience - (before - self._watch.left), self._watch.left)
        return None

    def _full(self) -> Bound | None:
        """The first that only has no place free."""
        for bound in self._call.bounds:
            if bound not in self._tried and self._may_be_asked(bound):
                health = self._upstreams.health.of(bound.candidate)
                bulkhead = health.provider.bulkhead
                if bulkhead.full and bulkhead.has_room_to_wait and not health.cooling and not health.wait(self._route.breaker):
                    return bound
        return None

    def _overdue(self) -> Bound | None:
        """The first that asked for more time than anybody can wait, and was left alone for a while: it may have meant less."""
        for bound in self._call.bounds:
            if bound not in self._tried and self._may_be_asked(bound):
                health = self._upstreams.health.of(bound.candidate)
                if health.cooling and health.is_overdue(self._route.breaker) and not health.provider.bulkhead.full:
                    return bound if not self._failures or self._pays(health) else None
        return None

    def _pays(self, health: CandidateHealth) -> bool:
        """Whether an attempt beyond the first may be made. Who failed lately is no help to many calls at once; who is well is, however many
        there are."""
        return self._upstreams.retries.spend() or health.well or self._upstreams.retries.withhold()

    def _pauses(self) -> Iterator[tuple[float, int, Bound | None]]:
        """How long each that is left has to be waited for, and how often it was asked."""
        for bound in self._call.bounds:
            if self._may_be_asked(bound):
                health, tried = self._upstreams.health.of(bound.candidate), self._tried.get(bound)
                times = tried.times if tried is not None else 0
                if (times or health.cooling) and not health.wait(self._route.breaker):
                    yield health.cooling + self._pause(max(times, 1)), times, bound

    def _may_be_asked(self, bound: Bound) -> bool:
        """As far as this call is concerned."""
        if bound.candidate.provider not in self._upstreams.providers or (self._willing is not None and not self._willing(bound)):
            return False
        tried = self._tried.get(bound)
        if tried is not None and tried.out:
            return False
        return not self._outgrown or (self._upstreams.window(bound.candidate) or self._outgrown + 1) > self._outgrown

    def _enter(self, bound: Bound) -> Bound | None:
        """The candidate, if it may be asked after the pause still."""
        if bound.candidate.provider not in self._upstreams.providers:
            return None
        health = self._upstreams.health.of(bound.candidate)
        return None if health.cooling or health.wait(self._route.breaker) or health.provider.bulkhead.full else bound

    def _pause(self, times: int) -> float:
        """Seconds, drawn between none and the most: calls that failed together must not come back together."""
        retries = self._route.retries
        longest: float = retries.backoff * 2 ** (times - 1)
        return min(self._upstreams.random() * longest, retries.max_wait)

    async def _sleep(self, seconds: float) -> None:
        self._watch.limit_total()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._expired(None)

    async def _queue(self, places: Bulkhead, seconds: float) -> bool:
        self._watch.limit_total()
        try:
            return await places.wait(seconds)
        except asyncio.CancelledError:
            self._expired(None)
            return False

    # What became of it.

    def _failed(self, failure: UpstreamFailure) -> None:
        bound = self._call.bound
        assert bound is not None
        self.ended(failure)
        self._failures.append(failure)
        if self._call.prefilled and failure.kind in ("refused", "differs"):
            # It does not go on from a beginning; the caller's own question is another one.
            return
        tried = self._tried.get(bound)
        if tried is None:
            tried = self._tried[bound] = _Tried()
        tried.times += 1
        if not failure.may_pass or tried.times > self._route.retries.per_candidate:
            tried.out = True
        elif failure.kind not in ("rate_limited", "differs") and not failure.retry_after:
            self._retry = bound
        if failure.too_long:
            self._outgrown = max(self._outgrown, self._upstreams.window(bound.candidate) or 0)

    def _goes_elsewhere(self, failure: UpstreamFailure) -> bool:
        return failure.elsewhere or bool(self._call.prefilled) or (failure.is_policy and self._route.fallback_on_content_policy)

    def _verdict(self) -> Exception:
        if self._failures:
            return verdict(self._failures)
        health = self._upstreams.health
        return nobody_to_ask([health.of(bound.candidate) for bound in self._call.bounds], self._route.breaker)

    def _expired(self, attempt: AttemptRecord | None) -> UpstreamFailure:
        """What a cancellation means, during an attempt or a pause: a limit of ours, the caller's hang-up, a key that is good no more, or
        the end of this process. Only a limit of the attempt is its failure; everything else ends the call."""
        watch, timeouts, call = self._watch, self._route.timeouts, self._call
        reason = watch.expired()
        if reason in ("attempt", "first_byte", "first_token"):
            watch.reason = None
            name = call.candidate.provider if call.candidate is not None else ""
            if reason == "attempt":
                return timeout_failure(name, "no whole answer", timeouts.attempt)
            if reason == "first_byte":
                return timeout_failure(name, "no sign of an answer", timeouts.first_byte or 0.0)
            return timeout_failure(name, "no first token", timeouts.first_token)
        self.ended(None)
        if reason == "total":
            error = UpstreamTimeout(f"No answer within the route's {timeouts.total:g} s.")
            if attempt is not None:
                call.end_attempt(attempt, "failed", error=error)
            raise error
        if attempt is not None:
            call.end_attempt(attempt, "client_closed" if reason is not None else "interrupted", status=attempt.status)
        if watch.refusal is not None:
            raise watch.refusal
        if reason is not None:
            raise CallerGone
        raise


class _Tried:
    """What one candidate did in this call."""

    __slots__ = ("out", "times")

    def __init__(self) -> None:
        self.times = 0
        self.out = False
        """It is not asked again in this call."""
