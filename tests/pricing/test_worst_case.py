"""What is reserved for a call is never less than what any call within its bounds costs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.cost import PriceCard, PriceLine, cost_of_call
from backend.pricing.usage import Usage
from backend.pricing.worst_case import worst_rates

AT = datetime(2026, 5, 1, tzinfo=UTC)
TIERS = (None, "flex", "priority")

components = st.sampled_from(["input", "output", "cache_read", "cache_write", "reasoning", "audio_in", "audio_out", "image_out"])
extra_lines = st.lists(
    st.builds(
        lambda component, nano, above, tier, ttl: PriceLine(
            f"{component}{above}{tier}{ttl}{nano}", component, "token", nano, context_above=above, service_tier=tier, cache_ttl=ttl
        ),
        components,
        st.integers(0, 10**12),
        st.sampled_from([None, 1_000, 50_000, 200_000]),
        st.sampled_from(TIERS),
        st.sampled_from([None, 3600]),
    ),
    max_size=8,
)


def card_of(*lines: PriceLine) -> PriceCard:
    base = [PriceLine(name, name, "token", 10**9) for name in ("input", "output", "audio_in", "audio_out")]
    return PriceCard("x/y", "priced", (*base, *lines))


@given(extra_lines, st.lists(st.integers(0, 100_000), min_size=9, max_size=9), st.sampled_from(TIERS), st.integers(0, 1000))
def test_no_call_within_its_bounds_costs_more(lines: list[PriceLine], counts: list[int], tier: str | None, slack: int) -> None:
    put_in, read, written, hour, heard, put_out, thought, said, drawn = counts
    usage = Usage(put_in, read, written, hour, heard, put_out, thought, said, image_output=drawn)
    card = card_of(*lines)
    prompt, answer = usage.total_input + slack, usage.total_output + slack
    for asked in (tier, "auto"):
        rates = worst_rates(card, prompt, at=AT, service_tier=asked, audio_in=True, audio_out=True)
        assert rates is not None
        assert cost_of_call(usage, card, at=AT, service_tier=tier).nano <= rates.nano(prompt, answer)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**6), st.integers(1, 10**6))
def test_an_answer_that_fits_into_an_amount_costs_no_more(put_in: int, put_out: int, prompt: int, spare: int) -> None:
    card = PriceCard("x/y", "priced", (PriceLine("i", "input", "token", put_in), PriceLine("o", "output", "token", put_out)))
    rates = worst_rates(card, prompt, at=AT)
    assert rates is not None
    amount = rates.nano(prompt, 0) + spare
    assert rates.nano(prompt, rates.answer_within(amount, prompt)) <= amount


def test_what_has_no_price_is_not_bounded() -> None:
    assert worst_rates(PriceCard("x/y", "priced", (PriceLine("i", "input", "token", 5),)), 10, at=AT) is None
    text_only = PriceCard("x/y", "priced", (PriceLine("i", "input", "token", 5), PriceLine("o", "output", "token", 5)))
    assert worst_rates(text_only, 10, at=AT) is not None
    assert worst_rates(text_only, 10, at=AT, audio_in=True) is None


@pytest.mark.parametrize(("component", "unit"), [("image_out", "image"), ("input", "second"), ("input", "character"), ("ocr", "page")])
def test_a_chat_is_not_bounded_by_prices_of_other_things(component: str, unit: str) -> None:
    """It would be free: an offer that is priced by the picture does not bill tokens."""
    assert worst_rates(PriceCard("x/y", "priced", (PriceLine("p", component, unit, 5),)), 10, at=AT) is None
    by_request = worst_rates(PriceCard("x/y", "priced", (PriceLine("p", "request", "request", 5 * 10**9),)), 10, at=AT)
    assert by_request is not None
    assert by_request.nano(10, 10) == 5000


def tiered_card(**nano_by_tier: int) -> PriceCard:
    named = {None: 1000, **nano_by_tier}
    return PriceCard(
        "x/y",
        "priced",
        tuple(PriceLine(f"{c}{t}", c, "token", nano * 10**6, service_tier=t) for c in ("input", "output") for t, nano in named.items()),
    )


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("flex", None),
        ("flex", "default"),
        ("flex", "flex"),
        (None, "priority"),
        (None, "flex"),
        ("auto", "priority"),
        ("priority", None),
        ("priority", "priority"),
        ("priority", "fast"),
        ("fast", "priority"),
        ("ultrafast", "ultrafast"),
        ("ultrafast", None),
        ("made up", "made up"),
        ("default", "default"),
    ],
)
def test_what_is_reserved_covers_every_tier_that_may_be_served(asked: str | None, served: str | None) -> None:
    card = tiered_card(flex=500, priority=2000, ultrafast=6000)
    rates = worst_rates(card, 1000, at=AT, service_tier=asked)
    assert rates is not None
    assert cost_of_call(Usage(input=1000, output=1000), card, at=AT, service_tier=served).nano <= rates.nano(1000, 1000)


def test_what_nobody_asks_for_is_not_reserved() -> None:
    """A default can make a call `priority`; six times the price comes only to those who ask for it."""
    rates = worst_rates(tiered_card(priority=2000, ultrafast=6000), 1000, at=AT)
    assert rates is not None
    assert rates.nano(1000, 1000) == 2 * 2000 * 1000
    base = worst_rates(tiered_card(priority=2000, ultrafast=6000), 1000, at=AT, service_tier="default")
    assert base is not None
    assert base.nano(1000, 1000) == 2 * 1000 * 1000


def test_a_band_between_the_lowest_and_the_highest_counts_where_it_is_the_dearest() -> None:
    def band(component: str, nano: int, above: int | None) -> PriceLine:
        return PriceLine(f"{component}{above}", component, "token", nano * 10**6, context_above=above)

    prices = ((1000, None), (9000, 1_000), (2000, 5_000), (100_000, 50_000))
    card = PriceCard("x/y", "priced", tuple(band(component, *price) for component in ("input", "output") for price in prices))
    rates = worst_rates(card, 6_000, at=AT)
    assert rates is not None
    assert rates.nano(6_000, 1_000) == 7_000 * 9_000
    low = worst_rates(card, 1_000, at=AT)
    assert low is not None
    assert low.nano(1_000, 1_000) == 2_000 * 1_000
