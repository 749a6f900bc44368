"""Nano-dollars: exact in both directions, rounded up once, read well by people."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.money import MAX_NANO_USD, format_usd, nano_from_usd, usd_from_nano

nanos = st.integers(min_value=-MAX_NANO_USD, max_value=MAX_NANO_USD)
amounts = st.decimals(min_value=-9_000_000_000, max_value=9_000_000_000, allow_nan=False, allow_infinity=False, places=14)


@given(nanos)
def test_nano_dollars_become_usd_and_come_back_unchanged(nano: int) -> None:
    assert nano_from_usd(usd_from_nano(nano)) == nano


@given(amounts)
def test_rounding_never_loses_money_owed_and_adds_less_than_one_nano_dollar(amount: Decimal) -> None:
    difference = usd_from_nano(nano_from_usd(amount)) - amount
    assert 0 <= difference < Decimal("1e-9")


@given(st.lists(st.integers(min_value=0, max_value=10**12), max_size=200))
def test_a_sum_of_charges_is_exact_in_any_order(charges: list[int]) -> None:
    forwards = sum(usd_from_nano(charge) for charge in charges)
    backwards = sum(usd_from_nano(charge) for charge in reversed(charges))
    assert forwards == backwards == usd_from_nano(sum(charges))


@pytest.mark.parametrize(
    "amount", ["NaN", "Infinity", "-Infinity", "1e10", "-9223372037", "1e400", "1e999999", "-1e999999", "", "ten", "0x10"]
)
def test_what_is_no_amount_of_money_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="amount of money"):
        nano_from_usd(amount)


def test_the_smallest_amount_owed_is_a_whole_nano_dollar() -> None:
    assert nano_from_usd("1e-999999") == 1
    assert nano_from_usd("1." + "0" * 30 + "1") == 1_000_000_001
    assert nano_from_usd("0") == 0


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0"),
        (4, "$0.000000004"),
        (1_077_000, "$0.001077"),
        (250_000_000, "$0.25"),
        (500_000_000, "$0.50"),
        (1_000_000_000, "$1.00"),
        (1_284_060_000_000, "$1,284.06"),
        (-1_500_000_000, "−$1.50"),
        (-20_000, "−$0.00002"),
    ],
)
def test_amounts_are_written_for_people(nano: int, text: str) -> None:
    assert format_usd(nano) == text


@given(nanos)
def test_no_amount_is_shown_as_nothing_unless_it_is_nothing(nano: int) -> None:
    shown = Decimal(format_usd(nano).replace("−", "-").replace("$", "").replace(",", ""))
    assert (shown == 0) == (nano == 0)
    assert abs(shown - usd_from_nano(nano)) <= max(Decimal("0.005"), abs(usd_from_nano(nano)) / 100)
