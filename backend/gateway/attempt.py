"""Asking the candidates, one after another, until one answers.

The order is the route's. A whole answer counts once all of it is here, a stream once it has brought its first token: until then the
caller has seen nothing and another candidate may still answer. What was refused for the request's own sake is not asked elsewhere; only
a prompt that is too long goes to candidates whose window is larger or unknown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

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


async def whole_answer(call: Call, providers: Mapping[str, Provider], watch: Watch, window: Window) -> tuple[WholeAnswer, AttemptRecord]:
    """The first whole answer that a candidate gives.

    Raises:
        BourseError: what the caller is to be told when nobody answers.
        CallerGone: the caller hung up.
    """

    async def ask(provider: Provider, request: ChatRequest, attempt: AttemptRecord) -> tuple[WholeAnswer, AttemptRecord]:
        answer = await provider.complete(request)
        call.end_attempt(attempt, "completed", status=200)
        return answer, attempt

    return await _walk(call, providers, watch, window, "attempt", ask)


async def opened_stream(call: Call, providers: Mapping[str, Provider], watch: Watch, window: Window) -> OpenedStream:
    """The first stream that brings a token. Raises as `whole_answer`."""

    async def ask(provider: Provider, request: ChatRequest, attempt: AttemptRecord) -> OpenedStream:
        answer = await provider.open_stream(request)
        attempt.status = 200
        try:
            return await _first_token(call, provider.name, answer, attempt)
        except BaseException:
            answer.close()
            raise

    return await _walk(call, providers, watch, window, "first_token", ask)


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


async def _walk(
    call: Call,
    providers: Mapping[str, Provider],
    watch: Watch,
    window: Window,
    limit: Reason,
    ask: Callable[[Provider, ChatRequest, AttemptRecord], Awaitable[T]],
) -> T:
    route = call.route
    assert route is not None
    seconds = route.timeouts.attempt if limit == "attempt" else route.timeouts.first_token
    failures: list[UpstreamFailure] = []
    too_small: Candidate | None = None
    for bound in call.bounds[:MAX_ATTEMPTS]:
        candidate = bound.candidate
        provider = providers.get(candidate.provider)
        if provider is None or _is_too_small(candidate, too_small, window):
            continue
        attempt = call.begin_attempt(bound)
        call.simulated = provider.capabilities.simulated
        request = call.request = ChatRequest(
            call.body, candidate.model, route.timeouts.connect, call.context.outgoing_traceparent(), bound.cap
        )
        watch.limit(seconds, limit)
        try:
            return await ask(provider, request, attempt)
        except UpstreamFailure as caught:
            failure = caught
        except asyncio.CancelledError:
            failure = _expired(call, watch, route, candidate, attempt)
        except BaseException:
            call.end_attempt(attempt, "failed")
            raise
        call.end_attempt(attempt, "failed", status=failure.status, error=failure.error)
        failures.append(failure)
        if not failure.elsewhere:
            break
        if failure.too_long:
            too_small = candidate
    raise _verdict(failures)


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
