"""Passing on an answer that comes bit by bit: sound as it is, all else in events. Once it has begun nobody else can go on with it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backend.gateway.attempt import CallerGone
from backend.gateway.call import Call
from backend.gateway.operations.asking import OperationAsking, unit_bound
from backend.gateway.operations.operation import AnswerEvents, Asked, Operation, Streamed
from backend.gateway.operations.settling import OperationSettler
from backend.gateway.pipeline import LAST_WORD_SECONDS
from backend.gateway.relay import AFTER_FINISH_SECONDS
from backend.gateway.responses import EventWriter
from backend.gateway.watch import STALL_SECONDS, Watch
from backend.kernel.errors import Restarting
from backend.kernel.header_lines import EXTENSION, Lines
from backend.kernel.request import Send
from backend.kernel.sse import EventTooLarge
from backend.providers.failures import (
    UpstreamFailure,
    failure_from_error_body,
    protocol_failure,
    reset_failure,
    status_of_error,
    timeout_failure,
)
from backend.providers.provider import OperationAnswer, StreamAnswer


class Broken(Exception):
    """An answer that the caller has a part of is not going to be completed, and that cannot be said in it. It is settled."""


@dataclass(slots=True)
class Passing:
    """One answer that has begun.

    Args:
        head: what is told beside it.
        facts: what is told at the end of events; called once the call is settled.
    """

    call: Call
    asking: OperationAsking
    stream: StreamAnswer
    watch: Watch
    settler: OperationSettler
    send: Send
    head: Callable[[], list[Lines]]
    facts: Callable[[], dict[str, Any] | None]

    async def sound(self, operation: Operation, asked: Asked, answer: OperationAnswer) -> None:
        """Raises Broken, CallerGone: it did not come to its end."""
        call, watch, stream = self.call, self.watch, self.stream
        now = self._begin()
        ended = False
        try:
            data = self.asking.begun
            head = ((b"content-type", answer.content_type.encode("latin-1", "replace")),)
            await self.send({"type": "http.response.start", "status": 200, "headers": head, EXTENSION: self.head()})
            while data:
                watch.waiting, watch.last = False, now()
                await self.send({"type": "http.response.body", "body": data, "more_body": True})
                watch.waiting, watch.last = True, now()
                data = await stream.read()
            ended = True
        except UpstreamFailure as failure:
            self._fails_midway(failure)
        except asyncio.CancelledError:
            late = self._late()
            if late is not None:
                self._fails_midway(late)
            outcome = "client_closed" if watch.reason is not None and watch.refusal is None else "interrupted"
            self.settler.cut(call, call.attempts[-1], None, 0, outcome, status=200)
            if watch.reason is None:
                raise
            raise CallerGone from None
        finally:
            if not ended:
                stream.close()
        watch.stop()
        stream.release()
        if answer.counted is not None:
            bound, answer.usage = unit_bound(call), answer.counted()
            bound.metered = bound.meter(operation.used(asked, answer), call.created_at)
        self.settler.completed(call, call.attempts[-1], None)
        with suppress(TimeoutError):
            async with asyncio.timeout(STALL_SECONDS):
                await self.send({"type": "http.response.body", "body": b""})

    async def events(self, operation: Streamed, asked: Asked, events: AnswerEvents) -> None:
        """Raises CallerGone: he did not stay to the end. All else is told in an event."""
        call, watch = self.call, self.watch
        writer = EventWriter(self.send, watch, self.head)
        bound = unit_bound(call)

        def meter() -> None:
            bound.metered = bound.meter(operation.streamed(asked, events), call.created_at)

        def tell() -> None:
            meter()
            self.settler.progress(call, None, 0, begun=True)

        watch.at_look = tell
        try:
            failure = await self._relay(events, writer)
        except asyncio.CancelledError:
            meter()
            gone = watch.reason is not None and watch.refusal is None
            self.settler.cut(call, call.attempts[-1], None, 0, "client_closed" if gone else "interrupted", status=200)
            if watch.refusal is not None:
                await writer.fail(watch.refusal)
                return
            if gone:
                raise CallerGone from None
            await writer.fail(Restarting(retry_after=1), seconds=LAST_WORD_SECONDS)
            raise
        finally:
            self.stream.close()
            writer.close()
        watch.stop()
        meter()
        if failure is not None:
            self.asking.broke(failure)
            if events.paid_in_parts:
                self.settler.cut(call, call.attempts[-1], None, 0, "failed", status=200, error=failure.error)
            else:
                self.settler.failed_midway(call, failure.error)
            await writer.fail(failure.error)
            return
        usage = self.settler.completed(call, call.attempts[-1], None, overrun=events.overrun)
        await writer.finish(events.closing(usage, self.facts()))

    async def _relay(self, events: AnswerEvents, writer: EventWriter) -> UpstreamFailure | None:
        """Send on what comes until the answer is complete, then return None; or return why it is not going to be."""
        assert self.call.route is not None
        watch, name, idle, now = self.watch, self._name, self.call.route.timeouts.idle, self._begin()
        ended = finished = False
        try:
            if self.asking.begun:
                await writer.write(self.asking.begun)
            watch.last = now()
            while not (ended or events.done):
                watch.waiting = True
                data = await self.stream.read()
                ended = not data
                out = events.end() if ended else events.feed(data)
                if out:
                    await writer.write(out)
                if events.complete and not finished:
                    finished = True
                    watch.limit_idle(min(AFTER_FINISH_SECONDS, idle))
                watch.last = now()
        except UpstreamFailure as failure:
            return None if events.complete else failure
        except EventTooLarge:
            return protocol_failure(name, "an event without end")
        except asyncio.CancelledError:
            late = self._late()
            if late is None:
                raise
            return None if events.complete else late
        if events.error is not None:
            return failure_from_error_body(name, status_of_error(events.error), events.error)
        if events.complete and not events.overrun:
            self.stream.release()
        return None if events.complete else reset_failure(name)

    @property
    def _name(self) -> str:
        assert self.call.candidate is not None
        return self.call.candidate.provider

    def _begin(self) -> Callable[[], float]:
        """The first of it is here; returns the loop's clock."""
        call = self.call
        assert call.route is not None
        call.record.first_token_ms = round(call.elapsed * 1000)
        call.attempts[-1].first_token_ms = call.attempts[-1].latency_ms
        call.record.overhead_us = round(call.overhead * 1_000_000)
        self.watch.limit_idle(call.route.timeouts.idle)
        return asyncio.get_running_loop().time

    def _late(self) -> UpstreamFailure | None:
        """In `except CancelledError`: the failure where a limit of ours has passed. None: somebody wants it to end, and `watch.reason` says
        who, or nobody of ours."""
        assert self.call.route is not None
        timeouts, reason = self.call.route.timeouts, self.watch.expired()
        if reason == "idle":
            return timeout_failure(self._name, "no data", timeouts.idle)
        return timeout_failure(self._name, "no end of the answer", timeouts.total) if reason == "total" else None

    def _fails_midway(self, failure: UpstreamFailure) -> None:
        self.asking.broke(failure)
        self.settler.failed_midway(self.call, failure.error)
        raise Broken from None
