"""One call that is no chat completion, top to bottom; the steps are chat's.

authenticate → gate → read → resolve → bound → limit → reserve → open → attempt → answer → settle
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from backend.gateway.attempt import CallerGone
from backend.gateway.call import Call, clean
from backend.gateway.facts import bourse_object, fact_lines
from backend.gateway.operations.asking import OperationAsking, unit_bound
from backend.gateway.operations.bounds import UnitBounder
from backend.gateway.operations.operation import Asked, Operation, Streamed
from backend.gateway.operations.settling import OperationSettler
from backend.gateway.operations.streaming import Broken, Passing
from backend.gateway.pipeline import Pipeline, seconds_left
from backend.gateway.progress import Progress
from backend.gateway.reserve import Reserver
from backend.gateway.responses import send_error, send_json
from backend.gateway.settle import CLIENT_CLOSED_STATUS
from backend.gateway.splicing import splice_facts
from backend.gateway.standing_headers import StandingHeaders
from backend.gateway.upstreams import Upstreams
from backend.gateway.watch import Looks, Watch
from backend.kernel.body import ClientDisconnected
from backend.kernel.errors import BourseError, InternalError, Restarting
from backend.kernel.header_lines import EXTENSION, pairs_of
from backend.kernel.request import GONE, Receive, Scope, Send
from backend.limits.limiter import Limiter
from backend.metering.service import MeteringService
from backend.routing.table import RouteTable


@dataclass(slots=True, kw_only=True)
class OperationPipeline:
    """Args:
    entrance: who asks, and the call's beginning, are the same as for chat.
    """

    entrance: Pipeline
    routes: RouteTable
    metering: MeteringService
    bounder: UnitBounder
    limiter: Limiter
    reserver: Reserver
    standing: StandingHeaders
    settler: OperationSettler
    upstreams: Upstreams
    looks: Looks = field(default_factory=Looks)

    async def answer(self, operation: Operation, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Whatever happens after the gate becomes one row of the ledger."""
        key = await self.entrance.enter(scope)
        call = self.entrance.begin(scope, key)
        call.record.endpoint = operation.name
        try:
            asked = await operation.read(scope, receive)
            self._take(call, asked)
            self._choose(call, asked.model)
            self.bounder.bound(call, operation, asked)
            await self._limit(call)
            self.metering.require_journal()
            await self.reserver.reserve(call)
            gone = scope.get(GONE)
            if gone is not None and gone():
                raise CallerGone  # while it waited for its turn
            self.entrance.open(call)
            await self._perform(call, operation, asked, scope, receive, send)
        except BourseError as error:
            self.settler.unanswered(call, "failed" if call.attempts else "refused", status=error.status, error_code=error.code)
            facts = pairs_of(fact_lines(call, overhead=None)) if call.attempts else []
            await send_error(send, error, [*facts, *self.standing.headers_beside(call, error)])
        except Broken:
            # An answer that is not ended is cut off by the server, and that is all that a caller can be told.
            return
        except (CallerGone, ClientDisconnected):
            self._given_up(call, "client_closed", status=CLIENT_CLOSED_STATUS)
        except asyncio.CancelledError:
            self._given_up(call, "interrupted", status=Restarting.status)
            raise
        except BaseException:
            self.settler.unanswered(call, "failed", status=InternalError.status, error_code=InternalError.code)
            raise

    @staticmethod
    def _take(call: Call, asked: Asked) -> None:
        record = call.record
        call.body = asked.body
        record.stream = asked.stream
        record.requested_model = clean(asked.model)
        record.end_user = clean(asked.end_user) if asked.end_user is not None else None
        if call.key.end_users is not None:
            end_user = call.end_user = call.key.end_user(asked.end_user)
            record.end_user = end_user.name
            if end_user.terms.limit_nano is not None:
                call.payer = end_user

    def _choose(self, call: Call, model: str) -> None:
        """The route and who of it may answer; its rules about classes of work are for chat, and none of those fits."""
        route = call.route = self.routes.resolve(model, call.key)
        call.record.route = clean(route.name)
        if route.rules:
            call.candidates, call.by_price = self.routes.choose(route, call.key, None)
        else:
            call.candidates, call.by_price = self.routes.order(route), route.by_price

    async def _limit(self, call: Call) -> None:
        most = max(bound.tokens for bound in call.bounds)
        call.admission = await self.limiter.admit(call.key, most, lambda: self.bounder.tokens(call), call.end_user)

    def _given_up(self, call: Call, outcome: str, *, status: int) -> None:
        """The caller went away, or this process is ending, before anything was delivered."""
        if call.accepted:
            self.settler.cut(call, call.attempts[-1], None, 0, outcome, status=status)
        else:
            self.settler.unanswered(call, outcome, status=status)

    async def _perform(self, call: Call, operation: Operation, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        watch = Watch(receive, total=seconds_left(call), looks=self.looks)
        watch.at_look = Progress(call, self.settler).look
        asking = OperationAsking(call, watch, self.upstreams.of(call.key.tenant_id), operation, asked)
        try:
            answer, attempt = await asking.performed()
            bound = unit_bound(call)
            asked = bound.asked
            if asking.events is None:
                bound.metered = bound.meter(operation.used(asked, answer), call.created_at)
            else:
                call.answered_by(asking.events.model)
            call.answered_by(answer.value.get("model") if answer.value is not None else None)
            if answer.stream is not None:
                watch.recheck(lambda: self.entrance.authenticate(scope))
                overhead = call.overhead
                passing = Passing(
                    call,
                    asking,
                    answer.stream,
                    watch,
                    self.settler,
                    send,
                    lambda: [fact_lines(call, overhead=overhead), *self.standing.lines(call)],
                    lambda: _facts(call) if call.with_facts else None,
                )
                if asking.events is not None:
                    await passing.events(cast(Streamed, operation), asked, asking.events)
                else:
                    await passing.sound(operation, asked, answer)
                return
        finally:
            watch.stop()
            asking.close()
        overhead = call.overhead
        self.settler.completed(call, attempt, None)
        lines = [fact_lines(call, overhead=overhead), *self.standing.lines(call)]
        if answer.value is None:
            await _send_bytes(send, answer.body, answer.content_type, lines)
        else:
            body = splice_facts(answer.body, _facts(call)) if call.with_facts else answer.body
            await send_json(send, 200, body, lines=lines)


def _facts(call: Call) -> dict[str, Any]:
    facts = bourse_object(call)
    if call.record.unit is not None:
        facts["unit"], facts["quantity"] = call.record.unit, call.record.quantity
    return facts


async def _send_bytes(send: Send, body: bytes, content_type: str, lines: Any) -> None:
    framing = ((b"content-type", content_type.encode("latin-1", "replace")), (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": framing, EXTENSION: lines})
    await send({"type": "http.response.body", "body": body})
