"""One answer on its way to the caller, over as many upstream streams as it takes.

When a stream breaks after the caller has a part of it, somebody else goes on: first whoever is declared to go on from a trailing
assistant message (*prefill*), then whoever says the same again (*repeat*), see `seam`, which keeps the texts of two answers apart. Where
nobody does, the caller is told by one error event; what it has is what it is charged for.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend.gateway.attempt import Asking, OpenedStream, Opener, Willing
from backend.gateway.bounds import Bound
from backend.gateway.call import Call
from backend.gateway.chat_body import must_be_structured
from backend.gateway.progress import Progress
from backend.gateway.relay import relay
from backend.gateway.responses import EventWriter
from backend.gateway.seam import Continuation, Delivered, Repeat
from backend.gateway.watch import Watch
from backend.kernel.errors import BourseError
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest, Provider


def may_recover(body: Mapping[str, Any]) -> bool:
    """Whether an answer to this can be gone on with at all: one choice, and nothing but texts in it.

    Log probabilities belong to one model's run, and sound cannot be compared.
    """
    return not ((body.get("n") or 1) != 1 or body.get("logprobs") or body.get("top_logprobs") or body.get("audio"))


class Delivery:
    """Made with the call's first opened stream, whose text `call.keeps_text` has kept if the route recovers."""

    __slots__ = ("_asking", "_call", "_delivered", "_no_prefill", "_no_repeat", "_progress", "_providers", "_watch", "_writer", "stream")

    def __init__(
        self,
        call: Call,
        asking: Asking,
        providers: Mapping[str, Provider],
        stream: OpenedStream,
        writer: EventWriter,
        watch: Watch,
        progress: Progress,
    ) -> None:
        self._call = call
        self._asking = asking
        self._providers = providers
        self._writer = writer
        self._watch = watch
        self._progress = progress
        self._delivered: Delivered | None = None
        self._no_prefill: set[Bound] = set()
        self._no_repeat: set[Bound] = set()
        self.stream = stream
        """The one that was opened last."""

    async def run(self) -> BourseError | None:
        """Send on what comes until the answer is complete, and return None; or return why it is not going to be.

        Raises:
            CallerGone, asyncio.CancelledError, BourseError: the caller is gone, the process is ending, or the key is good no more; the
                watch knows which.
        """
        asking = self._asking
        try:
            failure = await self._relayed()
            told = failure
            while failure is not None and self._may_go_on(failure):
                if not self.stream.chunks.behind:
                    told = failure
                self._broke(failure)
                opened = await self._reopen()
                if opened is None:
                    break
                self._took_over(opened)
                failure = await self._relayed()
            if failure is not None:
                asking.ended(failure if self._watch.reason in (None, "idle") else None)
        finally:
            # Whoever answers has nothing to do with it any more; the caller may take a minute for its last bytes.
            asking.close()
        # What broke the answer is what the caller is told; that nobody could go on with it is no news beside that.
        return told.error if failure is not None and told is not None else None

    async def _relayed(self) -> UpstreamFailure | None:
        call, chunks = self._call, self.stream.chunks
        assert call.route is not None
        assert call.candidate is not None
        failure = await relay(self.stream, self._writer, self._watch, self._progress, call.route, call.candidate)
        call.malformed += chunks.malformed
        return failure

    def _may_go_on(self, failure: UpstreamFailure) -> bool:
        chunks = self.stream.chunks
        if not failure.elsewhere or self._watch.reason not in (None, "idle"):
            return False
        return chunks.behind or (chunks.kept is not None and chunks.has_one_choice)

    def _broke(self, failure: UpstreamFailure) -> None:
        """The stream is over; what of it the caller has is where the next one goes on."""
        call, stream = self._call, self.stream
        chunks = stream.chunks
        stream.answer.close()
        if self._watch.reason == "idle":
            self._watch.reason = None
        call.service_tier = chunks.service_tier
        self._asking.broke(failure)
        bill = call.lose(chunks.usage, chunks.uncounted_output_tokens())
        if failure.kind == "differs" and not call.prefilled:
            assert call.bound is not None
            self._no_repeat.add(call.bound)
        if not chunks.behind:
            call.delivered = bill
            self._delivered = self._all_delivered()
        self._progress.breaks()

    def _all_delivered(self) -> Delivered:
        chunks, seam = self.stream.chunks, self._call.seam
        later = Delivered(chunks.kept or (), chunks.identity)
        if isinstance(seam, Continuation) and self._delivered is not None and self._call.continues:
            return self._delivered.and_then(later, without=seam.trimmed)
        return later

    async def _reopen(self) -> OpenedStream | None:
        """The next stream that brings a token; whether it goes on where the other broke is not known yet."""
        delivered = self._delivered
        assert delivered is not None
        may_be_prefilled = delivered.is_plain and delivered.text.strip() and not must_be_structured(self._call.body)
        ways: list[tuple[Opener, Willing]] = [(self._repeat, lambda bound: bound not in self._no_repeat)]
        if may_be_prefilled:
            ways.insert(0, (self._prefill, self._prefills))
        for way, willing in ways:
            try:
                return await self._asking.stream(way, willing)
            except BourseError:
                if self._watch.refusal is not None:
                    raise
                if self._watch.reason is not None:
                    return None
        return None

    def _prefills(self, bound: Bound) -> bool:
        """Whether the candidate says that it goes on from a trailing assistant message, and has not shown otherwise."""
        candidate = bound.candidate
        provider = self._providers.get(candidate.provider)
        if provider is None or bound in self._no_prefill:
            return False
        return provider.capabilities.takes_prefill(candidate.model) if candidate.prefill is None else candidate.prefill

    def _prefill(self, bound: Bound, provider: Provider, request: ChatRequest) -> ChatRequest:
        call, delivered = self._call, self._delivered
        assert delivered is not None
        self._no_prefill.add(bound)
        tokens = self._delivered_tokens()
        text = delivered.text.rstrip() if provider.capabilities.trims_prefill else delivered.text
        call.prefilled, call.continues, call.seam = tokens, False, Continuation(delivered, text, lambda: self._goes_on(True))
        messages = [*call.body["messages"], {"role": "assistant", "content": text}]
        cap = max(1, request.cap - tokens) if request.cap is not None else None
        return replace(request, body={**request.body, "messages": messages}, cap=cap)

    def _repeat(self, bound: Bound, provider: Provider, request: ChatRequest) -> ChatRequest:  # noqa: ARG002 - an opener
        call, delivered = self._call, self._delivered
        assert delivered is not None
        call.prefilled, call.continues, call.seam = 0, False, Repeat(delivered, lambda: self._goes_on(False))
        return request

    def _delivered_tokens(self) -> int:
        bill = self._call.delivered
        assert bill is not None
        counted = bill.usage.total_output if bill.usage is not None else 0
        return max(bill.tokens, counted) + (bill.prefilled if bill.continues else 0)

    def _goes_on(self, continues: bool) -> None:
        """What comes from now on is new to the caller: it has one answer, and this attempt is the one that gives it."""
        call = self._call
        call.delivered = None
        call.continues = continues
        call.record.recovered = call.attempts[-1].recovered = "prefill" if continues else "repeat"

    def _took_over(self, opened: OpenedStream) -> None:
        call = self._call
        self.stream = opened
        call.answered_by(opened.chunks.model)
        call.service_tier = opened.chunks.service_tier
        opened.attempt.first_token_ms = opened.attempt.latency_ms
