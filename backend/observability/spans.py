"""Calls and their attempts as OpenTelemetry spans, sent to a collector by OTLP over HTTP. Imported only where that is switched on.

Spans are made when a call has ended, from what was recorded anyway, with its own times. A thread of the SDK sends them in batches from a
queue that has a bound: where the collector is slow or away, spans are dropped and calls notice nothing. The span of an attempt has the id
that its provider was sent as the parent, so a provider that traces joins in. Names of attributes are those of the semantic conventions
for HTTP and for generative AI; no word of a prompt or an answer is in any of them.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context

from backend.kernel.request import RequestContext
from backend.metering.record import ANSWER_TOKENS, PROMPT_TOKENS, AttemptRecord, CallRecord

QUEUE = 4096
BATCH = 512
EVERY_MILLISECONDS = 2000
SEND_SECONDS = 5.0
STOP_SECONDS = 3.0
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)

Tried = tuple[float, str]
"""When an attempt began (monotonic seconds), and the `traceparent` that its provider was sent."""
Attributes = dict[str, str | bool | int | float]


class Spans:
    """Sends from the moment it is made until `stop`.

    Args:
        endpoint: the collector's address, such as http://127.0.0.1:4318; None = as the environment variables of OpenTelemetry say.
    """

    def __init__(self, endpoint: str | None, version: str) -> None:
        self._ids = _GivenIds()
        told = OTELResourceDetector().detect()  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
        resource = Resource({"service.name": "bourse", "service.version": version}).merge(told)
        self._exporter = OTLPSpanExporter(endpoint=_traces_url(endpoint) if endpoint else None, timeout=SEND_SECONDS)
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(self._exporter, max_queue_size=QUEUE, max_export_batch_size=BATCH, schedule_delay_millis=EVERY_MILLISECONDS)
        )
        self._tracer = self._provider.get_tracer("bourse", version)

    async def stop(self) -> None:
        """Send what is left, if the collector takes it within a few seconds."""
        last = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, STOP_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def begin(self, context: RequestContext) -> list[Tried] | None:
        """Where the attempts of a call are noted; None if whoever asks has decided that it is not recorded."""
        if context.parent_span_id is None:
            context.trace_flags = "01"
        return [] if int(context.trace_flags, 16) & TraceFlags.SAMPLED else None

    def ended(self, context: RequestContext, call: CallRecord, attempts: Sequence[AttemptRecord], tried: Sequence[Tried]) -> None:
        """One span for the call and one below it for each attempt."""
        ids, trace_id = self._ids, int(context.trace_id, 16)
        epoch = time.time_ns() - time.monotonic_ns()
        ids.trace_id, ids.span_id = trace_id, None
        parent = None
        if context.parent_span_id is not None:
            caller = SpanContext(trace_id, int(context.parent_span_id, 16), is_remote=True, trace_flags=_SAMPLED)
            parent = set_span_in_context(NonRecordingSpan(caller))
        began = epoch + int(context.started * 1e9)
        span = self._tracer.start_span(
            f"POST {context.route}", parent, SpanKind.SERVER, _of_call(context, call), start_time=began, record_exception=False
        )
        below = set_span_in_context(span)
        for attempt, (started, traceparent) in zip(attempts, tried, strict=False):
            ids.span_id = int(traceparent[36:52], 16)
            start = epoch + int(started * 1e9)
            name = f"chat {attempt.model}"
            one = self._tracer.start_span(name, below, SpanKind.CLIENT, _of_attempt(attempt, call), start_time=start)
            if attempt.outcome == "failed":
                one.set_status(StatusCode.ERROR)
            one.end(start + attempt.latency_ms * 1_000_000)
        if call.outcome == "failed" or call.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(began + call.latency_ms * 1_000_000)


def _of_call(context: RequestContext, call: CallRecord) -> Attributes:
    facts: Attributes = {
        "http.request.method": "POST",
        "http.route": context.route or "",
        "http.response.status_code": call.status,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": call.requested_model,
        "gen_ai.request.stream": call.stream,
        "bourse.request_id": call.request_id,
        "bourse.call_id": call.id,
        "bourse.tenant_id": call.tenant_id,
        "bourse.key_id": call.key_id,
        "bourse.outcome": call.outcome,
        "bourse.attempts": call.attempts,
        "bourse.cost_nano_usd": call.charged_nano,
        "bourse.overhead_us": call.overhead_us,
    }
    if call.error_code is not None:
        facts["error.type"] = call.error_code
    if call.route is not None:
        facts["bourse.route"] = call.route
    if call.model is not None and call.provider is not None:
        facts["gen_ai.response.model"], facts["gen_ai.provider.name"] = call.model, call.provider
    if call.recovered is not None:
        facts["bourse.recovered"] = call.recovered
    if call.usage_source != "none":
        facts["gen_ai.usage.input_tokens"] = sum(getattr(call, name) for name in PROMPT_TOKENS)
        facts["gen_ai.usage.output_tokens"] = sum(getattr(call, name) for name in ANSWER_TOKENS)
        facts["gen_ai.usage.cache_read.input_tokens"] = call.cache_read_tokens
    if call.first_token_ms is not None:
        facts["gen_ai.response.time_to_first_chunk"] = call.first_token_ms / 1000
    return facts


def _of_attempt(attempt: AttemptRecord, call: CallRecord) -> Attributes:
    facts: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": call.stream,
        "bourse.attempt": attempt.number,
        "bourse.outcome": attempt.outcome,
        "bourse.cost_nano_usd": attempt.provider_cost_nano,
    }
    if attempt.status is not None:
        facts["http.response.status_code"] = attempt.status
    if attempt.outcome == "failed":
        facts["error.type"] = attempt.error_code or "refused"
    if attempt.first_token_ms is not None:
        facts["gen_ai.response.time_to_first_chunk"] = attempt.first_token_ms / 1000
    return facts


def _traces_url(endpoint: str) -> str:
    """A collector's address is known without the path that traces are sent to."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + "/v1/traces"


class _GivenIds(IdGenerator):
    """The next span's ids, where they are known before it is made."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.trace_id = 0
        self.span_id: int | None = None

    def generate_span_id(self) -> int:
        return self.span_id or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self.trace_id
