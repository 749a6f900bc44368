"""Value for money: what a model's quality is at least, less what its price has to buy."""

import math

from backend.kernel.money import NANO_PER_USD

POINTS_PER_TENFOLD = 15
"""So many points of quality more has a price to buy that is ten times as high."""


def value_for_money(at_least: float, blend_nano: int | None) -> float | None:
    """Of a score (0–100) that the evidence allows at the least, and a price in nano-dollars per 1M tokens: points, higher is better.

    At $1 it is the score itself, at $10 it is 15 less, at $0.10 15 more. So whoever leads is beaten by nobody on price and score at once,
    and what costs next to nothing does not lead for that alone, as it would by points per dollar. A wide interval does not pass for a
    good score. None where the price is unknown, or 0: what is given away is rationed.
    """
    if not blend_nano:
        return None
    return at_least - POINTS_PER_TENFOLD * math.log10(blend_nano / NANO_PER_USD)
