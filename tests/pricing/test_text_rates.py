"""The columns say what the one cost of a call says."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.cost import PriceCard, PriceLine, cost_of_call
from backend.pricing.text_rates import RateColumn, TextRates, rates_of
from backend.pricing.usage import Usage
from tests.rig.store import store_in_memory

AT = (datetime(2026, 7, 15, 12, 0, tzinfo=UTC), datetime(2026, 7, 15, 20, 0, tzinfo=UTC))
AMOUNTS = st.integers(0, 10**12)


def by_the_call(card: PriceCard, paid: int, made: int, at: datetime, tier: str | None) -> int | None:
    cost = cost_of_call(Usage(input=paid, output=made), card, at=at, service_tier=tier)
    return cost.nano if cost.state == "free" or (cost.state == "priced" and cost.parts) else None


@pytest.mark.parametrize(("paid", "made", "tier"), [(300, 500, None), (200_001, 0, None), (272_001, 7, "batch"), (1, 1, "priority")])
def test_every_offer_costs_what_a_call_would(catalog_file: Path, paid: int, made: int, tier: str | None) -> None:
    cards = list(store_in_memory(catalog_file).prices.cards())
    rates = rates_of(cards, tier)
    at = AT[paid % 2]
    wrong = [
        card.offer_id
        for card in cards
        if card.offer_id in rates and rates[card.offer_id].nano(paid, made, at) != by_the_call(card, paid, made, at, tier)
    ]
    assert wrong == []
    assert len(rates) > (8000 if tier is None else 200)
    left_out = [card.offer_id for card in cards if card.offer_id not in rates and by_the_call(card, paid, made, at, None) is not None]
    assert tier is not None or left_out == []


def a_card(paid: int, made: int, above: int | None, dearer: int, request: int, window: str | None) -> PriceCard:
    lines = [
        PriceLine("in", "input", "token", paid),
        PriceLine("out", "output", "token", made),
        PriceLine("request", "request", "request", request),
    ]
    if above is not None:
        lines.append(PriceLine("more", "input", "token", dearer, context_above=above))
    if window is not None:
        lines.append(PriceLine("night", "output", "token", dearer, time_window=window))
    return PriceCard("a/b", "priced", tuple(lines))


CARDS = st.builds(
    a_card, AMOUNTS, AMOUNTS, st.none() | st.integers(0, 300_000), AMOUNTS, AMOUNTS, st.sampled_from([None, None, "16:30-00:30"])
)


@given(CARDS, st.integers(0, 400_000), st.integers(0, 10_000), st.sampled_from(AT))
def test_bands_windows_and_fees_per_request(card: PriceCard, paid: int, made: int, at: datetime) -> None:
    if paid or made:
        assert TextRates(card).nano(paid, made, at) == by_the_call(card, paid, made, at, None)


@given(CARDS, CARDS, st.integers(0, 400_000), st.integers(0, 10_000), st.sampled_from(AT))
def test_who_is_never_cheaper_never_is(one: PriceCard, other: PriceCard, paid: int, made: int, at: datetime) -> None:
    dear, cheap = TextRates(one), TextRates(other)
    if dear.never_cheaper_than(cheap):
        ours, theirs = dear.nano(paid, made, at), cheap.nano(paid, made, at)
        assert ours is not None
        assert theirs is not None
        assert ours >= theirs


@given(st.lists(CARDS, max_size=5), st.integers(0, 400_000), st.integers(0, 10_000), st.sampled_from(AT))
def test_side_by_side_they_cost_what_each_costs_alone(cards: list[PriceCard], paid: int, made: int, at: datetime) -> None:
    rates = [TextRates(card) for card in cards]
    assert RateColumn(rates).nano(paid, made, at) == [one.nano(paid, made, at) for one in rates]
