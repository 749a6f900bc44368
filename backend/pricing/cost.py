"""What a call costs: one pure function, used by the gateway, the store and every what-if.

A card holds the prices in force of one offer. For each set of conditions that was ever asked for (service tier, region, variant,
time windows open now) it keeps *sheets*, one per context band, in which every bucket of `Usage` has its line already chosen.

Choosing a line, for one component: the requested service tier before the base tier, an open time window before no window, the asked
region and variant before none, then the highest context band that the call's total input exceeds (a band prices *all* tokens of the
call). Fallbacks: cache reads and writes without a line of their own cost as input, reasoning and images in an answer as output, images to
change as input, one-hour cache writes as ordinary ones. Audio never falls back to text: it costs a multiple, so a missing line means that
the cost is unknown.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import compress
from operator import itemgetter
from typing import NamedTuple

from backend.pricing.tiers import SURCHARGES
from backend.pricing.usage import Usage
from backend.pricing.windows import applies

MILLION = 1_000_000
ONE_HOUR = 3600


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One price in force: nano-dollars per 1,000,000 units of a component, and when it applies (None = always)."""

    id: str
    component: str
    unit: str
    nano_per_million: int
    context_above: int | None = None
    service_tier: str | None = None
    time_window: str | None = None
    region: str | None = None
    cache_ttl: int | None = None
    variant: str | None = None


class CostPart(NamedTuple):
    """How one bucket was priced; `quantity` is in units (tokens, images, seconds …)."""

    bucket: str
    quantity: float
    line: PriceLine


class Cost(NamedTuple):
    """Nano-dollars, rounded up once for the call.

    `state`: priced, free (confirmed), or unpriced; then `missing` names the buckets without a price ("card" when the offer has none) and
    `nano` is only what is known, a lower bound.
    """

    nano: int
    price_ids: tuple[str, ...]
    state: str
    parts: tuple[CostPart, ...]
    missing: tuple[str, ...] = ()


_BUCKETS = (
    "input", "output", "cache_read", "reasoning", "cache_write", "cache_write_1h", "audio_input", "audio_output", "images", "characters",
    "requests", "image_output", "image_input",
)  # fmt: skip
"""The buckets of `Usage` that are whole numbers; seconds are the one fraction."""
_PLACES = range(len(_BUCKETS))
_quantities = itemgetter(*map(Usage._fields.index, _BUCKETS))


class _Sheet(NamedTuple):
    """The chosen line of each of `_BUCKETS` for one context band; `ignored` are buckets that this offer does not bill."""

    lines: tuple[PriceLine | None, ...]
    seconds: PriceLine | None
    ignored: frozenset[str]

    @property
    def input(self) -> PriceLine | None:
        return self.lines[0]

    @property
    def output(self) -> PriceLine | None:
        return self.lines[1]


_OTHER_NAMES = {"fast": "priority"}
"""Some providers call their tier by either name."""
_Conditions = tuple[str | None, str | None, str | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PriceCard:
    """The prices in force of one offer. `state` as in the offer: priced, free (confirmed), unpriced, quarantined."""

    offer_id: str
    state: str
    lines: tuple[PriceLine, ...] = ()
    tiers: frozenset[str] = field(init=False, repr=False, compare=False)
    """The service tiers that have a price of their own."""
    _windows: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _sheets: dict[_Conditions, tuple[tuple[int, _Sheet], ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_windows", tuple(sorted({line.time_window for line in self.lines if line.time_window})))
        object.__setattr__(self, "tiers", frozenset({line.service_tier for line in self.lines if line.service_tier}))
        object.__setattr__(self, "_sheets", {})

    def line(self, bucket: str, *, at: datetime, total_input: int = 0, service_tier: str | None = None) -> PriceLine | None:
        """The price of one bucket of `Usage` for a call with so many input tokens; None if it has none.

        Raises:
            ValueError: if there is no such bucket.
        """
        sheet = self.sheet(total_input, at, service_tier)
        return sheet.seconds if bucket == "seconds" else sheet.lines[_BUCKETS.index(bucket)]

    def sheet(
        self, total_input: int, at: datetime, service_tier: str | None = None, region: str | None = None, variant: str | None = None
    ) -> _Sheet:
        """The line of each bucket for a call with so many input tokens at this instant. A tier without prices is the base tier."""
        bands = self._bands(at, service_tier, region, variant)
        for above, sheet in bands:
            if total_input > above:
                return sheet
        return bands[-1][1]

    def sheets(self, most_input: int, at: datetime, service_tier: str | None = None) -> tuple[_Sheet, ...]:
        """All that calls of no more input tokens than that may meet, and one at least."""
        bands = self._bands(at, service_tier, None, None)
        return tuple([sheet for above, sheet in bands if above < most_input or above < 0])

    def _bands(self, at: datetime, service_tier: str | None, region: str | None, variant: str | None) -> tuple[tuple[int, _Sheet], ...]:
        """The highest first; the last is for all calls."""
        if service_tier is not None and service_tier not in self.tiers:
            service_tier = _OTHER_NAMES.get(service_tier)
        windows = self._windows
        conditions = (service_tier, region, variant, tuple(w for w in windows if applies(w, at)) if windows else ())
        bands = self._sheets.get(conditions)
        if bands is None:
            bands = self._sheets[conditions] = _compile(self.lines, conditions)
        return bands


def cost_of_call(
    usage: Usage,
    card: PriceCard,
    *,
    at: datetime,
    service_tier: str | None = None,
    region: str | None = None,
    variant: str | None = None,
) -> Cost:
    """The cost of one call in nano-dollars, rounded up once.

    Args:
        usage: what was used, in disjoint buckets; none may be negative.
        at: the instant of the call (aware); time-of-day prices follow it.
        service_tier: batch, flex, priority …, whatever the provider calls it; a component without a price for it costs its base price.
    """
    if card.state == "free":
        return Cost(0, (), "free", ())
    if card.state != "priced" or not card.lines:
        return Cost(0, (), "unpriced", (), ("card",))
    sheet = card.sheet(usage.total_input, at, service_tier, region, variant)
    numerator = 0
    parts: list[CostPart] = []
    missing: list[str] = []
    quantities = _quantities(usage)
    for place in compress(_PLACES, quantities):
        bucket, quantity, line = _BUCKETS[place], quantities[place], sheet.lines[place]
        if line is not None:
            numerator += quantity * line.nano_per_million
            parts.append(CostPart(bucket, quantity, line))
        elif bucket not in sheet.ignored:
            missing.append(bucket)
    denominator = MILLION
    if usage.seconds:
        if sheet.seconds is not None:
            # Durations are the one fraction: as whole microseconds, so that the sum stays an integer.
            micros = math.ceil(Decimal(str(usage.seconds)) * MILLION)
            numerator = numerator * MILLION + micros * sheet.seconds.nano_per_million
            denominator = MILLION * MILLION
            parts.append(CostPart("seconds", usage.seconds, sheet.seconds))
        elif "seconds" not in sheet.ignored:
            missing.append("seconds")
    return Cost(
        -(-numerator // denominator),
        tuple([part.line.id for part in parts]),
        "unpriced" if missing else "priced",
        tuple(parts),
        tuple(missing),
    )


_TOKEN_BUCKETS = {
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
    "image_input",
}


def _compile(lines: Iterable[PriceLine], conditions: _Conditions) -> tuple[tuple[int, _Sheet], ...]:
    service_tier, region, variant, windows = conditions
    usable = [
        line
        for line in lines
        if line.service_tier in (None, service_tier)
        and line.region in (None, region)
        and line.variant in (None, variant)
        and (line.time_window is None or line.time_window in windows)
    ]
    # An offer priced per image, second or character does not bill the tokens that its answer may report, and the other way round.
    families = {line.unit for line in usable if line.component not in SURCHARGES}
    ignored = {"requests"}
    if families and "token" not in families:
        ignored |= _TOKEN_BUCKETS
    if "token" in families:
        ignored |= {
            bucket for bucket, unit in (("images", "image"), ("seconds", "second"), ("characters", "character")) if unit not in families
        }
    thresholds = sorted({line.context_above for line in usable if line.context_above is not None}, reverse=True)
    return tuple((above, _sheet(usable, above, frozenset(ignored))) for above in (*thresholds, -1))


def _sheet(usable: list[PriceLine], above: int, ignored: frozenset[str]) -> _Sheet:
    def best(component: str, unit: str = "token", ttl: int | None = None) -> PriceLine | None:
        matching = [
            line
            for line in usable
            if line.component == component
            and line.unit == unit
            and (line.context_above is None or line.context_above <= above)
            and (line.cache_ttl == ttl)
        ]
        return max(matching, key=_specificity) if matching else None

    plain_input, plain_output = best("input"), best("output")
    cache_write = best("cache_write") or plain_input
    chosen = {
        "input": plain_input,
        "output": plain_output,
        "cache_read": best("cache_read") or plain_input,
        "reasoning": best("reasoning") or plain_output,
        "cache_write": cache_write,
        "cache_write_1h": best("cache_write", ttl=ONE_HOUR) or cache_write,
        "audio_input": best("audio_in"),
        "audio_output": best("audio_out"),
        "images": best("image_out", "image") or best("output", "image"),
        "characters": best("input", "character") or best("output", "character"),
        "requests": best("request", "request") or best("input", "query"),
        "image_output": best("image_out") or plain_output,
        "image_input": best("image_in") or plain_input,
    }
    timed = (best(component, "second") for component in ("input", "audio_in", "output", "audio_out", "video_out"))
    return _Sheet(tuple(chosen[bucket] for bucket in _BUCKETS), next((line for line in timed if line is not None), None), ignored)


def _specificity(line: PriceLine) -> tuple[bool, bool, bool, bool, int]:
    return (
        line.service_tier is not None,
        line.time_window is not None,
        line.region is not None,
        line.variant is not None,
        line.context_above if line.context_above is not None else -1,
    )
