"""The end of every call, whatever it was: usage into cost, one row for the call, one per attempt, metrics, and the news of it.

What the caller got is what it pays for: a whole answer by the provider's own count, a cut or abandoned one by what was delivered. Where
the provider did not count, we estimate and say so. A call that no provider accepted costs nothing. While a call runs, the journal is
told now and then what it would come to by these rules.
"""

import time
from typing import Any

import structlog

from backend.gateway.call import Call, usage_facts
from backend.gateway.estimate import estimated_prompt_tokens
from backend.kernel.errors import BourseError, UpstreamCredentials
from backend.kernel.money import NANO_PER_USD
from backend.metering.record import AttemptRecord, token_columns
from backend.metering.service import MeteringService
from backend.observability.metrics import Metrics
from backend.pricing.cost import Cost, cost_of_call
from backend.pricing.usage import Usage

log = structlog.get_logger(__name__)

TELL_AGAIN_SECONDS = 60.0
"""How often the log says of one provider that it refuses our credentials."""
CLIENT_CLOSED_STATUS = 499
"""Never sent: what the row says when the caller went away before anything was."""


class Settler:
    def __init__(self, metering: MeteringService, metrics: Metrics) -> None:
        self._metering = metering
        self._metrics = metrics
        self._counters: dict[tuple[str, str], _Counters] = {}
        self._told_until: dict[str, float] = {}

    def completed(
        self, call: Call, attempt: AttemptRecord, usage: Usage | None, *, estimated_output: int = 0, overrun: bool = False
    ) -> Usage:
        """A whole answer; returns the usage that it was charged for. `overrun`: it was cut at its cap, beyond which the provider went."""
        counted = self._charge(call, attempt, usage, estimated_output)
        call.record.status = 200
        call.record.overrun = overrun or _overruns(call, counted)
        self._finish(call, "completed")
        return counted

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
        self._charge(call, attempt, usage, delivered_tokens)
        attempt.outcome = outcome
        attempt.error_code = error.code if error is not None else None
        call.record.status = status
        call.record.error_code = attempt.error_code
        self._finish(call, outcome)

    def unanswered(self, call: Call, outcome: str, *, status: int, error_code: str | None = None) -> None:
        """Nothing was delivered: refused by us, failed by all candidates, or given up by the caller."""
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
            counted = _counted(call, usage, delivered_tokens) if accepted else Usage()
            columns: dict[str, Any] = {
                "provider": record.provider,
                "model": record.model,
                "offer_id": record.offer_id,
                "status": 200 if begun else 0,
                "latency_ms": round(call.elapsed * 1000),
                "first_token_ms": record.first_token_ms,
                "overhead_us": record.overhead_us,
                "overrun": _overruns(call, counted),
                **token_columns(counted, _source(usage, counted) if accepted else "none"),
            }
            cost = _cost(call, counted, is_estimate=usage is None) if accepted else None
            if cost is not None:
                reserved = call.reservation.amount if call.reservation is not None else 0
                columns["charged_nano"] = columns["provider_cost_nano"] = cost.nano
                columns["price_ids"], columns["price_state"] = tuple(dict.fromkeys(cost.price_ids)), cost.state
                columns["overrun"] |= cost.nano > reserved
            self._metering.progress(record, call.attempts, columns, usage_facts(counted), call.ticket)
        except Exception:
            log.exception("journal.progress_failed", call=call.record.id)

    def _charge(self, call: Call, attempt: AttemptRecord, usage: Usage | None, estimated_output: int) -> Usage:
        record, counted = call.record, _counted(call, usage, estimated_output)
        record.count(counted, _source(usage, counted))
        attempt.usage = usage_facts(counted)
        cost = _cost(call, counted, is_estimate=usage is None)
        if cost is not None:
            record.charged_nano = record.provider_cost_nano = attempt.provider_cost_nano = cost.nano
            record.price_ids = attempt.price_ids = tuple(dict.fromkeys(cost.price_ids))
            record.price_state = cost.state
        return counted

    def _finish(self, call: Call, outcome: str) -> None:
        if call.settled:
            return
        call.settled = True
        record = call.record
        elapsed = call.elapsed
        record.outcome = outcome
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
        self._measure(call)
        for attempt in call.attempts:
            if attempt.error_code == UpstreamCredentials.code:
                self._tell_operator(attempt)

    def _tell_operator(self, attempt: AttemptRecord) -> None:
        self._metrics.credentials_refused.labels(attempt.provider).inc()
        now = time.monotonic()
        if now >= self._told_until.get(attempt.provider, 0.0):
            self._told_until[attempt.provider] = now + TELL_AGAIN_SECONDS
            log.error("provider.credentials_refused", provider=attempt.provider, status=attempt.status)

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

    def _measure(self, call: Call) -> None:
        record = call.record
        provider = record.provider or "none"
        counters = self._counters.get((provider, record.outcome))
        if counters is None:
            counters = self._counters[(provider, record.outcome)] = _Counters(self._metrics, provider, record.outcome)
        counters.calls()
        if record.usage_source != "none":
            counters.input(record.input_tokens + record.cache_read_tokens + record.cache_write_tokens + record.audio_input_tokens)
            counters.output(record.output_tokens + record.reasoning_tokens + record.audio_output_tokens)
            counters.charged(record.charged_nano / NANO_PER_USD)
        if record.first_token_ms is not None:
            counters.first_token(record.first_token_ms / 1000)


def _counted(call: Call, usage: Usage | None, estimated_output: int) -> Usage:
    """The provider's count, else our estimate; and our estimate of the output where it is more than the provider has counted so far.

    What we estimate never goes beyond what was reserved for the call: it is too coarse to charge anybody more by it.
    """
    bound = call.bound
    if bound is not None:
        estimated_output = min(estimated_output, bound.answer)
    if usage is None:
        if call.estimated_prompt is None:
            call.estimated_prompt = estimated_prompt_tokens(call.body)
        prompt = call.estimated_prompt if bound is None else min(call.estimated_prompt, bound.prompt)
        return Usage(input=prompt, output=estimated_output)
    missing = estimated_output - usage.total_output
    return usage._replace(output=usage.output + missing) if missing > 0 else usage


def _source(usage: Usage | None, counted: Usage) -> str:
    return "provider" if counted is usage else "estimated"


def _overruns(call: Call, usage: Usage) -> bool:
    return call.bound is not None and usage.total_output > call.bound.billed


def _cost(call: Call, usage: Usage, *, is_estimate: bool) -> Cost | None:
    """None where no price was known. What is nothing but our estimate costs no more than was reserved, whatever tier was served."""
    card = call.bound.card if call.bound is not None else None
    if card is None:
        return None
    cost = cost_of_call(usage, card, at=call.created_at, service_tier=call.service_tier)
    if is_estimate and call.reservation is not None and cost.nano > call.reservation.amount:
        return cost._replace(nano=call.reservation.amount)
    return cost


class _Counters:
    """The metrics of one provider and outcome, looked up once: the look-up by labels costs more than the counting."""

    __slots__ = ("calls", "charged", "first_token", "input", "output")

    def __init__(self, metrics: Metrics, provider: str, outcome: str) -> None:
        self.calls = metrics.calls.labels(provider, outcome).inc
        self.input = metrics.tokens.labels(provider, "input").inc
        self.output = metrics.tokens.labels(provider, "output").inc
        self.charged = metrics.charged_usd.labels(provider).inc
        self.first_token = metrics.first_token_seconds.labels(provider).observe
