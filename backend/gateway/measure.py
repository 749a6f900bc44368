"""What is seen of a call when it has ended, beside its row in the ledger: metrics, the facts in its log line, and spans."""

from typing import TYPE_CHECKING, Any

from backend.gateway.call import Call
from backend.kernel.money import NANO_PER_USD
from backend.metering.record import AttemptRecord
from backend.observability.metrics import Metrics

if TYPE_CHECKING:
    from backend.observability.spans import Spans


class Measure:
    """`spans`: None where none are sent."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._calls: dict[tuple[str, str], _CallCounters] = {}
        self._attempts: dict[tuple[str, str, str | None], _AttemptCounters] = {}
        self.spans: Spans | None = None

    def ended(self, call: Call) -> None:
        """The call is settled."""
        record, attempts = call.record, call.attempts
        provider = record.provider or "none"
        counters = self._calls.get((provider, record.outcome))
        if counters is None:
            counters = self._calls[(provider, record.outcome)] = _CallCounters(self._metrics, provider, record.outcome)
        counters.calls()
        if record.usage_source != "none":
            counters.input(record.input_tokens + record.cache_read_tokens + record.cache_write_tokens + record.audio_input_tokens)
            counters.output(record.output_tokens + record.reasoning_tokens + record.audio_output_tokens)
            counters.charged(record.charged_nano / NANO_PER_USD)
        if record.first_token_ms is not None:
            counters.first_token(record.first_token_ms / 1000)
        for attempt in attempts:
            self._attempt(attempt)
        call.context.call = _line(call)
        if call.malformed or call.fell_back or call.delivered is not None or record.recovered is not None:
            self._seldom(call, provider)
        if call.tried is not None and self.spans is not None:
            self.spans.ended(call.context, record, attempts, call.tried)

    def _attempt(self, attempt: AttemptRecord) -> None:
        key = (attempt.provider, attempt.outcome, attempt.error_code)
        counters = self._attempts.get(key)
        if counters is None:
            counters = self._attempts[key] = _AttemptCounters(self._metrics, attempt)
        counters.attempts()
        counters.seconds(attempt.latency_ms / 1000)

    def _seldom(self, call: Call, provider: str) -> None:
        record, metrics = call.record, self._metrics
        if call.fell_back:
            metrics.fallbacks.labels(provider, record.outcome).inc()
        if call.malformed:
            metrics.malformed_events.labels(provider).inc(call.malformed)
        if record.recovered is not None or call.delivered is not None:
            metrics.recoveries.labels("failed" if call.delivered is not None else record.recovered).inc()


def _line(call: Call) -> dict[str, Any]:
    """What the request's line says of the call."""
    record = call.record
    facts: dict[str, Any] = {
        "outcome": record.outcome,
        "provider": record.provider,
        "model": record.model,
        "stream": record.stream,
        "attempts": len(call.attempts),
        "fallback": call.fell_back,
        "cache": call.cache,
    }
    if record.recovered is not None:
        facts["recovered"] = record.recovered
    if record.error_code is not None:
        facts["error"] = record.error_code
    if dropped := call.left_out:
        facts["dropped"] = dropped
    return facts


class _CallCounters:
    """The metrics of one provider and outcome, looked up once: the look-up by labels costs more than the counting."""

    __slots__ = ("calls", "charged", "first_token", "input", "output")

    def __init__(self, metrics: Metrics, provider: str, outcome: str) -> None:
        self.calls = metrics.calls.labels(provider, outcome).inc
        self.input = metrics.tokens.labels(provider, "input").inc
        self.output = metrics.tokens.labels(provider, "output").inc
        self.charged = metrics.charged_usd.labels(provider).inc
        self.first_token = metrics.first_token_seconds.labels(provider).observe


class _AttemptCounters:
    __slots__ = ("attempts", "seconds")

    def __init__(self, metrics: Metrics, attempt: AttemptRecord) -> None:
        error = attempt.error_code or ("refused" if attempt.outcome == "failed" else "none")
        self.attempts = metrics.attempts.labels(attempt.provider, attempt.outcome, error).inc
        self.seconds = metrics.attempt_seconds.labels(attempt.provider, attempt.outcome).observe
