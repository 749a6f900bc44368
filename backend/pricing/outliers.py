"""Prices that cannot be right wait in quarantine for a person, and nothing is priced with them meanwhile.

The gates, in this order; the first that closes writes the reason:

1. *absurd*: negative, or beyond any price ever asked for that unit, above or below;
2. *against siblings*: ×100 away from the median of the other offers of the model (two at least), else from the maker's own; ×1000 away from
   the median of its family (five at least);
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
LEAST_TOKENS = Decimal("0.003")
"""USD per 1M tokens in or out. The least list price known is that of a small reranker; what lies below is a price of something else, such
as a minute or a step, told as one of a token."""
LEAST_BY_MODE = {"audio_transcription": Decimal("0.1"), "image_generation": Decimal("0.1")}
"""What hears or draws is sold by the second and the picture, too, and those prices are told as ones of tokens most often."""
OF_THE_MODEL, OF_THE_FAMILY, PAST, SOURCES, INVERSION = Decimal(100), Decimal(1000), Decimal(10), Decimal(10), Decimal(100)
STALE = timedelta(days=30)
"""A source that describes a day this much earlier than the other's has missed a change rather than seen a mistake."""
MIN_MODEL_SIBLINGS, MIN_FAMILY_SIBLINGS = 2, 5
_MILLION = Decimal(1_000_000)


def quarantine(evidence: Iterable[Evidence], now: datetime) -> None:
    """Set `status` and `reason` of every price that does not pass; approved ones pass always, and the past is not judged."""
    everything = [
        item
        for item in evidence
        if not item.approved and item.status != "rejected" and (item.quote.expires_at is None or item.quote.expires_at > now)
    ]
    siblings = _Siblings(everything)
    for item in everything:
        reason = (
            beyond_any_price(item.quote.component, item.quote.unit, item.amount)
            or (below_any_price(item.mode, item.amount) if _is_base(item) else None)
            or siblings.objection(item)
        )
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
    return bool(item.previous) and item.previous is not None and apart(item.amount, item.previous) >= PAST


def _hold(item: Evidence, reason: str) -> None:
    item.status, item.in_force, item.reason = "quarantined", False, reason


def beyond_any_price(component: str, unit: str, usd_per_million: Decimal) -> str | None:
    """Why nobody can have asked that for a unit of the component; None if somebody may."""
    if usd_per_million < 0:
        return "a negative price"
    if unit == "token":
        limit = ABSURD_TOKENS.get(component, ABSURD_OTHER_TOKENS)
        return f"absurd: {_usd(usd_per_million)} per 1M tokens, above ${limit} for {component}" if usd_per_million > limit else None
    each, limit = usd_per_million / _MILLION, ABSURD_UNITS.get(unit, Decimal(100))
    return f"absurd: {_usd(each)} per {unit}, above ${limit}" if each > limit and component != "compute" else None


def below_any_price(mode: str, usd_per_million: Decimal) -> str | None:
    """Why nobody can have asked so little for 1M tokens in or out; None if somebody may. What is given away is another question."""
    least = LEAST_BY_MODE.get(mode, LEAST_TOKENS)
    if usd_per_million >= least or usd_per_million <= 0:
        return None
    return f"absurd: {_usd(usd_per_million)} per 1M tokens, below ${least}, the least that anybody asks for such a model"


class _Siblings:
    """Base prices per component and unit over the offers of each model and family, and those of the model's maker."""

    def __init__(self, evidence: list[Evidence]) -> None:
        stated: dict[_Group, dict[str, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
        for item in evidence:
            if _is_comparable(item) and item.amount > 0:
                stated[_group("model", item)][item.offer_id].append(item.amount)
                if item.family:
                    stated[_group("family", item)][item.offer_id].append(item.amount)
                if item.own:
                    stated[_group("maker", item)][item.offer_id].append(item.amount)
        self._of_offer = {group: {offer: Decimal(median(a)) for offer, a in offers.items()} for group, offers in stated.items()}
        self._sorted = {group: sorted(amounts.values()) for group, amounts in self._of_offer.items()}

    def median(self, kind: str, item: Evidence, fewest: int = 1) -> Decimal | None:
        """Over the other offers of its model, of its model's maker or of its family; None where they are fewer."""
        group = _group(kind, item)
        amounts = self._sorted.get(group, [])
        own = self._of_offer.get(group, {}).get(item.offer_id)
        if own is not None:
            at = bisect_left(amounts, own)
            amounts = amounts[:at] + amounts[at + 1 :]
        if len(amounts) < max(fewest, 1):
            return None
        middle = len(amounts) // 2
        return amounts[middle] if len(amounts) % 2 else (amounts[middle - 1] + amounts[middle]) / 2

    def usual(self, item: Evidence) -> Decimal | None:
        """What such a thing costs elsewhere."""
        model = self.median("model", item, MIN_MODEL_SIBLINGS)
        return self.median("family", item, MIN_FAMILY_SIBLINGS) if model is None else model

    def objection(self, item: Evidence) -> str | None:
        if not _is_comparable(item) or item.amount <= 0:
            return None
        # What is read from a cache is let for a hundredth by some who ask the usual price for the rest.
        far = OF_THE_MODEL if _is_base(item) or item.quote.unit != "token" else OF_THE_FAMILY
        if (model := self.median("model", item, MIN_MODEL_SIBLINGS)) is not None:
            return _far_from(item, model, "the median over other offers of the model", far)
        family, maker = self.median("family", item, MIN_FAMILY_SIBLINGS), self.median("maker", item)
        if maker is not None and (family is None or apart(maker, family) < OF_THE_FAMILY):
            return _far_from(item, maker, "what its maker asks", far)
        return None if family is None else _far_from(item, family, "the median over other offers of the family", OF_THE_FAMILY)


def _far_from(item: Evidence, amount: Decimal, whose: str, far: Decimal) -> str | None:
    return f"×{_times(item.amount, amount)} of {whose} ({_usd(amount)} per 1M)" if apart(item.amount, amount) >= far else None


_Group = tuple[str, str, str, str]
"""model, maker or family; its name; component; unit"""


def _group(kind: str, item: Evidence) -> _Group:
    return kind, (item.family or "") if kind == "family" else item.model_id, item.quote.component, item.quote.unit


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
        if apart(high, low) < SOURCES:
            continue
        if len(rivals) > 2:
            middle = Decimal(median(item.amount for item in rivals))
            losers = [item for item in rivals if apart(item.amount, middle) >= SOURCES]
        else:
            losers = [_less_likely(rivals[0], rivals[1], siblings)]
        for item in losers:
            other = next(rival for rival in rivals if rival is not item and apart(rival.amount, item.amount) >= SOURCES)
            _hold(item, f"×{_times(item.amount, other.amount)} of what {other.source} says ({_usd(other.amount)} per 1M)")


def _less_likely(one: Evidence, other: Evidence, siblings: _Siblings) -> Evidence:
    older, newer = sorted((one, other), key=lambda item: item.as_of)
    if newer.exact and newer.as_of - older.as_of > STALE:
        return older
    middle = siblings.usual(one) if _is_comparable(one) else None
    if middle is not None:
        return one if apart(one.amount, middle) > apart(other.amount, middle) else other
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


def _is_comparable(item: Evidence) -> bool:
    return not item.quote.tier.text and item.quote.component != "compute"


def _is_base(item: Evidence) -> bool:
    return _is_plain(item) and item.quote.component in ("input", "output")


def apart(one: Decimal, other: Decimal) -> Decimal:
    """How many times the greater is the smaller; 1 where one of them is nothing."""
    return max(one, other) / min(one, other) if one > 0 and other > 0 else Decimal(1)


def _times(amount: Decimal, other: Decimal) -> str:
    times = amount / other
    return f"{times:,.0f}" if times >= 1000 else f"{float(times):.3g}"


def _usd(amount: Decimal) -> str:
    return f"${float(amount):.10g}"
