from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.cost import PriceCard, PriceLine, cost_of_call
from backend.pricing.usage import Usage

NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
NIGHT = datetime(2026, 7, 15, 18, 0, tzinfo=UTC)
INPUT = PriceLine("in", "input", "token", 2_500_000_000)
OUTPUT = PriceLine("out", "output", "token", 10_000_000_000)
CACHED = PriceLine("hit", "cache_read", "token", 250_000_000)
TOKENS = st.integers(0, 3_000_000)
RATES = st.integers(0, 10**13)


def card(*lines: PriceLine) -> PriceCard:
    return PriceCard("acme/model", "priced", lines)


def rates(cost_parts: object) -> dict[str, str]:
    return {part.bucket: part.line.id for part in cost_parts}  # type: ignore[attr-defined]


def test_a_plain_call_costs_tokens_times_price() -> None:
    cost = cost_of_call(Usage(input=1000, output=500, cache_read=200), card(INPUT, OUTPUT, CACHED), at=NOON)
    assert cost.nano == 2_500_000 + 5_000_000 + 50_000
    assert cost.state == "priced"
    assert cost.price_ids == ("in", "out", "hit")
    assert cost.missing == ()


@given(TOKENS, TOKENS, TOKENS, RATES, RATES, RATES)
def test_the_cost_is_the_exact_sum_rounded_up_once(paid: int, made: int, cached: int, p: int, m: int, c: int) -> None:
    lines = (
        replace(INPUT, nano_per_million=p),
        replace(OUTPUT, nano_per_million=m),
        replace(CACHED, nano_per_million=c),
    )
    cost = cost_of_call(Usage(input=paid, output=made, cache_read=cached), card(*lines), at=NOON)
    assert cost.nano == ceil(Fraction(paid * p + made * m + cached * c, 1_000_000))


@given(TOKENS, TOKENS, st.integers(0, 100_000))
def test_more_tokens_never_cost_less(paid: int, made: int, more: int) -> None:
    bands = card(INPUT, OUTPUT, PriceLine("long", "input", "token", 5_000_000_000, context_above=200_000))
    before = cost_of_call(Usage(input=paid, output=made), bands, at=NOON)
    after = cost_of_call(Usage(input=paid + more, output=made + more), bands, at=NOON)
    assert after.nano >= before.nano


@given(st.floats(0, 100_000, allow_nan=False), RATES)
def test_seconds_are_priced_to_the_microsecond_and_rounded_up_once(seconds: float, rate: int) -> None:
    cost = cost_of_call(Usage(seconds=seconds), card(PriceLine("s", "input", "second", rate)), at=NOON)
    micros = ceil(Fraction(Decimal(str(seconds))) * 1_000_000)
    assert cost.nano == ceil(Fraction(micros * rate, 10**12))


def test_a_context_band_prices_all_tokens_once_the_total_input_exceeds_it() -> None:
    lines = card(
        INPUT,
        OUTPUT,
        CACHED,
        PriceLine("in+", "input", "token", 5_000_000_000, context_above=272_000),
        PriceLine("out+", "output", "token", 15_000_000_000, context_above=272_000),
    )
    at_the_edge = cost_of_call(Usage(input=200_000, cache_read=72_000, output=10), lines, at=NOON)
    beyond = cost_of_call(Usage(input=200_000, cache_read=72_001, output=10), lines, at=NOON)
    assert rates(at_the_edge.parts) == {"input": "in", "cache_read": "hit", "output": "out"}
    assert rates(beyond.parts) == {"input": "in+", "cache_read": "hit", "output": "out+"}


def test_the_highest_band_that_is_exceeded_counts() -> None:
    lines = card(
        *(PriceLine(f"above-{above}", "input", "token", 10**9 + above, context_above=above) for above in (32_000, 128_000, 256_000)),
        INPUT,
    )
    chosen = [cost_of_call(Usage(input=n), lines, at=NOON).price_ids[0] for n in (32_000, 32_001, 128_001, 900_000)]
    assert chosen == ["in", "above-32000", "above-128000", "above-256000"]


def test_a_service_tier_falls_back_to_the_base_price_line_by_line() -> None:
    lines = card(INPUT, OUTPUT, CACHED, PriceLine("batch", "input", "token", 1_250_000_000, service_tier="batch"))
    usage = Usage(input=10, output=10, cache_read=10)
    assert rates(cost_of_call(usage, lines, at=NOON, service_tier="batch").parts) == {
        "input": "batch",
        "output": "out",
        "cache_read": "hit",
    }
    assert rates(cost_of_call(usage, lines, at=NOON, service_tier="unheard-of").parts)["input"] == "in"
    assert rates(cost_of_call(usage, lines, at=NOON).parts)["input"] == "in"


def test_time_of_day_prices_follow_the_instant_of_the_call() -> None:
    lines = card(INPUT, OUTPUT, PriceLine("off-peak", "input", "token", 1, time_window="16:30-00:30"))
    assert cost_of_call(Usage(input=5), lines, at=NOON).price_ids == ("in",)
    assert cost_of_call(Usage(input=5), lines, at=NIGHT).price_ids == ("off-peak",)
    # The same card answers both again: what was worked out for one instant is not kept for the other.
    assert cost_of_call(Usage(input=5), lines, at=NOON).price_ids == ("in",)


def test_reasoning_costs_as_output_unless_it_has_a_price_of_its_own() -> None:
    usage = Usage(output=10, reasoning=90)
    assert rates(cost_of_call(usage, card(INPUT, OUTPUT), at=NOON).parts) == {"output": "out", "reasoning": "out"}
    own = card(INPUT, OUTPUT, PriceLine("think", "reasoning", "token", 1))
    assert rates(cost_of_call(usage, own, at=NOON).parts)["reasoning"] == "think"


def test_images_in_an_answer_cost_as_output_unless_they_have_a_price_of_their_own() -> None:
    usage = Usage(input=1000, output=100, image_output=1120)
    assert cost_of_call(usage, card(INPUT, OUTPUT), at=NOON).nano == 2_500_000 + 12_200_000
    drawn = PriceLine("drawn", "image_out", "token", 120_000_000_000)
    assert cost_of_call(usage, card(INPUT, OUTPUT, drawn), at=NOON).nano == 2_500_000 + 1_000_000 + 134_400_000
    per_image = PriceLine("each", "image_out", "image", 10**12)
    assert cost_of_call(usage, card(INPUT, OUTPUT, per_image), at=NOON).nano == 2_500_000 + 12_200_000


def test_cache_writes_follow_their_lifetime_and_fall_back_to_input() -> None:
    lines = card(
        INPUT,
        PriceLine("5m", "cache_write", "token", 3_125_000_000),
        PriceLine("1h", "cache_write", "token", 5_000_000_000, cache_ttl=3600),
    )
    usage = Usage(cache_write=10, cache_write_1h=10)
    assert rates(cost_of_call(usage, lines, at=NOON).parts) == {"cache_write": "5m", "cache_write_1h": "1h"}
    assert rates(cost_of_call(usage, card(INPUT), at=NOON).parts) == {"cache_write": "in", "cache_write_1h": "in"}


def test_cache_reads_without_a_price_cost_as_input() -> None:
    assert rates(cost_of_call(Usage(cache_read=10), card(INPUT, OUTPUT), at=NOON).parts) == {"cache_read": "in"}


def test_audio_without_a_price_makes_the_call_unpriced_and_says_so() -> None:
    cost = cost_of_call(Usage(input=1000, audio_input=50), card(INPUT, OUTPUT), at=NOON)
    assert (cost.state, cost.missing) == ("unpriced", ("audio_input",))
    assert cost.nano == 2_500_000, "what is known is still said, as a lower bound"


def test_an_offer_that_lacks_the_output_price_cannot_price_an_answer() -> None:
    assert cost_of_call(Usage(input=10), card(INPUT), at=NOON).state == "priced"
    assert cost_of_call(Usage(input=10, output=1), card(INPUT), at=NOON).missing == ("output",)


def test_an_offer_priced_per_image_does_not_bill_the_tokens_it_reports() -> None:
    lines = card(PriceLine("img", "image_out", "image", 40_000_000 * 1_000_000))
    cost = cost_of_call(Usage(input=30, output=1056, images=2), lines, at=NOON)
    assert (cost.nano, cost.state) == (80_000_000, "priced")


def test_a_card_names_the_line_of_a_bucket() -> None:
    lines = card(INPUT, OUTPUT, PriceLine("long", "input", "token", 5, context_above=200_000), PriceLine("s", "audio_in", "second", 9))
    assert lines.line("input", at=NOON) == INPUT
    assert lines.line("cache_read", at=NOON, total_input=200_001) == lines.lines[2]
    assert lines.line("seconds", at=NOON) == lines.lines[3]
    assert lines.line("audio_output", at=NOON) is None
    with pytest.raises(ValueError, match="not in tuple"):
        lines.line("tokens", at=NOON)


def test_a_surcharge_alone_prices_nothing() -> None:
    cost = cost_of_call(Usage(input=10), card(PriceLine("search", "web_search", "query", 10**13)), at=NOON)
    assert (cost.state, cost.missing) == ("unpriced", ("input",))


def test_a_fee_per_request_is_added_to_the_tokens() -> None:
    lines = card(INPUT, PriceLine("fee", "request", "request", 5_000_000 * 1_000_000))
    assert cost_of_call(Usage(input=1000), lines, at=NOON).nano == 2_500_000 + 5_000_000


def test_image_variants_are_chosen_by_name() -> None:
    lines = card(PriceLine("hd", "image_out", "image", 8, variant="hd"), PriceLine("4k", "image_out", "image", 9, variant="4k"))
    assert cost_of_call(Usage(images=1), lines, at=NOON, variant="4k").price_ids == ("4k",)
    assert cost_of_call(Usage(images=1), lines, at=NOON).missing == ("images",)


@pytest.mark.parametrize("state", ["unpriced", "quarantined"])
def test_an_offer_without_a_believed_price_is_never_taken_for_free(state: str) -> None:
    cost = cost_of_call(Usage(input=10), PriceCard("a/b", state), at=NOON)
    assert (cost.state, cost.missing) == ("unpriced", ("card",))


def test_a_confirmed_free_offer_costs_nothing_and_says_free() -> None:
    assert cost_of_call(Usage(input=10), PriceCard("a/b", "free"), at=NOON)[:3] == (0, (), "free")
