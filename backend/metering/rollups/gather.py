"""What a batch of calls adds up to, by series and bucket of time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, itemgetter
from typing import Any

from backend.metering.record import CALL_FIELDS, TOKENS
from backend.metering.rollups.histogram import Histogram, count, merge

MINUTE, HOUR, DAY = 60, 3_600, 86_400
SPANS = (MINUTE, HOUR, DAY)
SPAN_NAMES = {MINUTE: "minute", HOUR: "hour", DAY: "day"}
DIMENSIONS = ("tenant_id", "key_id", "user_id", "model", "provider", "route", "task", "outcome")
AMOUNTS = {"image": ("images", 1), "character": ("characters", 1), "query": ("searches", 1), "second": ("sound_ms", 1000)}
"""By the unit that a call is metered in where that is not tokens: what it is added up as, and how many of these one is."""
_PLAIN = ("calls", "errors", "overruns", *TOKENS, "charged_nano", "provider_cost_nano", "saved_nano")
MEASURES = (*_PLAIN, *[name for name, _ in AMOUNTS.values()])
ERRORS = ("failed", "interrupted")
"""Outcomes that count as errors: the fault was ours or a provider's."""

GRAINS = (
    (DIMENSIONS, SPANS),
    (("tenant_id", "key_id", "user_id", "outcome"), (DAY,)),
    (("tenant_id", "model", "provider", "outcome"), SPANS),
    (("model", "provider", "outcome"), SPANS),
)
"""Every call is added up once by each of these dimensions, over each of these spans. Most charts need no more than a coarser grain has,
which has far fewer series."""
ALL = "*"
"""What a coarser series has in the dimensions that it does not keep apart."""

Names = tuple[str | None, ...]
"""A call's values in the order of `DIMENSIONS`."""
Series = tuple[str, ...]
"""The same with the empty text for none, or as `coarser` has it."""
Place = tuple[bytes, int]
"""A series' id, and the second at which a bucket of time starts."""

_SUMMED = ("overrun", *TOKENS, "charged_nano", "provider_cost_nano", "saved_nano")
_ADDED_UP = (*_SUMMED, "unit", "quantity", "latency_ms", "first_token_ms")
FACTS = (*DIMENSIONS, "created_us", *_ADDED_UP)
"""What of a call's row is added up."""
_MINUTE_US = MINUTE * 1_000_000
_OUTCOME = DIMENSIONS.index("outcome")


class Columns:
    """Where a row has what is added up."""

    __slots__ = ("created", "facts_of", "names_of")

    def __init__(self, fields: Sequence[str]) -> None:
        place = {name: index for index, name in enumerate(fields)}
        self.names_of = itemgetter(*[place[name] for name in DIMENSIONS])
        self.created = place["created_us"]
        self.facts_of = itemgetter(*[place[name] for name in _ADDED_UP])


JOURNAL, LEDGER = Columns(CALL_FIELDS), Columns(FACTS)


@dataclass(slots=True)
class Totals:
    """`sums` in the order of `MEASURES`."""

    sums: Sequence[int] = (0,) * len(MEASURES)
    latency: Histogram = field(default_factory=dict)
    first_token: Histogram = field(default_factory=dict)

    def add(self, other: "Totals") -> None:
        self.sums = tuple(map(add, self.sums, other.sums))
        merge(self.latency, other.latency)
        merge(self.first_token, other.first_token)

    def copy(self) -> "Totals":
        return Totals(self.sums, self.latency.copy(), self.first_token.copy())

    def __neg__(self) -> "Totals":
        return Totals(
            tuple([-value for value in self.sums]),
            {bucket: -calls for bucket, calls in self.latency.items()},
            {bucket: -calls for bucket, calls in self.first_token.items()},
        )

    def __bool__(self) -> bool:
        """Whether anything is in it, also where all that is sums up to nothing."""
        return any(self.sums) or any(self.latency.values()) or any(self.first_token.values())


def by_minute(rows: Iterable[Sequence[Any]], columns: Columns = JOURNAL) -> dict[Names, dict[int, Totals]]:
    """Calls added up by series and by the minute (seconds since 1970) in which they began."""
    names_of, created, facts_of = columns.names_of, columns.created, columns.facts_of
    gathered: dict[tuple[Names, int], list[Sequence[Any]]] = {}
    for row in rows:
        place = names_of(row), row[created] // _MINUTE_US
        found = gathered.get(place)
        if found is None:
            gathered[place] = [facts_of(row)]
        else:
            found.append(facts_of(row))
    result: dict[Names, dict[int, Totals]] = {}
    for (names, minute), facts in gathered.items():
        *summed, units, quantities, latency, first_token = zip(*facts, strict=True)
        calls = len(facts)
        amounts = _amounts(units, quantities) if any(units) else _NO_AMOUNTS
        totals = Totals((calls, calls if names[_OUTCOME] in ERRORS else 0, *map(sum, summed), *amounts))
        count(totals.latency, latency)
        count(totals.first_token, [value for value in first_token if value is not None])
        result.setdefault(names, {})[minute * MINUTE] = totals
    return result


def by_span(minutes: Mapping[Names, Mapping[int, Totals]], ids: Mapping[Names, Sequence[bytes]]) -> dict[int, dict[Place, Totals]]:
    """Minutes added up to the buckets of each span, in the series of each grain that their calls belong to."""
    shorter: dict[Place, Totals] = {}
    only_days: set[bytes] = set()
    for names, found in minutes.items():
        for series, (_, spans) in zip(ids[names], GRAINS, strict=False):
            if MINUTE not in spans:
                only_days.add(series)
            for minute, totals in found.items():
                _add(shorter, (series, minute), totals)
    result = {MINUTE: shorter}
    for span in SPANS[1:]:
        longer: dict[Place, Totals] = {}
        for (series, starts), totals in shorter.items():
            _add(longer, (series, starts - starts % span), totals)
        shorter = result[span] = longer
    for span in (MINUTE, HOUR):
        result[span] = {place: totals for place, totals in result[span].items() if place[0] not in only_days}
    return result


def whole(names: Names) -> Series:
    """The series of a call, with all its names."""
    return tuple([name or "" for name in names])


def coarser(series: Series, keeps: Sequence[str]) -> Series:
    """The series of a grain that a whole one is part of."""
    return tuple([name if dimension in keeps else ALL for name, dimension in zip(series, DIMENSIONS, strict=True)])


def grain_for(needed: Iterable[str], span: int) -> Sequence[str]:
    """The coarsest grain that keeps these dimensions apart, and has the span."""
    return next(keeps for keeps, spans in reversed(GRAINS) if {*keeps} >= {*needed} and span in spans)


_NO_AMOUNTS = (0,) * len(AMOUNTS)


def _amounts(units: Iterable[str | None], quantities: Iterable[float]) -> list[int]:
    """Of calls, in the order of `AMOUNTS`."""
    sums = dict.fromkeys(AMOUNTS, 0)
    for unit, quantity in zip(units, quantities, strict=True):
        if unit in sums:
            sums[unit] += round(quantity * AMOUNTS[unit][1])
    return list(sums.values())


def _add(places: dict[Place, Totals], place: Place, totals: Totals) -> None:
    known = places.get(place)
    if known is None:
        places[place] = totals.copy()
    else:
        known.add(totals)
