"""The end of every call, whatever it was: usage into cost, one row for the call, one per attempt, metrics, and the news of it.

What the caller got is what it pays for: a whole answer by the provider's own count, a cut or abandoned one by what was delivered. Where
the provider did not count, we estimate and say so. A call that no provider accepted costs nothing. While a call runs, the journal is
told now and then what it would come to by these rules.
"""

import time
from typing import Any

import structlog

from backend.gateway.bill import Bill, bill_lost, reckon, reckon_delivered, usage_facts
from backend.gateway.call import Call
from backend.gateway.measure import Measure
from backend.kernel.errors import BourseError
from backend.kernel.money import NANO_PER_USD
from backend.metering.record import AttemptRecord, token_columns
from backend.metering.service import MeteringService
from backend.observability.metrics import Metrics
from backend.pricing.cost import Cost
from backend.pricing.usage import Usage

log = structlog.get_logger(__name__)

CLIENT_CLOSED_STATUS = 499
"""Never sent: what the row says when the caller went away before anything was."""
MAX_COST_DIFFERENCE = 0.01
"""Between what a provider says that an answer costs and what we say, as a share of the former."""
COST_ROUNDING_NANO = 10


class Settler:
    def __init__(self, metering: MeteringService, metrics: Metrics) -> None:
        self._metering = metering
        self._metrics = metrics
        self.measure = Measure(metrics)

    def completed(
        self, call: Call, attempt: AttemptRecord, usage: Usage | None, *, estimated_output: int = 0, overrun: bool = False
    ) -> Usage:
        """A whole answer; returns the usage that it was charged for. `overrun`: it was cut at its cap, beyond which the provider went."""
        counted = self._charge(call, attempt, usage, estimated_output)
        call.record.status = 200
        call.record.overrun = overrun or _overruns(call, counted)
        self._finish(call, "completed")
        return counted

    def cached(self, call: Call, saved_nano: int) -> None:
        """Answered by what was bought for another call: nothing was used, and nothing is charged. `saved_nano`: what it cost then."""
        record = call.record
        record.status, record.price_state, record.saved_nano = 200, "free", saved_nano
        self._metrics.cache_saved_usd.inc(saved_nano / NANO_PER_USD)
        self._finish(call, "cached")

    def cut(
        self,
        call: Call,
        attempt: AttemptRecord,
        usage: Usage | None,
        delivered_tokens: int,
        outcome: str,
        *,
        status: int,
        error: BourseError | None = None,
    ) -> None:
        """An answer that began and did not end: failed, client_closed or interrupted. `delivered_tokens` are those that the provider's
        own count, if it came, does not hold yet: the whole delivery, or 0."""
        if call.settled:
            return
        call.record.status = status
        call.record.error_code = error.code if error is not None else None
        if call.delivered is None:
            self._charge(call, attempt, usage, delivered_tokens)
            attempt.outcome, attempt.error_code = outcome, call.record.error_code
        else:
            self._charge_delivered(call, attempt, usage, delivered_tokens, outcome)
        self._finish(call, outcome)

    def unanswered(self, call: Call, outcome: str, *, status: int, error_code: str | None = None) -> None:
        """Nothing was delivered: refused by us, failed by all candidates, or given up by the caller."""
        if call.settled:
            return
        call.record.status = status
        call.record.error_code = error_code
        if outcome == "refused":
            self._metrics.refusals.labels(error_code or "invalid_request").inc()
        self._finish(call, outcome)

    def progress(self, call: Call, usage: Usage | None, delivered_tokens: int, *, begun: bool) -> None:
        """Into the journal: what the call is charged if nothing more is heard of this process: nothing, as long as no provider has
        accepted it. `begun`: the caller sees an answer. Never raises, because it runs beside the call."""
        if call.settled or call.ticket is None:
            return
        try:
            record, accepted = call.record, call.accepted
            delivered = call.delivered
            columns: dict[str, Any] = {
                "provider": record.provider,
                "model": record.model,
                "offer_id": record.offer_id,
                "status": 200 if begun else 0,
                "latency_ms": round(call.elapsed * 1000),
                "first_token_ms": record.first_token_ms,
                "overhead_us": record.overhead_us,
            }
            if call.lost:
                bill_lost(call)
                columns["provider_cost_nano"] = sum([attempt.provider_cost_nano for attempt in call.attempts])
            used = Usage()
            if accepted or delivered is not None:
                used, cost, charged, price, source = reckon(call, usage, delivered_tokens) if accepted else reckon_delivered(call)
                columns |= token_columns(charged, source)
                columns["overrun"] = _overruns(call, charged)
                if cost is not None:
                    columns["provider_cost_nano"] = columns.get("provider_cost_nano", 0) + cost.nano
                if price is not None:
                    reserved = call.reservation.amount if call.reservation is not None else 0
                    columns["charged_nano"] = price.nano
                    columns["price_ids"], columns["price_state"] = tuple(dict.fromkeys(price.price_ids)), price.state
                    columns["overrun"] |= price.nano > reserved
                if delivered is not None:
                    columns |= _who(delivered)
            else:
                columns |= token_columns(used, "none") | {"overrun": False}
            facts = usage_facts(used) if accepted or not call.lost else call.attempts[-1].usage
            self._metering.progress(record, call.attempts, columns, facts, call.ticket)
        except Exception:
            log.exception("journal.progress_failed", call=call.record.id)

    def _charge(self, call: Call, attempt: AttemptRecord, usage: Usage | None, estimated_output: int) -> Usage:
        used, cost, charged, price, source = reckon(call, usage, estimated_output)
        attempt.usage = usage_facts(used)
        if cost is not None:
            call.record.provider_cost_nano = attempt.provider_cost_nano = cost.nano
            attempt.price_ids = tuple(dict.fromkeys(cost.price_ids))
        if call.request is not None and call.request.reported_nano is not None:
            self._compare(attempt, call.request.reported_nano, is_counted=usage is not None and cost is not None)
        if call.lost:
            bill_lost(call, usage)
        self._charge_caller(call, charged, price, source)
        return charged

    def _compare(self, attempt: AttemptRecord, reported_nano: int, *, is_counted: bool) -> None:
        """What the provider says that it costs is kept beside what we say; where they differ, prices are old, or tokens counted twice.

        `is_counted`: ours is by its own count of tokens and by a known price."""
        attempt.reported_cost_nano = reported_nano
        ours = attempt.provider_cost_nano
        if is_counted and abs(ours - reported_nano) > max(reported_nano * MAX_COST_DIFFERENCE, COST_ROUNDING_NANO):
            self._metrics.cost_differences.labels(attempt.provider).inc()
            log.info("provider.cost_differs", provider=attempt.provider, model=attempt.model, ours_nano=ours, reported_nano=reported_nano)

    def _charge_delivered(self, call: Call, attempt: AttemptRecord, usage: Usage | None, tokens: int, outcome: str) -> None:
        """The caller has a part of an answer from an attempt before this one, which has not come to where it should go on."""
        bill = call.delivered
        assert bill is not None
        if call.accepted:
            call.lose(usage, tokens)
            attempt.outcome = outcome
            attempt.error_code = call.record.error_code
        bill_lost(call)
        for name, value in _who(bill).items():
            setattr(call.record, name, value)
        _, _, charged, price, source = reckon_delivered(call)
        self._charge_caller(call, charged, price, source)

    def _charge_caller(self, call: Call, charged: Usage, price: Cost | None, source: str) -> None:
        record = call.record
        record.count(charged, source)
        if price is not None:
            record.charged_nano = price.nano
            record.price_ids = tuple(dict.fromkeys(price.price_ids))
            record.price_state = price.state

    def _finish(self, call: Call, outcome: str) -> None:
        if call.settled:
            return
        call.settled = True
        record = call.record
        elapsed = call.elapsed
        record.outcome = outcome
        if call.lost:
            if record.usage_source == "none":
                bill_lost(call)
            record.provider_cost_nano = sum([attempt.provider_cost_nano for attempt in call.attempts])
        record.latency_ms = round(elapsed * 1000)
        if call.attempts:
            if record.outcome != "refused" and record.stream:
                last = call.attempts[-1]
                last.latency_ms = round((time.monotonic() - call.attempt_started) * 1000)
            record.attempts = len(call.attempts)
        self._let_go(call)
        if not record.overhead_us:
            record.overhead_us = round(call.overhead * 1_000_000)
        self._metering.record(record, call.attempts, call.ticket)
        self.measure.ended(call)

    def _let_go(self, call: Call) -> None:
        """What limits and budgets kept for the call is free again, but for what it used."""
        record = call.record
        if call.reservation is not None:
            record.reservations = call.reservation.settle(record.charged_nano)
            if call.reservation.overrun:
                record.overrun = True
                self._metrics.overrun_usd.inc(call.reservation.overrun / NANO_PER_USD)
        if call.admission is not None:
            call.admission.settle(record.total_tokens)
        if record.overrun:
            self._metrics.overruns.labels(record.provider or "none").inc()


def _overruns(call: Call, usage: Usage) -> bool:
    return call.bound is not None and usage.total_output > call.bound.billed


def _who(bill: Bill) -> dict[str, Any]:
    """Who answered, as the call's row names it."""
    return {"provider": bill.attempt.provider, "model": bill.model, "offer_id": bill.attempt.offer_id}
