"""Asking candidates for what is not chat: the same order, breakers, retries and waits, another question."""

import asyncio
from dataclasses import replace
from typing import cast

from backend.gateway.attempt import Asking
from backend.gateway.bill import Bill
from backend.gateway.bounds import Bound
from backend.gateway.call import Call
from backend.gateway.operations.bounds import UnitBound
from backend.gateway.operations.embeddings import joined, pieces_of
from backend.gateway.operations.operation import AnswerEvents, Asked, Operation, Streamed
from backend.gateway.upstreams import Upstreams
from backend.gateway.watch import Watch
from backend.kernel.sse import EventTooLarge
from backend.metering.record import AttemptRecord
from backend.pricing.usage import Usage
from backend.providers.answer_events import EVENT_STREAM, FoldedSpeech
from backend.providers.failures import UpstreamFailure, failure_from_error_body, protocol_failure, status_of_error
from backend.providers.posting import Bytes
from backend.providers.provider import ChatRequest, OperationAnswer, OperationRequest, Performer, Provider, StreamAnswer

PARALLEL = 4
"""Pieces of one request that are on their way at once."""


class OperationAsking(Asking):
    """`performed` is awaited once; then `close`, `broke` or `ended` where the answer is a stream, which has begun by then."""

    __slots__ = ("_asked_for", "_operation", "_pieces", "_wasted", "begun", "events")

    def __init__(self, call: Call, watch: Watch, upstreams: Upstreams, operation: Operation, asked: Asked) -> None:
        super().__init__(call, watch, upstreams)
        self._operation = operation
        self._asked_for = asked
        self._pieces: dict[Bound, dict[int, OperationAnswer]] = {}
        """What candidates have answered already of requests that they take in pieces."""
        self._wasted: list[tuple[AttemptRecord, Bound, Usage]] = []
        self.begun = b""
        """The first bytes of an answer that is a stream, as they go to the caller."""
        self.events: AnswerEvents | None = None
        """Of an answer that comes in events."""

    async def performed(self) -> tuple[OperationAnswer, AttemptRecord]:
        """The first answer that a candidate gives. Raises as `Asking.whole`."""
        timeouts, is_stream = self._route.timeouts, self._asked_for.stream

        async def ask(provider: Provider, request: ChatRequest, attempt: AttemptRecord) -> tuple[OperationAnswer, AttemptRecord]:
            if is_stream:
                self._watch.limit(timeouts.first_token, "first_token")
            else:
                self._watch.limit(timeouts.attempt, "attempt")
            answer = await self._whole(cast(Performer, provider), cast(OperationRequest, request), attempt)
            self._call.end_attempt(attempt, "completed", status=200)
            return answer, attempt

        try:
            answered = await self._ask(ask, self._open)
        except BaseException:
            self._bill_wasted(None)
            raise
        self._bill_wasted(self._call.bound)
        asked = self._asked
        assert asked is not None
        asked.took(answered[1].latency_ms, streamed=is_stream)
        if answered[0].stream is None:
            self.close()
        else:
            asked.answers(self._number)
        return answered

    def _open(self, bound: Bound, _provider: Provider, request: ChatRequest) -> OperationRequest:
        return OperationRequest(
            request.body,
            request.model,
            request.connect_seconds,
            request.traceparent,
            bound.cap or None,
            metadata=request.metadata,
            dropped=request.dropped,
            operation=self._operation.name,
            counts=isinstance(bound, UnitBound) and "token" in bound.tariffs,
            uploads=self._asked_for.uploads,
        )

    async def _whole(self, provider: Performer, request: OperationRequest, attempt: AttemptRecord) -> OperationAnswer:
        asked = unit_bound(self._call).asked
        if self._operation.name == "embeddings":
            pieces = pieces_of(asked, provider.capabilities.inputs_at_once(request.model))
            if len(pieces) > 1:
                return await self._in_pieces(provider, request, attempt, pieces)
        answer = await provider.perform(request)
        if asked.stream and answer.content_type.partition(";")[0] != EVENT_STREAM:
            answer = self._in_events(provider, asked, answer)
        if answer.stream is not None:
            try:
                if asked.stream:
                    attempt.status = 200
                    await self._first_event(provider.name, answer.stream, cast(Streamed, self._operation).events(asked))
                    return answer
                self.begun = await answer.stream.read()
                if not self.begun:
                    raise protocol_failure(provider.name, "no sound")
            except BaseException:
                answer.stream.close()
                raise
        return self._sound(provider, asked, answer)

    def _in_events(self, provider: Provider, asked: Asked, answer: OperationAnswer) -> OperationAnswer:
        """Of a provider that cannot stream, or not in events."""
        if answer.stream is not None:
            return OperationAnswer(b"", None, None, EVENT_STREAM, FoldedSpeech(answer.stream))
        told = cast(Streamed, self._operation).in_events(self._sound(provider, asked, answer))
        if told is None:
            raise protocol_failure(provider.name, "a whole answer where events were asked for")
        return OperationAnswer(b"", None, None, EVENT_STREAM, Bytes(told))

    async def _first_event(self, name: str, stream: StreamAnswer, events: AnswerEvents) -> None:
        while not events.started:
            data = await stream.read()
            try:
                self.begun = events.feed(data) if data else events.end()
            except EventTooLarge:
                raise protocol_failure(name, "an event without end") from None
            if events.error is not None:
                raise failure_from_error_body(name, status_of_error(events.error), events.error)
            if events.holds_too_much:
                raise protocol_failure(name, "events without end and no answer")
            if (events.done or not data) and not events.started:
                raise protocol_failure(name, "no answer")
        self.events = events

    def _sound(self, provider: Provider, asked: Asked, answer: OperationAnswer) -> OperationAnswer:
        fault = self._operation.fault(asked, answer)
        if fault is not None:
            if answer.stream is not None:
                answer.stream.close()
            failure = protocol_failure(provider.name, fault)
            failure.status = 200
            raise failure
        return answer

    async def _in_pieces(
        self, provider: Performer, request: OperationRequest, attempt: AttemptRecord, pieces: list[Asked]
    ) -> OperationAnswer:
        bound = self._call.bound
        assert bound is not None
        done = self._pieces.setdefault(bound, {})
        """Of an attempt before, where this candidate is asked again: nothing is asked for twice."""
        before = set(done)

        async def one(at: int) -> None:
            part = replace(request, body=pieces[at].body)
            try:
                done[at] = self._sound(provider, pieces[at], await provider.perform(part))
            finally:
                request.key_name = part.key_name or request.key_name

        left = [at for at in range(len(pieces)) if at not in done]
        request.sending()
        for start in range(0, len(left), PARALLEL):
            failed = [
                result
                for result in await asyncio.gather(*[one(at) for at in left[start : start + PARALLEL]], return_exceptions=True)
                if result is not None
            ]
            if failed:
                used = [done[at].usage for at in done if at not in before]
                self._wasted.append((attempt, bound, Usage(input=sum(usage.total_input for usage in used if usage is not None))))
                raise next((error for error in failed if not isinstance(error, UpstreamFailure)), failed[0])
        return joined([done[at] for at in range(len(pieces))])

    def _bill_wasted(self, answered: Bound | None) -> None:
        """Pieces that were answered by candidates that did not come to the end are billed by them all the same. Those of who did are a part
        of the answer."""
        call = self._call
        for attempt, bound, usage in self._wasted:
            if bound is not answered and usage.input and not any(bill.attempt is attempt for bill in call.lost):
                call.lost = (*call.lost, Bill(attempt, bound, attempt.model, usage, 0, None, 0, False))


def unit_bound(call: Call) -> UnitBound:
    """Of the candidate that is answering or was asked last."""
    bound = call.bound
    assert isinstance(bound, UnitBound)
    return bound
