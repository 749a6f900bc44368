"""When a price is doubtful: what must hold of the rule whatever the prices, and the cases that it was made for."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.doubt import OF_THE_MAKER, OF_THE_OTHERS, AskedPrice, doubts, share_of, standing

Asks = Callable[..., AskedPrice]


def asks(
    seller: str, paid: float | None, made: float | None = None, *, own: bool = False, witnesses: int = 1, vouched: bool = False
) -> AskedPrice:
    """In USD per 1M tokens; out costs five times as much as in where nothing else is said."""
    out = None if paid is None else paid * 5 if made is None else made
    nano = [None if usd is None else round(usd * 10**9) for usd in (paid, out)]
    return AskedPrice(f"{seller}/m", seller, nano[0], nano[1], own, witnesses, vouched)


MAKER = asks("maker", 3, own=True, witnesses=3)


def test_a_reseller_far_below_the_maker_of_a_closed_model_is_doubtful_on_its_own_word() -> None:
    found = doubts([MAKER, asks("q", 0.43, 2.14), asks("poe", 2.6, 13)], open_weights=False)
    assert found == {"q/m": "one source only, 86 % below the maker's price"}


def test_half_of_the_makers_price_is_doubtful_as_a_batch_price_told_for_the_usual_one() -> None:
    assert doubts([MAKER, asks("q", 1.5, 7.5)], open_weights=False) == {"q/m": "one source only, 50 % below the maker's price"}
    assert doubts([MAKER, asks("q", 1.51, 7.5)], open_weights=False) == {}


def test_a_second_source_an_operator_or_two_other_sellers_end_the_doubt() -> None:
    low = asks("q", 0.43, 2.14)
    for confirmed in (replace(low, witnesses=2), replace(low, vouched=True), replace(low, own=True)):
        assert doubts([MAKER, confirmed], open_weights=False) == {}
    echo = [asks("x", 0.45, 2.2), asks("y", 0.42, 2.1)]
    assert doubts([MAKER, low, *echo], open_weights=False) == {}
    assert len(doubts([MAKER, low, echo[0]], open_weights=False)) == 2
    # The same seller twice is one seller.
    again = replace(low, offer_id="q/m-2025", witnesses=1)
    assert set(doubts([MAKER, low, again, echo[0]], open_weights=False)) == {"q/m", "q/m-2025", "x/m"}


def test_open_weights_are_held_against_what_others_ask_and_may_be_far_below_the_maker() -> None:
    market = [asks(seller, usd, usd) for seller, usd in (("a", 0.2), ("b", 0.25), ("c", 0.3), ("d", 0.22))]
    dear = asks("maker", 1.4, 5.6, own=True)
    assert doubts([dear, *market], open_weights=True) == {}
    found = doubts([dear, *market, asks("e", 0.03, 0.03)], open_weights=True)
    assert found == {"e/m": "one source only, 88 % below what 5 others ask"}


def test_who_is_alone_or_has_one_rival_cannot_be_judged_without_the_maker() -> None:
    assert doubts([asks("q", 0.01)], open_weights=False) == {}
    assert doubts([asks("q", 0.01), asks("r", 10)], open_weights=False) == {}
    assert doubts([asks("q", 0.01), asks("r", 10), asks("s", 10)], open_weights=False) == {
        "q/m": "one source only, 99 % below what 2 others ask"
    }


def test_offers_without_an_output_price_are_compared_by_their_input() -> None:
    one_way = AskedPrice("e/m", "e", 20_000_000, None, False, 1)
    assert share_of(one_way, asks("a", 0.2, 1)) == pytest.approx(0.1)
    assert share_of(one_way, replace(one_way, paid=None)) is None
    assert doubts([one_way, asks("a", 0.2, 0), asks("b", 0.2, 0)], open_weights=True) == {
        "e/m": "one source only, 90 % below what 2 others ask"
    }


@pytest.mark.parametrize(
    ("state", "doubt", "rank"),
    [("priced", None, 0), ("free", None, 1), ("priced", "why", 2), ("unpriced", None, 3), ("quarantined", None, 3)],
)
def test_confirmed_comes_before_given_away_before_doubtful_before_unpriced(state: str, doubt: str | None, rank: int) -> None:
    assert standing(state, doubt) == rank


# --- whatever the prices ------------------------------------------------------------------------------------------------------------

nanos = st.integers(1, 10**11)
offers = st.builds(
    AskedPrice,
    offer_id=st.uuids().map(str),
    seller=st.sampled_from("abcdefgh"),
    paid=st.none() | nanos,
    made=st.none() | nanos,
    own=st.booleans(),
    witnesses=st.integers(0, 3),
    vouched=st.booleans(),
)
shelves = st.lists(offers, max_size=12)


@given(shelves, st.booleans())
def test_some_offer_is_always_believed_and_every_doubt_has_its_words(shelf: list[AskedPrice], open_weights: bool) -> None:
    found = doubts(shelf, open_weights=open_weights)
    assert len(found) < max(len(shelf), 1)
    by_id = {offer.offer_id: offer for offer in shelf}
    for offer_id, why in found.items():
        offer = by_id[offer_id]
        assert not (offer.own)
        assert not (offer.vouched)
        assert offer.witnesses <= 1
        assert why.startswith("one source only, ")
        assert " % below " in why


@given(shelves, st.booleans(), st.randoms(), st.integers(1, 1000))
def test_neither_the_order_nor_the_currency_matters(shelf: list[AskedPrice], open_weights: bool, random: object, factor: int) -> None:
    found = doubts(shelf, open_weights=open_weights)
    turned = list(shelf)
    random.shuffle(turned)  # type: ignore[attr-defined]
    scaled = [
        replace(offer, paid=None if offer.paid is None else offer.paid * factor, made=None if offer.made is None else offer.made * factor)
        for offer in turned
    ]
    assert doubts(turned, open_weights=open_weights) == found
    assert doubts(scaled, open_weights=open_weights).keys() == found.keys()


@given(shelves, st.booleans())
def test_what_is_more_than_half_of_every_other_is_never_doubtful(shelf: list[AskedPrice], open_weights: bool) -> None:
    found = doubts(shelf, open_weights=open_weights)
    for offer in shelf:
        shares = [share for other in shelf if (share := share_of(offer, other)) is not None]
        if all(share > max(OF_THE_MAKER, OF_THE_OTHERS) for share in shares):
            assert offer.offer_id not in found


@given(
    st.lists(st.builds(AskedPrice, st.uuids().map(str), st.sampled_from("abcdef"), nanos, nanos, st.just(False), st.just(1)), max_size=8),
    st.integers(0, 7),
)
def test_a_second_witness_ends_the_doubt_and_casts_none_on_others(shelf: list[AskedPrice], number: int) -> None:
    before = doubts(shelf, open_weights=True)
    if number >= len(shelf):
        return
    told = [replace(offer, witnesses=2) if place == number else offer for place, offer in enumerate(shelf)]
    assert doubts(told, open_weights=True) == {offer: why for offer, why in before.items() if offer != shelf[number].offer_id}
