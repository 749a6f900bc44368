"""What metering answers, as frozen values that pages and APIs share."""

from dataclasses import dataclass
from datetime import datetime

from backend.metering.rollups.schemas import Usage


@dataclass(frozen=True, slots=True)
class CallSummary:
    """One row of the ledger as a person reads it. Money in nano-dollars, times in milliseconds."""

    id: str
    request_id: str
    created_at: datetime
    key_id: str
    endpoint: str
    requested_model: str
    provider: str | None
    model: str | None
    outcome: str
    status: int
    error_code: str | None
    stream: bool
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_source: str
    charged_nano: int
    price_state: str
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    overrun: bool = False
    saved_nano: int = 0
    unit: str | None = None
    """What it was metered in; None = tokens."""
    quantity: float = 0
    audio_input_tokens: int = 0
    """Those of `input_tokens` that were heard, and of `output_tokens` that were spoken."""
    audio_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SpendToday:
    """What all calls since `since`, midnight in the tenant's time zone, came to; those of the day before as far as the same time of day."""

    today: Usage
    since: datetime
    yesterday: Usage
