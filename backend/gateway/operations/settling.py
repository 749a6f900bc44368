"""The end of a call that is no chat: as for chat, in the unit that it is priced in."""

from typing import Any

import structlog

from backend.gateway.bill import bill_lost, usage_facts
from backend.gateway.call import Call
from backend.gateway.measure import Measure
from backend.gateway.operations.bounds import UnitBound
from backend.gateway.operations.operation import Metered
from backend.gateway.settle import Settler
from backend.kernel.errors import BourseError
from backend.metering.journal import Ticket
from backend.metering.record import AttemptRecord, token_columns
from backend.metering.service import MeteringService
from backend.observability.metrics import Metrics
from backend.pricing.cost import Cost
from backend.pricing.usage import Usage

log = structlog.get_logger(__name__)


class OperationSettler(Settler):
    """What an answer used is in its bound, `metered`. A call that was taken on and ends without an answer has used all that it asked for:
    its provider does not do half of it."""

    def __init__(self, metering: MeteringService, metrics: Metrics, measure: Measure) -> None:
        super().__init__(metering, metrics)
        self.measure = measure

    def failed_midway(self, call: Call, error: BourseError) -> None:
        """A stream broke whose beginning the caller has: what its provider bills is our loss."""
        bound = call.bound
        assert isinstance(bound, UnitBound)
        call.attempts[-1].status = 200
        if not any(bill.attempt is call.attempts[-1] for bill in call.lost):
            call.lose(_expected(bound, call).usage, 0)
        self.unanswered(call, "failed", status=200, error_code=error.code)

    def progress(self, call: Call, usage: Usage | None, delivered_tokens: int, *, begun: bool) -> None:  # noqa: ARG002
        if call.settled or call.ticket is None or not isinstance(call.bound, UnitBound):
            return
        try:
            self._tell(call, call.bound, call.ticket)
        except Exception:
            log.exception("journal.progress_failed", call=call.record.id)

    def _tell(self, call: Call, bound: UnitBound, ticket: Ticket) -> None:
        record = call.record
        columns: dict[str, Any] = {
            "provider": record.provider,
            "model": record.model,
            "offer_id": record.offer_id,
            "latency_ms": round(call.elapsed * 1000),
            "overhead_us": record.overhead_us,
        }
        facts: dict[str, Any] = {}
        if call.accepted:
            metered, cost = self._reckoned(call, bound)
            columns |= token_columns(metered.usage, metered.source) | unit_columns(metered)
            facts = _facts(metered)
            if cost is not None:
                columns |= {"provider_cost_nano": cost.nano, "charged_nano": cost.nano, "price_state": cost.state}
                columns["price_ids"] = tuple(dict.fromkeys(cost.price_ids))
        else:
            columns |= token_columns(Usage(), "none") | {"charged_nano": 0}
        self._metering.progress(record, call.attempts, columns, facts, ticket)

    def _charge(self, call: Call, attempt: AttemptRecord, usage: Usage | None, estimated_output: int) -> Usage:  # noqa: ARG002
        bound, record = call.bound, call.record
        assert isinstance(bound, UnitBound)
        metered, cost = self._reckoned(call, bound)
        attempt.usage = _facts(metered)
        if cost is not None:
            record.provider_cost_nano = attempt.provider_cost_nano = cost.nano
            attempt.price_ids = tuple(dict.fromkeys(cost.price_ids))
        if call.request is not None and call.request.reported_nano is not None:
            self._compare(attempt, call.request.reported_nano, is_counted=metered.source == "provider" and cost is not None)
        self._charge_caller(call, metered.usage, cost, metered.source)
        for name, value in unit_columns(metered).items():
            setattr(record, name, value)
        return metered.usage

    def _finish(self, call: Call, outcome: str) -> None:
        if call.lost and not call.settled:
            for bill in call.lost:
                if isinstance(bill.bound, UnitBound):
                    expected = _expected(bill.bound, call)
                    bill.bound.card = bill.bound.tariffs.get(expected.unit, bill.bound.card)
                    if bill.usage is None:
                        bill.usage = expected.usage
            bill_lost(call)
        super()._finish(call, outcome)

    @staticmethod
    def _reckoned(call: Call, bound: UnitBound) -> tuple[Metered, Cost | None]:
        metered = bound.metered or _expected(bound, call)
        cost = bound.cost(metered, call.created_at)
        reserved = call.reservation.amount if call.reservation is not None else None
        if cost is not None and metered.source == "estimated" and reserved is not None and cost.nano > reserved:
            cost = cost._replace(nano=reserved)
        return metered, cost


def unit_columns(metered: Metered) -> dict[str, Any]:
    """The columns of a call's row that say what it used where that is not tokens."""
    if metered.unit == "token":
        return {"unit": None, "quantity": 0}
    # To the millisecond, as rollups add it up.
    return {"unit": metered.unit, "quantity": round(metered.quantity, 3)}


def _expected(bound: UnitBound, call: Call) -> Metered:
    return bound.meter(bound.operation.used(bound.asked, None), call.created_at)


def _facts(metered: Metered) -> dict[str, Any]:
    facts: dict[str, Any] = dict(usage_facts(metered.usage))
    if metered.unit != "token":
        facts[metered.unit] = metered.quantity
    return facts
