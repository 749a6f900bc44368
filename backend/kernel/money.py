"""Money is an integer number of nano-dollars (1e-9 USD); `Decimal` at the edges, float never.

A cheap embedding costs less than a micro-dollar, so the nano-dollar is the unit; 64 bits hold nine billion dollars.
"""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, InvalidOperation

NANO_PER_USD = 1_000_000_000
MAX_NANO_USD = 2**63 - 1
_ONE_NANO = Decimal("1e-9")


def nano_from_usd(amount: Decimal | int | str) -> int:
    """An amount in USD as nano-dollars, rounded up so that money owed is never lost.

    Raises:
        ValueError: if it is not a finite number or does not fit into 64 bits.
    """
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise ValueError(f"not an amount of money: {amount}") from None
    if not value.is_finite():
        raise ValueError(f"not an amount of money: {amount}")
    # Compared before it is scaled: an exponent such as 1e999999 overflows the arithmetic and makes huge integers.
    if value.copy_abs() > usd_from_nano(MAX_NANO_USD):
        raise ValueError(f"amount of money out of range: {amount}")
    return int(value.quantize(_ONE_NANO, rounding=ROUND_CEILING).scaleb(9))


def usd_from_nano(nano: int) -> Decimal:
    """Nano-dollars as an exact amount in USD."""
    return Decimal(nano).scaleb(-9)


def format_usd(nano: int) -> str:
    """For people: `$1,284.06`, with as many digits below a cent as an amount under one needs: `$0.001077`, `$0.000000004`."""
    value = usd_from_nano(abs(nano))
    sign = "−" if nano < 0 else ""
    if value == 0:
        return "$0"
    if value >= 1:
        return f"{sign}${value.quantize(Decimal('0.01'), rounding=ROUND_HALF_EVEN):,}"
    digits = min(9, max(2, 3 - value.adjusted()))
    text = f"{value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN):f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{sign}${whole}.{fraction.ljust(2, '0')}"
