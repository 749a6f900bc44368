"""What is asked of usage over time, and what is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from backend.metering.record import TOKENS
from backend.metering.rollups.gather import MEASURES, Totals
from backend.metering.rollups.histogram import quantile, total_ms

Dimension = Literal["tenant_id", "key_id", "user_id", "model", "provider", "route", "task", "outcome"]
Step = Literal["minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Calls that began in [`since`, `until`), one sum or one for each step, all together or split by a dimension.

    Args:
        where: only calls with one of these values in a dimension; the empty text stands for none.
        step: minutes and hours are those of UTC; a day is the tenant's own, or that of `reporting.timezone` over all tenants.
        quantiles: also read the histograms, which costs more.
    """

    since: datetime
    until: datetime
    by: Dimension | None = None
    step: Step | None = None
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    quantiles: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over calls. Token buckets are disjoint, money is in nano-dollars; images, characters, searches and milliseconds of sound are
    those of the calls that were metered in them."""

    calls: int
    errors: int
    overruns: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    audio_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_output_tokens: int
    charged_nano: int
    provider_cost_nano: int
    saved_nano: int
    images: int
    characters: int
    searches: int
    sound_ms: int
    _latency: Mapping[int, int]
    _first_token: Mapping[int, int]

    @property
    def tokens(self) -> int:
        """All buckets together."""
        return sum(getattr(self, name) for name in TOKENS)

    @classmethod
    def of(cls, totals: Totals) -> "Usage":
        return cls(**dict(zip(MEASURES, totals.sums, strict=True)), _latency=totals.latency, _first_token=totals.first_token)

    def latency_ms(self, share: float) -> float | None:
        """The time that this share of calls (0.95) did not exceed, 4.4 % off at most; None where nothing was measured or asked for."""
        return quantile(self._latency, share)

    def first_token_ms(self, share: float) -> float | None:
        """The same of the time to the first token."""
        return quantile(self._first_token, share)

    @property
    def output_per_second(self) -> float | None:
        """Tokens that came out, thoughts among them, for each second that calls took as a whole, 4.4 % off at most; None as above."""
        seconds = total_ms(self._latency) / 1000
        tokens = self.output_tokens + self.reasoning_tokens
        return tokens / seconds if tokens and seconds else None


@dataclass(frozen=True, slots=True)
class UsageReport:
    """`starts` are the beginnings of the steps; a single one, `since`, where none were asked for.

    `series` has for each value of the dimension (the empty text where none was asked for, or a call has none) a `Usage` for each step.
    """

    starts: tuple[datetime, ...]
    series: Mapping[str, tuple[Usage, ...]]
