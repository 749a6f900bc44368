"""One call and its attempts, as the pipeline fills them in and as the journal writes them down.

The field order of both classes is the column order of a journal line; a segment names its columns in its first line, so old journals
stay readable when fields are added.
"""

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import orjson

from backend.budgets.slices import Held
from backend.pricing.usage import Usage


@dataclass(slots=True)
class AttemptRecord:
    """One try at one candidate. `outcome`: completed, client_closed, interrupted or failed."""

    number: int
    provider: str
    model: str
    offer_id: str | None = None
    outcome: str = "failed"
    status: int | None = None
    error_code: str | None = None
    latency_ms: int = 0
    first_token_ms: int | None = None
    provider_cost_nano: int = 0
    price_ids: tuple[str, ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class CallRecord:
    """Names and units as in `backend.metering.tables.Call`; `created_us` is microseconds since 1970."""

    id: str
    request_id: str
    tenant_id: str
    user_id: str | None
    key_id: str
    endpoint: str
    created_us: int
    end_user: str | None = None
    requested_model: str = ""
    route: str | None = None
    provider: str | None = None
    model: str | None = None
    offer_id: str | None = None
    outcome: str = "failed"
    status: int = 500
    error_code: str | None = None
    stream: bool = False
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    usage_source: str = "none"
    charged_nano: int = 0
    provider_cost_nano: int = 0
    price_ids: tuple[str, ...] = ()
    price_state: str = "unpriced"
    overrun: bool = False
    latency_ms: int = 0
    first_token_ms: int | None = None
    overhead_us: int = 0
    attempts: int = 0
    tags: tuple[str, ...] = ()
    reservations: tuple[Held, ...] = ()
    """What budgets keep for the call: in the open line what is reserved, in the final line what of the charge it covered."""

    def count(self, usage: Usage, source: str) -> None:
        """Take over the token buckets."""
        self.input_tokens = usage.input
        self.cache_read_tokens = usage.cache_read
        self.cache_write_tokens = usage.cache_write + usage.cache_write_1h
        self.audio_input_tokens = usage.audio_input
        self.output_tokens = usage.output
        self.reasoning_tokens = usage.reasoning
        self.audio_output_tokens = usage.audio_output
        self.usage_source = source


CALL_FIELDS = tuple(entry.name for entry in fields(CallRecord))
ATTEMPT_FIELDS = tuple(entry.name for entry in fields(AttemptRecord))
MAX_LINE_BYTES = 8192
"""No line is longer: names are bounded by the gateway, attempts by `MAX_ATTEMPTS_KEPT`, and the room for it is kept free on the disk."""
MAX_ATTEMPTS_KEPT = 12

_call_row = attrgetter(*CALL_FIELDS)
_attempt_row = attrgetter(*ATTEMPT_FIELDS)


def header_line() -> bytes:
    return orjson.dumps(["journal", 1, CALL_FIELDS, ATTEMPT_FIELDS]) + b"\n"


def open_line(call: CallRecord) -> bytes:
    """Written before the upstream is called: the call as far as it is known."""
    return orjson.dumps(("open", call.id, _call_row(call))) + b"\n"


def final_line(call: CallRecord, attempts: list[AttemptRecord]) -> bytes:
    """Written once the outcome is known; complete in itself."""
    return orjson.dumps(("final", call.id, _call_row(call), [_attempt_row(attempt) for attempt in attempts[:MAX_ATTEMPTS_KEPT]])) + b"\n"
