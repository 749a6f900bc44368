"""Prices that cannot be right wait in quarantine for a person, and nothing is priced with them meanwhile.

The gates, in this order; the first that closes writes the reason:

1. *absurd*: negative, or beyond any price ever asked for that unit;
2. *against siblings*: ×1000 away from the median of the other offers of the model (two at least), else of its family (five at least);
3. *against its own past*: ×10 away from what the same source said before;
4. *against other sources* for the same offer: ×10 away from their median when there are two others; with one other, the staler
   one, else the one that lies farther from its siblings, else the one that consensus would not have chosen;
5. *output below input*: a chat model whose output costs less than a hundredth of its input.

Gates 1 and 2 put all new prices of the source for that offer aside: a source that is wrong by a unit is wrong in every line.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median

from backend.pricing.evidence import Evidence

ABSURD_TOKENS = {"input": Decimal(300), "cache_read": Decimal(300), "cache_write": Decimal(600)}
"""USD per 1M tokens. The dearest list price known is 150 (o1-pro in; ultra-fast tiers above 272k: 120 in, 150 cache writes, 450 out)."""
ABSURD_OTHER_TOKENS = Decimal(1500)
ABSURD_UNITS = {
    "image": Decimal(20), "pixel": Decimal("0.001"), "second": Decimal(10), "character": Decimal("0.01"), "page": Decimal(5),
    "query": Decimal(5), "request": Decimal(20), "session": Decimal(20), "credit": Decimal(5), "message": Decimal(5),
    "policy_unit": Decimal(5), "gb_day": Decimal(20),
}  # fmt: skip
"""USD for one unit."""
SIBLINGS, PAST, SOURCES, INVERSION = Decimal(1000), Decimal(10), Decimal(10), Decimal(100)
STALE = timedelta(days=30)
"""A source that describes a day this much earlier than the other's has missed a change rather than seen a mistake."""
MIN_MODEL_SIBLINGS, MIN_FAMILY_SIBLINGS = 2, 5
_MILLION = Decimal(1_000_000)


def quarantine(evidence: Iterable[Evidence], now: datetime) -> None:
    """Set `status` and `reason` of every price that does not pass; approved ones pass always, and the past is not judged."""
    everything = [item for item in evidence if not item.approved and (item.quote.expires_at is None or item.quote.expires_at > now)]
    siblings = _Siblings(everything)
    for item in everything:
        reason = _absurd(item) or siblings.objection(item)
        if reason:
            _hold(item, reason)
    _spread(everything)
    for item in everything:
        if item.status == "observed" and item.previous and is_jump(item):
            _hold(item, f"×{_times(item.amount, item.previous)} of what {item.source} said before ({_usd(item.previous)} per 1M)")
    _against_sources(everything, siblings)
    _inversions(everything)


def is_jump(item: Evidence) -> bool:
    """Whether the price is too far from what its source said before to be taken over without a person."""
    return bool(item.previous) and item.previous is not None and _apart(item.amount, item.previous) >= PAST


def _hold(item: Evidence, reason: str) -> None:
    item.status, item.in_force, item.reason = "quarantined", False, reason


def _absurd(item: Evidence) -> str | None:
    quote = item.quote
    if item.amount < 0:
        return "a negative price"
    if quote.unit == "token":
        limit = ABSURD_TOKENS.get(quote.component, ABSURD_OTHER_TOKENS)
        return f"absurd: {_usd(item.amount)} per 1M tokens, above ${limit} for {quote.component}" if item.amount > limit else None
    each, limit = item.amount / _MILLION, ABSURD_UNITS.get(quote.unit, Decimal(100))
    return f"absurd: {_usd(each)} per {quote.unit}, above ${limit}" if each > limit and quote.component != "compute" else None


class _Siblings:
    """Medians of base prices per component over the offers of each model and family."""

    def __init__(self, evidence: list[Evidence]) -> None:
        stated: dict[tuple[str, str, str], dict[str, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
        for item in evidence:
            if _is_plain(item) and item.amount > 0:
                stated["model", item.model_id, item.quote.component][item.offer_id].append(item.amount)
                if item.family:
                    stated["family", item.family, item.quote.component][item.offer_id].append(item.amount)
        self._of_offer = {group: {offer: Decimal(median(a)) for offer, a in offers.items()} for group, offers in stated.items()}
        self._sorted = {group: sorted(amounts.values()) for group, amounts in self._of_offer.items()}

    def median(self, item: Evidence) -> tuple[Decimal, str] | None:
        """The median over the other offers of the model, else of the family, and which it is; None where they are too few."""
        for kind, name, least in (("model", item.model_id, MIN_MODEL_SIBLINGS), ("family", item.family or "", MIN_FAMILY_SIBLINGS)):
            group = (kind, name, item.quote.component)
            amounts = self._sorted.get(group, [])
            own = self._of_offer.get(group, {}).get(item.offer_id)
            if own is not None:
                at = bisect_left(amounts, own)
                amounts = amounts[:at] + amounts[at + 1 :]
            if len(amounts) >= least:
                middle = len(amounts) // 2
                return (amounts[middle] if len(amounts) % 2 else (amounts[middle - 1] + amounts[middle]) / 2), f"the {kind}"
        return None

    def objection(self, item: Evidence) -> str | None:
        if not _is_plain(item) or item.amount <= 0 or (found := self.median(item)) is None:
            return None
        middle, whose = found
        if _apart(item.amount, middle) < SIBLINGS:
            return None
        return f"×{_times(item.amount, middle)} of the median over other offers of {whose} ({_usd(middle)} per 1M)"


def _spread(evidence: list[Evidence]) -> None:
    bad: dict[tuple[str, str], Evidence] = {}
    for item in evidence:
        if item.status == "quarantined":
            bad.setdefault((item.offer_id, item.source), item)
    for item in evidence:
        cause = bad.get((item.offer_id, item.source))
        if cause is not None and item.status == "observed" and not item.passed:
            _hold(item, f"set aside with {cause.quote.component}: {cause.reason}")


def _against_sources(evidence: list[Evidence], siblings: _Siblings) -> None:
    places: dict[tuple[str, tuple[str, str, str]], list[Evidence]] = defaultdict(list)
    for item in evidence:
        if item.status == "observed" and item.amount > 0:
            places[item.offer_id, item.place].append(item)
    for rivals in places.values():
        if len({item.source for item in rivals}) < 2:
            continue
        low, high = min(item.amount for item in rivals), max(item.amount for item in rivals)
        if _apart(high, low) < SOURCES:
            continue
        if len(rivals) > 2:
            middle = Decimal(median(item.amount for item in rivals))
            losers = [item for item in rivals if _apart(item.amount, middle) >= SOURCES]
        else:
            losers = [_less_likely(rivals[0], rivals[1], siblings)]
        for item in losers:
            other = next(rival for rival in rivals if rival is not item and _apart(rival.amount, item.amount) >= SOURCES)
            _hold(item, f"×{_times(item.amount, other.amount)} of what {other.source} says ({_usd(other.amount)} per 1M)")


def _less_likely(one: Evidence, other: Evidence, siblings: _Siblings) -> Evidence:
    older, newer = sorted((one, other), key=lambda item: item.as_of)
    if newer.exact and newer.as_of - older.as_of > STALE:
        return older
    found = siblings.median(one) if _is_plain(one) else None
    if found is not None:
        middle = found[0]
        return one if _apart(one.amount, middle) > _apart(other.amount, middle) else other
    return min(one, other, key=lambda item: (item.exact, item.as_of, item.rank))


def _inversions(evidence: list[Evidence]) -> None:
    pairs: dict[tuple[str, str], dict[str, Evidence]] = defaultdict(dict)
    for item in evidence:
        if item.status == "observed" and item.mode in ("chat", "completion") and _is_base(item):
            pairs[item.offer_id, item.source][item.quote.component] = item
    for pair in pairs.values():
        paid, made = pair.get("input"), pair.get("output")
        if paid and made and made.amount > 0 and paid.amount / made.amount >= INVERSION:
            for item in (paid, made):
                _hold(item, f"output ({_usd(made.amount)} per 1M) far below input ({_usd(paid.amount)} per 1M)")


def _is_plain(item: Evidence) -> bool:
    return item.quote.unit == "token" and not item.quote.tier.text


def _is_base(item: Evidence) -> bool:
    return _is_plain(item) and item.quote.component in ("input", "output")


def _apart(one: Decimal, other: Decimal) -> Decimal:
    return max(one, other) / min(one, other) if one > 0 and other > 0 else Decimal(1)


def _times(amount: Decimal, other: Decimal) -> str:
    return f"{float(amount / other):.3g}"


def _usd(amount: Decimal) -> str:
    return f"${float(amount):.10g}"
