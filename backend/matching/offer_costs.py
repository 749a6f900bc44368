"""What one call of a workload costs at every offer, as columns: most offers cost a sum of five products, and only the rest is asked of the
one function that prices workloads.

Columns hold nano-dollars per 1M tokens and are exact: what they say is what `cost_per_call` says, and a test holds them to it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from backend.pricing.cost import MILLION, PriceCard, PriceLine
from backend.pricing.tiers import SURCHARGES
from backend.pricing.usage import Usage
from backend.pricing.workload import Workload, cost_per_call

UNKNOWN = -1
"""In answers: what a call costs there is not known."""
_NO_RATE = -(10**40)
"""In columns: no price. So low that a single token of it makes any sum negative."""
_BUCKETS = ("input", "cache_read", "cache_write", "output", "reasoning")
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_BESIDE_TOKENS = ("images", "seconds", "characters", "audio_input", "audio_output")
"""What the columns do not hold of a workload."""

_HEARD_AND_SPOKEN = frozenset({"audio_in", "audio_out"})
"""Components of tokens that they do not hold either."""
_OF_EVERY_CALL = frozenset({"token", "request", "query"})
"""Units of which calls of tokens use some; what is priced in others alone has no price for them."""

_BY_THE_CLOCK = -2
"""In sums that are kept: what it costs depends on the time of day."""
_KEPT = 16
"""Workloads whose sums are kept, twice each where one depends on the time of day: most questions are about the same one."""

Rates = tuple[int, ...]


class OfferCosts:
    """Rows are numbers of offers in the order of `offer_ids`."""

    def __init__(self, offer_ids: Iterable[str], cards: Iterable[PriceCard]) -> None:
        row_of: Mapping[str, int] = {offer_id: row for row, offer_id in enumerate(offer_ids)}
        self._rates = tuple([_NO_RATE] * len(row_of) for _ in _BUCKETS)
        self._bands: dict[int, tuple[tuple[int, Rates], ...]] = {}
        self._cards: dict[int, PriceCard] = {}
        """Of offers that the columns do not say everything about."""
        self._only_cards: set[int] = set()
        self._timed: list[int] = []
        """Rows whose price depends on the time of day."""
        self._kept: OrderedDict[tuple[object, ...], list[int]] = OrderedDict()
        shared: dict[Rates, Rates] = {}
        for card in cards:
            row = row_of.get(card.offer_id)
            if row is None or card.state not in ("priced", "free"):
                continue
            plain = _is_plain(card)
            if plain:
                bands = tuple((above, shared.setdefault(rates, rates)) for above, rates in _bands(card))
                for column, rate in zip(self._rates, bands[-1][1], strict=True):
                    column[row] = rate
                if len(bands) > 1:
                    self._bands[row] = bands
            elif card.state == "free" or any(line.unit in _OF_EVERY_CALL for line in card.lines):
                self._only_cards.add(row)
            if not plain or card.tiers or any(_is_beside(line) for line in card.lines):
                self._cards[row] = PriceCard(card.offer_id, card.state, card.lines)
                if any(line.time_window is not None for line in card.lines):
                    self._timed.append(row)

    def per_call(self, workload: Workload, at: datetime) -> Sequence[int]:
        """By row, nano-dollars for one call at that instant; `UNKNOWN` where there is no price for this workload, 0 for what is given
        away. The same object for the same costs, as long as it is kept: not to be changed."""
        wanted = (workload.usage, workload.service_tier, workload.region)
        usual = self._keep(wanted, lambda: self._at_any_time(workload))
        timed = tuple((row, self._exactly(row, workload, at)) for row in self._timed if usual[row] == _BY_THE_CLOCK)
        return self._keep((*wanted, timed), lambda: _with(usual, timed))

    def _at_any_time(self, workload: Workload) -> list[int]:
        """`_BY_THE_CLOCK` where there is no such cost."""
        usage = workload.usage
        if any(getattr(usage, bucket) for bucket in _BESIDE_TOKENS):
            costs = [UNKNOWN] * len(self._rates[0])
            asked: Iterable[int] = self._cards
        else:
            costs = self._sum_up(usage)
            asked = self._cards if workload.service_tier or workload.region else self._only_cards
        timed = set(self._timed)
        for row in asked:
            costs[row] = _BY_THE_CLOCK if row in timed else self._exactly(row, workload, _ANY_TIME)
        return costs

    def _exactly(self, row: int, workload: Workload, at: datetime) -> int:
        nano = _exactly(self._cards[row], workload, at)
        return UNKNOWN if nano is None else nano

    def _keep(self, key: tuple[object, ...], make: Callable[[], list[int]]) -> list[int]:
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = make()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return kept

    def in_tiers(self, row: int, workload: Workload, at: datetime) -> dict[str, int]:
        """Service tier → what one call costs there, for the tiers that the offer prices by themselves."""
        card = self._cards.get(row)
        if card is None:
            return {}
        found = {tier: _exactly(card, replace(workload, service_tier=tier), at) for tier in sorted(card.tiers)}
        return {tier: nano for tier, nano in found.items() if nano is not None}

    def _sum_up(self, usage: Usage) -> list[int]:
        used = (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning)
        counts = [(count, column) for count, column in zip(used, self._rates, strict=True) if count]
        if not counts:
            return [UNKNOWN] * len(self._rates[0])
        if len(counts) == 1:
            ((a, first),) = counts
            totals = [a * paid for paid in first]
        elif len(counts) == 2:
            (a, first), (b, second) = counts
            totals = [a * paid + b * made for paid, made in zip(first, second, strict=True)]
        else:
            totals = [0] * len(self._rates[0])
            for count, column in counts:
                totals = [total + count * rate for total, rate in zip(totals, column, strict=True)]
        for row, bands in self._bands.items():
            rates = next((rates for above, rates in bands if usage.total_input > above), bands[-1][1])
            totals[row] = sum(count * rate for count, rate in zip(used, rates, strict=True) if count)
        return [-(-total // MILLION) if total >= 0 else UNKNOWN for total in totals]


def _with(costs: list[int], others: tuple[tuple[int, int], ...]) -> list[int]:
    if not others:
        return costs
    changed = list(costs)
    for row, nano in others:
        changed[row] = nano
    return changed


def _is_plain(card: PriceCard) -> bool:
    """Whether calls of tokens alone cost nothing but tokens there, at any time of day the same."""
    if card.state != "priced" or any(line.time_window is not None or line.component == "request" for line in card.lines):
        return False
    charges = [line for line in card.lines if line.component not in SURCHARGES]
    return any(line.unit == "token" for line in charges) and all(line.unit != "query" for line in charges)


def _bands(card: PriceCard) -> list[tuple[int, Rates]]:
    """Above so many tokens of input → the price of each bucket; the highest band first, the last for all calls."""
    thresholds = sorted({line.context_above for line in card.lines if line.context_above is not None}, reverse=True)
    found = []
    for above in (*thresholds, -1):
        lines = [card.line(bucket, at=_ANY_TIME, total_input=above + 1) for bucket in _BUCKETS]
        found.append((above, tuple(_NO_RATE if line is None else line.nano_per_million for line in lines)))
    return found


def _is_beside(line: PriceLine) -> bool:
    """Whether it is a price of something that the columns do not hold."""
    return line.unit != "token" or line.region is not None or line.component in _HEARD_AND_SPOKEN


def _exactly(card: PriceCard, workload: Workload, at: datetime) -> int | None:
    cost = cost_per_call(card, workload, at=at)
    return None if cost.state == "unpriced" else cost.nano
