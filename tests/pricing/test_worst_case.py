"""What is reserved for a call is never less than what any call within its bounds costs."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.cost import PriceCard, PriceLine, cost_of_call
from backend.pricing.usage import Usage
from backend.pricing.worst_case import worst_rates

AT = datetime(2026, 5, 1, tzinfo=UTC)
TIERS = (None, "flex", "priority")

components = st.sampled_from(["input", "output", "cache_read", "cache_write", "reasoning", "audio_in", "audio_out"])
extra_lines = st.lists(
    st.builds(
        lambda component, nano, above, tier, ttl: PriceLine(
            f"{component}{above}{tier}{ttl}{nano}", component, "token", nano, context_above=above, service_tier=tier, cache_ttl=ttl
        ),
        components,
        st.integers(0, 10**12),
        st.sampled_from([None, 200_000]),
        st.sampled_from(TIERS),
        st.sampled_from([None, 3600]),
    ),
    max_size=8,
)


def card_of(*lines: PriceLine) -> PriceCard:
    base = [PriceLine(name, name, "token", 10**9) for name in ("input", "output", "audio_in", "audio_out")]
    return PriceCard("x/y", "priced", (*base, *lines))


@given(extra_lines, st.lists(st.integers(0, 100_000), min_size=8, max_size=8), st.sampled_from(TIERS), st.integers(0, 1000))
def test_no_call_within_its_bounds_costs_more(lines: list[PriceLine], counts: list[int], tier: str | None, slack: int) -> None:
    put_in, read, written, hour, heard, put_out, thought, said = counts
    usage = Usage(put_in, read, written, hour, heard, put_out, thought, said)
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
