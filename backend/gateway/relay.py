"""Passing a stream on, from the first token to its end. This is the loop that runs for every chunk: nothing is in it that need not be."""

import asyncio

import structlog

from backend.gateway.attempt import OpenedStream, stream_failure
from backend.gateway.progress import Progress
from backend.gateway.responses import EventWriter
from backend.gateway.watch import Watch
from backend.kernel.sse import EventTooLarge
from backend.providers.failures import UpstreamFailure, protocol_failure, reset_failure, timeout_failure
from backend.routing.route import Candidate, Route

log = structlog.get_logger(__name__)

AFTER_FINISH_SECONDS = 5.0
"""How long a finished answer waits for its usage and its end, when the provider keeps the connection open."""


async def relay(
    stream: OpenedStream, writer: EventWriter, watch: Watch, progress: Progress, route: Route, candidate: Candidate
) -> UpstreamFailure | None:
    """Send on what comes until the answer is complete, then return None; or return why it is not going to be.

    Raises:
        asyncio.CancelledError: the caller is gone, or the process is ending; `watch` knows which.
    """
    chunks, answer, write = stream.chunks, stream.answer, writer.write
    now = asyncio.get_running_loop().time
    watch.limit_idle(route.timeouts.idle)
    progress.begins(chunks)
    if stream.first:
        await write(stream.first)
    watch.last = now()
    waiting_for_the_end = False
    ended = stream.ended
    try:
        while not (ended or chunks.done or chunks.error is not None):
            if chunks.finished and not waiting_for_the_end:
                waiting_for_the_end = True
                watch.limit_idle(min(AFTER_FINISH_SECONDS, route.timeouts.idle))
            watch.waiting = True
            try:
                data = await answer.read()
            except UpstreamFailure:
                raise
            except Exception:
                # An answer that nobody foresaw is no reason not to ask somebody else.
                log.exception("provider.not_understood", provider=candidate.provider, model=candidate.model)
                raise protocol_failure(candidate.provider, "what could not be read") from None
            if data:
                out = chunks.feed(data)
            else:
                ended = True
                out = chunks.end()
            if chunks.estimated_output_tokens() >= progress.due:
                progress.tell()
            if out:
                await write(out)
            if chunks.heard:
                watch.last = now()
    except UpstreamFailure as failure:
        # The end of the body may be cut off by a server that says nothing more after its finish_reason.
        return None if chunks.complete else failure
    except EventTooLarge:
        return protocol_failure(candidate.provider, "an event without end")
    except asyncio.CancelledError:
        if watch.reason not in ("idle", "total"):
            raise
        reason = watch.expired()
        if reason is None:
            raise
        if chunks.complete:
            return None
        seconds = route.timeouts.idle if reason == "idle" else route.timeouts.total
        return timeout_failure(candidate.provider, "no data" if reason == "idle" else "no end of the answer", seconds)
    broken = stream_failure(candidate.provider, chunks, ended)
    return broken if broken is not None or chunks.complete else reset_failure(candidate.provider)
