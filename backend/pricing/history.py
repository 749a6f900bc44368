"""What an offer's prices were: steps per component and source, out of dated price rows and the log of public maps. Pure.

Two kinds of dates, never mixed up: the seller's own, where a source dates its prices, and the day on which a map was seen to say something
else. The latter is an upper bound: the change lies after the look before. Nothing is interpolated and no gap is bridged by a guess.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from backend.kernel.money import format_usd, nano_from_usd
from backend.pricing.outliers import beyond_any_price
from backend.pricing.schemas import StatedPrice
from backend.pricing.tiers import COMPONENTS

Row = Mapping[str, Any]
UNWATCHED = (date(2026, 7, 25), date(2026, 11, 19))
"""Between these days, both included, nobody looked at the maps but genai-prices (until 2026-08-21)."""
_LONG_AGO = date(1971, 1, 1)
"""Before it lies what a source says of "always until"."""
NOTE = (
    "Dates marked 'map' are when a public price map changed, not when the seller did: that lies between the look before and this one. "
    f"Between {UNWATCHED[0]} and {UNWATCHED[1]} nobody looked, and nothing is claimed."
)


@dataclass(frozen=True, slots=True)
class Step:
    """A price from `start` until the next step, or until `end` where nobody names it any more; both None where unknown.

    `dated_by`: seller, map (the change lies after `after` and not later than `start`) or store (the day it was first read here).
    `reverted`: the map took it back within 60 days. `doubt`: why it cannot be right; such a step is not to be drawn.
    """

    start: date | None
    end: date | None
    usd_per_million: str
    nano_per_million: int
    dated_by: str
    source_url: str | None
    after: date | None = None
    reverted: bool = False
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """What one source said of one component of an offer under some conditions (`tier`, empty = always), the oldest step first.

    `leading`: of several sources the one to draw, and `why`.
    """

    offer_id: str
    component: str
    label: str
    unit: str
    tier: str
    tier_label: str
    source: str
    steps: tuple[Step, ...]
    leading: bool = False
    why: str = ""

    @property
    def changes(self) -> int:
        """How often the price changed, without what was taken back or cannot be right."""
        sound = [step.usd_per_million for step in self.steps if not step.reverted and step.doubt is None]
        return sum(before != after for before, after in pairwise(sound))


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """`series` with the leading ones first; `announced` are prices to come, with the day and their expiry."""

    model_id: str
    name: str
    series: tuple[PriceSeries, ...]
    announced: tuple[tuple[str, StatedPrice], ...]
    headline: str
    note: str = NOTE
    unwatched: tuple[date, date] = UNWATCHED


_Place = tuple[str, str, str, str]
"""offer, component, unit, tier"""


def series_of(prices: Sequence[Row], log: Sequence[Row], labels: Mapping[str, str]) -> list[PriceSeries]:
    """All series of some offers.

    Args:
        prices: rows of the price table, the oldest first, without what is doubted.
        log: rows of the log, the oldest first.
        labels: what a tier's text is for people.
    """
    told = _from_log(log)
    stated: dict[tuple[_Place, str], list[Row]] = defaultdict(list)
    in_force: dict[_Place, Row] = {}
    for row in prices:
        place = (row["offer_id"], row["component"], row["unit"], row["tier"])
        stated[place, row["source"]].append(row)
        if row["in_force"]:
            in_force[place] = row
    first_said: dict[_Place, dict[int, date]] = defaultdict(dict)
    for place, _, step in sorted(((*key, step) for key, steps in told.items() for step in steps), key=lambda one: one[2].start or date.max):
        if step.start is not None:
            first_said[place].setdefault(step.nano_per_million, step.start)
    found: dict[_Place, dict[str, tuple[Step, ...]]] = defaultdict(dict)
    for place, source in [*told, *(key for key in stated if key not in told)]:
        steps = _joined(told.get((place, source), []), stated.get((place, source), []), first_said[place])
        if steps:
            found[place][source] = steps
    series: list[PriceSeries] = []
    for place, by_source in found.items():
        series += _series(place, by_source, in_force.get(place), labels)
    return sorted(series, key=lambda one: (not one.leading, one.offer_id, bool(one.tier), one.tier, _order(one.component), one.source))


def headline(name: str, series: Sequence[PriceSeries], today: date) -> str:
    """One sentence: the newest change of an input price that is drawn, the sellers' own dates before those of maps."""
    found: list[tuple[bool, date, PriceSeries, Step, Step]] = []
    drawn = [one for one in series if one.leading and not one.tier and (one.component, one.unit) == ("input", "token")]
    for one in drawn:
        sound = [step for step in one.steps if not step.reverted and step.doubt is None and step.nano_per_million]
        for before, after in pairwise(sound):
            if after.start is not None and after.dated_by != "store" and after.nano_per_million != before.nano_per_million:
                found.append((after.dated_by == "seller", after.start, one, before, after))
    if not found:
        since = min((one.steps[0].start for one in drawn if one.steps[0].start is not None), default=None)
        known = f" since {since}" if since is not None and since < today else ""
        return f"No change of what {name} costs is known{known}"
    *_, one, before, after = max(found, key=lambda change: change[:2])
    verb = "fell" if after.nano_per_million < before.nano_per_million else "rose"
    share = abs(Decimal(after.nano_per_million) / before.nano_per_million - 1)
    when = (
        f"on {after.start}"
        if after.dated_by == "seller"
        else f"between {after.after} and {after.start}"
        if after.after
        else f"by {after.start}"
    )
    return f"Input of {one.offer_id} {verb} by {100 * share:.0f} % {when}: {_usd(before)} to {_usd(after)} per 1M tokens"


def _usd(step: Step) -> str:
    return format_usd(step.nano_per_million)


def _series(place: _Place, by_source: dict[str, tuple[Step, ...]], force: Row | None, labels: Mapping[str, str]) -> list[PriceSeries]:
    offer_id, component, unit, tier = place
    leader, why = _leader(by_source, force)
    series = []
    for source, steps in by_source.items():
        leads = source == leader
        if leads and force is not None and steps[-1].nano_per_million != force["nano_per_million"]:
            steps = (*steps, _step_of(force))
        label = COMPONENTS.get(component, component)
        series.append(
            PriceSeries(offer_id, component, label, unit, tier, labels.get(tier, tier), source, steps, leads, why if leads else "")
        )
    return series


def _leader(by_source: dict[str, tuple[Step, ...]], force: Row | None) -> tuple[str, str]:
    """Whose steps to draw: the operator's, then who has the seller's dates, then who reaches back farthest and ends at the price in
    force."""
    if force is not None and force["source"] == "operator" and "operator" in by_source:
        return "operator", "set by an operator"
    dated = {source: steps for source, steps in by_source.items() if len(steps) > 1 and steps[-1].dated_by == "seller"}
    if dated:
        return max(sorted(dated), key=lambda source: len(dated[source])), "it has the seller's dates"
    ending = {
        source: steps
        for source, steps in by_source.items()
        if force is not None and steps[-1].nano_per_million == force["nano_per_million"]
    }
    candidates = ending or by_source
    first = min(sorted(candidates), key=lambda source: candidates[source][0].start or date.max)
    return first, "it ends at the price in force and reaches back farthest" if ending else "it reaches back farthest"


def _from_log(log: Iterable[Row]) -> dict[tuple[_Place, str], list[Step]]:
    told: dict[tuple[_Place, str], list[Step]] = defaultdict(list)
    open_now: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in log:
        known = open_now[row["offer_id"], row["source"]]
        rates: Mapping[str, str] = {} if row["event"] == "last_seen" else row["rates"]
        for text in [*known] if row["event"] == "last_seen" else []:
            steps = told[_place(row["offer_id"], text), row["source"]]
            steps[-1] = replace(steps[-1], end=row["day"])
            del known[text]
        for text, usd in rates.items():
            if known.get(text) == usd:
                continue
            known[text] = usd
            place = _place(row["offer_id"], text)
            nano, doubt = nano_from_usd(Decimal(usd)), beyond_any_price(place[1], "token", Decimal(usd))
            step = Step(row["day"], None, usd, nano, "map", row["source_url"], row["after_day"], row["reverted"], doubt)
            told[place, row["source"]].append(step)
    return told


def _place(offer_id: str, text: str) -> _Place:
    component, _, tier = text.partition(";")
    return offer_id, component, "token", tier


def _joined(told: Sequence[Step], rows: Sequence[Row], first_said: Mapping[int, date]) -> tuple[Step, ...]:
    """The log's steps until the source's own dated rows begin, then these. What a source without dates said when it was first read here
    adds nothing to its log: the copy that was read may be older than the log's. What it said later does."""
    rows = [row for row in rows if row["status"] != "announced"]
    dated = [step for step in map(_step_of, rows) if step.dated_by == "seller"]
    steps = list(told)
    if dated:
        begin = dated[0].start
        if begin is not None and begin < _LONG_AGO:
            following = dated[1].start if len(dated) > 1 else None
            # A source that says "always until then" does not know since when; a map that said the same may.
            said = first_said.get(dated[0].nano_per_million)
            known = said is not None and (following is None or said < following)
            dated[0] = replace(dated[0], start=said if known else None, dated_by="map" if known else "seller")
            steps = []
        else:
            steps = [step for step in steps if begin is None or (step.start is not None and step.start < begin)]
        steps += dated
    else:
        ended = {row["expires_at"] for row in rows}
        steps += [_step_of(row) for row in rows if not told or row["effective_at"] in ended]
    kept: list[Step] = []
    for step in steps:
        if kept and (kept[-1].end is None or kept[-1].end == step.start):
            kept[-1] = replace(kept[-1], end=None)
            if kept[-1].nano_per_million == step.nano_per_million:
                kept[-1] = replace(kept[-1], end=step.end)
                continue
        kept.append(step)
    return tuple(kept)


def _step_of(row: Row) -> Step:
    effective: datetime = row["effective_at"].astimezone(UTC)
    by_seller = row["effective_at"] != row["observed_at"]
    return Step(
        effective.date(),
        row["expires_at"].astimezone(UTC).date() if row["expires_at"] is not None and not row["in_force"] else None,
        row["usd_per_million"],
        row["nano_per_million"],
        "seller" if by_seller else "store",
        row["source_url"],
    )


def _order(component: str) -> int:
    return list(COMPONENTS).index(component) if component in COMPONENTS else len(COMPONENTS)
