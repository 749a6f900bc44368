from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.cost import PriceCard, PriceLine
from backend.pricing.workload import Workload, cost_per_call, per_day, per_million_blended, per_month

NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
CARD = PriceCard(
    "acme/m",
    "priced",
    (
        PriceLine("in", "input", "token", 2_000_000_000),
        PriceLine("out", "output", "token", 8_000_000_000),
        PriceLine("hit", "cache_read", "token", 200_000_000),
        PriceLine("half", "input", "token", 1_000_000_000, service_tier="batch"),
        PriceLine("eu", "input", "token", 2_200_000_000, region="eu"),
    ),
)


def test_a_call_of_the_workload_is_priced_by_the_card() -> None:
    cost = cost_per_call(CARD, Workload(1000, 500), at=NOON)
    assert (cost.nano, cost.state) == (2_000_000 + 4_000_000, "priced")


def test_the_cached_share_of_the_prompt_costs_what_cached_tokens_cost() -> None:
    cost = cost_per_call(CARD, Workload(1000, 0, cache_share=0.75), at=NOON)
    assert cost.nano == 250 * 2_000 + 750 * 200


def test_tier_and_region_are_those_of_the_workload() -> None:
    work = Workload(1000, 0)
    assert cost_per_call(CARD, replace(work, service_tier="batch"), at=NOON).nano == 1_000_000
    assert cost_per_call(CARD, replace(work, region="eu"), at=NOON).nano == 2_200_000


def test_days_months_and_a_million_tokens_follow_from_one_call() -> None:
    work = Workload(1000, 500, calls_per_day=12)
    cost = cost_per_call(CARD, work, at=NOON)
    assert per_day(cost.nano, work) == 72_000_000
    assert per_month(cost.nano, work) == 6_000_000 * 365
    assert per_million_blended(cost, work) == 4_000_000_000


def test_an_unpriced_mix_has_no_price_per_million() -> None:
    work = Workload(audio_input_tokens=10)
    cost = cost_per_call(CARD, work, at=NOON)
    assert (cost.state, cost.missing) == ("unpriced", ("audio_input",))
    assert per_million_blended(cost, work) is None


PICTURES = PriceCard("acme/draw", "priced", (PriceLine("pic", "image_out", "image", 40_000_000_000_000),))
MINUTES = PriceCard("acme/hear", "priced", (PriceLine("sec", "input", "second", 100_000_000_000),))


@pytest.mark.parametrize(
    ("card", "work", "missing"),
    [
        (CARD, Workload(100, 0, images=10), ("images",)),
        (CARD, Workload(0, 0, seconds=60), ("seconds",)),
        (CARD, Workload(100, 100, seconds=60, characters=5), ("seconds", "characters")),
        (PICTURES, Workload(1000, 500), ("input", "output")),
        (PICTURES, Workload(100, 0, images=1, seconds=5), ("seconds",)),
        (CARD, Workload(0, 0), ("workload",)),
    ],
)
def test_what_an_offer_does_not_bill_is_never_given_away(card: PriceCard, work: Workload, missing: tuple[str, ...]) -> None:
    cost = cost_per_call(card, work, at=NOON)
    assert (cost.state, cost.missing) == ("unpriced", missing)


def test_who_gives_text_away_gives_no_pictures_away() -> None:
    free = PriceCard("acme/free", "free", ())
    assert cost_per_call(free, Workload(), at=NOON).state == "free"
    cost = cost_per_call(free, Workload(100, 0, images=10), at=NOON)
    assert (cost.state, cost.missing) == ("unpriced", ("images",))


def test_what_is_billed_by_the_picture_or_second_costs_that_whatever_else_is_said() -> None:
    assert cost_per_call(PICTURES, Workload(100, 0, images=2), at=NOON).nano == 80_000_000
    both = Workload(0, 0, seconds=60, audio_input_tokens=600)
    assert (cost := cost_per_call(MINUTES, both, at=NOON)).state == "priced"
    assert cost.nano == 6_000_000


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_the_buckets_make_up_the_prompt_whatever_the_shares(tokens: int, read: float, written: float) -> None:
    if read + written > 1:
        with pytest.raises(ValueError, match="more than all"):
            Workload(tokens, cache_share=read, cache_write_share=written)
        return
    usage = Workload(tokens, cache_share=read, cache_write_share=written).usage
    assert usage.total_input == tokens
    assert min(usage.input, usage.cache_read, usage.cache_write) >= 0


@pytest.mark.parametrize("wrong", [{"input_tokens": -1}, {"calls_per_day": float("inf")}, {"cache_share": float("nan")}])
def test_what_is_no_workload_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="workload"):
        Workload(**wrong)  # type: ignore[arg-type]


def test_regions_that_nobody_prices_leave_nothing_in_the_card() -> None:
    for number in range(50):
        assert cost_per_call(CARD, Workload(1000, 0, region=f"nowhere-{number}"), at=NOON).nano == 2_000_000
    assert len(CARD._sheets) <= 4
