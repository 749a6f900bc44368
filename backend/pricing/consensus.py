"""Which of the stated prices is in force: one row per offer, component, unit and tier. See docs/decisions/0004-price-consensus.md."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from backend.pricing.evidence import OPERATOR, WITHDRAWN, Evidence
from backend.pricing.tiers import SURCHARGES

SAME = Decimal("0.005")
"""Two amounts that differ by less than half a per cent are the same price, rounded or converted differently."""
EQUALLY_FRESH = timedelta(days=7)
"""Who was asked that much before the newest who speaks of the offer knows no better and no worse, else consensus would change sides at
midnight."""


class Consensus:
    """What consensus says about one offer: `state` as in the offer table, and how the base price was agreed on."""

    __slots__ = ("agreement", "input", "output", "sources", "state")

    def __init__(self) -> None:
        self.state = "unpriced"
        self.input: Decimal | None = None
        self.output: Decimal | None = None
        self.agreement = 0
        self.sources = 0


def decide(evidence: Iterable[Evidence], now: datetime) -> Consensus:
    """Mark the rows in force among all the evidence of *one* offer, with the reason, and sum up.

    A price dated in the future is marked announced, one that ends before it begins withdrawn; an expired, quarantined or rejected one is
    never in force; a zero only when confirmed free. What an operator set is in force before anything else.
    """
    consensus = Consensus()
    places: dict[tuple[str, str, str], list[Evidence]] = defaultdict(list)
    held = False
    evidence = list(evidence)
    fresh = _freshness(evidence, now)
    for item in evidence:
        item.in_force = False
        if item.status == "rejected":
            continue
        if item.status == "quarantined":
            held = True
            continue
        item.reason = None
        begins, ends = item.quote.effective_at, item.quote.expires_at
        if begins is not None and ends is not None and ends <= begins:
            item.status, item.reason = WITHDRAWN, "it ends before it begins"
        elif begins is not None and begins > now:
            item.status, item.reason = "announced", "announced, not yet in force"
        elif ends is not None and ends <= now:
            item.status, item.reason = "observed", "replaced"
        elif item.amount == 0 and not item.quote.confirmed_free:
            item.status, item.reason = "observed", "a zero that nobody confirmed as free"
        else:
            item.status = "observed"
            places[item.place].append(item)
    believed: dict[tuple[str, str], set[str]] = {}
    window_source = _window_source(places, fresh)
    if window_source is not None:
        _follow_windows(places, window_source)
    for place in sorted(places, key=lambda place: place[2] != ""):
        component, unit, tier = place
        rivals = places[place]
        if tier:
            rivals = [item for item in rivals if _may_condition(item, believed.get((component, unit)), window_source)]
            if not rivals:
                continue
        winners = _choose(rivals, fresh)
        best = winners[0]
        best.in_force = True
        if not tier:
            believed[component, unit] = {item.source for item in winners}
    _summarise(consensus, places)
    if consensus.state == "unpriced" and held:
        consensus.state = "quarantined"
    return consensus


_Freshness = Callable[[Evidence], datetime]


def _freshness(evidence: Sequence[Evidence], now: datetime) -> _Freshness:
    """What to compare sources by. What people say has no part in it: a decision about one price would move the others."""
    going_on = (item for item in evidence if item.quote.expires_at is None or item.quote.expires_at > now)
    newest = max((item.as_of for item in going_on if item.source != OPERATOR), default=now)
    return lambda item: newest if newest - item.as_of <= EQUALLY_FRESH else item.as_of


def _choose(rivals: list[Evidence], fresh: _Freshness) -> list[Evidence]:
    """The agreeing rows of the winning price, the one in force first."""
    own = [item for item in rivals if item.source == OPERATOR]
    if own:
        return _set_by_operator(own, rivals)
    exact = [item for item in rivals if item.exact] or rivals
    groups: list[list[Evidence]] = []
    for item in sorted(exact, key=lambda item: (item.amount, -item.rank, item.source)):
        if groups and item.amount - groups[-1][0].amount <= groups[-1][0].amount * SAME:
            groups[-1].append(item)
        else:
            groups.append([item])

    def strength(group: list[Evidence]) -> tuple[int, datetime, int]:
        return (len({item.source for item in group}), max(map(fresh, group)), max(item.rank for item in group))

    ordered = sorted(groups, key=strength, reverse=True)
    winners = sorted(ordered[0], key=lambda item: (fresh(item), item.rank, item.source), reverse=True)
    winners[0].reason = _reason(ordered, strength(ordered[0]), strength(ordered[1]) if len(ordered) > 1 else None)
    for group in ordered[1:]:
        for item in group:
            item.reason = f"{winners[0].source} is believed instead (${float(winners[0].amount):.10g} per 1M)"
    for item in winners[1:]:
        item.reason = f"agrees with {winners[0].source}"
    for item in rivals:
        if not item.exact and item not in exact:
            item.reason = f"known only by a name pattern; {winners[0].source} names the offer itself"
    return winners


def _set_by_operator(own: list[Evidence], rivals: list[Evidence]) -> list[Evidence]:
    best = max(own, key=lambda item: (item.quote.effective_at or item.as_of, item.id))
    agreeing = []
    for item in rivals:
        if item is best or (item.source != OPERATOR and abs(item.amount - best.amount) <= best.amount * SAME):
            agreeing.append(item)
            item.reason = "agrees with the operator"
        else:
            item.reason = f"the operator's price holds (${float(best.amount):.10g} per 1M)"
    best.reason = "set by an operator"
    return sorted(agreeing, key=lambda item: item is not best)


def _reason(groups: list[list[Evidence]], best: tuple[int, datetime, int], second: tuple[int, datetime, int] | None) -> str:
    if second is None:
        return f"{best[0]} sources agree" if best[0] > 1 else "the only source"
    if best[0] > second[0]:
        return f"{best[0]} of {sum(len({item.source for item in group}) for group in groups)} sources agree"
    return "the freshest source" if best[1] > second[1] else "the highest ranked of equally fresh sources"


def _may_condition(item: Evidence, believed: set[str] | None, window_source: str | None) -> bool:
    """A conditional price counts only from a source whose base price is believed, windows only from one source; an operator's always."""
    if item.source == OPERATOR:
        return True
    if believed is not None and item.source not in believed:
        item.reason = "its base price is not believed"
        return False
    if item.quote.tier.time_window is not None and item.source != window_source:
        item.reason = f"the time windows of {window_source} are believed" if window_source else "known only by a name pattern"
        return False
    return True


def _window_source(places: dict[tuple[str, str, str], list[Evidence]], fresh: _Freshness) -> str | None:
    """The one source whose windows count: two may cut the day differently, and mixing both would leave gaps and overlaps.

    Among equally fresh ones the finer clock is believed: the one that knows weekdays. A name pattern counts only where nobody names the
    offer itself.
    """
    everything = [item for rivals in places.values() for item in rivals]
    exact = [item for item in everything if item.exact] or everything
    timed = [item for item in exact if item.quote.tier.time_window is not None]
    if not timed:
        return None
    return max(timed, key=lambda item: (fresh(item), " " in (item.quote.tier.time_window or ""), item.rank)).source


def _follow_windows(places: dict[tuple[str, str, str], list[Evidence]], source: str) -> None:
    """The price outside the windows comes from who drew them: one source's base is another's off-peak price."""
    timed = {(item.quote.component, item.quote.unit) for rivals in places.values() for item in rivals if item.quote.tier.time_window}
    for component, unit in timed:
        rivals = places.get((component, unit, ""), [])
        own = [item for item in rivals if item.source == source]
        if own and not any(item.source == OPERATOR for item in rivals):
            for item in rivals:
                if item.source != source:
                    item.reason = f"the price list of {source}, with its time windows, is believed as a whole"
            places[component, unit, ""] = own


def _summarise(consensus: Consensus, places: dict[tuple[str, str, str], list[Evidence]]) -> None:
    live = [item for rivals in places.values() for item in rivals if item.in_force and item.quote.component not in SURCHARGES]
    if not live:
        return
    consensus.state = "free" if all(item.amount == 0 for item in live) else "priced"
    for item in live:
        if item.place == ("input", "token", ""):
            consensus.input = item.amount
        elif item.place == ("output", "token", ""):
            consensus.output = item.amount
    for lead in (("input", "token", ""), ("output", "token", ""), min(item.place for item in live)):
        rivals = places.get(lead)
        if not rivals:
            continue
        chosen = next((item for item in rivals if item.in_force), None)
        if chosen is not None:
            consensus.sources = len({item.source for item in rivals})
            consensus.agreement = len({item.source for item in rivals if abs(item.amount - chosen.amount) <= chosen.amount * SAME})
            return
