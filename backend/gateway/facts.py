"""What we tell about an answer beside the answer: headers, and the `bourse` object in its body."""

from typing import Any

from backend.gateway.call import Call
from backend.kernel.money import NANO_PER_USD
from backend.metering.record import AttemptRecord

Header = tuple[bytes, bytes]


def fact_headers(call: Call, *, overhead: float | None) -> list[Header]:
    """`x-bourse-*` and `openai-processing-ms`, as far as known. The cost is left out while it is unknown, which is not the same as 0."""
    record = call.record
    headers = [
        (b"x-bourse-attempts", b"%d" % len(call.attempts)),
        (b"x-bourse-fallback", b"true" if len(call.attempts) > 1 else b"false"),
        (b"x-bourse-cache", b"miss"),
        (b"openai-processing-ms", b"%d" % (call.elapsed * 1000)),
    ]
    if record.model:
        headers.append((b"x-bourse-model", header_value(record.model)))
    if record.provider:
        headers.append((b"x-bourse-provider", header_value(record.provider)))
    if call.settled and record.price_state != "unpriced":
        headers.append((b"x-bourse-cost-usd", b"%d.%09d" % divmod(record.charged_nano, NANO_PER_USD)))
    if overhead is not None:
        headers.append((b"x-bourse-overhead-ms", b"%.2f" % (overhead * 1000)))
    return headers


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
        "cache": "miss",
        "router": None,
        "usageSource": record.usage_source,
    }
    if call.admission is not None and call.admission.soft_quota is not None:
        facts["quotaExceeded"] = call.admission.soft_quota
    if call.simulated:
        facts["simulated"] = True
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
    return facts
