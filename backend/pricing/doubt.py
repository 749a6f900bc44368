"""Whether a price is to be believed before anybody confirms it: the one rule, for every place that names a cheapest offer.

A doubtful price is not wrong for certain, so it is shown and charged like any other; it only never stands for its model. See
docs/decisions/0043-doubtful-prices.md for the figures behind the thresholds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OF_THE_MAKER = 0.5
"""A model whose weights its maker keeps: whoever resells it buys it there, and half of that price or less needs a second witness. Half is
what makers ask for a batch, so a list that takes one price for the other lies there to the cent."""
OF_THE_OTHERS = 0.3
"""Anybody may serve a model with open weights, and prices spread: this share of what others ask or less needs a second witness."""
OTHER_SELLERS = 2
"""How many it takes for a usual price, and how many that ask about the same confirm a low one."""
ABOUT_THE_SAME = 1.25
INPUT_WEIGHT = 3
"""Prices are compared for three tokens in to one token out, the order of cheapness everywhere."""
UNCONFIRMED = "unconfirmed"
"""The word for it, wherever a price is shown."""


@dataclass(frozen=True, slots=True)
class AskedPrice:
    """What one offer on sale asks for its model, in nano-dollars per 1M tokens; None for a direction that it does not price.

    Args:
        own: its seller made the model.
        witnesses: how many sources name this price.
        vouched: an operator set it or let it pass.
    """

    offer_id: str
    seller: str
    paid: int | None
    made: int | None
    own: bool
    witnesses: int
    vouched: bool = False


def doubts(offers: Sequence[AskedPrice], *, open_weights: bool) -> dict[str, str]:
    """Offers of *one* model whose price is doubtful, with the reason for people: "one source only, 86 % below the maker's price".

    Args:
        offers: those on sale that are sold by the token; what is given away is no price to compare with.

    At least one offer is always left without doubt, and the order of the offers does not matter.
    """
    if len(offers) < 2:
        return {}
    own = [] if open_weights else [offer for offer in offers if offer.own]
    least = OF_THE_MAKER if own else OF_THE_OTHERS
    # What is more than that share of the dearest both ways is more of any other: most offers need no comparing.
    paid, made = (max(nano or 0 for nano in nanos) for nanos in zip(*((o.paid, o.made) for o in offers), strict=True))
    found = {}
    for offer in offers:
        if offer.own or offer.vouched or offer.witnesses > 1:
            continue
        if all(nano is None or not most or nano / most > least for nano, most in ((offer.paid, paid), (offer.made, made))):
            continue
        others = _by_seller(offer, offers)
        if own:
            share, whose = _least(offer, own), "the maker's price"
        elif len(others) >= OTHER_SELLERS:
            share, whose = _usual(offer, others.values()), f"what {len(others)} others ask"
        else:
            continue
        if share is not None and share <= least and not _is_echoed(offer, others):
            found[offer.offer_id] = f"one source only, {min(99, round((1 - share) * 100))} % below {whose}"
    return found


def standing(state: str, doubt: str | None) -> int:
    """Who comes before whom where a cheapest offer is named: sold, then given away (which is rationed), then doubtful, then unpriced.

    Args:
        state: priced, free or anything else.
    """
    if state == "priced":
        return 0 if doubt is None else 2
    return 1 if state == "free" else 3


def share_of(offer: AskedPrice, other: AskedPrice) -> float | None:
    """What the one asks as a share of the other; in the directions that both price, None where there is no such."""
    both_ways = offer.made is not None and other.made is not None
    if offer.paid is not None and other.paid is not None:
        mine = INPUT_WEIGHT * offer.paid + (offer.made or 0 if both_ways else 0)
        theirs = INPUT_WEIGHT * other.paid + (other.made or 0 if both_ways else 0)
    elif both_ways:
        mine, theirs = offer.made or 0, other.made or 0
    else:
        return None
    return mine / theirs if theirs > 0 else None


def _by_seller(offer: AskedPrice, offers: Iterable[AskedPrice]) -> Mapping[str, list[AskedPrice]]:
    found: dict[str, list[AskedPrice]] = defaultdict(list)
    for other in offers:
        if other.seller != offer.seller and share_of(offer, other) is not None:
            found[other.seller].append(other)
    return found


def _least(offer: AskedPrice, others: Iterable[AskedPrice]) -> float | None:
    """Its share of the cheapest of these."""
    return max((share for other in others if (share := share_of(offer, other)) is not None), default=None)


def _usual(offer: AskedPrice, sellers: Iterable[Sequence[AskedPrice]]) -> float:
    """Its share of the median over sellers, each at its cheapest."""
    return median(share for offers in sellers if (share := _least(offer, offers)) is not None)


def _is_echoed(offer: AskedPrice, others: Mapping[str, Sequence[AskedPrice]]) -> bool:
    """Whether other sellers ask about the same, which is as good as a second source."""
    near = sum(
        any(1 / ABOUT_THE_SAME <= share <= ABOUT_THE_SAME for other in offers if (share := share_of(offer, other)) is not None)
        for offers in others.values()
    )
    return near >= OTHER_SELLERS
