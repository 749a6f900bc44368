"""One chat completion, top to bottom. Each step is a small module; what is not built yet has its place here and no code.

    authenticate → gate → read → resolve → bound → limit → (guard) → cache → reserve → open → attempt → relay → settle

The key comes before the body, other than in the design's list: it is in the headers and costs no I/O, and so nobody without one can make
us read 20 MiB.
"""

import asyncio
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import parse_qsl

from backend.gateway.attempt import Asking, CallerGone, OpenedStream
from backend.gateway.bounds import Bounder
from backend.gateway.cache.prompt_cache import PromptCache
from backend.gateway.call import Call, clean
from backend.gateway.chat_body import check_chat_body
from backend.gateway.estimate import estimated_answer_tokens
from backend.gateway.facts import bourse_object, fact_lines
from backend.gateway.load.gate import STRANGERS, Gate
from backend.gateway.progress import Progress
from backend.gateway.recovery import Delivery, may_recover
from backend.gateway.reserve import Reserver
from backend.gateway.responses import EventWriter, send_error, send_json
from backend.gateway.selecting import Selector
from backend.gateway.settle import CLIENT_CLOSED_STATUS, Settler
from backend.gateway.splicing import splice_facts
from backend.gateway.standing_headers import StandingHeaders
from backend.gateway.upstreams import Upstreams
from backend.gateway.watch import STALL_SECONDS, Looks, Watch
from backend.identity.snapshot import AuthSnapshot, KeyRecord
from backend.kernel.body import ClientDisconnected, read_body
from backend.kernel.clock import Clock
from backend.kernel.errors import BourseError, InternalError, Restarting, UpstreamTimeout
from backend.kernel.header_lines import pairs_of
from backend.kernel.ids import new_id
from backend.kernel.json import parse_json
from backend.kernel.request import GONE, Receive, RequestContext, Scope, Send, header
from backend.limits.limiter import Limiter
from backend.metering.record import CallRecord
from backend.metering.service import MeteringService

ENTERED = "bourse.entered"
"""In the scope of a request that has passed the gate already: its key."""
SPOKEN = "bourse.spoken"
"""In the scope of a request in another protocol than chat's: its `Spoken`."""
LAST_WORD_SECONDS = 0.5
"""How long the process, told to end, waits for a caller to take the news of it."""


class Spoken(Protocol):
    """A request in another protocol. Whoever puts it into the scope translates what is sent, too."""

    @property
    def endpoint(self) -> str:
        """In the ledger."""
        ...

    async def read(self, key: KeyRecord, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The chat body that the request's body means.

        Raises:
            BourseError: none. ClientDisconnected: the caller hung up.
        """
        ...

    def own_name(self, field: str) -> str:
        """What the caller calls a field of the chat body."""
        ...


class Pipeline:
    def __init__(
        self,
        *,
        clock: Clock,
        auth: AuthSnapshot,
        selector: Selector,
        metering: MeteringService,
        bounder: Bounder,
        limiter: Limiter,
        cache: PromptCache,
        reserver: Reserver,
        standing: StandingHeaders,
        settler: Settler,
        upstreams: Upstreams,
        gate: Gate,
    ) -> None:
        self._clock = clock
        self._auth = auth
        self._selector = selector
        self._metering = metering
        self._bounder = bounder
        self._limiter = limiter
        self._cache = cache
        self._reserver = reserver
        self._standing = standing
        self._settler = settler
        self._upstreams = upstreams
        self._gate = gate
        self._looks = Looks()

    def authenticate(self, scope: Scope) -> KeyRecord:
        context: RequestContext = scope["bourse"]
        key = self._auth.authenticate(header(scope, b"authorization"), address=context.address)
        context.tenant_id, context.user_id = key.tenant_id, key.user_id
        return key

    async def enter(self, scope: Scope) -> KeyRecord:
        """Who asks, once it is his turn.

        Raises:
            Overloaded: it will not be.
        """
        entered: KeyRecord | None = scope.get(ENTERED)
        if entered is not None:
            return entered
        try:
            key = self.authenticate(scope)
        except BourseError:
            if not self._gate.passes(STRANGERS):
                await self._gate.wait(None)
            raise
        if not self._gate.passes(key.tenant_id):
            await self._gate.wait(key)
        return key

    async def chat_completion(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/chat/completions`. From here on, whatever happens becomes one row of the ledger, but for
        calls that the gate turns away: their number has no bound."""
        key = await self.enter(scope)
        call = self.begin(scope, key)
        try:
            await self._read(call, scope, receive)
            self._selector.select(call, scope)
            self._bounder.bound(call)
            await self._limit(call)
            self._metering.require_journal()
            assert call.route is not None
            if call.route.cache_seconds and await self._cache.answered(call, scope, receive, send):
                return
            await self._reserver.reserve(call)
            gone = scope.get(GONE)
            if gone is not None and gone():
                raise CallerGone  # while it waited for its turn
            self.open(call)
            if call.record.stream:
                await self._stream(call, scope, receive, send)
            else:
                await self._whole(call, receive, send)
        except BourseError as error:
            outcome = "failed" if call.attempts else "refused"
            self._settler.unanswered(call, outcome, status=error.status, error_code=error.code)
            facts = pairs_of(fact_lines(call, overhead=None)) if call.attempts else []
            await send_error(send, error, [*facts, *self._standing.headers_beside(call, error)])
        except (CallerGone, ClientDisconnected):
            self._given_up(call, "client_closed", status=CLIENT_CLOSED_STATUS)
        except asyncio.CancelledError:
            # The process is ending; the front door tells a caller that has heard nothing yet.
            self._given_up(call, "interrupted", status=Restarting.status)
            raise
        except BaseException:
            # Nobody foresaw it: the row must not be missing, and the front door says the rest.
            self._settler.unanswered(call, "failed", status=InternalError.status, error_code=InternalError.code)
            raise
        finally:
            if call.keeping is not None:
                call.keeping.close()

    def begin(self, scope: Scope, key: KeyRecord) -> Call:
        """The call, and its row in the making."""
        context: RequestContext = scope["bourse"]
        now = self._clock.now()
        record = CallRecord(
            id=new_id("event"),
            request_id=context.request_id,
            tenant_id=key.tenant_id,
            user_id=key.user_id,
            key_id=key.key_id,
            endpoint=scope[SPOKEN].endpoint if SPOKEN in scope else "chat.completions",
            created_us=int(now.timestamp() * 1_000_000),
            tags=key.tags,
        )
        with_facts = not key.plain_bodies
        if with_facts and scope["query_string"]:
            with_facts = ("bourse", "0") not in parse_qsl(scope["query_string"].decode("latin-1"))
        spans = self._settler.measure.spans
        tried = spans.begin(context) if spans is not None else None
        return Call(context=context, key=key, payer=key, record=record, created_at=now, with_facts=with_facts, tried=tried)

    async def _read(self, call: Call, scope: Scope, receive: Receive) -> None:
        spoken: Spoken | None = scope.get(SPOKEN)
        if spoken is None:
            body = parse_json(await read_body(scope, receive))
        else:
            body, call.own_name = await spoken.read(call.key, scope, receive), spoken.own_name
        facts = check_chat_body(body)
        record = call.record
        call.body = body
        call.wants_usage = facts.wants_usage
        record.stream = facts.stream
        record.requested_model = clean(facts.model)
        record.end_user = clean(facts.end_user) if facts.end_user is not None else None
        if call.key.end_users is not None:
            self._name_end_user(call, facts.end_user)

    @staticmethod
    def _name_end_user(call: Call, name: str | None) -> None:
        """The key limits each of its end users: who asks has an account of his own."""
        end_user = call.end_user = call.key.end_user(name)
        call.record.end_user = end_user.name
        if end_user.terms.limit_nano is not None:
            call.payer = end_user

    async def _limit(self, call: Call) -> None:
        most = max([bound.tokens for bound in call.bounds])
        call.admission = await self._limiter.admit(call.key, most, lambda: self._bounder.tokens(call), call.end_user)
        if call.admission.soft_quota is not None:
            self._selector.hand_over(call)

    def open(self, call: Call) -> None:
        """Into the journal, with the candidate that is asked first, before anything can cost money."""
        record, first = call.record, call.bounds[0].candidate
        if call.reservation is not None:
            record.reservations = call.reservation.held
        record.provider, record.model, record.offer_id = first.provider, clean(first.model), clean(first.offer_id)
        call.ticket = self._metering.open_call(record)

    async def _whole(self, call: Call, receive: Receive, send: Send) -> None:
        assert call.route is not None
        watch = Watch(receive, total=seconds_left(call), looks=self._looks)
        watch.at_look = Progress(call, self._settler).look
        try:
            answer, attempt = await Asking(call, watch, self._upstreams.of(call.key.tenant_id)).whole()
        finally:
            watch.stop()
        value = answer.value
        call.answered_by(value.get("model"))
        tier = value.get("service_tier")
        call.service_tier = tier if isinstance(tier, str) else None
        overhead = call.overhead
        output = 0 if answer.usage is not None else estimated_answer_tokens(value)
        usage = self._settler.completed(call, attempt, answer.usage, estimated_output=output)
        if call.keeping is not None:
            call.keeping.whole(value, answer.body, usage)
        try:
            if self._gate.is_crowded(call.key.tenant_id):
                await self._gate.go_on(call.key.tenant_id)
        finally:
            # It is paid for, so a process that ends hands it out first.
            body = splice_facts(answer.body, bourse_object(call)) if call.with_facts else answer.body
            await send_json(send, 200, body, lines=[fact_lines(call, overhead=overhead), *self._standing.lines(call)])

    def _given_up(self, call: Call, outcome: str, *, status: int) -> None:
        """The caller went away, or this process is ending, before anything was delivered."""
        if call.accepted:
            self._settler.cut(call, call.attempts[-1], None, 0, outcome, status=status)
        else:
            self._settler.unanswered(call, outcome, status=status)

    async def _stream(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        assert call.route is not None
        waited = call.upstream_seconds
        watch = Watch(receive, total=seconds_left(call), looks=self._looks, silent_for=waited)
        events = EventWriter if call.keeping is None else call.keeping.writer
        writer = events(send, watch, lambda: [fact_lines(call, overhead=call.overhead), *self._standing.lines(call)])
        progress = Progress(call, self._settler)
        watch.at_look = progress.look
        upstreams = self._upstreams.of(call.key.tenant_id)
        asking = Asking(call, watch, upstreams)
        try:
            call.keeps_text = call.route.recover and may_recover(call.body)
            stream = await asking.stream()
            watch.recheck(lambda: self.authenticate(scope))
            try:
                await self._relay(call, asking, stream, writer, watch, progress)
            finally:
                stream.answer.close()
        except BourseError as error:
            if not writer.started:
                raise
            watch.stop()
            # A keep-alive has gone out under 200 while the candidates were asked.
            self._settler.unanswered(call, "failed", status=200, error_code=error.code)
            await writer.fail(error)
        except CallerGone:
            raise
        except asyncio.CancelledError:
            # The process is ending.
            watch.stop()
            if writer.started:
                await writer.fail(Restarting(retry_after=1), seconds=LAST_WORD_SECONDS)
            raise
        except Exception:
            # A mistake of ours is no reason to end in silence either.
            watch.stop()
            if writer.started:
                await writer.fail(InternalError(f"Something went wrong on our side. Quote request {call.context.request_id}."))
            raise
        finally:
            asking.close()
            watch.stop()
            writer.close()

    async def _relay(self, call: Call, asking: Asking, stream: OpenedStream, writer: EventWriter, watch: Watch, progress: Progress) -> None:
        record = call.record
        call.answered_by(stream.chunks.model)
        call.service_tier = stream.chunks.service_tier
        record.first_token_ms = round(call.elapsed * 1000)
        stream.attempt.first_token_ms = stream.attempt.latency_ms
        record.overhead_us = round(call.overhead * 1_000_000)
        delivery = Delivery(call, asking, self._upstreams.of(call.key.tenant_id).providers, stream, writer, watch, progress)
        try:
            failure = await delivery.run()
        except (asyncio.CancelledError, CallerGone, BourseError):
            reason, refusal = watch.expired(), watch.refusal
            outcome = "client_closed" if reason is not None and refusal is None else "interrupted"
            self._cut(call, delivery, outcome, refusal)
            if reason is None:
                raise
            if refusal is None:
                return
            # The watch is over, so nothing would end a wait for a caller that does not read.
            with suppress(TimeoutError):
                async with asyncio.timeout(STALL_SECONDS):
                    await writer.fail(refusal)
            return
        except Exception:
            # A mistake of ours; what was delivered was delivered.
            self._cut(call, delivery, "failed", InternalError())
            raise
        watch.stop()
        if failure is not None:
            self._cut(call, delivery, "failed", failure)
            await writer.fail(failure)
            return
        answer, chunks, attempt = delivery.stream.answer, delivery.stream.chunks, delivery.stream.attempt
        call.service_tier = chunks.service_tier
        # The provider's connection goes first: the caller may take a minute for its last bytes.
        if chunks.overrun:
            answer.close()
        try:
            usage = self._settler.completed(
                call, attempt, chunks.usage, estimated_output=chunks.uncounted_output_tokens(), overrun=chunks.overrun
            )
        except BaseException:
            answer.close()
            raise
        if not chunks.overrun:
            answer.release()
        closing = chunks.closing(usage, bourse_object(call) if call.with_facts else None)
        if call.keeping is not None:
            call.keeping.stream(closing, usage)
        await writer.finish(closing)

    def _cut(self, call: Call, delivery: Delivery, outcome: str, error: BourseError | None) -> None:
        """The caller has a part of the answer, and is not going to get the rest."""
        stream, last = delivery.stream, call.attempts[-1]
        stream.answer.close()
        is_last = stream.attempt is last
        usage, tokens = (stream.chunks.usage, stream.chunks.uncounted_output_tokens()) if is_last else (None, 0)
        self._settler.cut(call, last, usage, tokens, outcome, status=200, error=error)


def seconds_left(call: Call) -> float:
    """Of the time that the route gives the whole call: waiting for a turn, for limits and for another's answer is a part of it.

    Raises:
        UpstreamTimeout: none.
    """
    assert call.route is not None
    total = call.route.timeouts.total
    left = total - call.elapsed
    if left <= 0:
        raise UpstreamTimeout(f"No answer within the route's {total:g} s.")
    return left
