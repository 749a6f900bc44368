"""Where ledger, counters and rollups differ. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from backend.metering.reconcile.repository import Compared
from backend.metering.reconcile.schemas import Difference
from backend.metering.rollups.gather import ALL, DIMENSIONS, GRAINS, MEASURES, SPAN_NAMES, Place, Series, Totals, coarser
from backend.metering.rollups.series import OPEN, OTHER

COMPARED = (*MEASURES, "latencies", "first_tokens")
_NOTHING = (0,) * len(COMPARED)
_ROLLUP_CHANGED = "a rollup row was changed, lost or written twice; --repair brings it back to what the ledger says"
_COUNTER_CHANGED = "the budget's counter was changed outside Bourse, or the database lost what it had committed"
LEDGER_CHANGED = "counters or rollups agree with each other against the ledger: a row of it was changed, added or deleted by hand"

Found = Mapping[tuple[Series, int], Compared]
"""By series and by the second at which a minute or hour starts."""


def rollup_differences(
    tenant_id: str | None, ledger: Found, rows: Iterable[tuple[Series, int, int, Place, Totals]], *, spans: Iterable[int], bounded: bool
) -> list[Difference]:
    """Ledger and rollups of one day, of a tenant or (None) of all tenants together.

    Args:
        ledger: by minute if `spans` has minutes, else by hour.
        bounded: there are more names than charts keep apart, so calls are compared without them.
    """
    found = []
    grains = [(keeps, sizes) for keeps, sizes in GRAINS if ("tenant_id" in keeps) == (tenant_id is not None)]
    calls = [(_known(series, bounded), at, sums) for (series, at), sums in ledger.items()]
    for span in spans:
        of_span = [keeps for keeps, sizes in grains if span in sizes]
        expected = added(((coarser(series, keeps), at - at % span), sums) for series, at, sums in calls for keeps in of_span)
        counted = added(
            ((_known(series, bounded), starts), _compared(totals)) for series, size, _, (_, starts), totals in rows if size == span
        )
        for place in sorted(expected.keys() | counted.keys()):
            ours, theirs = expected.get(place, _NOTHING), counted.get(place, _NOTHING)
            if ours != theirs:
                named = f"{SPAN_NAMES[span]} {_moment(place[1])}, {_named(place[0])}"
                found += [
                    Difference("rollup", tenant_id, named, measure, one, other, _ROLLUP_CHANGED)
                    for measure, one, other in zip(COMPARED, ours, theirs, strict=True)
                    if one != other
                ]
    return found


def budget_differences(
    tenant_id: str | None,
    ledger: Mapping[tuple[str, date], int],
    counted: Mapping[tuple[str, date], int],
    budgets: Mapping[str, tuple[str, str]],
) -> Iterator[Difference]:
    """What calls were charged against what budgets count as spent, per budget and local day."""
    for budget_id, day in sorted(ledger.keys() | counted.keys()):
        charged, spent = ledger.get((budget_id, day), 0), counted.get((budget_id, day), 0)
        if charged != spent:
            scope = "{} {}".format(*budgets[budget_id]) if budget_id in budgets else "a budget that was deleted"
            place = f"{budget_id} ({scope}), {day.isoformat()}"
            yield Difference("budget", tenant_id, place, "spent_nano", charged, spent, _COUNTER_CHANGED)


def explained(differences: Iterable[Difference]) -> list[Difference]:
    """Where a budget and a day's rollup are off by the same amount of money, they agree with each other: it is the ledger that changed."""
    found = list(differences)
    where: dict[tuple[str | None, int], set[str]] = {}
    for one in found:
        if one.measure in ("charged_nano", "spent_nano"):
            where.setdefault((one.tenant_id, one.difference), set()).add(one.place.partition(" ")[0] if one.kind == "rollup" else "budget")
    suspects = {key for key, places in where.items() if {"budget", "day"} <= places}
    suspects |= {(None, amount) for _, amount in suspects}
    changed = {
        (one.tenant_id, one.place)
        for one in found
        if one.measure in ("charged_nano", "spent_nano") and (one.tenant_id, one.difference) in suspects
    }
    return [replace(one, reason=LEDGER_CHANGED) if (one.tenant_id, one.place) in changed else one for one in found]


def _compared(totals: Totals) -> Compared:
    return (*totals.sums, sum(totals.latency.values()), sum(totals.first_token.values()))


def added(parts: Iterable[tuple[tuple[Series, int], Compared]]) -> dict[tuple[Series, int], Compared]:
    """Sums of one place are added up."""
    found: dict[tuple[Series, int], Compared] = {}
    for place, sums in parts:
        known = found.get(place)
        found[place] = sums if known is None else tuple([one + other for one, other in zip(known, sums, strict=True)])
    return found


def _known(series: Series, bounded: bool) -> Series:
    return tuple([OTHER if index in OPEN and name != ALL else name for index, name in enumerate(series)]) if bounded else series


def _named(series: Series) -> str:
    names = dict(zip(DIMENSIONS, series, strict=True))
    told = [
        f"{dimension.removesuffix('_id')} {name}" for dimension, name in names.items() if name not in ("", ALL) and dimension != "tenant_id"
    ]
    left_out = next((f"all {dimension.removesuffix('_id')}s" for dimension, name in names.items() if name == ALL), None)
    return ", ".join([left_out, *told] if left_out else told)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
