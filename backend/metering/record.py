"""One call and its attempts, as the pipeline fills them in and as the journal writes them down.

The field order of both classes is the column order of a journal line; a segment names its columns in its first line, so old journals
stay readable when fields are added.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import orjson

from backend.budgets.slices import Held
from backend.pricing.usage import Usage

PROMPT_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "audio_input_tokens")
ANSWER_TOKENS = ("output_tokens", "reasoning_tokens", "audio_output_tokens")
TOKENS = (*PROMPT_TOKENS, *ANSWER_TOKENS)
"""The buckets of a call's tokens; they do not overlap."""
_tokens_of = attrgetter(*TOKENS)


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
    recovered: str | None = None
    """How it went on with an answer that another attempt had begun: prefill or repeat."""
    key_name: str | None = None
    reported_cost_nano: int | None = None
    """What the provider itself said that it costs; `provider_cost_nano` is by our prices."""


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
    task: str | None = None
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
    saved_nano: int = 0
    price_ids: tuple[str, ...] = ()
    price_state: str = "unpriced"
    overrun: bool = False
    latency_ms: int = 0
    first_token_ms: int | None = None
    overhead_us: int = 0
    attempts: int = 0
    tags: tuple[str, ...] = ()
    recovered: str | None = None
    """How the answer was gone on with after its stream had broken: prefill or repeat."""
    unit: str | None = None
    quantity: float = 0
    reservations: tuple[Held, ...] = ()
    """What budgets keep for the call: in the open line what is reserved, in the final line what of the charge it covered."""

    @property
    def total_tokens(self) -> int:
        """All buckets together."""
        return sum(_tokens_of(self))

    def count(self, usage: Usage, source: str) -> None:
        """Take over the token buckets."""
        self.usage_source = source
        (
            self.input_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.audio_input_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.audio_output_tokens,
        ) = _token_counts(usage)


def token_columns(usage: Usage, source: str) -> dict[str, Any]:
    """The columns of a call's row that say what it used."""
    return {**dict(zip(TOKENS, _token_counts(usage), strict=True)), "usage_source": source}


def _token_counts(usage: Usage) -> tuple[int, ...]:
    """In the order of `TOKENS`."""
    return (
        usage.input + usage.image_input,
        usage.cache_read,
        usage.cache_write + usage.cache_write_1h,
        usage.audio_input,
        usage.output + usage.image_output,
        usage.reasoning,
        usage.audio_output,
    )


CALL_FIELDS = tuple(entry.name for entry in fields(CallRecord))
ATTEMPT_FIELDS = tuple(entry.name for entry in fields(AttemptRecord))
MAX_LINE_BYTES = 8192
"""No final line is longer; the room for it is kept free on the disk while its call is open."""
MAX_ATTEMPTS_KEPT = 12
_SHORT_NAME = 40
_IDS = 6
"""How many fields of a call come first that are ids of ours (or a request id of at most 128 characters) and stay whole."""

_RESERVATIONS = CALL_FIELDS.index("reservations")

_call_row = attrgetter(*CALL_FIELDS)
_attempt_row = attrgetter(*ATTEMPT_FIELDS)


def header_line() -> bytes:
    return orjson.dumps(["journal", 1, CALL_FIELDS, ATTEMPT_FIELDS]) + b"\n"


def open_line(call: CallRecord) -> bytes:
    """Written before the upstream is called: the call as far as it is known."""
    return orjson.dumps(("open", call.id, _call_row(call))) + b"\n"


def progress_line(call_id: str, columns: dict[str, Any], usage: dict[str, int], attempts: list[AttemptRecord]) -> bytes:
    """Written while the call runs: the columns of its row that are other than in the open line, if its process ends now. `usage` is the
    last attempt's."""
    tries = [_attempt_row(attempt) for attempt in attempts[:MAX_ATTEMPTS_KEPT]]
    return orjson.dumps(("progress", call_id, columns, usage, tries)) + b"\n"


def final_line(call: CallRecord, attempts: list[AttemptRecord]) -> bytes:
    """Written once the outcome is known; complete in itself. Where names are absurdly long, tags and names give way, never numbers."""
    tries = [_attempt_row(attempt) for attempt in attempts[:MAX_ATTEMPTS_KEPT]]
    line = orjson.dumps(("final", call.id, _call_row(call), tries)) + b"\n"
    if len(line) <= MAX_LINE_BYTES:
        return line
    row = _call_row(call)
    short = [*row[:_IDS], *_shortened(row[_IDS:])]
    short[_RESERVATIONS] = call.reservations
    return orjson.dumps(("final", call.id, short, [_shortened(row) for row in tries])) + b"\n"


def _shortened(row: Iterable[Any]) -> list[Any]:
    """Texts cut to 40 characters, lists of texts left out."""
    return [value[:_SHORT_NAME] if isinstance(value, str) else () if isinstance(value, tuple) else value for value in row]
