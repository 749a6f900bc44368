"""What we tell about an answer beside the answer: headers, and the `bourse` object in its body."""

from typing import Any

from backend.gateway.call import Call
from backend.kernel.header_lines import Lines
from backend.kernel.money import NANO_PER_USD
from backend.metering.record import AttemptRecord


def fact_lines(call: Call, *, overhead: float | None) -> Lines:
    """`x-bourse-*` and `openai-processing-ms`, as far as known. The cost is left out while it is unknown, which is not the same as 0."""
    record, attempts = call.record, len(call.attempts)
    block = b"x-bourse-cache: %b\r\nx-bourse-attempts: %d\r\nx-bourse-fallback: %b\r\nopenai-processing-ms: %d\r\n" % (
        call.cache.encode(),
        attempts,
        b"true" if call.fell_back else b"false",
        call.elapsed * 1000,
    )
    lines = 4
    if record.model:
        block += b"x-bourse-model: %b\r\n" % header_value(record.model)
        lines += 1
    if record.provider:
        block += b"x-bourse-provider: %b\r\n" % header_value(record.provider)
        lines += 1
    if call.settled and record.price_state != "unpriced":
        block += b"x-bourse-cost-usd: %d.%09d\r\n" % divmod(record.charged_nano, NANO_PER_USD)
        lines += 1
    if dropped := call.left_out:
        block += b"x-bourse-dropped: %b\r\n" % header_value(", ".join(dropped))
        lines += 1
    if overhead is not None:
        block += b"x-bourse-overhead-ms: %.2f\r\n" % (overhead * 1000)
        lines += 1
    return block, lines


def bourse_object(call: Call) -> dict[str, Any]:
    """The `bourse` object of a settled call. Fields that later stages fill are null until then; null always means not known."""
    record = call.record
    facts: dict[str, Any] = {
        "selectedModel": record.model,
        "provider": record.provider,
        "costUsd": record.charged_nano / NANO_PER_USD if record.price_state != "unpriced" else None,
        "latencyMs": record.latency_ms,
        "ttftMs": record.first_token_ms,
        "co2Grams": None,
        "attempts": [_attempt(attempt) for attempt in call.attempts],
        "cache": call.cache,
        "router": None,
        "usageSource": record.usage_source,
    }
    if call.admission is not None and call.admission.soft_quota is not None:
        facts["quotaExceeded"] = call.admission.soft_quota
        if call.downgraded is not None:
            facts["downgraded"] = call.downgraded
    if record.recovered is not None:
        facts["recovered"] = {"by": record.recovered}
    if dropped := call.left_out:
        facts["dropped"] = list(dropped)
    if call.simulated:
        facts["simulated"] = True
    if call.cache == "hit":
        facts["savedUsd"] = record.saved_nano / NANO_PER_USD
    return facts


def header_value(text: str) -> bytes:
    """Visible ASCII only, whatever an upstream calls its models."""
    value = text.encode("ascii", "replace")
    return value if text.isprintable() else bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in value)


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "provider": attempt.provider,
        "model": attempt.model,
        "outcome": attempt.outcome,
        "latencyMs": attempt.latency_ms,
    }
    if attempt.error_code is not None:
        facts["error"] = attempt.error_code
    if attempt.status is not None:
        facts["status"] = attempt.status
    if attempt.recovered is not None:
        facts["recovered"] = attempt.recovered
    return facts
