"""Asking the candidates, one after another, until one answers.

The order is the route's. A whole answer counts once all of it is here, a stream once it has brought its first token: until then the
caller has seen nothing and another candidate may still answer. What was refused for the request's own sake is not asked elsewhere; only
a prompt that is too long goes to candidates whose window is larger or unknown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from backend.gateway.bounds import Bound
from backend.gateway.call import Call
from backend.gateway.chunks import ChunkStream
from backend.gateway.sse import EventTooLarge
from backend.gateway.watch import Reason, Watch
from backend.kernel.errors import BourseError, NoAvailableProvider, UpstreamRateLimited, UpstreamTimeout
from backend.metering.record import AttemptRecord
from backend.providers.failures import (
    UpstreamFailure,
    failure_from_error_body,
    protocol_failure,
    reset_failure,
    status_of_error,
    timeout_failure,
)
from backend.providers.provider import ChatRequest, Provider, StreamAnswer, WholeAnswer
from backend.routing.route import Candidate, Route

T = TypeVar("T")
Window = Callable[[Candidate], int | None]
"""Tokens that a candidate's model holds, as far as known."""

MAX_ATTEMPTS = 12
DEFAULT_RETRY_SECONDS = 1.0
_RANK = {"rate_limited": 1, "refused": 2, "credentials": 3, "not_found": 4}
"""Which failure the caller is told of, lowest first; everything else (server, timeout, connect, reset, protocol) goes before these."""


class CallerGone(Exception):
    """The caller hung up (or stopped reading); there is nobody to answer."""


class OpenedStream:
    """A stream that has brought its first token: `first` is what may go to the caller at once."""

    __slots__ = ("answer", "attempt", "chunks", "ended", "first")

    def __init__(self, answer: StreamAnswer, chunks: ChunkStream, attempt: AttemptRecord, first: bytes, ended: bool) -> None:
        self.answer = answer
        self.chunks = chunks
        self.attempt = attempt
        self.first = first
        self.ended = ended


Opener = Callable[[Bound, Provider, ChatRequest], ChatRequest | None]
"""Changes what one candidate is going to be sent; None leaves the candidate out this time."""


class Asking:
    """One call that asks its candidates: who was asked how often, who was silent, what failed, and so who is left.

    `whole` is awaited once. `stream` may be awaited again after `broke`, and then goes on with the candidates that are left.
    """

    __slots__ = ("_call", "_failures", "_providers", "_route", "_too_small", "_tried", "_watch", "_window")

    def __init__(self, call: Call, watch: Watch, providers: Mapping[str, Provider], window: Window) -> None:
        assert call.route is not None
        self._call = call
        self._route = call.route
        self._watch = watch
        self._providers = providers
        self._window = window
        self._tried: dict[Bound, _Tried] = {}
        self._failures: list[UpstreamFailure] = []
        self._too_small: Candidate | None = None
        """The last one that said that the prompt does not fit."""

    async def whole(self) -> tuple[WholeAnswer, AttemptRecord]:
        """The first whole answer that a candidate gives.

        Raises:
            BourseError: what the caller is to be told when nobody answers.
            CallerGone: the caller hung up.
        """

        async def ask(provider: Provider, request: ChatRequest, attempt: AttemptRecord) -> tuple[WholeAnswer, AttemptRecord]:
            answer = await provider.complete(request)
            self._call.end_attempt(attempt, "completed", status=200)
            return answer, attempt

        return await self._ask("attempt", self._route.timeouts.attempt, ask, None)

    async def stream(self, opener: Opener | None = None) -> OpenedStream:
        """The first stream that brings a token. Raises as `whole`."""

        async def ask(provider: Provider, request: ChatRequest, attempt: AttemptRecord) -> OpenedStream:
            answer = await provider.open_stream(request)
            attempt.status = 200
            try:
                return await _first_token(self._call, provider.name, answer, attempt)
            except BaseException:
                answer.close()
                raise

        return await self._ask("first_token", self._route.timeouts.first_token, ask, opener)

    def broke(self, failure: UpstreamFailure) -> None:
        """The stream that was opened last is not going to be completed. Its attempt's row says why."""
        attempt = self._call.attempts[-1]
        attempt.outcome, attempt.error_code = "failed", failure.error.code
        self._failed(failure)

    @property
    def left(self) -> bool:
        """Whether somebody could be asked still."""
        return self._next(None) is not None

    async def _ask(
        self,
        limit: Reason,
        seconds: float,
        ask: Callable[[Provider, ChatRequest, AttemptRecord], Awaitable[T]],
        opener: Opener | None,
    ) -> T:
        call, route = self._call, self._route
        while (chosen := self._next(opener)) is not None:
            bound, provider, request = chosen
            attempt = call.begin_attempt(bound)
            call.simulated = provider.capabilities.simulated
            call.request = request
            self._watch.limit(seconds, limit)
            try:
                return await ask(provider, request, attempt)
            except UpstreamFailure as caught:
                failure = caught
            except asyncio.CancelledError:
                failure = _expired(call, self._watch, route, bound.candidate, attempt)
            except BaseException:
                call.end_attempt(attempt, "failed")
                raise
            call.end_attempt(attempt, "failed", status=failure.status, error=failure.error)
            self._failed(failure)
            if not failure.elsewhere:
                break
        raise _verdict(self._failures)

    def _next(self, opener: Opener | None) -> tuple[Bound, Provider, ChatRequest] | None:
        """Who is asked now, and what; None when nobody is left."""
        call = self._call
        if len(call.attempts) >= MAX_ATTEMPTS:
            return None
        for bound in call.bounds:
            candidate = bound.candidate
            provider = self._providers.get(candidate.provider)
            if provider is None or bound in self._tried or _is_too_small(candidate, self._too_small, self._window):
                continue
            connect, trace = self._route.timeouts.connect, call.context.outgoing_traceparent()
            request: ChatRequest | None = ChatRequest(call.body, candidate.model, connect, trace, bound.cap)
            if opener is not None and request is not None:
                request = opener(bound, provider, request)
            if request is not None:
                return bound, provider, request
        return None

    def _failed(self, failure: UpstreamFailure) -> None:
        bound = self._call.bound
        assert bound is not None
        tried = self._tried.get(bound)
        if tried is None:
            tried = self._tried[bound] = _Tried()
        tried.times += 1
        tried.silent = tried.silent or failure.kind == "timeout"
        self._failures.append(failure)
        if failure.too_long:
            self._too_small = bound.candidate


class _Tried:
    """What one candidate did in this call."""

    __slots__ = ("silent", "times")

    def __init__(self) -> None:
        self.times = 0
        self.silent = False


async def _first_token(call: Call, name: str, answer: StreamAnswer, attempt: AttemptRecord) -> OpenedStream:
    most = call.bound.answer if call.bound is not None else None
    chunks = ChunkStream(wants_usage=call.wants_usage, with_facts=call.with_facts, most_tokens=most)
    ended = False
    while True:
        data = await answer.read()
        try:
            first = chunks.feed(data) if data else chunks.end()
        except EventTooLarge:
            raise protocol_failure(name, "an event without end") from None
        ended = not data
        failure = stream_failure(name, chunks, ended)
        if failure is not None and not chunks.started:
            raise failure
        if chunks.started:
            # An error after the first token, in the same bytes, is the relay's to tell.
            call.end_attempt(attempt, "completed", status=200)
            return OpenedStream(answer, chunks, attempt, first, ended)


def stream_failure(name: str, chunks: ChunkStream, ended: bool) -> UpstreamFailure | None:
    """What is wrong with a stream so far, if anything; `ended`: its body is over."""
    if chunks.error is not None:
        return failure_from_error_body(name, status_of_error(chunks.error), chunks.error)
    if (ended or chunks.done) and not chunks.complete and not chunks.overrun:
        return reset_failure(name) if chunks.started or chunks.done or not chunks.malformed else protocol_failure(name, "no event stream")
    return None


def _is_too_small(candidate: Candidate, refused_for_length: Candidate | None, window: Window) -> bool:
    """Known to hold no more than the one that said that the prompt does not fit."""
    if refused_for_length is None:
        return False
    known, was = window(candidate), window(refused_for_length)
    return known is not None and was is not None and known <= was


def _expired(call: Call, watch: Watch, route: Route, candidate: Candidate, attempt: AttemptRecord) -> UpstreamFailure:
    """What a cancellation during an attempt means: a limit of ours, the caller's hang-up, or the end of this process."""
    reason = watch.expired()
    if reason in ("attempt", "first_token"):
        watch.reason = None
        if reason == "attempt":
            return timeout_failure(candidate.provider, "no whole answer", route.timeouts.attempt)
        return timeout_failure(candidate.provider, "no first token", route.timeouts.first_token)
    if reason == "total":
        error = UpstreamTimeout(f"No answer within the route's {route.timeouts.total:g} s.")
        call.end_attempt(attempt, "failed", error=error)
        raise error
    if reason is not None:
        call.end_attempt(attempt, "client_closed", status=attempt.status)
        raise CallerGone
    call.end_attempt(attempt, "interrupted", status=attempt.status)
    raise


def _verdict(failures: list[UpstreamFailure]) -> BourseError:
    """What the caller is told when nobody answered: what may pass before what stays, and a refusal of the request itself before all."""
    if not failures:
        return NoAvailableProvider("No provider that is configured can answer for this model.", retry_after=5)
    if all(failure.kind == "rate_limited" for failure in failures):
        return UpstreamRateLimited(failures[-1].error.message, retry_after=_shortest_wait(failures))
    if not failures[-1].elsewhere:
        return failures[-1].error
    told = min(reversed(failures), key=lambda failure: _RANK.get(failure.kind, 0))
    if told.kind == "rate_limited":
        # Somebody may answer later, which none of the others' reasons would say.
        return NoAvailableProvider("No provider can answer for this model right now.", retry_after=_shortest_wait(failures))
    return told.error


def _shortest_wait(failures: list[UpstreamFailure]) -> float:
    waits = [failure.retry_after for failure in failures if failure.kind == "rate_limited" and failure.retry_after is not None]
    return min(waits, default=DEFAULT_RETRY_SECONDS)
